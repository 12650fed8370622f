// SPDX-License-Identifier: MIT
//
// A thread whose time limit passes, under every interleaving: while it begins to wait, while what
// it waits for is handed to it, while others stand in line behind it.
//
// The code under test is sync_wait::block_slow in src/sync/wait_queue.cc with the cancellation of
// each kind of wait: under the lock (semaphore, mutex, notify, mpsc for room and for a value), or
// by a compare-and-swap against that of the waker (oneshot; mpsc for a value that is on its way).
// What the thread does not take must be there for others afterwards, and nobody waits for ever. Nor
// may a waker come back to the waiter of a thread that has given up and is gone: by hand this was
// seen to fail when a thread that is being woken does not wait for that, and when a oneshot
// channel lets it withdraw then, or withdraws without a compare-and-swap, or leaves its bit set.
//
// Fiber 0 is the thread. Fiber 1 gives what it waits for. Fiber 2 makes the time pass. Fiber 3, in
// some scenarios, waits for the same without a limit.
#include "model/faults.h"
#include "model/mpsc_model.h"

#include <chrono>

namespace {

using rt::model::bounded;
using rt::model::broken;
using rt::model::check;
using rt::model::expect_broken;
using rt::model::expect_good;
using rt::model::fault;
using rt_model::scenario::channel_base;
using rt_model::scenario::large;
using rt_model::scenario::small;

// The moment that fiber 2 makes pass.
constexpr rt_model::time_limit soon{std::chrono::steady_clock::time_point{}};

// ---- locks --------------------------------------------------------------------------------------

// All permits but `there` are released while the thread waits for `wants`.
struct permits {
    static constexpr unsigned threads = 4;

    permits(unsigned there, unsigned wanted, bool with_rival)
        : wants(wanted)
        , has_rival(with_rival)
        , slots(total) {
        rt_model::scenario::set_up_sync();
        held = slots.try_acquire(total - there);
    }

    void run(unsigned self) {
        switch (self) {
        case 0:
            use(slots.blocking_acquire(wants, soon));
            break;
        case 1:
            held.release();
            break;
        case 2:
            rt::model::futexes.pass_time();
            break;
        default:
            if (has_rival) {
                const auto mine = slots.blocking_acquire();
                check(mine.count() == 1, "nobody closes it");
            }
            break;
        }
    }
    void use(const rt_model::semaphore::permit& mine) const {
        check(!mine || mine.count() == wants, "not what was asked for");
    }

    void at_end(bool is_stuck) {
        check(!is_stuck, "somebody waits beside free permits");
        check(slots.available() == total, "permits appeared or vanished");
    }

    static constexpr unsigned total = 2;
    const unsigned wants;
    const bool has_rival;
    rt_model::semaphore slots;
    rt_model::semaphore::permit held;
};

struct handed_over {
    static constexpr unsigned threads = 4;

    explicit handed_over(bool with_rival)
        : has_rival(with_rival) {
        rt_model::scenario::set_up_sync();
        held = lock.try_lock();
        is_inside = true;
    }

    void run(unsigned self) {
        switch (self) {
        case 0:
            use(lock.blocking_lock(soon));
            break;
        case 1:
            is_inside = false;
            held.unlock();
            break;
        case 2:
            rt::model::futexes.pass_time();
            break;
        default:
            if (has_rival) {
                use(lock.blocking_lock());
            }
            break;
        }
    }
    void use(const rt_model::mutex::guard& mine) {
        if (mine) {
            check(!std::exchange(is_inside, true), "two are inside");
            const unsigned before = entries.load_relaxed();
            entries.store_relaxed(before + 1);
            ++expected;
            is_inside = false;
        }
    }

    void at_end(bool is_stuck) {
        check(!is_stuck, "somebody waits for a lock that nobody holds");
        check(!lock.is_locked(), "a lock was lost");
        check(entries.peek() == expected, "a holder did not see the one before");
    }

    const bool has_rival;
    rt_model::mutex lock;
    rt_model::mutex::guard held;
    bool is_inside = false;
    unsigned expected = 0;
    rt_model::atomic<unsigned> entries;
};

// ---- rt::notify ---------------------------------------------------------------------------------

struct notified {
    static constexpr unsigned threads = 4;

    explicit notified(bool with_rival)
        : has_rival(with_rival) {
        rt_model::scenario::set_up_sync();
    }

    void run(unsigned self) {
        switch (self) {
        case 0:
            is_told = changed.blocking_wait(soon);
            if (is_told) {
                check_data();
                pass_on();
            }
            break;
        case 1:
            data.store_relaxed(1);
            changed.notify_one();
            break;
        case 2:
            rt::model::futexes.pass_time();
            break;
        default:
            if (has_rival) {
                changed.blocking_wait();
                check_data();
            }
            break;
        }
    }
    void check_data() const {
        check(data.load_relaxed() == 1, "who is notified does not see what came before");
    }
    void pass_on() {
        if (has_rival) {
            changed.notify_one();
        }
    }

    void at_end(bool is_stuck) {
        check(!is_stuck, "a notification was lost");
        if (!has_rival) {
            rt_model::detail::this_thread.budget = 1;
            auto next = changed.notified();
            check(next.await_ready() != is_told, "a notification was lost, or came twice");
        }
    }

    const bool has_rival;
    rt_model::notify changed;
    rt_model::atomic<unsigned> data;
    bool is_told = false;
};

// ---- channels -----------------------------------------------------------------------------------

enum class end : std::uint8_t { sends, is_dropped };

// A receiver that was too late looks at the end, or begins again without a limit.
struct answered {
    static constexpr unsigned threads = 3;

    answered(end what, bool again)
        : how(what)
        , waits_again(again) {
        rt_model::scenario::set_up_sync();
        rt_model::scenario::seen = {};
        auto [tx, rx] = rt_model::oneshot::channel<large>();
        sender.emplace(std::move(tx));
        receiver.emplace(std::move(rx));
    }

    void run(unsigned self) {
        if (self == 0) {
            is_late = !note(receiver->blocking_recv(soon));
            if (is_late && waits_again) {
                check(note(receiver->blocking_recv()), "there was no limit");
            }
        } else if (self == 1) {
            data.store_relaxed(1);
            if (how == end::sends) {
                check(sender->send(large(0)).has_value(), "the receiver is there");
            }
            sender.reset();
        } else {
            rt::model::futexes.pass_time();
        }
    }
    // False: the time was over.
    bool note(rt_model::result<large> got) {
        if (!got && got.error().is(rt_model::errc::timed_out)) {
            return false;
        }
        check(data.load_relaxed() == 1, "who is answered does not see what came before");
        if (got) {
            check(got->id == 0 && received++ == 0, "it came out twice, or is another");
        } else {
            check(how == end::is_dropped, "closed without a reason");
        }
        return true;
    }

    void at_end(bool is_stuck) {
        check(!is_stuck, "the receiver waits for ever");
        if (is_late && !waits_again) {
            check(note(receiver->try_recv()), "there was no limit");
        }
        receiver.reset();
        const unsigned expected = how == end::sends ? 1 : 0;
        check(received == expected, "the value was lost");
        check(
            rt_model::scenario::seen.destroyed[0] == expected, "destroyed more or less than once"
        );
        rt_model::scenario::check_sync_heap();
    }

    const end how;
    const bool waits_again;
    std::optional<rt_model::oneshot::sender<large>> sender;
    std::optional<rt_model::oneshot::receiver<large>> receiver;
    rt_model::atomic<unsigned> data;
    unsigned received = 0;
    bool is_late = false;
};

// Values come, one or two, and the end of the channel, while the thread waits for the first.
template<typename T>
struct receiving : channel_base<T> {
    static constexpr unsigned threads = 3;

    explicit receiving(unsigned count)
        : channel_base<T>(2)
        , values(count) {}

    void run(unsigned self) {
        if (self == 0) {
            if (auto got = this->receiver->blocking_recv(soon)) {
                this->note(got->id);
            } else if (!got.error().is(rt_model::errc::timed_out)) {
                check(values == 0, "the end before the values");
            }
        } else if (self == 1) {
            auto mine = std::move(this->sender[0]);
            for (unsigned id = 0; id < values; ++id) {
                ++this->made[id];
                this->sent[id] = mine.try_send(T(id)).has_value() ? 1 : 0;
                check(this->sent[id] == 1, "there is room for two");
            }
        } else {
            rt::model::futexes.pass_time();
        }
    }

    void at_end(bool is_stuck) {
        check(!is_stuck, "the receiver waits for ever");
        this->take_the_rest();
        this->drop_ends();
        this->check_values(false);
        rt_model::scenario::check_sync_heap();
    }

    const unsigned values;
};

// The channel is full, and its receiver takes what comes until the senders are gone.
struct sending : channel_base<large> {
    static constexpr unsigned threads = 4;

    explicit sending(bool with_rival)
        : channel_base(1)
        , has_rival(with_rival) {
        ++made[0];
        sent[0] = sender[0].try_send(large(0)).has_value() ? 1 : 0;
        if (has_rival) {
            sender[1] = sender[0];
        }
    }

    void run(unsigned self) {
        switch (self) {
        case 0:
            send(std::move(sender[0]));
            break;
        case 1:
            while (auto got = receiver->blocking_recv()) {
                note(got->id);
            }
            break;
        case 2:
            rt::model::futexes.pass_time();
            break;
        default:
            if (has_rival) {
                auto mine = std::move(sender[1]);
                ++made[2];
                sent[2] = mine.blocking_send(large(2)).has_value() ? 1 : 0;
                check(sent[2] == 1, "the channel is open");
            }
            break;
        }
    }
    void send(rt_model::mpsc::sender<large> mine) {
        ++made[1];
        large value(1);
        const auto outcome = mine.blocking_send(std::move(value), soon);
        sent[1] = outcome.has_value() ? 1 : 0;
        check(sent[1] == 1 || outcome.error().is(rt_model::errc::timed_out), "the channel is open");
        check(sent[1] == 1 || value.id == 1, "the value is the caller's still");
    }

    void at_end(bool is_stuck) {
        check(!is_stuck, "somebody waits for ever");
        take_the_rest();
        drop_ends();
        check_values(false);
        rt_model::scenario::check_sync_heap();
    }

    const bool has_rival;
};

} // namespace

Test(time_limit_model, permits_are_granted_or_stay) {
    rt::model::skip_with_sanitizers();
    expect_good<permits>("1 of 2", bounded(6), 0U, 1U, false);
    expect_good<permits>("2 of 2 before 1 of 2", bounded(3), 1U, 2U, true);
    expect_good<permits>("1 of 2, weak", bounded(4, true), 0U, 1U, false);
    expect_broken<permits>("2 before 1, torn", broken(fault::torn_rmw, 4), 0U, 2U, true);
    expect_broken<permits>("2 before 1, no wake", broken(fault::no_wake, 4), 0U, 2U, true);
}

Test(time_limit_model, a_mutex_is_handed_over_or_passed_on) {
    rt::model::skip_with_sanitizers();
    expect_good<handed_over>("alone", bounded(6), false);
    expect_good<handed_over>("before another", bounded(3), true);
    expect_good<handed_over>("before another, weak", bounded(2, true), true);
    expect_broken<handed_over>("torn", broken(fault::torn_rmw, 4), true);
    expect_broken<handed_over>("no wake", broken(fault::no_wake, 4), true);
    expect_broken<handed_over>("no release", broken(fault::no_release, 4), true);
    expect_broken<handed_over>("no acquire", broken(fault::no_acquire, 4), true);
}

Test(time_limit_model, a_notification_is_delivered_or_kept) {
    rt::model::skip_with_sanitizers();
    expect_good<notified>("alone", bounded(6), false);
    expect_good<notified>("beside another", bounded(3), true);
    expect_good<notified>("alone, weak", bounded(4, true), false);
    expect_broken<notified>("torn", broken(fault::torn_rmw, 4), false);
    expect_broken<notified>("no wake", broken(fault::no_wake, 4), false);
    expect_broken<notified>("no release", broken(fault::no_release, 4), false);
}

Test(time_limit_model, an_answer_is_received_or_stays) {
    rt::model::skip_with_sanitizers();
    for (const bool again : {false, true}) {
        expect_good<answered>("sends", bounded(20), end::sends, again);
        expect_good<answered>("dropped", bounded(20), end::is_dropped, again);
        expect_good<answered>("sends, weak", bounded(5, true), end::sends, again);
        expect_good<answered>("dropped, weak", bounded(5, true), end::is_dropped, again);
        for (const fault what : rt::model::common_faults) {
            expect_broken<answered>("sends", broken(what, 4), end::sends, again);
            expect_broken<answered>("dropped", broken(what, 4), end::is_dropped, again);
        }
    }
}

Test(time_limit_model, a_message_is_received_or_stays) {
    rt::model::skip_with_sanitizers();
    expect_good<receiving<large>>("none", bounded(6), 0U);
    expect_good<receiving<large>>("1", bounded(6), 1U);
    expect_good<receiving<large>>("2", bounded(4), 2U);
    expect_good<receiving<small>>("2 small ones", bounded(4), 2U);
    expect_good<receiving<large>>("2, weak", bounded(3, true), 2U);
    expect_broken<receiving<large>>("torn", broken(fault::torn_rmw, 4), 1U);
    expect_broken<receiving<large>>("no wake", broken(fault::no_wake, 4), 1U);
}

Test(time_limit_model, a_message_is_sent_or_the_senders) {
    rt::model::skip_with_sanitizers();
    expect_good<sending>("alone", bounded(3), false);
    expect_good<sending>("beside another", bounded(2), true);
    expect_good<sending>("alone, weak", bounded(2, true), false);
    expect_broken<sending>("torn", broken(fault::torn_rmw, 3), true);
    expect_broken<sending>("no wake", broken(fault::no_wake, 3), false);
}

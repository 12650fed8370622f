// SPDX-License-Identifier: MIT
//
// A thread whose time limit passes, under every interleaving: while it begins to wait, while what
// it waits for is handed to it, while others stand in line behind it.
//
// The code under test is sync_wait::block in src/sync/wait_queue.cc with the cancellation of each
// kind of wait under its lock. What
// the thread does not take must be there for others afterwards, and nobody waits for ever.
//
// Fiber 0 is the thread. Fiber 1 gives what it waits for. Fiber 2 makes the time pass. Fiber 3, in
// some scenarios, waits for the same without a limit.
#include "model/faults.h"
#include "model/sync_model.h"

#include <chrono>

namespace {

using rt::model::bounded;
using rt::model::broken;
using rt::model::check;
using rt::model::expect_broken;
using rt::model::expect_good;
using rt::model::fault;

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

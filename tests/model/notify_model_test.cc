// SPDX-License-Identifier: MIT
//
// rt::notify, and with it the wait queue, under every interleaving: notifications against threads
// that block, tasks that wait and tasks that are cancelled while they wait.
//
// The code under test is rt/sync/notify.h, src/sync/notify.cc and src/sync/wait_queue.cc. A
// notification must reach somebody or be kept, also if the one it chose is being cancelled, and who
// is notified must see what was done before.
#include "model/faults.h"
#include "model/sync_model.h"

namespace {

using rt::model::bounded;
using rt::model::broken;
using rt::model::check;
using rt::model::expect_broken;
using rt::model::expect_good;
using rt::model::fault;
using rt_model::detail::state_lost;
using rt_model::scenario::has_ended;
using rt_model::scenario::run_queue;

// One thread looks at the data of all others and waits until it has seen them.
struct blocked {
    static constexpr unsigned threads = 3;

    explicit blocked(unsigned notifier_count)
        : notifiers(notifier_count) {
        rt_model::scenario::set_up_sync();
    }

    void run(unsigned self) {
        if (self == 0) {
            while (!has_all()) {
                changed.blocking_wait();
            }
        } else if (self <= notifiers) {
            data[self - 1].store_relaxed(1);
            changed.notify_one();
        }
    }
    [[nodiscard]] bool has_all() const {
        for (unsigned i = 0; i < notifiers; ++i) {
            if (data[i].load_relaxed() == 0) {
                return false;
            }
        }
        return true;
    }
    void at_end(bool is_stuck) { check(!is_stuck, "a notification was lost"); }

    const unsigned notifiers;
    rt_model::notify changed;
    rt_model::atomic<unsigned> data[2];
};

enum class manner : std::uint8_t { one, all, one_and_all };

// Two tasks wait; one of them is aborted while somebody notifies. As a branch that is lost it does
// not go on even if it was chosen: the notification is for the other one then.
struct cancelled {
    static constexpr unsigned threads = 3;

    explicit cancelled(manner what, bool lost = false)
        : how(what)
        , is_lost(lost) {
        rt_model::scenario::set_up_sync();
        for (unsigned i = 0; i < 2; ++i) {
            join[i] =
                rt_model::detail::launch(&queue, body(this, i), rt_model::detail::site::current());
        }
        abort = join[0].abort_handle();
    }

    static rt_model::task<void> body(cancelled* self, unsigned index) {
        co_await self->changed.notified();
        check(self->data.load_relaxed() == 1, "a notified task does not see what came before");
        ++self->told[index];
    }

    [[nodiscard]] bool is_complete(unsigned index) const { return has_ended(join[index]); }

    void run(unsigned self) {
        if (self == 0) {
            // However it goes, the notification is for one of them, and the first one ends.
            queue.work([this] { return is_complete(0) && told[0] + told[1] != 0; });
            changed.notify_waiters(); // the other, which may be waiting still
            changed.notify_one();     // or about to
            queue.work([this] { return is_complete(1); });
        } else if (self == 1) {
            data.store_relaxed(1);
            if (how != manner::all) {
                changed.notify_one();
            }
            if (how != manner::one) {
                changed.notify_waiters();
                changed.notify_one(); // for those that had not begun to wait
            }
        } else {
            if (is_lost) {
                join[0].header()->state.or_acq_rel(state_lost);
            }
            abort.abort();
        }
    }

    void at_end(bool is_stuck) {
        check(!is_stuck, "a notification was lost");
        abort = {};
        for (auto& each : join) {
            each.detach();
        }
        rt_model::scenario::check_sync_heap();
    }

    const manner how;
    const bool is_lost;
    run_queue queue;
    rt_model::notify changed;
    rt_model::atomic<unsigned> data;
    rt_model::join_handle<void> join[2];
    rt_model::abort_handle abort;
    unsigned told[2] = {};
};

// Who calls notified() and then looks at the data misses no notify_waiters.
struct announced {
    static constexpr unsigned threads = 3;

    announced() {
        rt_model::scenario::set_up_sync();
        for (auto& each : join) {
            each = rt_model::detail::launch(&queue, body(this), rt_model::detail::site::current());
        }
    }

    static rt_model::task<void> body(announced* self) {
        auto change = self->changed.notified();
        if (self->data.load_relaxed() == 0) {
            co_await change;
            check(self->data.load_relaxed() == 1, "told too early");
        }
        ++self->ended;
    }

    void run(unsigned self) {
        if (self < 2) {
            queue.work([this] { return ended == 2; });
        } else {
            data.store_relaxed(1);
            changed.notify_waiters();
        }
    }

    void at_end(bool is_stuck) {
        check(!is_stuck, "a task waits for ever");
        for (auto& each : join) {
            each.detach();
        }
        rt_model::scenario::check_sync_heap();
    }

    run_queue queue;
    rt_model::notify changed;
    rt_model::atomic<unsigned> data;
    rt_model::join_handle<void> join[2];
    unsigned ended = 0;
};

} // namespace

Test(notify_model, a_thread_that_waits_sees_what_it_is_notified_of) {
    rt::model::skip_with_sanitizers();
    expect_good<blocked>("1 notifier", bounded(20), 1U);
    expect_good<blocked>("2 notifiers", bounded(4), 2U);
    expect_good<blocked>("2 notifiers, weak", bounded(3, true), 2U);
    expect_broken<blocked>("torn", broken(fault::torn_rmw, 4), 2U);
    expect_broken<blocked>("no wake", broken(fault::no_wake, 4), 1U);
    expect_broken<blocked>("no release", broken(fault::no_release, 4), 1U);
    expect_broken<blocked>("no acquire", broken(fault::no_acquire, 4), 1U);
}

Test(notify_model, a_cancelled_wait_loses_no_notification) {
    rt::model::skip_with_sanitizers();
    expect_good<cancelled>("notify_one, abort", bounded(4), manner::one);
    expect_good<cancelled>("notify_one, abort, weak", bounded(2, true), manner::one);
    expect_good<cancelled>("notify_one, lost", bounded(4), manner::one, true);
    expect_good<cancelled>("notify_one, lost, weak", bounded(2, true), manner::one, true);
    expect_good<cancelled>("notify_waiters, abort", bounded(3), manner::all);
    expect_good<cancelled>("both, abort", bounded(3), manner::one_and_all);
    expect_broken<cancelled>("abort, torn", broken(fault::torn_rmw, 4), manner::one);
    expect_broken<cancelled>("abort, no release", broken(fault::no_release, 3), manner::one);
    expect_broken<cancelled>("lost, no release", broken(fault::no_release, 3), manner::one, true);
}

Test(notify_model, who_asked_before_it_looked_misses_no_notify_waiters) {
    rt::model::skip_with_sanitizers();
    expect_good<announced>("announced", bounded(4));
    expect_good<announced>("announced, weak", bounded(3, true));
    expect_broken<announced>("announced, torn", broken(fault::torn_rmw, 4));
    expect_broken<announced>("announced, no release", broken(fault::no_release, 3));
}

// SPDX-License-Identifier: MIT
//
// rt::semaphore under every interleaving: taking and giving back with one compare-and-swap, against
// waiting in line, granting and giving up under the lock.
//
// The code under test is rt/sync/semaphore.h and src/sync/semaphore.cc. Permits must neither appear
// nor vanish, nobody may wait beside permits that are his, holders see what former holders did, and
// whoever has all permits may free the semaphore.
#include "model/faults.h"
#include "model/sync_model.h"

namespace {

using rt::model::bounded;
using rt::model::broken;
using rt::model::check;
using rt::model::expect_broken;
using rt::model::expect_good;
using rt::model::fault;
using rt_model::scenario::has_ended;
using rt_model::scenario::run_queue;

// Threads that take permits, `wants` each, out of `permits`.
struct crowd {
    static constexpr unsigned threads = 3;

    crowd(unsigned permits, unsigned a, unsigned b, unsigned c)
        : total(permits)
        , wants{a, b, c}
        , slots(permits) {
        rt_model::scenario::set_up_sync();
    }

    void run(unsigned self) {
        if (wants[self] == 0) {
            return;
        }
        const rt_model::semaphore::permit mine = slots.blocking_acquire(wants[self]);
        inside += wants[self];
        check(inside <= total, "more permits are held than there are");
        const unsigned before = entries.load_relaxed();
        entries.store_relaxed(before + 1);
        inside -= wants[self];
    }

    void at_end(bool is_stuck) {
        check(!is_stuck, "somebody waits for ever");
        check(slots.available() == total, "permits appeared or vanished");
        const unsigned expected =
            (wants[0] != 0 ? 1U : 0U) + (wants[1] != 0 ? 1U : 0U) + (wants[2] != 0 ? 1U : 0U);
        check(total != 1 || entries.peek() == expected, "a holder did not see the one before");
    }

    const unsigned total;
    const unsigned wants[3];
    rt_model::semaphore slots;
    unsigned inside = 0;
    rt_model::atomic<unsigned> entries;
};

// A task that stands first in line for `wants` is aborted; a thread behind it wants one.
struct cancelled {
    static constexpr unsigned threads = 4;

    cancelled(unsigned permits, unsigned task_wants, bool with_thread)
        : total(permits)
        , wants(task_wants)
        , has_thread(with_thread)
        , slots(permits) {
        rt_model::scenario::set_up_sync();
        held = slots.try_acquire(1);
        join = rt_model::detail::launch(&queue, body(this), rt_model::detail::site::current());
        abort = join.abort_handle();
    }

    static rt_model::task<void> body(cancelled* self) {
        const rt_model::semaphore::permit mine = co_await self->slots.acquire(self->wants);
        check(mine.count() == self->wants, "the wrong number of permits");
        check(!self->is_alone || self->wants < self->total, "not alone with all permits");
    }

    void run(unsigned self) {
        switch (self) {
        case 0:
            queue.work([this] { return has_ended(join); });
            break;
        case 1:
            held.release();
            break;
        case 2:
            abort.abort();
            break;
        default:
            if (has_thread) {
                const auto mine = slots.blocking_acquire();
                is_alone = true;
                is_alone = false;
            }
            break;
        }
    }

    void at_end(bool is_stuck) {
        check(!is_stuck, "somebody waits beside free permits");
        check(slots.available() == total, "permits appeared or vanished");
        abort = {};
        join.detach();
        rt_model::scenario::check_sync_heap();
    }

    const unsigned total;
    const unsigned wants;
    const bool has_thread;
    run_queue queue;
    rt_model::semaphore slots;
    rt_model::semaphore::permit held;
    rt_model::join_handle<void> join;
    rt_model::abort_handle abort;
    bool is_alone = false;
};

// A semaphore is closed while one thread holds a permit and others want one.
struct closing {
    static constexpr unsigned threads = 3;

    closing()
        : slots(1) {
        rt_model::scenario::set_up_sync();
    }

    void run(unsigned self) {
        if (self == 0) {
            slots.close();
            check(!slots.try_acquire(), "a closed semaphore gave a permit");
            return;
        }
        if (const auto mine = slots.blocking_acquire()) {
            check(!std::exchange(is_held, true), "more permits are held than there are");
            is_held = false;
        } else {
            check(slots.is_closed(), "refused without a reason");
        }
    }

    void at_end(bool is_stuck) {
        check(!is_stuck, "somebody waits for a closed semaphore");
        check(slots.available() == 1, "permits appeared or vanished");
    }

    rt_model::semaphore slots;
    bool is_held = false;
};

// The semaphore is freed by the thread that has collected all its permits.
struct collected {
    static constexpr unsigned threads = 3;

    collected()
        : slots(0) {
        rt_model::scenario::set_up_sync();
    }

    void run(unsigned self) {
        if (self == 0) {
            slots.blocking_acquire(2).forget();
            rt::model::machine::instance().end_life(&slots, sizeof(slots));
        } else {
            slots.release();
        }
    }
    void at_end(bool is_stuck) { check(!is_stuck, "somebody waits for ever"); }

    rt_model::semaphore slots;
};

} // namespace

Test(semaphore_model, permits_are_neither_lost_nor_made) {
    rt::model::skip_with_sanitizers();
    expect_good<crowd>("1 permit, 2 threads", bounded(20), 1U, 1U, 1U, 0U);
    expect_good<crowd>("1 permit, 3 threads", bounded(3), 1U, 1U, 1U, 1U);
    expect_good<crowd>("2 permits: 2, 1, 1", bounded(3), 2U, 2U, 1U, 1U);
    expect_good<crowd>("1 permit, weak", bounded(4, true), 1U, 1U, 1U, 0U);
    expect_broken<crowd>("torn", broken(fault::torn_rmw, 4), 1U, 1U, 1U, 0U);
    expect_broken<crowd>("no wake", broken(fault::no_wake, 4), 1U, 1U, 1U, 0U);
    expect_broken<crowd>("no release", broken(fault::no_release, 4), 1U, 1U, 1U, 0U);
    expect_broken<crowd>("no acquire", broken(fault::no_acquire, 4), 1U, 1U, 1U, 0U);
}

Test(semaphore_model, who_gives_up_lets_those_behind_go_on) {
    rt::model::skip_with_sanitizers();
    expect_good<cancelled>("abort", bounded(4), 1U, 1U, false);
    expect_good<cancelled>("2 of 2 before 1, abort", bounded(3), 2U, 2U, true);
    expect_good<cancelled>("abort, weak", bounded(3, true), 1U, 1U, false);
    expect_broken<cancelled>("abort, torn", broken(fault::torn_rmw, 4), 2U, 2U, true);
    expect_broken<cancelled>("abort, no wake", broken(fault::no_wake, 4), 2U, 2U, true);
}

Test(semaphore_model, who_has_all_permits_may_free_it) {
    rt::model::skip_with_sanitizers();
    expect_good<collected>("collect and free", bounded(20));
    expect_broken<collected>("collect and free, torn", broken(fault::torn_rmw, 4));
}

Test(semaphore_model, nobody_waits_for_a_closed_one) {
    rt::model::skip_with_sanitizers();
    expect_good<closing>("close", bounded(6));
    expect_good<closing>("close, weak", bounded(3, true));
    expect_broken<closing>("close, torn", broken(fault::torn_rmw, 4));
    expect_broken<closing>("close, no wake", broken(fault::no_wake, 4));
}

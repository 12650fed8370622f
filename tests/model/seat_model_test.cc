// SPDX-License-Identifier: MIT
//
// scheduler/seat.h and thread_listener.h: threads that block on one current_thread runtime.
//
// Whoever has the seat ends tasks, in place of running them; nobody else may meanwhile, and what it
// has done is visible to the next one. No thread may wait for ever, and a shutdown gets the seat
// from a thread whose own task would not end.
#include "base/clock.h"
#include "model/faults.h"
#include "model/sync_model.h"

namespace {

using rt::model::bounded;
using rt::model::check;
using rt::model::expect_broken;
using rt::model::expect_good;
using rt::model::fault;

} // namespace

namespace rt_model::base {
using ::rt::base::monotonic_ns;
using futex_lock = spin_lock;
} // namespace rt_model::base

// clang-format off
#define rt rt_model
#define syscall model_syscall
#include "scheduler/seat.h"
#undef syscall
#undef rt
// clang-format on

namespace {

using rt_model::scheduler::seat;
using rt_model::scheduler::thread_listener;

struct cast {
    unsigned blocked;      // threads in block_on
    bool ends_own_first;   // whoever drives ends its own task before the others'
    bool has_end = false;  // a further thread shuts the pool down
    bool are_idle = false; // and nothing else ends a task
};

struct drivers {
    static constexpr unsigned threads = 3;

    explicit drivers(cast wanted)
        : who(wanted) {
        rt_model::scenario::set_up_sync();
    }

    void run(unsigned self) {
        if (self < who.blocked) {
            block_on(self);
        } else if (self == who.blocked && who.has_end) {
            shut_down();
        }
    }

    // As pool::run_on_this_thread.
    void block_on(unsigned self) {
        thread_listener listener;
        tasks[self].store_release(&listener);
        queued.add_acq_rel(1);
        do {
            if (!place.take(listener)) {
                return;
            }
            sit_down();
            if (who.are_idle) {
                rt::model::wait_until([&] { return listener.word.peek() != 0; });
            }
            if (who.ends_own_first) {
                end(self);
            }
            for (unsigned i = 0; i < who.blocked && listener.word.load_acquire() == 0; ++i) {
                end(i);
            }
            stand_up();
        } while (listener.was_asked());
    }

    // As pool::shut_down.
    void shut_down() {
        rt::model::wait_until([this] { return queued.peek() == who.blocked; });
        thread_listener listener;
        if (!place.demand(listener)) {
            check(place.wait(listener), "the shutdown has no task that could end");
        }
        sit_down();
        for (unsigned i = 0; i < who.blocked; ++i) {
            end(i, true);
        }
        stand_up();
    }

    void sit_down() {
        check(!is_driven, "two threads drive");
        is_driven = true;
        check(turns.load_relaxed() == turns_seen, "what the last driver did is not visible");
    }
    void stand_up() {
        turns.store_relaxed(++turns_seen);
        is_driven = false;
        place.leave();
    }
    void end(unsigned which, bool is_forced = false) {
        if (who.are_idle && !is_forced) {
            return;
        }
        if (thread_listener* const listener = tasks[which].exchange_acquire(nullptr)) {
            thread_listener::on_ended(listener, nullptr);
        }
    }

    void at_end(bool is_stuck) { check(!is_stuck, "a thread waits for ever"); }

    const cast who;
    seat place;
    rt_model::atomic<thread_listener*> tasks[threads];
    rt_model::atomic<unsigned> queued{0};
    rt_model::atomic<unsigned> turns{0}; // of the seat; relaxed, so that only its order helps
    unsigned turns_seen = 0;             // the same, as the explorer sees it
    bool is_driven = false;
};

} // namespace

Test(seat_model, threads_in_block_on_take_turns) {
    rt::model::skip_with_sanitizers();
    expect_good<drivers>("2, others first", bounded(6), cast{2, false});
    expect_good<drivers>("2, own first", bounded(6), cast{2, true});
    expect_good<drivers>("3, others first", bounded(3), cast{3, false});
    expect_good<drivers>("3, own first", bounded(3), cast{3, true});
    expect_good<drivers>("2, weak", bounded(3, true), cast{2, true});
    expect_broken<drivers>("no wake", {.broken = fault::no_wake}, cast{2, true});
}

Test(seat_model, a_shutdown_gets_the_seat) {
    rt::model::skip_with_sanitizers();
    expect_good<drivers>("1 and the end", bounded(6), cast{1, true, true});
    expect_good<drivers>("2 and the end", bounded(3), cast{2, true, true});
    expect_good<drivers>("1 idle and the end", bounded(6), cast{1, true, true, true});
    expect_good<drivers>("2 idle and the end", bounded(4), cast{2, true, true, true});
    expect_good<drivers>("2 idle, weak", bounded(2, true), cast{2, true, true, true});
    expect_broken<drivers>("no wake", {.broken = fault::no_wake}, cast{2, true, true, true});
}

// SPDX-License-Identifier: MIT
//
// A pool whose only worker is held in a long turn, under every interleaving: the watchdog calls a
// stand-in, which runs what waits; the turn ends, at any moment of that; the stand-in goes to rest;
// and the worker is lone again, or the runtime ends.
//
// scheduler/idle and inject_queue and the ring are the library's own code. What others do with them
// is repeated in pool_of_one.h and here, line by line after watchdog::sample and reinforce,
// worker::on_kick, rest and stand_in (in_place.cc) and drain (shutdown.cc); who changes those must
// change this. The watchdog's looks are not: it looks whenever there may be
// something to do, and acts on what it saw at any time later, as one does that samples. A signal is
// handled in the turn that is held, or not at all. Left out: drivers, timers, the guards of the
// queues.
//
// What must not happen: that everybody sleeps, or is held, beside a task that has not run; that the
// runtime ends with nobody or two in the lead; and that a worker is lone beside a stand-in that
// counts.
#include "model/pool_of_one.h"

namespace {

using rt::model::bounded;
using rt::model::broken;
using rt::model::check;
using rt::model::expect_broken;
using rt::model::expect_good;
using rt::model::fault;
using rt::model::machine;
using rt::model::pool_of_one;
using rt_model::detail::task_header;
using rt_model::scheduler::idle;

struct cast {
    unsigned own;      // tasks that only worker 0 can reach, behind its long turn
    unsigned injected; // tasks that a thread from outside makes; the turn lasts until all have run
    unsigned later;    // tasks that it makes when that turn is over
    bool is_lone;      // at first
    bool ends;         // it ends the runtime then, else all stop when all tasks have run
    bool holds_again = false; // the first of `later` is a long turn too, until the others have run
    bool ends_by_itself = false;  // the long turn, at any moment
    bool forgets_to_look = false; // when a stand-in was found: the model must notice
};

struct relief : pool_of_one<relief> {
    static constexpr unsigned threads = 4;

    explicit relief(const cast& wanted)
        : pool_of_one(wanted.is_lone)
        , who(wanted)
        , others(wanted.own + wanted.injected)
        , total(1 + others + wanted.later)
        , private_left(wanted.own) {
        check(workers[0].queue.try_push(task_at(0)), "room"); // the long turn
    }

    [[nodiscard]] bool is_over() const { return done == total && !who.ends; }
    [[nodiscard]] bool is_through() const { return is_over() || leaders != 0; }

    void run(unsigned self) {
        if (self == 0) {
            while (phase.load_acquire() == 0 && !is_over()) {
                run_once(0);
            }
            stop_searching(0);
            if (!is_over()) {
                drain(0);
            }
        } else if (self == stand_in) {
            stand_in_main();
        } else if (self == 2) {
            watch();
        } else {
            be_outside();
        }
    }

    void be_outside() {
        for (unsigned i = 0; i < who.injected; ++i) {
            inject(1 + who.own + i);
        }
        if (who.later != 0) {
            rt::model::wait_until([this] { return has_let_go; });
            for (unsigned i = 0; i < who.later; ++i) {
                inject(1 + others + i);
            }
        }
        if (who.ends) { // pool::shut_down
            rt::model::wait_until([this] { return done == total; });
            phase.store_release(1);
            unpark(0);
            sleepers.stop_stand_ins();
            wake_stand_in();
        }
    }

    void run_task(unsigned /*self*/, const task_header* task) {
        if (task == task_at(0)) {
            hold(others);
            has_let_go = true;
        } else if (task == task_at(1 + others) && who.holds_again) {
            hold(total - 1);
        }
        ++done;
    }

    // A long turn, until so many tasks are done.
    void hold(unsigned until) {
        ++held;
        for (;;) {
            rt::model::wait_until([this, until] {
                return who.ends_by_itself || done == until || was_kicked.peek() != 0;
            });
            if (was_kicked.exchange_acq_rel(0) == 0) {
                break;
            }
            on_kick();
        }
        --held;
    }

    void on_kick() {
        worker& own = workers[0];
        if (own.is_lone) {
            check(is_company_wanted.load_relaxed() != 0, "a signal for nothing");
            leave_loneliness();
            rt_model::fence_seq_cst();
        }
        for (; private_left != 0; --private_left) {
            check(own.queue.try_push(task_at(private_left)), "room");
        }
    }

    // watchdog
    void watch() {
        while (!is_through()) {
            rt::model::wait_until([this] {
                return is_through() || needs_relief() || (has_called && held == 0);
            });
            if (is_through()) {
                return;
            }
            bool has_changed = false;
            if (needs_relief()) {
                has_changed = reinforce();
            }
            if (held == 0 && sleepers.reinforcements() > 0 && sleepers.dismiss()) {
                has_called = false;
                has_changed = true;
            }
            if (!has_changed) {
                machine::instance().spin();
            }
        }
    }

    // Every worker that is awake is held.
    [[nodiscard]] bool needs_relief() const {
        const unsigned awake = (workers[0].is_asleep ? 0 : 1) +
            (!has_stand_in_begun || workers[stand_in].is_asleep ? 0 : 1);
        return held != 0 && held == awake && done != total - 1;
    }

    bool reinforce() {
        if (sleepers.is_lone() || private_left != 0) { // the kicks of help and reinforce
            is_company_wanted.store_relaxed(1);
            if (was_kicked.exchange_acq_rel(1) != 0) {
                return false; // the last one has not been handled
            }
            return true;
        }
        if (!has_work()) {
            return false;
        }
        const idle::relief what = sleepers.reinforce(1, true);
        if (what == idle::relief::wanted) {
            has_stand_in.exchange_acq_rel(1); // make_stand_in: a thread begins
        } else if (what == idle::relief::found && !who.forgets_to_look) {
            notify(UINT32_MAX);
        }
        has_called = has_called || what == idle::relief::wanted || what == idle::relief::found;
        return what == idle::relief::wanted || what == idle::relief::found;
    }

    void stand_in_main() {
        rt::model::wait_until([this] { return has_stand_in.peek() != 0 || is_through(); });
        if (has_stand_in.load_acquire() == 0) {
            return;
        }
        has_stand_in_begun = true;
        const bool counts = sleepers.join(stand_in);
        check(!counts || !workers[0].is_lone, "a worker is lone beside a stand-in");
        workers[stand_in].is_asleep = !counts;
        if (!counts && !rest()) {
            return;
        }
        for (;;) {
            while (sleepers.stand_in_stop().load_acquire() == 0 && !is_over()) {
                run_once(stand_in);
            }
            stop_searching(stand_in);
            if (is_over()) {
                return;
            }
            if (phase.load_acquire() != 0) {
                drain(stand_in);
                return;
            }
            workers[stand_in].is_asleep = true;
            if (!sleepers.retire(stand_in)) {
                workers[stand_in].is_asleep = false;
            } else {
                give_away(stand_in);
                if (has_work()) { // rule D
                    notify(UINT32_MAX);
                }
                if (!rest()) {
                    return;
                }
            }
        }
    }

    bool rest() {
        for (;;) {
            give_away(stand_in);
            sleep(workers[stand_in]);
            if (is_through()) {
                return false;
            }
            const idle::role role = sleepers.wake_from_rest(stand_in);
            if (role != idle::role::at_rest) {
                check(!workers[0].is_lone, "a worker is lone beside a stand-in");
                workers[stand_in].is_searching = role == idle::role::searching;
                workers[stand_in].is_asleep = false;
                return true;
            }
        }
    }

    void wake_stand_in() {
        if (has_stand_in.load_acquire() != 0) {
            unpark(stand_in);
        }
    }

    void drain(unsigned self) {
        has_arrived[self] = true;
        if (sleepers.arrive(1)) {
            ++leaders;
            const bool is_stand_in_away = !has_stand_in_begun || workers[stand_in].is_asleep;
            check(has_arrived[1 - self] || (self == 0 && is_stand_in_away), "a leader too early");
            wake_stand_in();
        }
    }

    task_header* next(unsigned self) {
        if (task_header* const task = workers[self].queue.pop()) {
            return task;
        }
        if (self == 0 && private_left != 0) {
            return task_at(private_left--);
        }
        return injected.pop(1).first;
    }

    void at_end(bool is_stuck) {
        check(!is_stuck && done == total, "a task was forgotten while a worker was held");
        check(leaders == (who.ends ? 1 : 0), "one shall lead the end");
    }

    const cast who;
    rt_model::atomic<unsigned> is_company_wanted{0};
    rt_model::atomic<unsigned> was_kicked{0};
    rt_model::atomic<unsigned> phase{0};
    const unsigned others; // tasks that the long turn waits for
    const unsigned total;
    unsigned private_left;
    unsigned done = 0;
    unsigned leaders = 0;
    unsigned held = 0;
    bool has_arrived[2] = {};
    bool has_let_go = false;
    bool has_called = false;
    bool has_stand_in_begun = false;
};

} // namespace

Test(relief_model, what_waits_behind_a_long_turn_is_run) {
    rt::model::skip_with_sanitizers();
    expect_good<relief>("1 own", bounded(3), cast{1, 0, 0, false, false});
    expect_good<relief>("1 injected", bounded(2), cast{0, 1, 0, false, false});
    expect_good<relief>("lone, 1 own", bounded(3), cast{1, 0, 0, true, false});
    expect_good<relief>("lone, 1 injected", bounded(2), cast{0, 1, 0, true, false});
    expect_good<relief>("lone, 1 of each", bounded(1), cast{1, 1, 0, true, false});
}

Test(relief_model, afterwards_no_task_is_forgotten) {
    rt::model::skip_with_sanitizers();
    expect_good<relief>("1 own, 1 later", bounded(2), cast{1, 0, 1, false, false});
    expect_good<relief>("lone, 1 own, 1 later", bounded(2), cast{1, 0, 1, true, false});
    expect_good<relief>("lone, 1 own, 2 later", bounded(1), cast{1, 0, 2, true, false});
}

Test(relief_model, a_turn_that_ends_before_the_stand_in_is_there) {
    rt::model::skip_with_sanitizers();
    constexpr cast once{1, 0, 0, false, false, false, true};
    constexpr cast lone{1, 0, 1, true, false, false, true};
    constexpr cast ending{1, 0, 0, true, true, false, true};
    constexpr cast from_outside{0, 1, 1, false, false, false, true};
    expect_good<relief>("by itself", bounded(3), once);
    expect_good<relief>("lone, by itself, 1 later", bounded(3), lone);
    expect_good<relief>("injected, by itself, 1 later", bounded(2), from_outside);
    expect_good<relief>("lone, by itself, the end", bounded(2), ending);
}

// The stand-in, which is one too many then, may be the one that has it.
Test(relief_model, another_long_turn_is_relieved_as_well) {
    rt::model::skip_with_sanitizers();
    expect_good<relief>("1 own, again", bounded(2), cast{1, 0, 2, false, false, true});
    expect_good<relief>("lone, 1 own, again", bounded(2), cast{1, 0, 2, true, false, true});
    expect_broken<relief>("no look", bounded(2), cast{1, 0, 2, false, false, true, false, true});
}

Test(relief_model, the_end_has_one_leader) {
    rt::model::skip_with_sanitizers();
    expect_good<relief>("1 own, the end", bounded(2), cast{1, 0, 0, false, true});
    expect_good<relief>("lone, 1 own, the end", bounded(2), cast{1, 0, 0, true, true});
}

Test(relief_model, holds_in_weak_memory) {
    rt::model::skip_with_sanitizers();
    expect_good<relief>("lone, 1 own, weak", bounded(2, true), cast{1, 0, 0, true, false});
    expect_good<relief>("lone, 1 injected, weak", bounded(1, true), cast{0, 1, 0, true, false});
    expect_good<relief>("lone, 1 own, 1 later, weak", bounded(1, true), cast{1, 0, 1, true, false});
}

Test(relief_model, notices_broken_machines) {
    rt::model::skip_with_sanitizers();
    expect_broken<relief>("torn", broken(fault::torn_rmw, 2), cast{1, 0, 1, true, false});
    expect_broken<relief>("no fences", broken(fault::no_fences, 3), cast{0, 1, 1, true, false});
}

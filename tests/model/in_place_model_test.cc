// SPDX-License-Identifier: MIT
//
// rt::block_in_place under every interleaving: a worker goes away in the middle of a turn, its
// function waits for other tasks, a stand-in runs these, and both come together again (B165, B166).
//
// scheduler/idle and inject_queue and the ring are the library's own code. What workers and
// stand-ins do with them is repeated in pool_of_one.h and here, line by line after worker::go_away,
// come_back, rest and stand_in (in_place.cc); who changes those must change this. Left out too: the
// shutdown. What must not happen:
// that everybody sleeps, or waits in a function, beside a task that has not run; and that a
// stand-in counts in the worker's place, and so could lead a shutdown and empty the worker's queue,
// while the worker still does so itself.
#include "model/pool_of_one.h"

namespace {

using rt::model::bounded;
using rt::model::broken;
using rt::model::check;
using rt::model::expect_broken;
using rt::model::expect_good;
using rt::model::fault;
using rt::model::pool_of_one;
using rt_model::detail::task_header;
using rt_model::scheduler::idle;

struct cast {
    unsigned calls;     // of block_in_place, one after the other, each a turn of worker 0
    unsigned own;       // tasks in worker 0's ring before the first call
    unsigned injected;  // tasks that a thread from outside makes
    bool is_waited_for; // the function of the last call waits until all of these have run
};

// One worker, its stand-in, and a thread from outside.
struct absence : pool_of_one<absence> {
    static constexpr unsigned threads = 3;

    explicit absence(const cast& wanted)
        : pool_of_one(true)
        , who(wanted) {
        others = who.own + who.injected;
        total = who.calls + others;
        for (unsigned i = 0; i < who.calls; ++i) {
            check(workers[0].queue.try_push(task_at(i)), "room");
        }
        for (unsigned i = 0; i < who.own; ++i) {
            check(workers[0].queue.try_push(task_at(who.calls + i)), "room");
        }
    }

    [[nodiscard]] bool is_call(const task_header* task) {
        return task < task_at(who.calls) && who.calls != 0;
    }
    [[nodiscard]] bool is_over() const { return done == total; }

    void run(unsigned self) {
        if (self == 0) {
            while (!is_over()) {
                run_once(0);
            }
        } else if (self == 1) {
            stand_in_main();
        } else {
            for (unsigned i = 0; i < who.injected; ++i) {
                inject(who.calls + who.own + i);
            }
        }
    }

    void run_task(unsigned self, task_header* task) {
        if (is_call(task)) {
            // One that the stand-in runs is no more than a task: there is no other stand-in.
            if (self == 0) {
                go_away();
                if (who.is_waited_for && task == task_at(who.calls - 1)) {
                    rt::model::wait_until([this] { return others_done == others; });
                }
                come_back();
            }
        } else {
            ++others_done;
        }
        ++done;
    }

    void go_away() {
        leave_loneliness();
        give_away(0);
        has_given_away = true;
        const idle::relief relief = sleepers.go_away();
        if (relief == idle::relief::wanted) {
            has_stand_in.exchange_acq_rel(1); // make_stand_in: a thread begins
        }
        if (relief == idle::relief::found && has_work()) {
            notify(UINT32_MAX); // rule D
        }
    }

    void come_back() {
        check(sleepers.come_back(), "there is no shutdown here");
        has_given_away = false;
    }

    void stand_in_main() {
        rt::model::wait_until([this] { return has_stand_in.peek() != 0 || is_over(); });
        if (has_stand_in.load_acquire() == 0 || (!sleepers.join(1) && !rest())) {
            return;
        }
        for (;;) {
            while (sleepers.stand_in_stop().load_acquire() == 0 && !is_over()) {
                // peek: not later than its last step, whatever it would read itself.
                check(
                    has_given_away || sleepers.stand_in_stop().peek() != 0,
                    "a leader would take from a queue that is being emptied"
                );
                run_once(1);
            }
            stop_searching(1);
            if (is_over()) {
                return;
            }
            if (sleepers.retire(1)) {
                give_away(1);
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
            give_away(1);
            sleep(workers[1]);
            if (is_over()) {
                return false;
            }
            const idle::role role = sleepers.wake_from_rest(1);
            if (role != idle::role::at_rest) {
                workers[1].is_searching = role == idle::role::searching;
                return true;
            }
        }
    }

    task_header* next(unsigned self) {
        if (task_header* const task = workers[self].queue.pop()) {
            return task;
        }
        return injected.pop(1).first;
    }

    void at_end(bool is_stuck) {
        check(!is_stuck && is_over(), "a task was forgotten while a worker was away");
        check(sleepers.surplus() <= 1, "more than one is one too many");
    }

    const cast who;
    bool has_given_away = false; // worker 0 is away, or on its way out, and its queue is empty
    unsigned others = 0;
    unsigned total = 0;
    unsigned others_done = 0;
    unsigned done = 0;
};

} // namespace

Test(in_place_model, b165_what_was_queued_is_run_while_the_worker_is_away) {
    rt::model::skip_with_sanitizers();
    expect_good<absence>("1 call, 1 own", bounded(6), cast{1, 1, 0, true});
    expect_good<absence>("1 call, 2 own", bounded(4), cast{1, 2, 0, true});
}

Test(in_place_model, b166_tasks_from_outside_are_run_while_the_worker_is_away) {
    rt::model::skip_with_sanitizers();
    expect_good<absence>("1 call, 1 injected", bounded(3), cast{1, 0, 1, true});
    expect_good<absence>("1 call, 1 of each", bounded(2), cast{1, 1, 1, true});
    expect_good<absence>("1 call, 1 injected, not waited for", bounded(3), cast{1, 0, 1, false});
}

Test(in_place_model, a_second_call_finds_the_stand_in_at_rest_or_on_its_way) {
    rt::model::skip_with_sanitizers();
    expect_good<absence>("2 calls, 1 injected", bounded(2), cast{2, 0, 1, true});
    expect_good<absence>("3 calls", bounded(3), cast{3, 0, 0, false});
}

Test(in_place_model, holds_in_weak_memory) {
    rt::model::skip_with_sanitizers();
    expect_good<absence>("1 call, 1 injected, weak", bounded(2, true), cast{1, 0, 1, true});
    expect_good<absence>("1 call, 1 own, weak", bounded(3, true), cast{1, 1, 0, true});
}

Test(in_place_model, notices_broken_machines) {
    rt::model::skip_with_sanitizers();
    expect_broken<absence>("torn", broken(fault::torn_rmw, 3), cast{1, 0, 1, true});
    expect_broken<absence>("no fences", broken(fault::no_fences, 4), cast{2, 0, 1, true});
}

// SPDX-License-Identifier: MIT
//
// rt::block_in_place under every interleaving: a worker goes away in the middle of a turn, its
// function waits for other tasks, a stand-in runs these, and both come together again (B165, B166).
//
// scheduler/idle and inject_queue and the ring are the library's own code. What workers and
// stand-ins do with them is repeated here, line by line after worker::go_away, come_back,
// give_away, rest and stand_in (in_place.cc), run, park and stop_searching (worker.cc) and
// pool_state::notify; who changes those must change this. Left out: drivers, timers, private
// tasks, the shutdown. A sleeper waits for its park state to become notified. What must not happen:
// that everybody sleeps, or waits in a function, beside a task that has not run; and that a
// stand-in counts in the worker's place, and so could lead a shutdown and empty the worker's queue,
// while the worker still does so itself.
#include "model/faults.h"
#include "model/production.h"

#include <optional>

// clang-format off
#define rt rt_model
#include "scheduler/local_queue.h"
#include "scheduler/inject_queue.h"
#include "scheduler/idle.h"
#undef rt
// clang-format on

namespace {

using rt::model::bounded;
using rt::model::broken;
using rt::model::check;
using rt::model::expect_broken;
using rt::model::expect_good;
using rt::model::fault;
using rt_model::detail::task_header;
using rt_model::scheduler::idle;

using ring = rt_model::scheduler::basic_local_queue<4>;

enum class park_state : std::uint32_t { running, parked, notified };

struct cast {
    unsigned calls;     // of block_in_place, one after the other, each a turn of worker 0
    unsigned own;       // tasks in worker 0's ring before the first call
    unsigned injected;  // tasks that a thread from outside makes
    bool is_waited_for; // the function of the last call waits until all of these have run
};

// One worker, its stand-in, and a thread from outside.
struct absence {
    static constexpr unsigned threads = 3;
    static constexpr unsigned tasks_max = 6;

    struct worker {
        ring queue;
        rt_model::atomic<park_state> park{park_state::running};
        bool is_searching = false;
        bool is_lone = false;
    };

    explicit absence(const cast& wanted)
        : who(wanted)
        , sleepers(1, 1) {
        workers[0].is_lone = true;
        sleepers.begin_lone();
        others = who.own + who.injected;
        total = who.calls + others;
        for (unsigned i = 0; i < who.calls; ++i) {
            check(workers[0].queue.try_push(task_at(i)), "room");
        }
        for (unsigned i = 0; i < who.own; ++i) {
            check(workers[0].queue.try_push(task_at(who.calls + i)), "room");
        }
    }

    [[nodiscard]] task_header* task_at(unsigned index) {
        return reinterpret_cast<task_header*>(blocks[index]);
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
            stand_in();
        } else {
            for (unsigned i = 0; i < who.injected; ++i) {
                check(injected.push(task_at(who.calls + who.own + i)), "the queue is open");
                notify(UINT32_MAX);
            }
        }
    }

    // worker::run, one round
    void run_once(unsigned self) {
        // peek: not later than the stand-in's last step, whatever it would read itself.
        if (self == 1 && sleepers.stand_in_stop().peek() == 0) {
            check(has_given_away, "a leader would take from a queue that is being emptied");
        }
        task_header* task = next(self);
        if (task == nullptr) {
            task = search(self);
        }
        if (task != nullptr) {
            run_task(self, task);
        } else {
            park(self);
        }
    }

    void run_task(unsigned self, task_header* task) {
        stop_searching(self);
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
        worker& own = workers[0];
        if (own.is_lone) {
            own.is_lone = false;
            sleepers.leave_loneliness();
        }
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

    void give_away(unsigned self) {
        rt_model::scheduler::task_chain all;
        while (task_header* const task = workers[self].queue.pop()) {
            all.push(task);
        }
        if (all.count != 0) {
            check(injected.push_chain(all), "the queue is open");
            notify(UINT32_MAX);
        }
    }

    void stand_in() {
        rt::model::wait_until([this] { return has_stand_in.peek() != 0 || is_over(); });
        if (has_stand_in.load_acquire() == 0 || (!sleepers.join(1) && !rest())) {
            return;
        }
        for (;;) {
            while (sleepers.stand_in_stop().load_acquire() == 0 && !is_over()) {
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

    task_header* search(unsigned self) {
        worker& own = workers[self];
        if (own.is_lone) {
            return nullptr;
        }
        if (!own.is_searching) {
            if (!sleepers.start_searching()) {
                return nullptr;
            }
            own.is_searching = true;
        }
        std::uint32_t moved = 0;
        if (task_header* const task = workers[1 - self].queue.steal_into(own.queue, moved)) {
            return task;
        }
        return injected.pop(1).first;
    }

    void stop_searching(unsigned self) {
        if (std::exchange(workers[self].is_searching, false) && sleepers.stop_searching() &&
            has_work()) {
            notify(self);
        }
    }

    void park(unsigned self) {
        worker& own = workers[self];
        if (!own.is_lone) {
            const bool nobody_searches =
                sleepers.park(self, std::exchange(own.is_searching, false));
            if (nobody_searches && has_work()) {
                notify(self);
            }
        }
        sleep(own);
        if (!own.is_lone) {
            own.is_searching = sleepers.unpark(self);
        }
    }

    void sleep(worker& own) {
        park_state expected = park_state::running;
        if (own.park.cas_strong_seq_cst(expected, park_state::parked)) {
            rt::model::wait_until([&] {
                return own.park.peek() == park_state::notified || is_over();
            });
        }
        own.park.exchange_acq_rel(park_state::running);
    }

    // pool_state
    void notify(std::uint32_t near) {
        if (sleepers.is_lone()) {
            workers[0].park.exchange_seq_cst(park_state::notified);
            rt_model::fence_seq_cst();
            if (sleepers.is_lone()) {
                return;
            }
        }
        rt_model::fence_seq_cst();
        if (const std::optional<std::uint32_t> chosen = sleepers.worker_to_wake(near)) {
            workers[*chosen].park.exchange_seq_cst(park_state::notified);
        }
    }

    [[nodiscard]] bool has_work() const {
        return !workers[0].queue.is_empty() || !workers[1].queue.is_empty() || !injected.is_empty();
    }

    void at_end(bool is_stuck) {
        check(!is_stuck && is_over(), "a task was forgotten while a worker was away");
        check(sleepers.surplus() <= 1, "more than one is one too many");
    }

    const cast who;
    idle sleepers;
    rt_model::scheduler::inject_queue injected;
    worker workers[2];
    rt_model::atomic<unsigned> has_stand_in{0};
    bool has_given_away = false; // worker 0 is away, or on its way out, and its queue is empty
    unsigned others = 0;
    unsigned total = 0;
    unsigned others_done = 0;
    unsigned done = 0;
    alignas(64) unsigned char blocks[tasks_max][128];
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

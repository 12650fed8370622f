// SPDX-License-Identifier: MIT
//
// Falling asleep and waking up under every interleaving (B066 to B068): no task stays in a queue
// while every worker sleeps.
//
// scheduler/idle, inject_queue and local_queue are the library's own code. What a worker does with
// them is repeated here, line by line after worker::run, search, park, sleep, unpark and
// stop_searching and pool_state::notify and has_work, without timers, driver and private tasks; who
// changes those must change this. A parked worker waits for its park state to become notified,
// which is what the driver's wake-up amounts to. Tasks that are bound to worker 0 come through its
// inbound queue, as in bound_tasks::push_inbound and take_inbound: nobody else may run these, and
// no rule of idle.h speaks of them. An execution that ends with everybody asleep and a
// task undone is a lost wake-up. The machine without fences must lose one in weak memory: the
// protocol rests on the fence of notify. A worker that is alone keeps out of it: see
// park_model_test.cc.
#include "model/faults.h"
#include "model/production.h"

#include <optional>

// clang-format off
#define rt rt_model
#include "scheduler/local_queue.h"
#include "scheduler/inject_queue.cc"
#include "scheduler/idle.cc"
#undef rt
// clang-format on

namespace {

using rt::model::check;
using rt::model::expect_broken;
using rt::model::expect_good;
using rt::model::fault;
using rt::model::options;
using rt_model::detail::task_header;

using ring = rt_model::scheduler::basic_local_queue<4>;

enum class park_state : std::uint32_t { running, parked, notified };

struct cast {
    unsigned workers;
    unsigned producers;    // fibers outside of the pool
    unsigned injections;   // by each producer
    unsigned pushes;       // by worker 0, in its first turn, into its own ring
    bool waits_for_others; // worker 0 stays in that turn until all tasks are done
    unsigned bound = 0;    // tasks that the first producer makes for worker 0, before the others
};

struct storm {
    static constexpr unsigned threads = 4;
    static constexpr unsigned tasks_max = 6;

    struct worker {
        ring queue;
        rt_model::atomic<park_state> park{park_state::running};
        bool is_searching = false;
    };

    explicit storm(const cast& wanted)
        : who(wanted)
        , sleepers(wanted.workers) {
        first_bound = who.producers * who.injections + who.pushes + (who.pushes != 0 ? 1 : 0);
        total = first_bound + who.bound;
        if (who.pushes != 0) {
            check(workers[0].queue.try_push(task_at(0)), "room"); // the pushing turn itself
        }
    }

    [[nodiscard]] task_header* task_at(unsigned index) {
        return reinterpret_cast<task_header*>(blocks[index]);
    }
    [[nodiscard]] bool is_over() const { return done == total; }

    void run(unsigned self) {
        if (self < who.workers) {
            work(self);
        } else if (self < who.workers + who.producers) {
            for (unsigned i = 0; self == who.workers && i < who.bound; ++i) {
                check(inbound.push(task_at(first_bound + i)), "the queue is open");
                workers[0].park.exchange_seq_cst(park_state::notified);
            }
            const unsigned first = (self - who.workers) * who.injections;
            for (unsigned i = 0; i < who.injections; ++i) {
                check(injected.push(task_at(first + i)), "the queue is open");
                notify(UINT32_MAX);
            }
        }
    }

    // worker::run
    void work(unsigned self) {
        while (!is_over()) {
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
    }

    void run_task(unsigned self, task_header* task) {
        stop_searching(self);
        check(self == 0 || task < task_at(first_bound), "a bound task has strayed");
        if (task == task_at(0) && who.pushes != 0) {
            for (unsigned i = 0; i < who.pushes; ++i) {
                check(workers[self].queue.try_push(task_at(1 + i)), "room");
                notify(self);
            }
            if (who.waits_for_others) {
                rt::model::wait_until([this] { return done + 1 == total; });
            }
        }
        ++done;
    }

    task_header* next(unsigned self) {
        if (task_header* const task = workers[self].queue.pop()) {
            return task;
        }
        if (self == 0 && who.bound != 0) {
            if (task_header* const task = inbound.pop(1).first) {
                return task;
            }
        }
        return injected.pop(1).first;
    }

    task_header* search(unsigned self) {
        worker& own = workers[self];
        if (who.workers == 1) {
            return nullptr;
        }
        if (!own.is_searching) {
            if (!sleepers.start_searching()) {
                return nullptr;
            }
            own.is_searching = true;
        }
        for (unsigned i = 1; i < who.workers; ++i) {
            std::uint32_t moved = 0;
            worker& victim = workers[(self + i) % who.workers];
            if (task_header* const task = victim.queue.steal_into(own.queue, moved)) {
                return task;
            }
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
        const bool was_last = sleepers.park(self, std::exchange(own.is_searching, false));
        if (was_last && has_work()) {
            notify(self);
        }
        sleep(own);
        own.is_searching = sleepers.unpark(self);
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
        rt_model::fence_seq_cst();
        if (const std::optional<std::uint32_t> chosen = sleepers.worker_to_wake(near)) {
            workers[*chosen].park.exchange_seq_cst(park_state::notified);
        }
    }

    [[nodiscard]] bool has_work() const {
        for (unsigned i = 0; i < who.workers; ++i) {
            if (!workers[i].queue.is_empty()) {
                return true;
            }
        }
        return !injected.is_empty();
    }

    void at_end(bool is_stuck) {
        check(!is_stuck && is_over(), "a task was forgotten: every worker sleeps");
        check(sleepers.searching() <= who.workers, "the count of searchers is off");
    }

    const cast who;
    rt_model::scheduler::idle sleepers;
    rt_model::scheduler::inject_queue injected;
    rt_model::scheduler::inject_queue inbound; // of worker 0
    worker workers[3];
    unsigned first_bound = 0;
    unsigned total = 0;
    unsigned done = 0;
    alignas(64) unsigned char blocks[tasks_max][128];
};

options bounded(unsigned preemptions, bool is_weak = false) {
    return {.is_weak = is_weak, .preemptions_max = preemptions + rt::model::wanted_depth()};
}

} // namespace

Test(idle_model, b067_two_workers_forget_no_task_from_outside) {
    rt::model::skip_with_sanitizers();
    expect_good<storm>("2 workers, 1 task", bounded(4), cast{2, 1, 1, 0, false});
    expect_good<storm>("2 workers, 2 tasks", bounded(2), cast{2, 1, 2, 0, false});
}

Test(idle_model, b068_two_producers_forget_no_task) {
    rt::model::skip_with_sanitizers();
    expect_good<storm>("2 workers, 2 producers", bounded(2), cast{2, 2, 1, 0, false});
}

Test(idle_model, bound_tasks_wake_their_worker_beside_all_others) {
    rt::model::skip_with_sanitizers();
    expect_good<storm>("2 bound", bounded(3), cast{1, 1, 0, 0, false, 2});
    expect_good<storm>("2 workers, 1 bound", bounded(4), cast{2, 1, 0, 0, false, 1});
    expect_good<storm>("2 workers, 1 bound, 1 task", bounded(2), cast{2, 1, 1, 0, false, 1});
    expect_good<storm>("2 workers, 1 bound, weak", bounded(2, true), cast{2, 1, 0, 0, false, 1});
}

Test(idle_model, a_worker_that_stays_in_its_turn_gets_help) {
    rt::model::skip_with_sanitizers();
    expect_good<storm>("push and hold", bounded(5), cast{2, 0, 0, 1, true});
    expect_good<storm>("push twice and hold", bounded(4), cast{2, 0, 0, 2, true});
    expect_good<storm>("3 workers, push and hold", bounded(2), cast{3, 0, 0, 2, true});
}

Test(idle_model, b067_holds_in_weak_memory) {
    rt::model::skip_with_sanitizers();
    expect_good<storm>("2 workers, 1 task, weak", bounded(3, true), cast{2, 1, 1, 0, false});
    expect_good<storm>("push and hold, weak", bounded(3, true), cast{2, 0, 0, 1, true});
}

Test(idle_model, notices_broken_machines) {
    rt::model::skip_with_sanitizers();
    options broken = bounded(4, true);
    broken.broken = fault::no_fences;
    expect_broken<storm>("no fences", broken, cast{2, 0, 0, 1, true});
    broken = bounded(4);
    broken.broken = fault::torn_rmw;
    expect_broken<storm>("torn", broken, cast{2, 1, 1, 0, false});
    expect_broken<storm>("bound, torn", broken, cast{2, 1, 0, 0, false, 2});
}

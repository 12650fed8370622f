// SPDX-License-Identifier: MIT
//
// A pool of one worker and its stand-in, for models: what both do with the queues and with idle.h,
// line by line after run, search and park (worker.cc, search.cc), become_lone, leave_loneliness and
// give_away (in_place.cc), parker.h, and pool_state::notify and has_work; who changes those must
// change this. Left out: drivers, timers, private tasks. A sleeper waits for its park state to
// become notified.
//
// Scenario derives from it, and says is_over() when the execution shall end, next(self) for where
// its tasks come from, and run_task(self, task).
#pragma once

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

namespace rt::model {

template<typename Scenario>
struct pool_of_one {
    using task_header = rt_model::detail::task_header;
    using ring = rt_model::scheduler::basic_local_queue<4>;

    enum class park_state : std::uint32_t { running, parked, notified };

    static constexpr unsigned stand_in = 1;
    static constexpr unsigned tasks_max = 6;

    struct worker {
        ring queue;
        rt_model::atomic<park_state> park{park_state::running};
        bool is_searching = false;
        bool is_lone = false;
        bool is_asleep = false; // or about to be, or has not found out yet whether it counts
    };

    explicit pool_of_one(bool is_lone)
        : sleepers(1, 1) {
        workers[0].is_lone = is_lone;
        if (is_lone) {
            sleepers.begin_lone();
        }
    }

    [[nodiscard]] task_header* task_at(unsigned index) {
        return reinterpret_cast<task_header*>(blocks[index]);
    }

    void inject(unsigned index) {
        check(injected.push(task_at(index)), "the queue is open");
        notify(UINT32_MAX);
    }

    // worker::run, one round
    void run_once(unsigned self) {
        task_header* task = scenario().next(self);
        if (task == nullptr) {
            task = search(self);
        }
        if (task != nullptr) {
            stop_searching(self);
            scenario().run_task(self, task);
        } else {
            park(self);
        }
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

    void leave_loneliness() {
        if (workers[0].is_lone) {
            workers[0].is_lone = false;
            sleepers.leave_loneliness();
        }
    }

    bool become_lone() {
        worker& own = workers[0];
        if (own.is_lone || !sleepers.be_alone(own.is_searching)) {
            return false;
        }
        own.is_searching = false;
        own.is_lone = true;
        rt_model::fence_seq_cst();
        return true;
    }

    void park(unsigned self) {
        worker& own = workers[self];
        if (self == 0 && become_lone()) {
            return;
        }
        own.is_asleep = true;
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
        own.is_asleep = false;
    }

    void sleep(worker& own) {
        park_state expected = park_state::running;
        if (own.park.cas_strong_seq_cst(expected, park_state::parked)) {
            wait_until([&] {
                return own.park.peek() == park_state::notified || scenario().is_over();
            });
        }
        own.park.exchange_acq_rel(park_state::running);
    }

    void unpark(unsigned which) { workers[which].park.exchange_seq_cst(park_state::notified); }

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

    // pool_state
    void notify(std::uint32_t near) {
        if (sleepers.is_lone()) {
            unpark(0);
            rt_model::fence_seq_cst();
            if (sleepers.is_lone()) {
                return;
            }
        }
        rt_model::fence_seq_cst();
        if (sleepers.is_lone()) {
            unpark(0);
            return;
        }
        if (const std::optional<std::uint32_t> chosen = sleepers.worker_to_wake(near)) {
            unpark(*chosen);
        }
    }

    [[nodiscard]] bool has_work() const {
        return !workers[0].queue.is_empty() || !workers[1].queue.is_empty() || !injected.is_empty();
    }

    rt_model::scheduler::idle sleepers;
    rt_model::scheduler::inject_queue injected;
    worker workers[2];
    rt_model::atomic<unsigned> has_stand_in{0}; // its thread begins
    alignas(64) unsigned char blocks[tasks_max][128];

private:
    Scenario& scenario() { return static_cast<Scenario&>(*this); }
};

} // namespace rt::model

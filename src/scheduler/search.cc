// SPDX-License-Identifier: MIT
//
// A worker that has nothing to run looks for it: at the other workers, nearest first, at the
// injection queues, and, if a wake-up is likely to come soon, for a moment longer before it sleeps.
//
// Who may search is idle.h's business; what a thief reports to its victim is steal_profit.h. Called
// by the worker loop, on the worker's thread.
#include "base/arch.h"
#include "base/clock.h"
#include "scheduler/pool_state.h"
#include "scheduler/tuning.h"
#include "scheduler/worker.h"

#include <algorithm>

namespace rt::scheduler {

using detail::this_thread;
using metrics::worker_counters;

task_header* worker::search() noexcept {
    rest_looks_.forget();
    if (is_lone()) {
        return look_around();
    }
    if (!is_searching_) {
        if (!pool_.sleepers.start_searching()) {
            return nullptr;
        }
        is_searching_ = true;
        state.store_relaxed(worker_state::searching);
    }
    report_steal();
    for (std::uint32_t round = 0;; ++round) {
        if (task_header* const task = steal()) {
            return task;
        }
        if (task_header* const task = next_injected(local_queue::capacity / 2)) {
            return task;
        }
        if (round == search_rounds_max || !is_private_work_about()) {
            return look_around();
        }
        base::cpu::relax();
    }
}

// Spins for a while before the sleep that seems to come (park_spin.h): for what others make
// visible, and for the kernel's completions, which the park finds then.
task_header* worker::look_around() noexcept {
    if (!spin_.is_worth() || has_deferred()) {
        return nullptr;
    }
    idle_since_ns_ = base::monotonic_ns();
    const std::uint64_t end_ns = idle_since_ns_ + pool_.waking.spin_ns();
    std::uint64_t look_ns = idle_since_ns_;
    for (std::uint64_t now = idle_since_ns_; now < end_ns; now = base::monotonic_ns()) {
        base::cpu::relax();
        if (now < look_ns) {
            continue;
        }
        look_ns = now + spin_look_ns;
        if (pool_.has_work()) {
            idle_since_ns_ = 0;
            spin_.end(true);
            task_header* const task = next_injected(local_queue::capacity / 2);
            return task != nullptr ? task : steal();
        }
        if (parker_.is_notified() || driver_->needs_kick()) {
            return nullptr; // the sleep will be none
        }
    }
    spin_.end(false);
    return nullptr;
}

// Nothing is left of what was stolen last: was it worth it?
void worker::report_steal() noexcept {
    if (robbed_ != nullptr) {
        const std::uint64_t now = pool_.clock.now_ns();
        robbed_->profit_.report(robbed_tasks_, now - robbed_at_ns_, now);
        robbed_ = nullptr;
    }
}

// Whether a victim has tasks that it will share when it sees that somebody searches.
bool worker::is_private_work_about() const noexcept {
    return std::any_of(victims.begin(), victims.end(), [this](const steal_group& group) {
        return std::any_of(group.workers.begin(), group.workers.end(), [this](std::uint32_t each) {
            const worker& seen = *pool_.workers[each];
            return seen.has_private() && seen.profit_.is_good();
        });
    });
}

task_header* worker::steal_from(worker& victim) noexcept {
    std::uint32_t moved = 0;
    task_header* const task = victim.queue.steal_into(queue, moved);
    if (task != nullptr) {
        metrics::count(&worker_counters::steal_operations);
        metrics::add(&worker_counters::steal_tasks, moved);
        robbed_ = &victim;
        robbed_tasks_ = moved;
        robbed_at_ns_ = pool_.clock.now_ns();
    }
    return task;
}

// One round over the victims, nearest group first, each group from a random start; the
// stand-ins, which are few, at the end.
task_header* worker::steal() noexcept {
    for (const steal_group& group : victims) {
        const auto size = static_cast<std::uint32_t>(group.workers.size());
        const std::uint32_t start = random_.below(size);
        for (std::uint32_t i = 0; i < size; ++i) {
            const std::uint32_t victim = group.workers[(start + i) % size];
            if (task_header* const task = steal_from(*pool_.workers[victim])) {
                return task;
            }
        }
    }
    for (std::uint32_t i = static_cast<std::uint32_t>(pool_.workers.size()); i < pool_.index_end();
         ++i) {
        worker* const stand_in = pool_.find(i);
        if (stand_in != nullptr && stand_in != this) {
            if (task_header* const task = steal_from(*stand_in)) {
                return task;
            }
        }
    }
    metrics::count(&worker_counters::steal_failures);
    return nullptr;
}

} // namespace rt::scheduler

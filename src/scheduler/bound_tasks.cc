// SPDX-License-Identifier: MIT
//
// Queueing a bound task, and how rt::spawn_on and rt::spawn_local find where to.
//
// A thread from outside counts as a guest of the pool while it is here, as in pool::schedule: the
// task that it has queued may run, end, and with it the runtime, before the worker is unparked.
#include "scheduler/bound_tasks.h"

#include "base/assert.h"
#include "scheduler/pool_state.h"
#include "scheduler/worker.h"
#include "task/task.h"

#include <rt/detail/context.h>
#include <rt/spawn_on.h>

#include <utility>

namespace rt::scheduler {

using detail::this_thread;
using metrics::worker_counters;

bound_tasks::~bound_tasks() {
    RT_ASSERT(ready_.is_empty() && deferred_.is_empty() && inbound_.is_empty());
}

void bound_tasks::schedule(task_header* task) noexcept {
    if (this_thread.worker == owner_) {
        owner_->counters.local_schedules.bump_relaxed(1);
        ready_.push(task);
        depth_.bump_relaxed(1);
        return;
    }
    push_inbound(task);
}

void bound_tasks::schedule_new(task_header* task) noexcept {
    pool_state& pool = owner_->pool();
    if (pool.phase.load_relaxed() != phase_running) {
        task->state.or_relaxed(detail::state_aborted); // as in pool::schedule_new
        const bool is_ours = this_thread.worker != nullptr && &this_thread.worker->pool() == &pool;
        if (!is_ours && pool.refuse_from_outside(task, inbound_)) {
            return;
        }
    }
    schedule(task);
}

void bound_tasks::push_inbound(task_header* task) noexcept {
    metrics::add(&worker_counters::remote_schedules, 1);
    if (!inbound_.push(task)) {
        owner_->pool().refuse(task);
        return;
    }
    pool_state& pool = owner_->pool();
    if (pool.phase.load_relaxed() != phase_running) { // relaxed: the leader looks again by itself
        pool.unpark_all();
    } else {
        owner_->unpark();
    }
    inbound_.leave();
}

task_header* bound_tasks::pop() noexcept {
    task_header* const task = ready_.pop();
    if (task != nullptr) {
        depth_.store_relaxed(ready_.count + deferred_.count);
    }
    return task;
}

void bound_tasks::take_inbound() noexcept {
    for (auto left = static_cast<std::uint32_t>(inbound_.size()); left != 0;) {
        const task_chain chain = inbound_.pop(left);
        if (chain.count == 0) {
            break;
        }
        left -= chain.count;
        metrics::add(&worker_counters::injected, chain.count);
        ready_.append(chain);
        depth_.store_relaxed(ready_.count + deferred_.count);
    }
}

void bound_tasks::defer(task_header* task) noexcept {
    count_yield();
    deferred_.push(task);
    depth_.store_relaxed(ready_.count + deferred_.count);
}

void bound_tasks::take_deferred() noexcept {
    ready_.append(std::exchange(deferred_, {}));
}

} // namespace rt::scheduler

namespace rt::detail {

scheduler_base* scheduler_of_worker_or_fatal(std::uint32_t worker, site at) noexcept {
    auto* const pool =
        static_cast<scheduler::pool*>(current_scheduler_or_fatal("rt::spawn_on", at));
    return pool->bound_to_or_fatal(worker, at);
}

scheduler_base* scheduler_of_this_worker_or_fatal(site at) noexcept {
    if (this_thread.worker == nullptr) {
        base::fatal(
            "rt::spawn_local outside a worker, at %s:%u: call it from a task, or say which worker "
            "with rt::spawn_on or rt::handle::spawn_on",
            at.file_name(),
            static_cast<unsigned>(at.line())
        );
    }
    // A stand-in (in_place.cc) rests when its worker is back: a worker gets the task.
    const scheduler::worker& self = *this_thread.worker;
    return &self.pool().bound[self.index % self.pool().bound_count];
}

} // namespace rt::detail

namespace rt {

std::optional<std::uint32_t> worker_index() noexcept {
    const scheduler::worker* const self = detail::this_thread.worker;
    const bool is_worker = self != nullptr && self->index < self->pool().bound_count;
    return is_worker ? std::optional(self->index) : std::nullopt;
}

} // namespace rt

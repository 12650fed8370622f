// SPDX-License-Identifier: MIT
//
// The untyped half of rt::spawn_blocking.
//
// The protocol is in rt/detail/spawned_blocking.h. start and submit_job run on the spawner's
// thread, which may be any; enter and leave on the pool's; on_resume and on_cancel on the worker to
// which the task was handed, by its wake-up or by a canceller.
#include "base/assert.h"
#include "blocking/pool.h"
#include "task/task.h"

#include <rt/detail/context.h>
#include <rt/detail/spawned_blocking.h>
#include <rt/spawn.h>

namespace rt::detail {

blocking_target current_blocking_target_or_fatal(const char* what, site at) noexcept {
    scheduler_base* const scheduler = current_scheduler_or_fatal(what, at);
    offload::pool* const pool = offload::current_pool();
    RT_ASSERT(pool != nullptr && this_thread.runtime != nullptr);
    return {pool, scheduler, this_thread.runtime};
}

void spawned_blocking::start(const blocking_target& target, task_header* header) noexcept {
    target_ = target;
    task = header;
}

result<void> spawned_blocking::submit_job() noexcept {
    if (target_.scheduler->refuse_late(task)) {
        return {};
    }
    task->leaf = this;
    task->waits_for = wait_kind::blocking;
    task->polls = 1; // it has begun: an abort asks the pool first, and shutdown waits for it
    // release: pairs with the acquire of a canceller, who reads the leaf. A walk of shutdown may
    // have set aborted already; it comes again.
    task->state.or_acq_rel(state_waiting);
    return target_.pool->submit(*this);
}

void spawned_blocking::refuse(bool is_cancelled) noexcept {
    is_cancelled_ = is_cancelled;
    wake(task);
}

void spawned_blocking::enter() const noexcept {
    // The task holds the runtime up until leave() has woken it.
    this_thread.scheduler = target_.scheduler;
    this_thread.runtime = target_.runtime;
}

void spawned_blocking::leave() noexcept {
    this_thread.scheduler = nullptr;
    this_thread.runtime = nullptr;
    wake(task); // the block may be gone from here on
}

void spawned_blocking::on_resume(void* frame) {
    auto* const self = static_cast<spawned_blocking*>(static_cast<frame_image*>(frame));
    this_thread.after = self->is_cancelled_ ? &tasks::unwind : self->finish_;
}

wait_node::cancel_result spawned_blocking::on_cancel(wait_node* node) noexcept {
    auto* const self = static_cast<spawned_blocking*>(node);
    const bool is_withdrawn = self->target_.pool->withdraw(*self);
    return is_withdrawn ? cancel_result::detached : cancel_result::in_flight;
}

} // namespace rt::detail

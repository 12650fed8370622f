// SPDX-License-Identifier: MIT
//
// The task's side of the blocking pool: see rt/blocking.h.
#include "base/assert.h"
#include "blocking/pool.h"

#include <rt/blocking.h>

#include <utility>

namespace rt::detail {

bool blocking_wait::suspend(void* self) noexcept {
    task_header* const waiter = attach_to_current(*this, "rt::blocking");
    pool_ = offload::current_pool();
    RT_ASSERT(pool_ != nullptr);
    runtime_ = this_thread.runtime;
    scheduler_ = this_thread.scheduler; // the task's own may be a group of branches
    // The outcome stays in a local until it is known that nobody else has the frame.
    if (result<void> submitted = pool_->submit(*this); !submitted) {
        refusal_ = submitted;
        return false;
    }
    return commit_suspend(waiter, self, this, wait_kind::blocking, nullptr);
}

wait_node::cancel_result blocking_wait::on_cancel(wait_node* node) noexcept {
    auto* const self = static_cast<blocking_wait*>(node);
    return self->pool_->withdraw(*self) ? cancel_result::detached : cancel_result::in_flight;
}

void blocking_wait::enter() const noexcept {
    // The task holds the runtime up until leave() has woken it.
    this_thread.scheduler = scheduler_;
    this_thread.runtime = runtime_;
}

void blocking_wait::leave() noexcept {
    this_thread.scheduler = nullptr;
    this_thread.runtime = nullptr;
    wake(task); // the frame may be gone from here on
}

} // namespace rt::detail

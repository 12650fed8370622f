// SPDX-License-Identifier: MIT
//
// The list of boundaries is the task's own; what others do to a boundary is one store and one
// operation on the state word, in this order (request_scoped), which recompute_scoped undoes in the
// opposite order.
#include "task/cancel.h"

#include "base/assert.h"

#include <rt/detail/cancel.h>
#include <rt/detail/context.h>

#include <coroutine>
#include <utility>

namespace rt::tasks {
namespace {

using detail::cancel_boundary;
using detail::task_header;

// Whether any boundary from `boundary` outwards has asked.
// acquire: pairs with the release in request_scoped.
bool any_requested(const cancel_boundary* boundary) noexcept {
    for (; boundary != nullptr; boundary = boundary->outer) {
        if (boundary->requested.load_acquire()) {
            return true;
        }
    }
    return false;
}

// Clears state_scoped unless an outer boundary still asks. The bit is cleared before the walk: a
// request that comes later sets it again itself, one that came earlier is seen by the walk.
void recompute_scoped(task_header* task) noexcept {
    // acq_rel: acquire pairs with request_cancel, so `requested` of whoever set the bit is visible.
    task->state.and_acq_rel(~std::uint64_t{detail::state_scoped});
    if (any_requested(task->boundary)) {
        task->state.or_acq_rel(detail::state_scoped);
    }
}

} // namespace

void* unwind_to_boundary(task_header* task) noexcept {
    cancel_boundary* target = nullptr;
    for (cancel_boundary* b = task->boundary; b != nullptr; b = b->outer) {
        if (b->requested.load_acquire()) { // acquire: pairs with request_scoped
            target = b;
        }
    }
    if (target == nullptr) {
        return nullptr;
    }
    void* const inner = std::exchange(target->inner, nullptr);
    target->unwound = true;
    if (inner != nullptr) {
        // Inner boundaries unlink themselves while their frames die.
        std::coroutine_handle<>::from_address(inner).destroy();
    }
    RT_ASSERT(task->boundary == target);
    return target->continuation;
}

} // namespace rt::tasks

namespace rt::detail {

void push_boundary(cancel_boundary& boundary) noexcept {
    task_header* const task = current_task_or_fatal("rt::timeout");
    boundary.outer = task->boundary;
    task->boundary = &boundary;
}

void pop_boundary(cancel_boundary& boundary) noexcept {
    task_header* const task = this_thread.task;
    RT_ASSERT(task != nullptr && task->boundary == &boundary);
    task->boundary = boundary.outer;
    if (boundary.requested.load_acquire()) { // acquire: pairs with request_scoped
        rt::tasks::recompute_scoped(task);
    }
}

bool request_scoped(task_header* task, cancel_boundary& boundary) noexcept {
    boundary.requested.store_release(true); // release: pairs with the loads above
    return request_cancel(task, state_scoped);
}

} // namespace rt::detail

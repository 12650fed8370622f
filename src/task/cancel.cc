// SPDX-License-Identifier: MIT
//
// The list of boundaries is the task's own; what others do to a boundary is one store and one
// operation on the state word, in this order (request_scoped), which recompute_scoped undoes in the
// opposite order.
#include "task/cancel.h"

#include "base/assert.h"
#include "base/text_writer.h"
#include "task/label.h"

#include <rt/detail/cancel.h>
#include <rt/detail/context.h>
#include <rt/detail/promise.h>

#include <coroutine>
#include <exception>
#include <string_view>
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

void destroy_frames(task_header* task, void* frame) noexcept {
    detail::context& self = detail::this_thread;
    RT_ASSERT(self.task == task);
    // A destructor may run another task, of another runtime, on this thread: only a throw of this
    // one is told apart by it.
    task_header* const outer = std::exchange(self.unwinding, task);
    self.after = nullptr;
    std::coroutine_handle<>::from_address(frame).destroy();
    if (self.after != nullptr) [[unlikely]] {
        detail::forbid_going_on(); // one that yields or returns looks at no state
    }
    self.unwinding = outer;
}

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
        destroy_frames(task, inner);
    }
    RT_ASSERT(task->boundary == target);
    return target->continuation;
}

} // namespace rt::tasks

namespace rt::detail {

namespace {

[[noreturn]] void end_for_throw(const task_header* task, const char* what) noexcept {
    base::text_buffer<768> who; // of the 1024 bytes that fatal() writes
    rt::tasks::write_task(who, task);
    const std::string_view text = who.view();
    base::fatal(
        "a destructor has thrown while %.*s was being cancelled: %s",
        static_cast<int>(text.size()),
        text.data(),
        what
    );
}

// The task whose frames are being destroyed, as dumps show it, if it is also the running one.
const task_header* unwinding_task() noexcept {
    task_header* const task = this_thread.task;
    return task == this_thread.unwinding ? whole_of(task) : nullptr;
}

} // namespace

void refuse_while_unwinding() noexcept {
    const task_header* const task = unwinding_task();
    if (task == nullptr) {
        return; // it runs
    }
    try {
        std::rethrow_exception(std::current_exception());
    } catch (const std::exception& error) {
        end_for_throw(task, error.what());
    } catch (...) {
        end_for_throw(task, "an object that is not a std::exception");
    }
}

void forbid_going_on() noexcept {
    const task_header* const task = unwinding_task();
    RT_ASSERT(task != nullptr);
    end_for_throw(task, "its coroutine has caught that, and cannot go on in a frame that dies");
}

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

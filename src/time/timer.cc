// SPDX-License-Identifier: MIT
//
// Sleeps and timeouts over the workers' wheels.
//
// A timeout's timer outlives nothing: the node is in the awaiting frame, and disarm() takes the
// wheel's lock, so when it returns on_fire has either not run or has finished. on_fire marks the
// boundary before it touches the task's state word, which is why the worker that finds state_scoped
// also finds the mark.
#include "driver/timer_wheel.h"
#include "scheduler/scheduler.h"

#include <rt/detail/cancel.h>
#include <rt/detail/context.h>
#include <rt/time.h>

namespace rt {

bool sleep_awaiter::suspend(void* self) noexcept {
    detail::task_header* const task = detail::attach_to_current(*this, "rt::sleep");
    if (deadline_ns_ != never_ns) [[likely]] {
        detail::arm_timer(*this, deadline_ns_);
    }
    return detail::commit_suspend(task, self, this, detail::wait_kind::sleep, nullptr);
}

detail::wait_node::cancel_result sleep_awaiter::on_cancel(wait_node* node) noexcept {
    auto* const self = static_cast<sleep_awaiter*>(node);
    return self->deadline_ns_ == never_ns || detail::cancel_timer(*self) ? cancel_result::detached
                                                                         : cancel_result::in_flight;
}

detail::task_header* sleep_awaiter::on_fire(timer_node* node) noexcept {
    detail::task_header* const task = static_cast<sleep_awaiter*>(node)->task;
    return detail::try_wake(task) ? task : nullptr;
}

namespace detail {

std::uint64_t now_ns() noexcept {
    return scheduler::now_ns();
}

void arm_timer(timer_node& node, std::uint64_t deadline_ns) noexcept {
    scheduler::current_wheel().insert(node, deadline_ns);
}

bool cancel_timer(timer_node& node) noexcept {
    return node.wheel != nullptr && node.wheel->cancel(node);
}

void timeout_base::arm(std::uint64_t deadline_ns, void* inner_frame, void* outer_frame) noexcept {
    inner = inner_frame;
    continuation = outer_frame;
    push_boundary(*this);
    task_ = this_thread.task;
    armed_ = true;
    arm_timer(*this, deadline_ns);
}

void timeout_base::disarm() noexcept {
    if (armed_) {
        armed_ = false;
        static_cast<void>(cancel_timer(*this));
        pop_boundary(*this);
    }
}

task_header* timeout_base::on_fire(timer_node* node) noexcept {
    auto* const self = static_cast<timeout_base*>(node);
    return request_scoped(self->task_, *self) ? self->task_ : nullptr;
}

} // namespace detail
} // namespace rt

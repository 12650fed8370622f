// SPDX-License-Identifier: MIT
//
// Arriving at rt::barrier. Everything is under the barrier's lock but the wake-ups. Who is woken
// does not touch the barrier any more, unless a cancellation has come at the same moment.
#include <rt/sync/barrier.h>

namespace rt {

const detail::sync_wait_type barrier::wait_type{&enroll, &withdraw, detail::wait_kind::barrier};

bool barrier::enroll(detail::sync_wait* waiter) noexcept {
    auto* const awaiter = static_cast<wait_awaiter*>(waiter);
    barrier* const self = awaiter->target();
    if (awaiter->is_leader_) {
        return false; // nobody else is needed: this is after a yield
    }
    detail::wake_list ready;
    {
        const detail::sync_guard hold(self->lock_);
        if (self->arrived_ + 1 < self->count_) {
            ++self->arrived_;
            self->waiters_.push_back(waiter);
            return true;
        }
        self->arrived_ = 0;
        ready.add_all(self->waiters_);
    }
    awaiter->is_leader_ = true;
    ready.wake_all();
    return false;
}

detail::wait_node::cancel_result barrier::withdraw(detail::wait_node* node) noexcept {
    auto* const waiter = static_cast<wait_awaiter*>(node);
    barrier* const self = waiter->target();
    const detail::sync_guard hold(self->lock_);
    if (!self->waiters_.remove(waiter)) {
        return detail::wait_node::cancel_result::in_flight;
    }
    --self->arrived_;
    return detail::wait_node::cancel_result::detached;
}

bool barrier::blocking_wait() noexcept {
    wait_awaiter wait(this);
    wait.block();
    return wait.await_resume();
}

} // namespace rt

// SPDX-License-Identifier: MIT
//
// Deadlines that move without touching the wheel: see rt/deadline.h.
//
// Protocol. fire() runs under the lock of the wheel that the timer was armed on, by whichever
// thread advances that wheel. While the timer is linked there, its task reads and writes the fields
// under that same lock; while it is not, nothing fires and the fields are the task's own. Only the
// task arms, so "not linked", seen under the lock, stays true until the task changes it.
//
// A fire that finds a wait whose time is up takes the waiter back from its source. If it gets it,
// it is the only one to wake the task (rule 5 of rt/detail/header.h) and says timed_out; if not,
// the wake-up by readiness is on its way and wins. end() takes the lock before the awaiter goes, so
// a fire that is looking at it has finished.
#include "driver/timer_wheel.h"

#include <rt/deadline.h>
#include <rt/detail/io.h>

namespace rt {

deadline::~deadline() {
    static_cast<void>(detail::cancel_timer(*this));
}

void deadline::begin(detail::ready_awaiter& node) noexcept {
    if (wheel != nullptr) {
        const base::guard guard(wheel->fire_lock());
        if (linked && wheel->fires_by(*this, at_ns_)) {
            waiting_ = &node;
            wait_until_ns_ = at_ns_;
            return;
        }
    }
    static_cast<void>(detail::cancel_timer(*this)); // it would fire too late
    waiting_ = &node;
    wait_until_ns_ = at_ns_;
    if (at_ns_ != never) {
        detail::arm_timer(*this, at_ns_);
    }
}

void deadline::end() noexcept {
    if (wheel == nullptr) {
        waiting_ = nullptr;
        return;
    }
    const base::guard guard(wheel->fire_lock());
    waiting_ = nullptr;
}

detail::task_header* deadline::on_fire(timer_node* node) noexcept {
    auto* const self = static_cast<deadline*>(node);
    if (self->waiting_ == nullptr || self->wait_until_ns_ == never) {
        return nullptr; // the next wait arms it again
    }
    if (!self->wheel->has_passed(self->wait_until_ns_)) {
        return detail::fire_again_at(*self, self->wait_until_ns_);
    }
    return self->waiting_->expire();
}

} // namespace rt

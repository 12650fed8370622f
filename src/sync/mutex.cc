// SPDX-License-Identifier: MIT
//
// The contended half of rt::mutex; the other half is in line. The protocol is in rt/sync/mutex.h.
//
// Threads: any. lock_ orders state_ against the list: who finds state_ contended under lock_ finds
// a waiter, and hands the mutex to it without letting anybody in between.
#include "base/assert.h"

#include <rt/sync/mutex.h>

namespace rt {

const detail::sync_wait_type mutex::wait_type{
    &enroll, &withdraw, detail::wait_kind::mutex, &give_back};

bool mutex::enroll(detail::sync_wait* waiter) noexcept {
    mutex* const self = static_cast<lock_awaiter*>(waiter)->target();
    detail::sync_guard hold(self->lock_);
    for (;;) {
        if (self->try_acquire()) {
            return false;
        }
        // relaxed: lock_ orders the changes to and from contended; the holder's data come with its
        // hand-over.
        std::uint32_t seen = held;
        if (self->state_.cas_strong_relaxed(seen, contended) || seen == contended) {
            self->waiters_.push_back(waiter);
            return true;
        }
    }
}

detail::wait_node::cancel_result mutex::withdraw(detail::wait_node* node) noexcept {
    auto* const waiter = static_cast<lock_awaiter*>(node);
    mutex* const self = waiter->target();
    const detail::sync_guard hold(self->lock_);
    if (!self->waiters_.remove(waiter)) {
        return detail::wait_node::cancel_result::in_flight;
    }
    if (self->waiters_.is_empty()) {
        self->state_.store_relaxed(held); // the holder's next change orders what follows
    }
    return detail::wait_node::cancel_result::detached;
}

void mutex::give_back(detail::sync_wait* waiter) noexcept {
    static_cast<lock_awaiter*>(waiter)->target()->release();
}

// The mutex may be destroyed by whoever takes it next, so it is freed by the last access to it and
// never under lock_.
void mutex::hand_over() noexcept {
    std::uint32_t seen = held;
    do {
        detail::sync_guard hold(lock_);
        if (!waiters_.is_empty()) {
            detail::sync_wait* const next = waiters_.pop_front();
            if (waiters_.is_empty()) {
                state_.store_relaxed(held); // the next holder is told by its wake-up
            }
            note_owner(next->task); // a branch that waits here has its group
            hold.unlock();
            detail::sync_wait::wake(next);
            return;
        }
        // The last waiter has just given up; another one may come as soon as lock_ is free.
        RT_ASSERT(state_.load_relaxed() == held);
        seen = held;
        hold.unlock();
    } while (!state_.cas_strong_release(seen, free)); // release: pairs with try_acquire
}

mutex::guard mutex::blocking_lock(time_limit limit) noexcept {
    lock_awaiter wait(this);
    return wait.block(limit, [this] { return try_acquire(); }) ? guard(this) : guard();
}

} // namespace rt

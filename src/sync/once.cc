// SPDX-License-Identifier: MIT
//
// The gate of rt::once and rt::once_cell. The protocol is in rt/sync/once.h.
//
// Threads: any. Whoever has a turn is alone until complete() or the turn's end; what it made is
// published by state_ (done) to those that come later, and by their wake-ups to those that wait.
#include "base/assert.h"

#include <rt/detail/context.h>
#include <rt/sync/once.h>

namespace rt::detail {

const sync_wait_type once_gate::wait_type{&enroll, &withdraw, wait_kind::mutex, &give_back, "once"};

bool once_gate::try_enter() noexcept {
    std::uint32_t seen = empty;
    // acquire: pairs with the releases in finish() and give_up(): what the one before did is
    // visible.
    if (!state_.cas_strong_acquire(seen, busy)) {
        return seen == done;
    }
    note_owner(this_thread.task);
    return true;
}

once_gate::turn once_gate::try_turn() noexcept {
    return turn(!is_done() && try_enter() && !is_done() ? this : nullptr);
}

once_gate::turn once_gate::blocking_enter() noexcept {
    enter_awaiter wait(this);
    wait.block();
    return wait.await_resume();
}

bool once_gate::enroll(sync_wait* waiter) noexcept {
    once_gate* const self = static_cast<enter_awaiter*>(waiter)->gate();
    const sync_guard hold(self->lock_);
    if (self->try_enter()) {
        return false;
    }
    self->waiters_.push_back(waiter); // busy is left only under the lock
    return true;
}

wait_node::cancel_result once_gate::withdraw(wait_node* node) noexcept {
    auto* const waiter = static_cast<enter_awaiter*>(node);
    const sync_guard hold(waiter->gate()->lock_);
    return waiter->gate()->waiters_.remove(waiter) ? wait_node::cancel_result::detached
                                                   : wait_node::cancel_result::in_flight;
}

void once_gate::give_back(sync_wait* waiter) noexcept {
    static_cast<void>(static_cast<enter_awaiter*>(waiter)->await_resume());
}

void once_gate::finish() noexcept {
    wake_list ready;
    {
        const sync_guard hold(lock_);
        RT_ASSERT(state_.load_relaxed() == busy);
        note_owner(nullptr);
        ready.add_all(waiters_);
        state_.store_release(done); // release: pairs with is_done and try_enter
    }
    ready.wake_all();
}

void once_gate::give_up() noexcept {
    sync_guard hold(lock_);
    RT_ASSERT(state_.load_relaxed() == busy);
    if (waiters_.is_empty()) {
        note_owner(nullptr);
        state_.store_release(empty); // release: pairs with try_enter
        return;
    }
    sync_wait* const next = waiters_.pop_front();
    note_owner(next->task);
    hold.unlock();
    sync_wait::wake(next);
}

} // namespace rt::detail

// SPDX-License-Identifier: MIT
//
// Waiting in mpsc channels: senders for room, the receiver for a value, senders for the end. The
// rules are in rt/detail/mpsc_core.h; claiming and publishing are in mpsc_core.cc.
//
// Threads: any. enroll runs on the thread of the task that waits (or is the thread that waits),
// cancel on a worker that owns the task, refill on whichever thread has made room.
#include <rt/detail/channel_end.h>
#include <rt/detail/mpsc_core.h>

#include <utility>

namespace rt::detail {

// ---- for room -----------------------------------------------------------------------------------

// Announces a waiter. False: there is room after all.
bool mpsc_core::wait_for_room(std::uint32_t count) noexcept {
    has_waiting_.store_seq_cst(1); // seq_cst, both: rule 3, pairs with make_room
    seen_head_ = head_.load_seq_cst();
    if (!waiting_.is_empty() || capacity_ - (claimed_ + reserved_ - seen_head_) < count) {
        return true;
    }
    has_waiting_.store_relaxed(0); // relaxed: a receiver that still sees 1 finds nobody
    return false;
}

bool mpsc_core::enroll_sender(mpsc_send_wait* waiter) noexcept {
    do {
        {
            const sync_guard hold(lock_);
            const std::uint32_t count = waiter->needs();
            const bool must_wait = !waiting_.is_empty() || !has_room_for(count);
            if (!is_closed_ && must_wait && count <= capacity_ && wait_for_room(count)) {
                waiting_.push_back(waiter);
                return true;
            }
        }
        if (waiter->is_reservation()) {
            waiter->outcome_ = reserve(waiter->reserves_);
        } else {
            waiter->outcome_ = claim(waiter->cell_, waiter->receiver_);
            if (waiter->outcome_ == mpsc_outcome::granted) {
                values_.move_in(waiter, waiter->cell_);
                publish(waiter->cell_, waiter->receiver_);
            }
        }
    } while (waiter->outcome_ == mpsc_outcome::full);
    return false;
}

// Rule 4.
void mpsc_core::refill() noexcept {
    wake_list ready;
    mpsc_block* fresh = nullptr;
    bool is_exhausted = false; // no memory for a block
    lock_.lock();
    while (!waiting_.is_empty()) {
        auto* const first = static_cast<mpsc_send_wait*>(waiting_.front());
        if (!has_room_for(first->needs())) {
            break;
        }
        if (!first->is_reservation() && !is_exhausted && !extend(fresh)) {
            lock_.unlock();
            fresh = make_block();
            is_exhausted = fresh == nullptr;
            lock_.lock();
            continue;
        }
        waiting_.pop_front();
        first->outcome_ = mpsc_outcome::granted;
        if (first->is_reservation()) {
            reserved_ += first->reserves_;
        } else if (is_exhausted) {
            first->outcome_ = mpsc_outcome::no_memory;
        } else {
            first->cell_ = take_cell();
            first->receiver_ = std::exchange(receiver_, nullptr);
        }
        ready.add(first);
    }
    if (waiting_.is_empty()) {
        has_waiting_.store_relaxed(0); // relaxed: as in wait_for_room
    }
    lock_.unlock();
    if (fresh != nullptr) {
        recycle(fresh);
    }
    while (auto* const sender = static_cast<mpsc_send_wait*>(ready.take())) {
        if (sender->outcome_ == mpsc_outcome::granted && !sender->is_reservation()) {
            values_.move_in(sender, sender->cell_);
            publish(sender->cell_, sender->receiver_);
        }
        sync_wait::wake(sender);
    }
}

const sync_wait_type mpsc_send_wait::wait_type{
    &enroll, &withdraw, wait_kind::channel_send, &give_back};

bool mpsc_send_wait::enroll(sync_wait* waiter) noexcept {
    auto* const self = static_cast<mpsc_send_wait*>(waiter);
    return self->core() != nullptr && self->core()->enroll_sender(self);
}

wait_node::cancel_result mpsc_send_wait::withdraw(wait_node* node) noexcept {
    auto* const waiter = static_cast<mpsc_send_wait*>(node);
    mpsc_core* const core = waiter->core();
    sync_guard hold(core->lock_);
    if (!core->waiting_.remove(waiter)) {
        return cancel_result::in_flight;
    }
    if (core->waiting_.is_empty()) {
        core->has_waiting_.store_relaxed(0); // relaxed: as in wait_for_room
    } else if (waiter->needs() > 1) {
        hold.unlock();
        core->refill(); // it may have stood before others that want less
    }
    return cancel_result::detached;
}

// A value that was sent stays sent.
void mpsc_send_wait::give_back(sync_wait* waiter) noexcept {
    auto* const self = static_cast<mpsc_send_wait*>(waiter);
    if (self->is_reservation() && self->outcome_ == mpsc_outcome::granted) {
        self->core()->unreserve(self->reserves_);
    }
}

// ---- for a value --------------------------------------------------------------------------------

bool mpsc_core::enroll_receiver(mpsc_receive_wait* waiter) noexcept {
    for (;;) {
        if (front() != nullptr) {
            return false;
        }
        const sync_guard hold(lock_);
        if (head_.load_relaxed() == claimed_) {
            if (is_finished_locked()) {
                return false;
            }
            if (receiver_ != nullptr) {
                waited_twice(receiver_text); // rule 6
            }
            waiter->cell_ = nullptr;
            receiver_ = waiter; // rule 2
            return true;
        }
        if (head_left_ == 0) {
            continue; // in the next block, which front() enters; not under the lock
        }
        // relaxed: `awaited` was set by this receiver, in a wait that has not ended.
        if (head_cell_->state.load_relaxed() == awaited) [[unlikely]] {
            waited_twice(receiver_text); // rule 6
        }
        waiter->cell_ = head_cell_;
        cell_waiter_ = waiter;
        std::uint32_t seen = empty;
        // release: pairs with publish, of cell_waiter_; acquire, of the value, if it was published.
        return head_cell_->state.cas_strong_acq_rel(seen, awaited);
    }
}

void mpsc_core::check_end() noexcept {
    const sync_guard hold(lock_);
    if (!is_finished_locked()) [[unlikely]] {
        received_elsewhere(receiver_text);
    }
}

const sync_wait_type mpsc_receive_wait::wait_type{&enroll, &withdraw, wait_kind::channel_receive};

bool mpsc_receive_wait::enroll(sync_wait* waiter) noexcept {
    auto* const self = static_cast<mpsc_receive_wait*>(waiter);
    return self->core() != nullptr && self->core()->enroll_receiver(self);
}

wait_node::cancel_result mpsc_receive_wait::withdraw(wait_node* node) noexcept {
    auto* const self = static_cast<mpsc_receive_wait*>(node);
    if (self->cell_ != nullptr) {
        std::uint32_t seen = mpsc_core::awaited;
        // relaxed: the cell holds nothing for us; if it does by now, its publisher wakes us.
        return self->cell_->state.cas_strong_relaxed(seen, mpsc_core::empty)
            ? cancel_result::detached
            : cancel_result::in_flight;
    }
    const sync_guard hold(self->core()->lock_);
    if (self->core()->receiver_ != self) {
        return cancel_result::in_flight;
    }
    self->core()->receiver_ = nullptr;
    return cancel_result::detached;
}

// ---- for the end --------------------------------------------------------------------------------

const sync_wait_type mpsc_closed_wait::wait_type{&enroll, &withdraw, wait_kind::channel_send};

bool mpsc_closed_wait::enroll(sync_wait* waiter) noexcept {
    auto* const core = static_cast<mpsc_core*>(static_cast<mpsc_closed_wait*>(waiter)->object());
    if (core == nullptr) {
        return false;
    }
    const sync_guard hold(core->lock_);
    if (core->is_closed_) {
        return false;
    }
    core->closed_waiters_.push_back(waiter);
    return true;
}

wait_node::cancel_result mpsc_closed_wait::withdraw(wait_node* node) noexcept {
    auto* const self = static_cast<mpsc_closed_wait*>(node);
    auto* const core = static_cast<mpsc_core*>(self->object());
    const sync_guard hold(core->lock_);
    return core->closed_waiters_.remove(self) ? cancel_result::detached : cancel_result::in_flight;
}

} // namespace rt::detail

// SPDX-License-Identifier: MIT
//
// Waiting and waking of rt::notify, as far as somebody waits. The protocol is in rt/sync/notify.h.
//
// Threads: any. A waiter sets the bit `waiting` with a compare-and-swap from a word without permit
// and of its own round, so a notification that comes in between is found by the next attempt.
#include "base/arch.h"

#include <rt/sync/notify.h>

namespace rt {

const detail::sync_wait_type notify::wait_type{
    &enroll, &withdraw, detail::wait_kind::notify, &give_back};

// Whether a permit has come since the word was `seen`. A task that has taken a few, one after
// another in this turn, looks for a moment: who notifies it is at work on another CPU, and to wait
// costs both of them more, the notifier most of all, who has to make the task ready each time.
// perf-sched notify_one_10, _100 and _500 take 0.83 of the time and 0.8 of the CPU time, two
// workers, medians of 9.
bool notify::comes_at_once(std::uint64_t seen) const noexcept {
    constexpr std::uint32_t streak_min = 2; // a thread by itself keeps one permit at most
    constexpr unsigned looks_max = 8;       // each is as long as a pause, 20 to 40 ns
    const detail::context& self = detail::this_thread;
    const bool may_look = self.task != nullptr && self.permit_streak >= streak_min &&
        notified_awaiter::is_in_streak(self);
    for (unsigned looks = 0;; ++looks) {
        const std::uint64_t word = word_.load_relaxed(); // relaxed: try_consume looks again
        if ((word & permit) != 0) {
            return true;
        }
        // Not behind others, who would have it, nor after notify_waiters.
        if (!may_look || looks == looks_max || (word & waiting) != 0 ||
            round_of(word) != round_of(seen)) {
            return false;
        }
        base::cpu::relax();
    }
}

bool notify::enroll(detail::sync_wait* waiter) noexcept {
    auto* const awaiter = static_cast<notified_awaiter*>(waiter);
    notify* const self = awaiter->target();
    if (self->comes_at_once(awaiter->seen_) && self->try_consume(awaiter->seen_)) {
        return false;
    }
    const detail::sync_guard hold(self->lock_);
    // A permit or a round that comes in between changes the word, and the next turn finds it.
    const std::uint64_t round = round_of(awaiter->seen_);
    std::uint64_t word = awaiter->seen_;
    for (;;) {
        if (round_of(word) != round) {
            return false;
        }
        const bool is_kept = (word & permit) != 0;
        // acquire: as in try_consume. Setting the bit needs no order: lock_ orders the list, and
        // whoever sees the bit takes lock_.
        if (self->word_.cas_weak_acquire(word, is_kept ? word & ~permit : word | waiting)) {
            if (is_kept) {
                notified_awaiter::count_permit();
                return false;
            }
            break;
        }
    }
    awaiter->seen_ = round;
    self->waiters_.push_back(waiter);
    return true;
}

detail::wait_node::cancel_result notify::withdraw(detail::wait_node* node) noexcept {
    auto* const waiter = static_cast<notified_awaiter*>(node);
    notify* const self = waiter->target();
    const detail::sync_guard hold(self->lock_);
    if (!self->waiters_.remove(waiter)) {
        return detail::wait_node::cancel_result::in_flight;
    }
    if (self->waiters_.is_empty()) {
        self->word_.and_relaxed(~waiting); // relaxed: it announces nothing
    }
    return detail::wait_node::cancel_result::detached;
}

// A notification for one is for another one now; one for all is not missed by anybody.
void notify::give_back(detail::sync_wait* waiter) noexcept {
    auto* const awaiter = static_cast<notified_awaiter*>(waiter);
    if ((awaiter->seen_ & waiting) != 0) {
        awaiter->target()->notify_last();
    } else if ((awaiter->seen_ & permit) != 0) {
        awaiter->target()->notify_one();
    }
}

void notify::wake_one(bool newest) noexcept {
    detail::sync_guard hold(lock_);
    if (try_keep()) {
        return; // the last waiter has given up meanwhile
    }
    detail::sync_wait* chosen = nullptr;
    if (newest) {
        chosen = waiters_.back();
        static_cast<void>(waiters_.remove(chosen)); // it is on the list
    } else {
        chosen = waiters_.pop_front();
    }
    if (waiters_.is_empty()) {
        word_.and_relaxed(~waiting); // relaxed: the waiter is told by its wake-up
    }
    static_cast<notified_awaiter*>(chosen)->seen_ |= newest ? permit | waiting : permit;
    hold.unlock();
    detail::sync_wait::wake(chosen);
}

void notify::notify_waiters() noexcept {
    if (try_change([](std::uint64_t word) { return word + one_round; })) {
        return; // without the lock, which would hold up those who enroll
    }
    detail::wake_list ready;
    {
        const detail::sync_guard hold(lock_);
        ready.add_all(waiters_);
        std::uint64_t word = word_.load_relaxed();
        // release: pairs with the acquire in notified() and try_consume.
        while (!word_.cas_weak_release(word, (word & ~waiting) + one_round)) {
        }
    }
    ready.wake_all();
}

bool notify::blocking_wait(time_limit limit) noexcept {
    notified_awaiter wait = notified();
    return wait.block(limit, [&] { return try_consume(wait.seen_); });
}

} // namespace rt

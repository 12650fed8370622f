// SPDX-License-Identifier: MIT
//
// Waiting for permits, for rt::semaphore and rt::rwlock. The protocol is in rt/sync/semaphore.h.
//
// Threads: any. Only the first in line is ever looked at, so a large request is not overtaken; when
// it gives up, those behind it may be served at once.
#include "base/assert.h"

#include <rt/sync/semaphore.h>

#include <algorithm>

namespace rt::detail {

const sync_wait_type permit_wait::semaphore_type{
    &enroll, &withdraw, wait_kind::semaphore, &give_back};
const sync_wait_type permit_wait::rwlock_type{
    &enroll, &withdraw, wait_kind::mutex, &give_back, "rwlock"};

bool permit_wait::enroll(sync_wait* waiter) noexcept {
    auto* const self = static_cast<permit_wait*>(waiter);
    return self->pool()->enroll(self);
}

wait_node::cancel_result permit_wait::withdraw(wait_node* node) noexcept {
    auto* const self = static_cast<permit_wait*>(node);
    return self->pool()->withdraw(self) ? cancel_result::detached : cancel_result::in_flight;
}

void permit_wait::give_back(sync_wait* waiter) noexcept {
    auto* const self = static_cast<permit_wait*>(waiter);
    if (!self->is_refused_) {
        if (self->is_exclusive_) {
            self->pool()->note_owner(nullptr);
        }
        self->pool()->release(self->count_);
    }
}

bool permit_pool::enroll(permit_wait* waiter) noexcept {
    const sync_guard hold(lock_);
    std::uint64_t word = word_.load_relaxed();
    for (;;) {
        if ((word & closed) != 0) { // set under lock_
            waiter->is_refused_ = true;
            return false;
        }
        if ((word & waiting) != 0) {
            break;
        }
        if (word >> permit_shift >= waiter->count()) {
            // acquire: pairs with release().
            if (word_.cas_weak_acquire(word, word - permits_of(waiter->count()))) {
                return false;
            }
        } else if (word_.cas_weak_relaxed(word, word | waiting)) {
            break; // relaxed: lock_ orders the list; a release that comes after it sees the bit
        }
    }
    waiters_.push_back(waiter);
    return true;
}

bool permit_pool::withdraw(permit_wait* waiter) noexcept {
    wake_list ready;
    {
        const sync_guard hold(lock_);
        if (!waiters_.remove(waiter)) {
            return false;
        }
        grant_locked(ready); // it may have stood before others that want less
    }
    ready.wake_all();
    return true;
}

// Somebody waits, or did a moment ago. Under lock_ permits are added only while somebody does: then
// nobody has all of them before lock_ is given back.
void permit_pool::release_slow(std::uint32_t count) noexcept {
    do {
        wake_list ready;
        sync_guard hold(lock_);
        if (!waiters_.is_empty()) {
            // release: pairs with grant_locked and, once nobody waits, with try_acquire.
            word_.add_release(permits_of(count));
            grant_locked(ready);
            hold.unlock();
            ready.wake_all();
            return;
        }
    } while (!try_release(count));
}

void permit_pool::close() noexcept {
    wake_list refused;
    {
        const sync_guard hold(lock_);
        // release: pairs with is_closed.
        word_.or_release(closed);
        word_.and_relaxed(~waiting); // relaxed: lock_ orders the list
        while (!waiters_.is_empty()) {
            auto* const waiter = static_cast<permit_wait*>(waiters_.pop_front());
            waiter->is_refused_ = true;
            refused.add(waiter);
        }
    }
    refused.wake_all();
}

std::uint32_t permit_pool::take_free(std::uint32_t count) noexcept {
    const sync_guard hold(lock_); // while somebody waits, the word is changed under it only
    std::uint64_t word = word_.load_relaxed();
    for (;;) {
        const auto taken =
            static_cast<std::uint32_t>(std::min<std::uint64_t>(word >> permit_shift, count));
        if (taken == 0) {
            return 0;
        }
        // acquire: pairs with the release in release().
        if (word_.cas_weak_acquire(word, word - permits_of(taken))) {
            return taken;
        }
    }
}

void permit_pool::grant_locked(wake_list& ready) noexcept {
    while (!waiters_.is_empty()) {
        const auto* const first = static_cast<permit_wait*>(waiters_.front());
        const std::uint64_t wanted = permits_of(first->count());
        // relaxed: while somebody waits, the word is changed under lock_ only.
        if (word_.load_relaxed() >> permit_shift < first->count()) {
            return;
        }
        // acquire: pairs with every release() whose permits these are; the wake-up passes it on.
        const std::uint64_t before = word_.sub_acquire(wanted);
        RT_ASSERT(before >= wanted);
        if (first->is_exclusive()) {
            note_owner(first->task); // before anybody can see that it does not wait any more
        }
        ready.add(waiters_.pop_front());
    }
    word_.and_relaxed(~waiting);
}

} // namespace rt::detail

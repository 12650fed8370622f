// SPDX-License-Identifier: MIT
//
// The lock of one synchronisation object: one byte, held for a handful of instructions.
//
// It is not base::spin_lock, because mutexes and channels are members of user objects and their
// headers must know its size. Under it only links and counters of the object are touched: no user
// code runs, nothing is allocated, no task is woken and no other lock is taken, so it needs no
// rank. A waiter spins, then yields, then naps: a holder that was put off its CPU does not come
// back sooner by spinning, and under real-time priorities not even by yielding.
//
// Rejected: a futex word, whose unlock is a read-modify-write (5 ns) instead of a store.
// Threads: any.
#pragma once

#include <rt/detail/atomic.h>
#include <rt/detail/config.h>

#include <cstdint>

namespace rt::detail {

// Pauses in a loop that waits for another thread to do a few instructions; longer with each round.
RT_API void back_off(std::uint32_t round) noexcept;

class sync_lock {
public:
    constexpr sync_lock() noexcept = default;
    sync_lock(const sync_lock&) = delete;
    sync_lock& operator=(const sync_lock&) = delete;

    void lock() noexcept {
        // acquire: pairs with the release in unlock, of this lock's previous holder.
        if (state_.exchange_acquire(held) != free) [[unlikely]] {
            lock_slow();
        }
    }

    // release: pairs with the acquire in lock and lock_slow of the next holder.
    void unlock() noexcept { state_.store_release(free); }

private:
    static constexpr std::uint8_t free = 0;
    static constexpr std::uint8_t held = 1;

    RT_API void lock_slow() noexcept;

    atomic<std::uint8_t> state_{free};
};

// Holds the lock for a scope; unlock() ends it early, for the caller that must wake someone.
class [[nodiscard]] sync_guard {
public:
    explicit sync_guard(sync_lock& lock) noexcept
        : lock_(&lock) {
        lock.lock();
    }
    sync_guard(const sync_guard&) = delete;
    sync_guard& operator=(const sync_guard&) = delete;
    ~sync_guard() { unlock(); }

    void unlock() noexcept {
        if (lock_ != nullptr) {
            lock_->unlock();
            lock_ = nullptr;
        }
    }

private:
    sync_lock* lock_;
};

} // namespace rt::detail

// SPDX-License-Identifier: MIT
//
// The two locks of the library, and their scoped guard.
//
// spin_lock (2 bytes): for a handful of instructions on a word that is rarely contended, embedded
// where size matters: a join slot, a shard. It spins, then yields, then naps, because a holder that
// was put off its CPU does not come back sooner by spinning, and under real-time priorities not at
// all by yielding. futex_lock (8 bytes): for anything longer or contended; it spins a little and
// then sleeps in the kernel (Drepper's three-state mutex).
//
// Any thread may take them; the thread that took one releases it. Each has a rank (lock_rank.h),
// checked when debug_checks is on. Under one: bounded work, no system call that can sleep, no
// allocation, no user code, no resume of a coroutine. Neither is recursive; neither is fair.
//
// Rejected: std::mutex (40 bytes, no ranks, no chaos), ticket and MCS locks (a waiter that lost its
// CPU then stops everybody behind it).
#pragma once

#include "base/assert.h"
#include "base/lock_rank.h"

#include <rt/detail/atomic.h>

#include <concepts>
#include <cstdint>

namespace rt::base {

/// For the debug build's book-keeping; the locks call these.
void lock_rank_acquired(const void* lock, lock_rank rank, bool is_try) noexcept;
void lock_rank_released(const void* lock, lock_rank rank) noexcept;

/// True when this thread holds a lock of that very object. Known in debug builds only; otherwise
/// true.
[[nodiscard]] bool is_lock_held(const void* lock) noexcept;

class spin_lock {
public:
    constexpr explicit spin_lock(lock_rank rank) noexcept
        : rank_(rank) {}
    spin_lock(const spin_lock&) = delete;
    spin_lock& operator=(const spin_lock&) = delete;

    void lock() noexcept {
        if constexpr (debug_checks) {
            lock_rank_acquired(this, rank_, false);
        }
        // acquire: pairs with the release in unlock, of this lock's previous holder.
        if (state_.exchange_acquire(held) != free) {
            lock_slow();
        }
    }

    [[nodiscard]] bool try_lock() noexcept {
        // acquire: pairs with the release in unlock. The load keeps a failing try from taking the
        // line.
        if (state_.load_relaxed() != free || state_.exchange_acquire(held) != free) {
            return false;
        }
        if constexpr (debug_checks) {
            lock_rank_acquired(this, rank_, true);
        }
        return true;
    }

    void unlock() noexcept {
        RT_DEBUG_ASSERT(state_.load_relaxed() == held);
        if constexpr (debug_checks) {
            lock_rank_released(this, rank_);
        }
        // release: pairs with the acquire in lock and try_lock of the next holder.
        state_.store_release(free);
    }

private:
    static constexpr std::uint8_t free = 0;
    static constexpr std::uint8_t held = 1;

    void lock_slow() noexcept;

    atomic<std::uint8_t> state_{free};
    const lock_rank rank_;
};

static_assert(sizeof(spin_lock) == 2);

class futex_lock {
public:
    constexpr explicit futex_lock(lock_rank rank) noexcept
        : rank_(rank) {}
    futex_lock(const futex_lock&) = delete;
    futex_lock& operator=(const futex_lock&) = delete;

    void lock() noexcept {
        if constexpr (debug_checks) {
            lock_rank_acquired(this, rank_, false);
        }
        std::uint32_t seen = free;
        // acquire: pairs with the release in unlock, of this lock's previous holder.
        if (!state_.cas_strong_acquire(seen, held)) {
            (void)lock_slow(wait_for_ever);
        }
    }

    [[nodiscard]] bool try_lock() noexcept {
        std::uint32_t seen = free;
        // acquire: pairs with the release in unlock.
        if (!state_.cas_strong_acquire(seen, held)) {
            return false;
        }
        if constexpr (debug_checks) {
            lock_rank_acquired(this, rank_, true);
        }
        return true;
    }

    /// Gives up after about `timeout_ns`: for a watcher that must answer even if a holder is stuck.
    [[nodiscard]] bool try_lock_for(std::uint64_t timeout_ns) noexcept;

    void unlock() noexcept {
        if constexpr (debug_checks) {
            lock_rank_released(this, rank_);
        }
        // release: pairs with the acquire in lock, try_lock and lock_slow of the next holder.
        const std::uint32_t old = state_.exchange_release(free);
        RT_DEBUG_ASSERT(old != free);
        if (old == held_with_waiters) {
            wake_one();
        }
    }

private:
    static constexpr std::uint32_t free = 0;
    static constexpr std::uint32_t held = 1;
    static constexpr std::uint32_t held_with_waiters = 2;
    static constexpr std::uint64_t wait_for_ever = ~std::uint64_t{0};

    bool lock_slow(std::uint64_t timeout_ns) noexcept;
    void wake_one() noexcept;

    atomic<std::uint32_t> state_{free};
    const lock_rank rank_;
};

static_assert(sizeof(futex_lock) == 8);

template<class L>
concept lockable = requires(L& lock) {
    lock.lock();
    lock.unlock();
    { lock.try_lock() } -> std::same_as<bool>;
};

static_assert(lockable<spin_lock> && lockable<futex_lock>);

/// Holds a lock for a scope: `guard hold(lock_);`. unlock() ends it early, for the caller that must
/// wake someone outside the lock.
template<lockable L>
class [[nodiscard]] guard {
public:
    explicit guard(L& lock) noexcept
        : lock_(&lock) {
        lock.lock();
    }
    guard(const guard&) = delete;
    guard& operator=(const guard&) = delete;
    ~guard() { unlock(); }

    void unlock() noexcept {
        if (lock_ != nullptr) {
            lock_->unlock();
            lock_ = nullptr;
        }
    }

private:
    L* lock_;
};

/// Holds a lock for a scope if it could be had at once: `if (try_guard hold(lock_); hold) {…}`.
template<lockable L>
class [[nodiscard]] try_guard {
public:
    explicit try_guard(L& lock) noexcept
        : lock_(lock.try_lock() ? &lock : nullptr) {}
    try_guard(const try_guard&) = delete;
    try_guard& operator=(const try_guard&) = delete;
    ~try_guard() {
        if (lock_ != nullptr) {
            lock_->unlock();
        }
    }

    explicit operator bool() const noexcept { return lock_ != nullptr; }

private:
    L* lock_;
};

} // namespace rt::base

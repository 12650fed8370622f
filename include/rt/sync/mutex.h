// SPDX-License-Identifier: MIT
//
// rt::mutex: mutual exclusion that may be held across co_await.
//
//     rt::mutex lock;
//     {
//         rt::mutex::guard held = co_await lock.lock();
//         co_await change(shared);
//     }                                                // unlocks
//
// A lock that nobody waits for costs one compare-and-swap to take and one to give back. It is fair:
// unlock hands it to the one that has waited longest, and nobody can come in between. Where nothing
// is awaited under the lock, std::mutex is cheaper and just as good.
//
// Protocol. state_ is contended exactly while waiters_ is not empty, seen under lock_: both changes
// of that are made under it, by a waiter that comes and by whoever takes the last one out. free ->
// held and held -> free are compare-and-swaps without it; the latter is the last access of an
// unlock, because the next holder may destroy the mutex. A hand-over does not pass through free.
#pragma once

#include <rt/detail/atomic.h>
#include <rt/detail/config.h>
#include <rt/detail/context.h>
#include <rt/detail/sync_lock.h>
#include <rt/detail/wait_queue.h>
#include <rt/time_limit.h>

#include <coroutine>
#include <cstdint>
#include <utility>

namespace rt {

class RT_API mutex : detail::owned_object {
public:
    /// Holds the mutex; gives it back when destroyed. Movable. An empty one holds nothing.
    class [[nodiscard]] guard {
    public:
        guard() noexcept = default;
        guard(guard&& other) noexcept
            : mutex_(std::exchange(other.mutex_, nullptr)) {}
        guard& operator=(guard&& other) noexcept {
            guard old(std::move(*this));
            mutex_ = std::exchange(other.mutex_, nullptr);
            return *this;
        }
        ~guard() { unlock(); }

        explicit operator bool() const noexcept { return mutex_ != nullptr; }
        /// Gives the mutex back before the end of the scope.
        void unlock() noexcept {
            if (mutex_ != nullptr) {
                std::exchange(mutex_, nullptr)->release();
            }
        }

    private:
        friend class mutex;
        explicit guard(mutex* held) noexcept
            : mutex_(held) {}

        mutex* mutex_ = nullptr;
    };

    class [[nodiscard]] lock_awaiter : detail::sync_wait {
    public:
        bool await_ready() noexcept { return take_budget() && target()->try_acquire(); }
        template<typename Promise>
        bool await_suspend(std::coroutine_handle<Promise> self) noexcept {
            return suspend(self.address());
        }
        guard await_resume() noexcept { return guard(target()); }

    private:
        friend class mutex;
        explicit lock_awaiter(mutex* target) noexcept
            : sync_wait(wait_type, target) {}

        [[nodiscard]] mutex* target() const noexcept { return static_cast<mutex*>(object()); }
    };

    constexpr mutex() noexcept = default;
    mutex(const mutex&) = delete;
    mutex& operator=(const mutex&) = delete;

    /// Waits for the mutex. Not recursive: a task that holds it already waits for ever.
    /// Requires: awaited in a task. Threads: any. Cancel: safe; a place in the queue is given up,
    /// a mutex that was being handed over is delivered, or goes on (man rt_select(3)).
    lock_awaiter lock() noexcept { return lock_awaiter(this); }

    /// The mutex if it is free, else an empty guard. Threads: any.
    [[nodiscard]] guard try_lock() noexcept { return guard(try_acquire() ? this : nullptr); }

    /// The same as lock, for threads that run no task: the thread sleeps. Aborts inside a task. An
    /// empty guard once `limit` has passed.
    [[nodiscard]] guard blocking_lock(time_limit limit = {}) noexcept;

    /// Whether somebody holds it, as of a moment ago.
    [[nodiscard]] bool is_locked() const noexcept { return state_.load_relaxed() != free; }

private:
    static constexpr std::uint32_t free = 0;
    static constexpr std::uint32_t held = 1;
    static constexpr std::uint32_t contended = 2;

    static const detail::sync_wait_type wait_type;

    [[nodiscard]] bool try_acquire() noexcept {
        std::uint32_t seen = free;
        // acquire: pairs with the release in release().
        if (!state_.cas_strong_acquire(seen, held)) {
            return false;
        }
        note_owner(detail::this_thread.task);
        return true;
    }

    void release() noexcept {
        note_owner(nullptr);
        std::uint32_t seen = held;
        // release: pairs with the acquire in try_acquire.
        if (!state_.cas_strong_release(seen, free)) {
            hand_over();
        }
    }

    void hand_over() noexcept;
    static bool enroll(detail::sync_wait* waiter) noexcept;
    static detail::wait_node::cancel_result withdraw(detail::wait_node* node) noexcept;
    static void give_back(detail::sync_wait* waiter) noexcept;

    atomic<std::uint32_t> state_{free};
    detail::sync_lock lock_;
    detail::wait_list waiters_; // guarded by lock_
};

} // namespace rt

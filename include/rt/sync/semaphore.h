// SPDX-License-Identifier: MIT
//
// rt::semaphore: a number of permits that tasks take and give back.
//
//     rt::semaphore slots(64);
//     rt::semaphore::permit slot = co_await slots.acquire();   // gives it back when destroyed
//
// Fair: who asks first gets its permits first, and while somebody waits for many, nobody overtakes
// it with a request for one. Taking and giving back without waiting is one compare-and-swap each.
//
// Protocol. word_ holds the free permits above the bits `waiting` and `closed`. Under lock_
// `waiting` is set exactly while waiters_ is not empty; `closed` is set under lock_, once, and from
// then on nothing is taken and nobody waits. While `waiting` is clear, permits are taken and added
// with one compare-and-swap; while it is set, both are done under lock_ only, and whoever adds
// permits grants them. So the last access of a release comes before anybody knows of its permits,
// and the one that has collected them all may destroy the semaphore.
#pragma once

#include <rt/detail/atomic.h>
#include <rt/detail/config.h>
#include <rt/detail/sync_lock.h>
#include <rt/detail/wait_queue.h>
#include <rt/time_limit.h>

#include <coroutine>
#include <cstdint>
#include <utility>

namespace rt {

namespace detail {

class permit_wait;

// What semaphore and rwlock are made of. Begins with the owner, which only rwlock fills in: when a
// guard is made, and before that when the lock is handed over.
class RT_API permit_pool : public owned_object {
public:
    constexpr explicit permit_pool(std::uint64_t permits) noexcept
        : word_(permits << permit_shift) {}

    [[nodiscard]] bool try_acquire(std::uint32_t count) noexcept {
        std::uint64_t word = word_.load_relaxed();
        while ((word & (waiting | closed)) == 0 && word >> permit_shift >= count) {
            // acquire: pairs with the release in release().
            if (word_.cas_weak_acquire(word, word - permits_of(count))) {
                return true;
            }
        }
        return false;
    }

    void release(std::uint32_t count) noexcept {
        if (!try_release(count)) [[unlikely]] {
            release_slow(count);
        }
    }

    // Refuses those that wait and those that come later.
    void close() noexcept;
    // Takes what is free, at most `count`, also past those that wait. How many they were.
    [[nodiscard]] std::uint32_t take_free(std::uint32_t count) noexcept;

    [[nodiscard]] bool is_closed() const noexcept {
        return (word_.load_acquire() & closed) != 0; // acquire: pairs with close()
    }
    [[nodiscard]] std::uint64_t available() const noexcept {
        return word_.load_relaxed() >> permit_shift;
    }

private:
    friend class permit_wait;

    static constexpr std::uint64_t waiting = 1;
    static constexpr std::uint64_t closed = 2;
    static constexpr unsigned permit_shift = 2;

    static constexpr std::uint64_t permits_of(std::uint32_t count) noexcept {
        return std::uint64_t{count} << permit_shift;
    }

    // False: somebody waits. True: the pool may be gone, with whoever has taken all permits.
    [[nodiscard]] bool try_release(std::uint32_t count) noexcept {
        std::uint64_t word = word_.load_relaxed();
        while ((word & waiting) == 0) {
            // release: pairs with the acquire in try_acquire, enroll and grant_locked.
            if (word_.cas_weak_release(word, word + permits_of(count))) {
                return true;
            }
        }
        return false;
    }

    bool enroll(permit_wait* waiter) noexcept;
    bool withdraw(permit_wait* waiter) noexcept;
    void release_slow(std::uint32_t count) noexcept;
    void grant_locked(wake_list& ready) noexcept;

    atomic<std::uint64_t> word_;
    sync_lock lock_;
    wait_list waiters_; // guarded by lock_
};

// Waits for `count` permits. Cancel: safe; permits that were granted meanwhile are delivered.
class RT_API permit_wait : public sync_wait {
public:
    static const sync_wait_type semaphore_type;
    static const sync_wait_type rwlock_type;

    permit_wait(const sync_wait_type& type, permit_pool* pool, std::uint32_t count) noexcept
        : sync_wait(type, pool)
        , count_(count)
        , is_exclusive_(&type == &rwlock_type && count != 1) {}

    bool await_ready() noexcept { return take_budget() && pool()->try_acquire(count_); }
    template<typename Promise>
    bool await_suspend(std::coroutine_handle<Promise> self) noexcept {
        return suspend(self.address());
    }

    [[nodiscard]] permit_pool* pool() const noexcept { return static_cast<permit_pool*>(object()); }
    [[nodiscard]] std::uint32_t count() const noexcept { return count_; }
    // Whether it makes its task the owner: an rwlock is written by one.
    [[nodiscard]] bool is_exclusive() const noexcept { return is_exclusive_; }
    // Whether the pool was closed instead.
    [[nodiscard]] bool is_refused() const noexcept { return is_refused_; }

private:
    friend class permit_pool;
    static bool enroll(sync_wait* waiter) noexcept;
    static cancel_result withdraw(wait_node* node) noexcept;
    static void give_back(sync_wait* waiter) noexcept;

    const std::uint32_t count_;
    const bool is_exclusive_;
    bool is_refused_ = false; // under the pool's lock, before the waiter is woken
};

} // namespace detail

class semaphore {
public:
    /// Holds some permits and gives them back when destroyed. Movable. An empty one holds none.
    class [[nodiscard]] permit {
    public:
        permit() noexcept = default;
        permit(permit&& other) noexcept
            : pool_(std::exchange(other.pool_, nullptr))
            , count_(std::exchange(other.count_, 0)) {}
        permit& operator=(permit&& other) noexcept {
            permit old(std::move(*this));
            pool_ = std::exchange(other.pool_, nullptr);
            count_ = std::exchange(other.count_, 0);
            return *this;
        }
        ~permit() { release(); }

        explicit operator bool() const noexcept { return pool_ != nullptr; }
        [[nodiscard]] std::uint32_t count() const noexcept { return count_; }
        /// Gives the permits back before the end of the scope.
        void release() noexcept {
            if (pool_ != nullptr) {
                std::exchange(pool_, nullptr)->release(std::exchange(count_, 0));
            }
        }
        /// Keeps the permits from ever being given back: the semaphore has fewer from now on.
        void forget() noexcept {
            pool_ = nullptr;
            count_ = 0;
        }

    private:
        friend class semaphore;
        permit(detail::permit_pool* pool, std::uint32_t count) noexcept
            : pool_(pool)
            , count_(count) {}

        detail::permit_pool* pool_ = nullptr;
        std::uint32_t count_ = 0;
    };

    class [[nodiscard]] acquire_awaiter : detail::permit_wait {
    public:
        using permit_wait::await_ready;
        using permit_wait::await_suspend;
        permit await_resume() noexcept { return is_refused() ? permit() : permit(pool(), count()); }

    private:
        friend class semaphore;
        acquire_awaiter(detail::permit_pool* pool, std::uint32_t count) noexcept
            : permit_wait(semaphore_type, pool, count) {}
    };

    constexpr explicit semaphore(std::uint32_t permits) noexcept
        : pool_(permits) {}
    semaphore(const semaphore&) = delete;
    semaphore& operator=(const semaphore&) = delete;

    /// Waits for `count` permits, all of them at once. More than the semaphore will ever have:
    /// waits for ever, and those that come later with it.
    /// Requires: awaited in a task. Threads: any. Cancel: safe; a place in the queue is given up,
    /// permits that were granted meanwhile are delivered, or go back (man rt_select(3)). Errors: an
    /// empty permit, once the semaphore is closed.
    acquire_awaiter acquire(std::uint32_t count = 1) noexcept { return {&pool_, count}; }

    /// The permits if they are free, nobody waits and the semaphore is not closed, else an empty
    /// permit. Threads: any.
    [[nodiscard]] permit try_acquire(std::uint32_t count = 1) noexcept {
        return pool_.try_acquire(count) ? permit(&pool_, count) : permit();
    }

    /// The same as acquire, for threads that run no task: the thread sleeps. Aborts inside a task.
    /// An empty permit once `limit` has passed, too.
    [[nodiscard]] permit blocking_acquire(std::uint32_t count = 1, time_limit limit = {}) noexcept {
        acquire_awaiter wait(&pool_, count);
        return wait.block(limit, [&] { return pool_.try_acquire(count); }) ? wait.await_resume()
                                                                           : permit();
    }
    [[nodiscard]] permit blocking_acquire(time_limit limit) noexcept {
        return blocking_acquire(1, limit);
    }

    /// Gives an empty permit to those that wait, and to those that come later. What is held can
    /// still be given back. Threads: any.
    void close() noexcept { pool_.close(); }
    [[nodiscard]] bool is_closed() const noexcept { return pool_.is_closed(); }

    /// Adds permits, whether or not they were acquired before. Threads: any.
    void release(std::uint32_t count = 1) noexcept { pool_.release(count); }

    /// Takes free permits out for good, at most `count`. How many they were: what is held, or was
    /// promised to somebody, is not among them. Threads: any.
    std::uint32_t forget_permits(std::uint32_t count) noexcept { return pool_.take_free(count); }

    /// Free permits, as of a moment ago.
    [[nodiscard]] std::uint64_t available() const noexcept { return pool_.available(); }

private:
    detail::permit_pool pool_;
};

} // namespace rt

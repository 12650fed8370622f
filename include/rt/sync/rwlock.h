// SPDX-License-Identifier: MIT
//
// rt::rwlock: many readers or one writer, held across co_await.
//
//     rt::rwlock lock;
//     { rt::rwlock::read_guard reading = co_await lock.read(); ... }
//     { rt::rwlock::write_guard writing = co_await lock.write(); ... }
//
// It is a semaphore: a reader takes one permit and a writer takes all of them. Hence it is fair to
// both sides: a writer waits for the readers that came before it and for no others. Hence also a
// task that holds a read guard and asks for another may wait for a writer that waits for the first
// guard: take one, and pass it on.
#pragma once

#include <rt/detail/config.h>
#include <rt/detail/context.h>
#include <rt/sync/semaphore.h>
#include <rt/time_limit.h>

#include <coroutine>
#include <cstdint>
#include <utility>

namespace rt {

class rwlock {
    // Readers at the same time; more of them wait. Far above any number of tasks.
    static constexpr std::uint32_t readers_max = 1U << 29U;

    template<std::uint32_t Permits>
    class basic_guard {
    public:
        static constexpr std::uint32_t permits = Permits;

        basic_guard() noexcept = default;
        basic_guard(basic_guard&& other) noexcept
            : pool_(std::exchange(other.pool_, nullptr)) {}
        basic_guard& operator=(basic_guard&& other) noexcept {
            basic_guard old(std::move(*this));
            pool_ = std::exchange(other.pool_, nullptr);
            return *this;
        }
        ~basic_guard() { unlock(); }

        explicit operator bool() const noexcept { return pool_ != nullptr; }
        /// Gives the lock back before the end of the scope.
        void unlock() noexcept {
            if (pool_ != nullptr) {
                if constexpr (Permits != 1) {
                    pool_->note_owner(nullptr);
                }
                std::exchange(pool_, nullptr)->release(Permits);
            }
        }

    protected:
        friend class rwlock;
        explicit basic_guard(detail::permit_pool* held) noexcept
            : pool_(held) {
            if constexpr (Permits != 1) {
                pool_->note_owner(detail::this_thread.task);
            }
        }

        detail::permit_pool* pool_ = nullptr;
    };

    template<typename Guard, std::uint32_t Permits>
    class [[nodiscard]] basic_awaiter : detail::permit_wait {
    public:
        using permit_wait::await_ready;
        using permit_wait::await_suspend;
        Guard await_resume() noexcept { return Guard(pool()); }

    private:
        friend class rwlock;
        explicit basic_awaiter(detail::permit_pool* pool) noexcept
            : permit_wait(rwlock_type, pool, Permits) {}
    };

public:
    /// Holds the lock together with other readers. Movable; gives it back when destroyed.
    class [[nodiscard]] read_guard : public basic_guard<1> {
    public:
        using basic_guard::basic_guard;
    };

    /// Holds the lock alone. Movable; gives it back when destroyed.
    class [[nodiscard]] write_guard : public basic_guard<readers_max> {
    public:
        using basic_guard::basic_guard;

        /// Becomes a reader without letting a writer in between; readers that wait next come in.
        [[nodiscard]] read_guard downgrade() && noexcept {
            detail::permit_pool* const pool = std::exchange(pool_, nullptr);
            pool->note_owner(nullptr);
            pool->release(readers_max - 1);
            return read_guard(pool);
        }
    };

    using read_awaiter = basic_awaiter<read_guard, 1>;
    using write_awaiter = basic_awaiter<write_guard, readers_max>;

    constexpr rwlock() noexcept
        : pool_(readers_max) {}
    rwlock(const rwlock&) = delete;
    rwlock& operator=(const rwlock&) = delete;

    /// Wait for the lock, in the order of the calls, readers next to one another together.
    /// Requires: awaited in a task. Threads: any. Cancel: safe; a place in the queue is given up, a
    /// lock that was granted meanwhile is delivered, or goes on (man rt_select(3)).
    read_awaiter read() noexcept { return read_awaiter(&pool_); }
    write_awaiter write() noexcept { return write_awaiter(&pool_); }

    /// The lock if it can be had at once, else an empty guard. Threads: any.
    [[nodiscard]] read_guard try_read() noexcept {
        return pool_.try_acquire(1) ? read_guard(&pool_) : read_guard();
    }
    [[nodiscard]] write_guard try_write() noexcept {
        return pool_.try_acquire(readers_max) ? write_guard(&pool_) : write_guard();
    }

    /// The same as read and write, for threads that run no task: the thread sleeps. They abort
    /// inside a task. An empty guard once `limit` has passed.
    [[nodiscard]] read_guard blocking_read(time_limit limit = {}) noexcept {
        return block<read_guard>(limit);
    }
    [[nodiscard]] write_guard blocking_write(time_limit limit = {}) noexcept {
        return block<write_guard>(limit);
    }

private:
    template<typename Guard>
    [[nodiscard]] Guard block(time_limit limit) noexcept {
        detail::permit_wait wait(detail::permit_wait::rwlock_type, &pool_, Guard::permits);
        return wait.block(limit, [this] { return pool_.try_acquire(Guard::permits); })
            ? Guard(&pool_)
            : Guard();
    }

    detail::permit_pool pool_;
};

} // namespace rt

// SPDX-License-Identifier: MIT
//
// rt::barrier: a number of tasks wait for one another, again and again.
//
//     rt::barrier all(4);
//     if (co_await all.wait()) { summarise(); }   // true for one of the four
//
// The last to arrive lets everybody go and is the leader of the round; then a new round begins.
// A task that is cancelled while it waits has not arrived: the round waits for another one.
//
// arrived_ and waiters_ are guarded by lock_: everything here is under it.
#pragma once

#include <rt/detail/config.h>
#include <rt/detail/sync_lock.h>
#include <rt/detail/wait_queue.h>

#include <coroutine>
#include <cstdint>

namespace rt {

class RT_API barrier {
public:
    class [[nodiscard]] wait_awaiter : detail::sync_wait {
    public:
        bool await_ready() noexcept { return take_budget() && is_leader_; }
        template<typename Promise>
        bool await_suspend(std::coroutine_handle<Promise> self) noexcept {
            return suspend(self.address());
        }
        bool await_resume() const noexcept { return is_leader_; }

    private:
        friend class barrier;
        explicit wait_awaiter(barrier* target) noexcept
            : sync_wait(wait_type, target)
            , is_leader_(target->count_ <= 1) {}

        [[nodiscard]] barrier* target() const noexcept { return static_cast<barrier*>(object()); }

        bool is_leader_; // from the beginning, if nobody else is needed
    };

    /// A barrier for `count` tasks. For 0 and 1 nobody ever waits.
    constexpr explicit barrier(std::uint32_t count) noexcept
        : count_(count) {}
    barrier(const barrier&) = delete;
    barrier& operator=(const barrier&) = delete;

    /// Waits until `count` tasks wait. True for the one that came last.
    /// Requires: awaited in a task. Threads: any. Cancel: safe; a task that has not been let go is
    /// taken back out of the round.
    wait_awaiter wait() noexcept { return wait_awaiter(this); }

    /// The same for threads that run no task: the thread sleeps. Aborts inside a task.
    bool blocking_wait() noexcept;

private:
    static const detail::sync_wait_type wait_type;

    static bool enroll(detail::sync_wait* waiter) noexcept;
    static detail::wait_node::cancel_result withdraw(detail::wait_node* node) noexcept;

    const std::uint32_t count_;
    std::uint32_t arrived_ = 0; // length of waiters_
    detail::sync_lock lock_;
    detail::wait_list waiters_;
};

} // namespace rt

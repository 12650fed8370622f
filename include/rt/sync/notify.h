// SPDX-License-Identifier: MIT
//
// rt::notify: wakes one task, or all that wait. It carries no data; the data are elsewhere.
//
//     co_await work.notified();        // here
//     work.notify_one();               // there
//
// notify_one with nobody waiting is kept, once: the next one to wait goes on at once. So "change
// the data, notify_one" on one side and "look at the data, co_await notified()" in a loop on the
// other lose nothing. notify_waiters wakes everybody who waits, and those who have called
// notified() but have not awaited it yet: call it before looking at the data, await it afterwards.
//
// Protocol. word_ holds the bit `permit`, the bit `waiting`, and above them the number of
// notify_waiters calls. Under lock_ `waiting` is set exactly while waiters_ is not empty, and is
// never set together with `permit`. While it is set, only the holder of lock_ changes the word.
#pragma once

#include <rt/detail/atomic.h>
#include <rt/detail/config.h>
#include <rt/detail/context.h>
#include <rt/detail/sync_lock.h>
#include <rt/detail/wait_queue.h>
#include <rt/time_limit.h>

#include <coroutine>
#include <cstdint>

namespace rt {

class RT_API notify {
public:
    class [[nodiscard]] notified_awaiter : detail::sync_wait {
    public:
        bool await_ready() noexcept { return take_budget() && target()->try_consume(seen_); }
        template<typename Promise>
        bool await_suspend(std::coroutine_handle<Promise> self) noexcept {
            return suspend(self.address());
        }
        void await_resume() const noexcept {}

    private:
        friend class notify;
        notified_awaiter(notify* target, std::uint64_t seen) noexcept
            : sync_wait(wait_type, target)
            , seen_(seen) {}

        [[nodiscard]] notify* target() const noexcept { return static_cast<notify*>(object()); }

        // A turn that takes one permit after another, with nothing else in between, has a notifier
        // that is at work meanwhile, and so on another CPU: see comes_at_once.
        static bool is_in_streak(const detail::context& self) noexcept {
            return self.permit_budget == self.budget + 1;
        }
        static void count_permit() noexcept {
            detail::context& self = detail::this_thread;
            self.permit_streak = is_in_streak(self) ? self.permit_streak + 1 : 1;
            self.permit_budget = self.budget;
        }

        // The word, of the round when this was made. Of a waiter: the round, and from when it has
        // been chosen the bit `permit`, with `waiting` if it was chosen as the newest.
        std::uint64_t seen_;
    };

    constexpr notify() noexcept = default;
    notify(const notify&) = delete;
    notify& operator=(const notify&) = delete;

    /// Waits for a notification, in the order in which waiting began.
    /// Requires: awaited in a task. Threads: any. Cancel: safe; a notification that chose this task
    /// meanwhile is delivered to it, or passed on if it is a part that has lost a select.
    notified_awaiter notified() noexcept { return {this, word_.load_acquire()}; }

    /// The same for threads that run no task: the thread sleeps. Aborts inside a task.
    void blocking_wait() noexcept { static_cast<void>(blocking_wait(time_limit())); }
    /// The same, until `limit` passes. False: it has, without a notification.
    [[nodiscard]] bool blocking_wait(time_limit limit) noexcept;

    /// Wakes the task that has waited longest, or lets the next one that waits go on at once.
    /// Threads: any.
    void notify_one() noexcept {
        if (!try_keep()) {
            wake_one(false);
        }
    }

    /// The same, but wakes the task that has waited for the shortest time: its data are warm.
    void notify_last() noexcept {
        if (!try_keep()) {
            wake_one(true);
        }
    }

    /// Wakes everybody who waits. Nothing is kept. Threads: any.
    void notify_waiters() noexcept;

private:
    static constexpr std::uint64_t permit = 1;
    static constexpr std::uint64_t waiting = 2;
    static constexpr std::uint64_t one_round = 4;

    static const detail::sync_wait_type wait_type;

    // Changes the word to `next` of it, unless somebody waits.
    template<typename Next>
    [[nodiscard]] bool try_change(Next next) noexcept {
        std::uint64_t word = word_.load_relaxed();
        while ((word & waiting) == 0) {
            // release: pairs with the acquire in notified() and try_consume. Needed even if the
            // permit is there already: what was done before this call must be seen by the one that
            // takes it.
            if (word_.cas_weak_release(word, next(word))) {
                return true;
            }
        }
        return false;
    }

    // Leaves a permit, unless somebody waits.
    [[nodiscard]] bool try_keep() noexcept {
        return try_change([](std::uint64_t word) { return word | permit; });
    }

    static constexpr std::uint64_t round_of(std::uint64_t word) noexcept {
        return word & ~(permit | waiting);
    }

    // Goes on at once if there was a notify_waiters since the word was `seen`, or there is a permit
    // to take. False: `seen` becomes what it has seen now, of the same round.
    //
    // It swaps before it has looked, because looking first would fetch the line twice from a thread
    // that notifies all the time, once to read and once to write: without a look perf-sched
    // notify_one_10, _100 and _500 take 0.60, 0.66 and 0.85 of the time, two workers, medians of 5.
    // A task that has to wait pays a swap that fails, and notify_pingpong_1000rt takes 1.03.
    [[nodiscard]] bool try_consume(std::uint64_t& seen) noexcept {
        const std::uint64_t round = round_of(seen);
        seen = round | permit;
        do {
            // acquire: pairs with the release of notify_one and notify_waiters.
            if (word_.cas_weak_acquire(seen, round)) {
                notified_awaiter::count_permit();
                return true;
            }
        } while (seen == (round | permit));
        return round_of(seen) != round;
    }

    void wake_one(bool newest) noexcept;
    [[nodiscard]] bool comes_at_once(std::uint64_t seen) const noexcept;
    static bool enroll(detail::sync_wait* waiter) noexcept;
    static detail::wait_node::cancel_result withdraw(detail::wait_node* node) noexcept;
    static void give_back(detail::sync_wait* waiter) noexcept;

    atomic<std::uint64_t> word_{0};
    detail::sync_lock lock_;
    detail::wait_list waiters_; // guarded by lock_
};

} // namespace rt

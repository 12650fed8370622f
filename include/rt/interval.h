// SPDX-License-Identifier: MIT
//
// rt::interval: ticks at a fixed period.
//
//     rt::interval ticks(100ms);
//     for (;;) {
//         co_await ticks.tick();             // the first one at once
//         report();
//     }
//
// Threads: an interval belongs to one task at a time.
#pragma once

#include <rt/detail/config.h>
#include <rt/time.h>

#include <chrono>
#include <coroutine>
#include <cstdint>

namespace rt {

// What becomes of ticks whose time passed while nobody awaited them.
enum class missed_ticks : std::uint8_t {
    burst, // they all happen, at once, until the interval has caught up
    delay, // the next one is a period after the late one
    skip,  // they do not happen; the next one is at a multiple of the period from the first
};

class interval;

// Awaitable returned by interval::tick. Cancel: safe; the tick is not used up.
class RT_API tick_awaiter : public sleep_awaiter {
public:
    explicit tick_awaiter(interval& owner) noexcept
        : sleep_awaiter(0)
        , owner_(&owner) {}

    [[nodiscard]] bool await_ready() noexcept;
    template<typename Promise>
    bool await_suspend(std::coroutine_handle<Promise> self) noexcept {
        if (is_due_) {
            return detail::yield_current(self.address()); // due, but the budget is used up
        }
        return sleep_awaiter::await_suspend(self);
    }
    clock::time_point await_resume() noexcept;

private:
    interval* owner_;
    bool is_due_ = false;
};

class RT_API interval {
public:
    /// Ticks now and every `period` from now on. Requires: a period that is positive; otherwise it
    /// aborts with advice.
    explicit interval(clock::duration period) noexcept
        : interval(clock::now(), period) {}
    /// Ticks at `first` and every `period` from then on.
    interval(clock::time_point first, clock::duration period) noexcept;

    /// Waits for the next tick and yields the time for which it was due, which may have passed:
    /// a tick that is up to 5 ms late is not a missed one. Takes a unit of the budget.
    /// Requires: awaited in a task. Cancel: safe; the tick is not used up.
    [[nodiscard]] tick_awaiter tick() noexcept { return tick_awaiter(*this); }

    /// The next tick is a period from now, or now, or `duration` from now, or at `when`.
    void reset() noexcept { reset_after(period_); }
    void reset_immediately() noexcept { reset_at(clock::now()); }
    void reset_after(clock::duration duration) noexcept {
        reset_at(detail::saturating_sum(clock::now(), duration));
    }
    void reset_at(clock::time_point when) noexcept { next_ = when; }

    [[nodiscard]] clock::duration period() const noexcept { return period_; }
    [[nodiscard]] missed_ticks on_missed() const noexcept { return on_missed_; }
    void set_on_missed(missed_ticks what) noexcept { on_missed_ = what; }

private:
    friend class tick_awaiter;

    // The tick that is due at `next_` happens at `now`.
    clock::time_point advance(clock::time_point now) noexcept;

    clock::time_point next_;
    clock::duration period_;
    missed_ticks on_missed_ = missed_ticks::burst;
};

} // namespace rt

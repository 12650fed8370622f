// SPDX-License-Identifier: MIT
//
// A clock for tests: time stands still until somebody moves it, or until nobody has anything else
// to do.
//
//     rt::config config;
//     config.flavor = rt::flavor::current_thread;
//     config.start_paused = true;
//     rt::block_on(config, retries_for_an_hour());       // takes a millisecond
//
// While rt::clock is paused, sleeps, timeouts and intervals go by its time. When the worker would
// park, the clock jumps to the next timer instead, unless a closure of rt::blocking is running.
// Sockets and other threads keep to real time: a worker that has a timer does not wait for them.
//
// For flavor::current_thread, inside its tasks; elsewhere these functions abort with advice.
#pragma once

#include <rt/detail/config.h>
#include <rt/task.h>
#include <rt/time.h>
#include <rt/yield.h>

#include <chrono>
#include <cstdint>

namespace rt {

/// Stops the clock, at the next full millisecond of the runtime. Requires: it runs.
RT_API void pause_clock() noexcept;

/// Lets the clock go on from where it stands. Requires: it is paused.
RT_API void resume_clock() noexcept;

[[nodiscard]] RT_API bool is_clock_paused() noexcept;

namespace detail {
RT_API void advance_clock(std::uint64_t ns) noexcept;
} // namespace detail

/// Moves the paused clock by exactly `duration` and lets the tasks run whose timers this makes due.
/// Requires: the clock is paused.
template<typename Rep, typename Period>
[[nodiscard]] task<void> advance_clock(std::chrono::duration<Rep, Period> duration) {
    detail::advance_clock(detail::to_ns(duration));
    co_await rt::yield();
}

} // namespace rt

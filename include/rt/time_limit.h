// SPDX-License-Identifier: MIT
//
// rt::time_limit: how long a thread that runs no task may wait for something of rt/sync.
//
//     rt::result<job> next = jobs.blocking_recv(50ms);              // from now on
//     rt::mutex::guard held = lock.blocking_lock(rt::clock::now() + 1s);
//
// What can be had at once is had whatever the limit. When it passes, the thread gives up its place
// in the line and the call says so: by an empty guard or permit, by false, or by errc::timed_out.
// Nothing is lost: what was being handed to the thread as the limit passed, it gets.
//
// Threads sleep by the kernel's monotonic clock; one that is paused (rt/paused_clock.h) is for
// tasks. A task has rt::timeout and rt::deadline instead.
#pragma once

#include <rt/detail/duration.h>

#include <chrono>
#include <cstdint>

namespace rt {

/// A value, for any thread. Made from what it is by an argument of the call.
class time_limit {
public:
    /// None: as long as it takes.
    constexpr time_limit() noexcept = default;
    /// `duration` from now on. Zero and less: no longer than it takes to look.
    template<typename Rep, typename Period>
    time_limit(std::chrono::duration<Rep, Period> duration) noexcept // implicit: it is one
        : at_ns_(detail::ns_after(
              detail::to_ns(std::chrono::steady_clock::now().time_since_epoch()),
              detail::to_ns(duration)
          )) {}
    /// Until `point`, as rt::clock and std::chrono::steady_clock have them.
    template<typename Duration>
    constexpr time_limit( // implicit: it is one
        std::chrono::time_point<std::chrono::steady_clock, Duration> point
    ) noexcept
        : at_ns_(detail::to_ns(point.time_since_epoch())) {}

    /// Whether there is none.
    [[nodiscard]] constexpr bool is_none() const noexcept { return at_ns_ == none; }
    /// Whether it has passed, by the kernel's clock.
    [[nodiscard]] bool has_passed() const noexcept {
        return !is_none() &&
            detail::to_ns(std::chrono::steady_clock::now().time_since_epoch()) >= at_ns_;
    }
    /// When it passes, in ns of the monotonic clock, unless there is none.
    [[nodiscard]] constexpr std::uint64_t at_ns() const noexcept { return at_ns_; }

private:
    static constexpr std::uint64_t none = UINT64_MAX;

    std::uint64_t at_ns_ = none; // what can be said ends at detail::farthest_ns
};

} // namespace rt

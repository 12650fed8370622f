// SPDX-License-Identifier: MIT
//
// Durations of std::chrono as nanoseconds, and sums of them that do not overflow.
//
// All of the library's points in time are nanoseconds of CLOCK_MONOTONIC that fit into the time
// points of rt::clock, 64 bits with a sign. `farthest_ns` is the last that a timer is set to, 291
// years after the clock's zero. Eight months remain behind it, so that rounding up to a tick, and a
// paused clock that goes on from there by timers that are due, stay within what fits.
#pragma once

#include <chrono>
#include <cstdint>
#include <ratio>

namespace rt::detail {

inline constexpr std::uint64_t farthest_ns = 9'200'000'000'000'000'000ULL;

// Negative ones are none, and those beyond what fits saturate. The sum is exact, but for periods
// that neither are a number of nanoseconds nor divide one: there the product in between would not
// fit, so it is the next double, which is more by less than 2 us in 291 years.
template<typename Rep, typename Period>
constexpr std::uint64_t to_ns(std::chrono::duration<Rep, Period> duration) noexcept {
    using limit = std::chrono::duration<double, std::nano>;
    const double ns = std::chrono::duration_cast<limit>(duration).count();
    if (!(ns > 0)) { // not a number is none
        return 0;
    }
    if (ns >= static_cast<double>(farthest_ns)) {
        return farthest_ns;
    }
    using in_ns = std::ratio_divide<Period, std::nano>;
    if constexpr (in_ns::num == 1 || in_ns::den == 1) {
        const auto whole = std::chrono::ceil<std::chrono::nanoseconds>(duration);
        return static_cast<std::uint64_t>(whole.count());
    } else {
        const auto whole = static_cast<std::uint64_t>(ns);
        return whole + (static_cast<double>(whole) < ns ? 1 : 0);
    }
}

// `ns` after `from_ns`, at most farthest_ns.
constexpr std::uint64_t ns_after(std::uint64_t from_ns, std::uint64_t ns) noexcept {
    return from_ns >= farthest_ns || ns > farthest_ns - from_ns ? farthest_ns : from_ns + ns;
}

// `from + by`, or the last or first point in time if that is none.
constexpr std::chrono::steady_clock::time_point saturating_sum(
    std::chrono::steady_clock::time_point from, std::chrono::steady_clock::duration by
) noexcept {
    using point = std::chrono::steady_clock::time_point;
    if (by > by.zero()) {
        return from > point::max() - by ? point::max() : from + by;
    }
    return from < point::min() - by ? point::min() : from + by;
}

} // namespace rt::detail

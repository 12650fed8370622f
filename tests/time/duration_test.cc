// SPDX-License-Identifier: MIT
//
// Durations as nanoseconds, and sums of them, at the ends of what can be said.
#include "support/test.h"

#include <rt/detail/duration.h>
#include <rt/time_limit.h>

#include <chrono>
#include <cstdint>
#include <limits>
#include <ratio>

namespace {

using namespace std::chrono_literals;
using rt::detail::farthest_ns;
using rt::detail::ns_after;
using rt::detail::saturating_sum;
using rt::detail::to_ns;
using point = std::chrono::steady_clock::time_point;
using duration = std::chrono::steady_clock::duration;

} // namespace

Test(duration, is_rounded_up_to_nanoseconds_and_never_negative) {
    cr_assert_eq(to_ns(0ns), 0);
    cr_assert_eq(to_ns(-1h), 0);
    cr_assert_eq(to_ns(duration::min()), 0);
    cr_assert_eq(to_ns(1ms), 1'000'000);
    cr_assert_eq(to_ns(std::chrono::duration<double>(1.25e-9)), 2);
    cr_assert_eq(to_ns(std::chrono::duration<double>(std::numeric_limits<double>::quiet_NaN())), 0);
}

// The product of such a count and what a second is in nanoseconds does not fit. Constants, because
// an overflow would not be one.
Test(duration, of_a_period_that_does_not_divide_a_nanosecond_does_not_overflow) {
    using frames = std::chrono::duration<std::int64_t, std::ratio<1, 60>>;
    constexpr std::int64_t per_year = 60LL * 86'400 * 365;
    constexpr std::uint64_t ns_per_year = 86'400ULL * 365 * 1'000'000'000;
    constexpr std::uint64_t century = to_ns(frames(100 * per_year));
    static_assert(century >= 100 * ns_per_year && century - 100 * ns_per_year < 2'000);
    constexpr std::uint64_t longer = to_ns(frames(290 * per_year));
    static_assert(longer >= 290 * ns_per_year && longer - 290 * ns_per_year < 2'000);
    static_assert(to_ns(frames(1)) == 16'666'667);
    static_assert(to_ns(frames(60)) == 1'000'000'000);
    static_assert(to_ns(frames::max()) == farthest_ns);
    static_assert(to_ns(frames(-1)) == 0);
    using thirds = std::chrono::duration<std::int64_t, std::ratio<1'000'000, 3>>;
    static_assert(to_ns(thirds(3)) == 1'000'000'000'000'000);
    using picoseconds = std::chrono::duration<std::int64_t, std::pico>;
    static_assert(to_ns(picoseconds(1)) == 1 && to_ns(picoseconds(2'000)) == 2);
    static_assert(to_ns(picoseconds::max()) == 9'223'372'036'854'776);
    using fives = std::chrono::duration<std::int64_t, std::ratio<5, 1'000>>;
    static_assert(to_ns(fives(7)) == 35'000'000);
    cr_assert_eq(century / ns_per_year, 100U);
}

Test(duration, saturates_at_291_years) {
    using std::chrono::years;
    for (const int n : {126, 127, 200, 291}) {
        const auto exactly = std::chrono::nanoseconds(years(n)).count();
        cr_assert_eq(to_ns(years(n)), static_cast<std::uint64_t>(exactly));
    }
    for (const int n : {292, 293, 100'000, std::numeric_limits<int>::max()}) {
        cr_assert_eq(to_ns(years(n)), farthest_ns);
    }
    cr_assert_eq(to_ns(duration::max()), farthest_ns);
    cr_assert_eq(to_ns(std::chrono::hours::max()), farthest_ns);
    cr_assert_eq(to_ns(std::chrono::duration<double>(1e300)), farthest_ns);
}

Test(duration, sums_saturate) {
    cr_assert_eq(ns_after(1, 2), 3);
    cr_assert_eq(ns_after(farthest_ns - 1, 1), farthest_ns);
    cr_assert_eq(ns_after(farthest_ns - 1, 2), farthest_ns);
    cr_assert_eq(ns_after(farthest_ns, farthest_ns), farthest_ns);
    cr_assert_eq(ns_after(UINT64_MAX, 1), farthest_ns);
    cr_assert(saturating_sum(point(1ns), 2ns) == point(3ns));
    cr_assert(saturating_sum(point(1ns), -2ns) == point(-1ns));
    cr_assert(saturating_sum(point::max(), 0ns) == point::max());
    cr_assert(saturating_sum(point::max(), 1ns) == point::max());
    cr_assert(saturating_sum(point(1ns), duration::max()) == point::max());
    cr_assert(saturating_sum(point(-1ns), duration::max()) == point::max() - 1ns);
    cr_assert(saturating_sum(point::min(), -1ns) == point::min());
    cr_assert(saturating_sum(point(-1ns), duration::min()) == point::min());
    cr_assert(saturating_sum(point::min(), duration::max()) == point(-1ns));
}

Test(duration, the_longest_time_limit_is_a_limit) {
    const rt::time_limit longest = duration::max();
    cr_assert_not(longest.is_none());
    cr_assert_eq(longest.at_ns(), farthest_ns);
    const rt::time_limit last = point::max();
    cr_assert_not(last.is_none());
    cr_assert_eq(last.at_ns(), farthest_ns);
    cr_assert(rt::time_limit().is_none());
}

// SPDX-License-Identifier: MIT
//
// Clocks: monotonic, and ticks that convert to time. No test waits for time or asserts how long
// something took; relations between readings are all that is checked.
#include "base/clock.h"
#include "support/test.h"

#include <cstring>
#include <thread>
#include <vector>

using namespace rt::base;

Test(clock, monotonic_does_not_go_back) {
    std::uint64_t last = monotonic_ns();
    for (int round = 0; round < 10'000; ++round) {
        const std::uint64_t now = monotonic_ns();
        cr_assert(now >= last);
        last = now;
    }
}

Test(clock, coarse_is_the_same_clock_and_not_ahead) {
    for (int round = 0; round < 1'000; ++round) {
        const std::uint64_t coarse = coarse_ns();
        const std::uint64_t fine = monotonic_ns();
        cr_assert(coarse <= fine);
        cr_assert(coarse > 0);
    }
}

Test(clock, ticks_are_nanoseconds_before_calibration) {
    const std::uint64_t before = monotonic_ns();
    const std::uint64_t now = ticks();
    const std::uint64_t after = monotonic_ns();
    cr_assert(before <= now && now <= after);
    cr_assert(ticks_to_ns(12345) == 12345);
    cr_assert(ns_to_ticks(12345) == 12345);
    cr_assert(std::strstr(tick_source_reason(), "nothing asks") != nullptr);
}

Test(clock, calibration_is_idempotent_and_explains_itself) {
    const tick_source first = calibrate_ticks();
    const std::uint64_t rate = clock_state::ns_per_tick_q32.load_relaxed();
    cr_assert(calibrate_ticks() == first);
    cr_assert(clock_state::ns_per_tick_q32.load_relaxed() == rate);
    cr_assert((rate != 0) == (first == tick_source::cycle_counter));
    const char* expected =
        first == tick_source::cycle_counter ? "cycle counter: " : "clock_gettime: ";
    cr_assert(std::strncmp(tick_source_reason(), expected, std::strlen(expected)) == 0);
}

// Goal: the measured rate is right. Method: an interval in ticks between two in nanoseconds, of
// which one surely contains it and the other is contained; only a calibration error (30 ppm,
// allowed 1 %) breaks that.
Test(clock, ticks_agree_with_the_monotonic_clock) {
    calibrate_ticks();
    const std::uint64_t outer_begin = monotonic_ns();
    const std::uint64_t begin = ticks();
    const std::uint64_t inner_begin = monotonic_ns();
    std::uint64_t inner_end = inner_begin;
    while (inner_end - inner_begin < 20 * ns_per_millisecond) {
        inner_end = monotonic_ns();
    }
    const std::uint64_t end = ticks();
    const std::uint64_t outer_ns = monotonic_ns() - outer_begin;
    const std::uint64_t inner_ns = inner_end - inner_begin;
    const std::uint64_t by_ticks_ns = ticks_to_ns(ticks_between(begin, end));
    cr_assert(by_ticks_ns <= outer_ns + outer_ns / 100, "%lu above %lu", by_ticks_ns, outer_ns);
    cr_assert(by_ticks_ns + inner_ns / 100 >= inner_ns, "%lu below %lu", by_ticks_ns, inner_ns);
}

Test(clock, conversion_round_trips) {
    calibrate_ticks();
    for (const std::uint64_t ns : {0ULL, 1'000ULL, 1'000'000ULL, 3'600'000'000'000ULL}) {
        const std::uint64_t back = ticks_to_ns(ns_to_ticks(ns));
        cr_assert(
            back <= ns + 2 && back + 2 + ns / 1'000'000 >= ns,
            "%llu gave %lu",
            static_cast<unsigned long long>(ns),
            back
        );
    }
}

Test(clock, differences_never_wrap) {
    cr_assert(ticks_between(5, 9) == 4);
    cr_assert(ticks_between(9, 5) == 0);
    cr_assert(ticks_between(5, 5) == 0);
}

Test(clock, anchor_converts_both_ways) {
    calibrate_ticks();
    const std::uint64_t before = monotonic_ns();
    const tick_anchor anchor = tick_anchor::now();
    const std::uint64_t after = monotonic_ns();
    cr_assert(before <= anchor.at_ns && anchor.at_ns <= after);
    cr_assert(anchor.to_monotonic_ns(anchor.at_ticks) == anchor.at_ns);
    const std::uint64_t second = ns_to_ticks(ns_per_second);
    const std::uint64_t later = anchor.to_monotonic_ns(anchor.at_ticks + second);
    cr_assert(later > anchor.at_ns + ns_per_second - 1'000);
    cr_assert(later < anchor.at_ns + ns_per_second + 1'000);
    cr_assert(anchor.to_monotonic_ns(anchor.at_ticks - second) < anchor.at_ns);
    const tick_anchor young{.at_ticks = 10, .at_ns = 1};
    cr_assert(young.to_monotonic_ns(0) <= 1);
}

Test(clock, threads_agree_after_calibration) {
    calibrate_ticks();
    const std::uint64_t before = ticks();
    std::uint64_t seen[4] = {};
    std::vector<std::thread> threads;
    for (std::uint64_t& slot : seen) {
        threads.emplace_back([&slot] { slot = ticks(); });
    }
    for (std::thread& thread : threads) {
        thread.join();
    }
    // A counter may differ between CPUs by tens of nanoseconds; a microsecond is far outside.
    for (const std::uint64_t slot : seen) {
        cr_assert(slot + ns_to_ticks(1'000) >= before);
    }
}

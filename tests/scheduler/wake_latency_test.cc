// SPDX-License-Identifier: MIT
//
// How long a thread spins, by what waking one takes.
#include "scheduler/wake_latency.h"
#include "support/test.h"

#include <cstdint>

using rt::scheduler::wake_latency;

namespace {

void note_often(wake_latency& latency, std::uint64_t ns) {
    for (int i = 0; i < 200; ++i) {
        latency.note(ns);
    }
}

} // namespace

Test(wake_latency, spins_last_half_as_long_again_as_waking_takes) {
    wake_latency latency;
    note_often(latency, 20'000);
    cr_assert_geq(latency.mean_ns(), 19'900U);
    cr_assert_leq(latency.mean_ns(), 20'100U);
    cr_assert_geq(latency.spin_ns(), 29'800U);
    cr_assert_leq(latency.spin_ns(), 30'200U);
}

Test(wake_latency, follows_the_machine_both_ways) {
    wake_latency latency;
    note_often(latency, 24'000);
    const std::uint64_t slow = latency.spin_ns();
    note_often(latency, 8'000);
    cr_assert_lt(latency.spin_ns(), slow / 2);
    note_often(latency, 24'000);
    cr_assert_gt(latency.spin_ns(), slow - 500);
}

Test(wake_latency, spins_stay_within_bounds) {
    wake_latency latency;
    note_often(latency, 0);
    cr_assert_eq(latency.spin_ns(), wake_latency::spin_min_ns);
    note_often(latency, wake_latency::sample_max_ns);
    cr_assert_eq(latency.spin_ns(), wake_latency::spin_max_ns);
}

Test(wake_latency, one_that_was_late_by_far_changes_nothing) {
    wake_latency latency;
    note_often(latency, 5'000);
    const std::uint64_t before = latency.mean_ns();
    latency.note(3'000'000);
    latency.note(UINT64_MAX); // the clocks of two CPUs disagree
    cr_assert_eq(latency.mean_ns(), before);
}

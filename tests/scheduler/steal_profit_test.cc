// SPDX-License-Identifier: MIT
//
// When a victim rests from sharing, and for how long.
#include "scheduler/steal_profit.h"
#include "support/test.h"

using rt::scheduler::steal_profit;

Test(steal_profit, a_victim_shares_until_a_thief_complains) {
    steal_profit profit;
    cr_assert(profit.is_good());
    cr_assert_not(profit.is_resting(0));
    profit.report(64, steal_profit::steal_ns + 64 * steal_profit::least_ns, 1000);
    cr_assert(profit.is_good());
    cr_assert_not(profit.is_resting(1000));
}

Test(steal_profit, rests_grow_up_to_a_bound) {
    steal_profit profit;
    std::uint64_t now = 1000;
    std::uint64_t expected = steal_profit::rest_min_ns;
    for (int i = 0; i < 8; ++i) {
        profit.report(64, steal_profit::steal_ns + 64 * steal_profit::least_ns - 1, now);
        cr_assert_not(profit.is_good());
        cr_assert(profit.is_resting(now + expected - 1));
        cr_assert_not(profit.is_resting(now + expected));
        now += expected;
        expected = std::min(2 * expected, steal_profit::rest_max_ns);
    }
}

Test(steal_profit, one_good_steal_forgets_the_bad_ones) {
    steal_profit profit;
    for (int i = 0; i < 5; ++i) {
        profit.report(10, 0, 1000);
    }
    profit.report(1, steal_profit::steal_ns + steal_profit::least_ns, 5000);
    cr_assert(profit.is_good());
    profit.report(1, 0, 1'000'000'000);
    cr_assert_not(profit.is_resting(1'000'000'000 + steal_profit::rest_min_ns));
}

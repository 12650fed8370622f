// SPDX-License-Identifier: MIT
//
// How old a turn may be, from what is known of it.
#include "scheduler/turn_age.h"
#include "support/test.h"

using rt::scheduler::turn_age;

Test(turn_age, a_turn_that_nobody_saw_begin_is_not_young) {
    turn_age age;
    cr_assert_not(age.is_young(7, 5'000'000, 5'000'000 - turn_age::young_ns));
}

Test(turn_age, a_turn_after_a_recent_look_is_young) {
    turn_age age;
    cr_assert(age.is_young(7, 5'000'000, 5'000'000 - turn_age::young_ns + 1));
}

Test(turn_age, a_look_in_the_turn_before_counts_as_one) {
    turn_age age;
    cr_assert_not(age.is_young(7, 5'000'000, 0));
    cr_assert(age.is_young(8, 5'000'000 + turn_age::young_ns - 1, 0));
    cr_assert_not(age.is_young(9, 5'000'000 + 3 * turn_age::young_ns, 0), "turn 8 was a long one");
}

Test(turn_age, looks_in_the_same_turn_make_it_no_younger) {
    turn_age age;
    static_cast<void>(age.is_young(6, 999'000, 0));
    constexpr std::uint64_t step = turn_age::young_ns / 4;
    std::uint64_t now = 1'000'000;
    cr_assert(age.is_young(7, now, 0));
    cr_assert(age.is_young(7, now += step, 0));
    cr_assert(age.is_young(7, now += step, 0));
    cr_assert(age.is_young(7, now += step, 0));
    cr_assert_not(age.is_young(7, now += step, 0));
    cr_assert_not(age.is_young(7, now += step, 0));
}

// SPDX-License-Identifier: MIT
//
// When the spawn that has waited longest is let in front of newer ones.
#include "scheduler/oldest_pace.h"
#include "support/test.h"

using rt::scheduler::oldest_pace;

namespace {

constexpr double short_streak_ns = 3000;

// Streaks that pass until it is due again.
unsigned streaks_until_due(oldest_pace& pace) {
    unsigned streaks = 0;
    while (!pace.is_due()) {
        ++streaks;
    }
    return streaks;
}

// A turn of the oldest, which spawns so many.
unsigned streaks_after_turn(oldest_pace& pace, std::uint32_t spawned) {
    constexpr std::uint32_t left = 100;
    pace.begin(left);
    cr_assert(pace.end(left + spawned));
    return streaks_until_due(pace);
}

} // namespace

Test(oldest_pace, one_per_streak_while_they_spawn_nothing) {
    oldest_pace pace;
    pace.set_streak_ns(short_streak_ns);
    for (int i = 0; i < 100; ++i) {
        cr_assert(pace.is_due());
        cr_assert_eq(streaks_after_turn(pace, 0), 0U);
    }
}

Test(oldest_pace, roots_of_trees_wait_longer_up_to_a_bound) {
    oldest_pace pace;
    pace.set_streak_ns(short_streak_ns);
    const auto most = static_cast<unsigned>(oldest_pace::wait_ns / short_streak_ns);
    for (unsigned expected = 1; expected < most; expected = 2 * expected + 1) {
        cr_assert_eq(streaks_after_turn(pace, 1), expected);
    }
    for (int i = 0; i < 3; ++i) {
        cr_assert_eq(streaks_after_turn(pace, 10), most);
    }
}

Test(oldest_pace, the_wait_shrinks_when_they_spawn_nothing_again) {
    oldest_pace pace;
    pace.set_streak_ns(short_streak_ns);
    unsigned streaks = 0;
    for (int i = 0; i < 20; ++i) {
        streaks = streaks_after_turn(pace, 1);
    }
    for (; streaks != 0; streaks /= 2) {
        cr_assert_eq(streaks_after_turn(pace, 0), streaks / 2);
    }
}

Test(oldest_pace, long_streaks_are_few) {
    oldest_pace pace;
    pace.set_streak_ns(short_streak_ns);
    for (int i = 0; i < 20; ++i) {
        static_cast<void>(streaks_after_turn(pace, 1));
    }
    pace.set_streak_ns(oldest_pace::wait_ns / 2);
    cr_assert_leq(streaks_until_due(pace), 2U);
    cr_assert_eq(streaks_after_turn(pace, 1), 2U);
    pace.set_streak_ns(2 * oldest_pace::wait_ns);
    cr_assert_eq(streaks_after_turn(pace, 1), 0U);
}

Test(oldest_pace, other_turns_are_not_its_business) {
    oldest_pace pace;
    cr_assert_not(pace.end(5));
    pace.begin(5);
    cr_assert(pace.end(5));
    cr_assert_not(pace.end(50));
}

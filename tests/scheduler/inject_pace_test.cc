// SPDX-License-Identifier: MIT
//
// The interval follows the time that turns take, within its clamps.
#include "scheduler/inject_pace.h"
#include "support/test.h"

using rt::scheduler::inject_pace;

namespace {

// `batches` batches of `turns` turns that take `turn_ns` each.
std::uint32_t after(inject_pace pace, int batches, std::uint64_t turns, std::uint64_t turn_ns) {
    std::uint64_t turn = 7;
    std::uint64_t now = 1000;
    pace.begin(turn, now);
    for (int i = 0; i < batches; ++i) {
        turn += turns;
        now += turns * turn_ns;
        static_cast<void>(pace.end(turn, now));
    }
    return pace.interval();
}

} // namespace

Test(inject_pace, b056_begins_as_if_turns_took_a_sixty_first_of_the_target) {
    cr_assert_eq(inject_pace(0).interval(), 61U);
    cr_assert_eq(after(inject_pace(0), 0, 61, 0), 61U);
}

Test(inject_pace, b056_aims_at_the_target_time) {
    cr_assert_eq(after(inject_pace(0), 20, 61, 10'000), 20U);
    cr_assert_eq(after(inject_pace(0), 20, 61, 2'000), 100U);
}

Test(inject_pace, b056_has_clamps) {
    cr_assert_eq(after(inject_pace(0), 20, 61, 10), 127U);
    cr_assert_eq(after(inject_pace(0), 20, 61, 50'000'000), 2U);
}

Test(inject_pace, b056_weighs_small_batches_less) {
    const std::uint32_t one_slow_turn = after(inject_pace(0), 1, 1, 1'000'000);
    cr_assert_gt(one_slow_turn, 2U);
    cr_assert_lt(one_slow_turn, 61U);
}

Test(inject_pace, b056_puts_small_batches_together) {
    inject_pace pace(0);
    std::uint64_t now = 1000;
    pace.begin(0, now);
    for (std::uint64_t turn = 1; turn < inject_pace::batch_turns; ++turn) {
        pace.begin(turn - 1, now); // as after a sleep, whose time does not count
        cr_assert_not(pace.end(turn, now += 1000));
        cr_assert_eq(pace.interval(), 61U);
        now += 1'000'000;
    }
    pace.begin(inject_pace::batch_turns - 1, now);
    cr_assert(pace.end(inject_pace::batch_turns, now + 1000));
    cr_assert_gt(pace.interval(), 61U);
}

Test(inject_pace, b056_takes_a_long_turn_at_once) {
    inject_pace pace(0);
    pace.begin(0, 1000);
    cr_assert(pace.end(1, 1000 + inject_pace::batch_ns));
    cr_assert_lt(pace.interval(), 61U);
}

Test(inject_pace, b052_keeps_to_a_fixed_interval) {
    cr_assert_eq(after(inject_pace(9), 20, 61, 50'000'000), 9U);
    cr_assert_eq(after(inject_pace(9), 20, 61, 1), 9U);
}

Test(inject_pace, ignores_a_batch_that_began_at_an_unknown_time) {
    inject_pace pace(0);
    pace.begin(0, 1000);
    pace.pause();
    cr_assert_not(pace.end(61, 1'000'000'000));
    cr_assert(pace.end(122, 1'000'000'000 + 61 * 10'000));
    cr_assert_eq(pace.interval(), 20U);
}

Test(inject_pace, ignores_batches_without_turns_or_time) {
    cr_assert_eq(after(inject_pace(0), 5, 0, 1000), 61U);
    cr_assert_eq(after(inject_pace(0), 5, 61, 0), 61U);
}

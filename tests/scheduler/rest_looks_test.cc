// SPDX-License-Identifier: MIT
//
// When a worker that rests from sharing looks at the clock, and what it learns from that.
#include "scheduler/rest_looks.h"
#include "support/test.h"

using rt::scheduler::rest_looks;

namespace {

constexpr std::uint64_t start = 1'000'000;

// How many events it takes until a look is due.
std::uint32_t events_until_due(rest_looks& looks) {
    std::uint32_t events = 1;
    while (!looks.is_due()) {
        ++events;
    }
    return events;
}

} // namespace

Test(rest_looks, a_look_is_due_after_as_many_events_as_were_said) {
    rest_looks looks;
    cr_assert(looks.is_due());
    cr_assert_not(looks.look(start, 10));
    cr_assert_eq(events_until_due(looks), 11U);
    cr_assert(looks.is_due(), "and stays due");
}

Test(rest_looks, events_that_took_long_are_noticed) {
    rest_looks looks;
    cr_assert_not(looks.look(start, 9), "nothing is known before the first look");
    static_cast<void>(events_until_due(looks));
    cr_assert_not(looks.look(start + 10 * rest_looks::long_ns - 1, 9));
    static_cast<void>(events_until_due(looks));
    cr_assert(looks.look(start + 20 * rest_looks::long_ns, 9));
}

Test(rest_looks, events_count_while_a_look_is_put_off) {
    rest_looks looks;
    static_cast<void>(looks.look(start, 9));
    for (int i = 0; i < 100; ++i) {
        static_cast<void>(looks.is_due());
    }
    cr_assert_not(looks.look(start + 50 * rest_looks::long_ns, 9));
}

Test(rest_looks, being_out_of_work_is_no_long_turn) {
    rest_looks looks;
    static_cast<void>(looks.look(start, 9));
    looks.forget();
    cr_assert_not(looks.look(start + 1'000'000, 9));
    cr_assert(looks.look(start + 2'000'000, 9), "one look later it is counted again");
}

Test(rest_looks, what_went_by_before_the_rest_says_nothing) {
    rest_looks looks;
    static_cast<void>(looks.look(start, 9));
    const std::uint64_t much_later = start + rest_looks::rest_max_ns + 1;
    cr_assert_not(looks.look(much_later, 9));
    cr_assert(looks.look(much_later + rest_looks::rest_max_ns, 9));
}

Test(rest_looks, a_limit_brings_the_look_forward) {
    rest_looks looks;
    static_cast<void>(looks.look(start, 60));
    looks.limit(5);
    looks.limit(100);
    cr_assert_eq(events_until_due(looks), 6U);
}

Test(rest_looks, one_can_be_had_at_once) {
    rest_looks looks;
    static_cast<void>(looks.look(start, 60));
    looks.hurry();
    cr_assert(looks.is_due());
}

// SPDX-License-Identifier: MIT
//
// Who is woken, who searches, who looks once more: the rules of idle.h one by one. That they lose
// no task together is the business of tests/model/idle_model_test.cc.
#include "scheduler/idle.h"
#include "support/test.h"

using rt::scheduler::idle;

namespace {

constexpr std::uint32_t nobody_in_particular = UINT32_MAX;

} // namespace

Test(idle, rule_a_nobody_is_woken_while_all_are_awake) {
    idle workers(4);
    cr_assert(!workers.worker_to_wake(nobody_in_particular).has_value());
    cr_assert(!workers.worker_to_wake(2).has_value());
}

Test(idle, rule_a_one_sleeper_is_woken_and_counts_as_searching) {
    idle workers(4);
    cr_assert(workers.park(2, false));
    cr_assert(workers.park(0, false));
    const auto first = workers.worker_to_wake(nobody_in_particular);
    cr_assert(first.has_value());
    cr_assert_eq(*first, 0U, "the one that slept last is the warmest");
    cr_assert_eq(workers.searching(), 1U);
    cr_assert(!workers.worker_to_wake(nobody_in_particular).has_value(), "one searcher is enough");
    cr_assert(workers.unpark(0), "it was chosen");
    cr_assert(workers.stop_searching(), "it was the last searcher");
    cr_assert_eq(*workers.worker_to_wake(nobody_in_particular), 2U);
}

Test(idle, rule_a_the_near_one_is_preferred_if_it_sleeps) {
    idle workers(4);
    for (const std::uint32_t each : {3U, 1U, 2U}) {
        cr_assert(workers.park(each, false));
    }
    cr_assert_eq(*workers.worker_to_wake(3), 3U);
    cr_assert(workers.unpark(3));
    cr_assert(workers.stop_searching());
    cr_assert_eq(*workers.worker_to_wake(0), 2U, "0 is awake");
}

Test(idle, rule_b_at_most_half_of_the_workers_search) {
    idle workers(4);
    cr_assert(workers.start_searching());
    cr_assert(workers.start_searching());
    cr_assert_not(workers.start_searching());
    cr_assert_eq(workers.searching(), 2U);
    cr_assert_not(workers.stop_searching());
    cr_assert(workers.start_searching());
    idle three(3);
    cr_assert(three.start_searching());
    cr_assert(three.start_searching(), "half, rounded up");
    cr_assert_not(three.start_searching());
    idle one(1);
    cr_assert(one.start_searching());
    cr_assert_not(one.start_searching());
}

Test(idle, rule_c_only_the_last_searcher_wakes_one_more) {
    idle workers(4);
    cr_assert(workers.start_searching());
    cr_assert(workers.start_searching());
    cr_assert_not(workers.stop_searching());
    cr_assert(workers.stop_searching());
}

Test(idle, rule_d_whoever_leaves_no_searcher_behind_looks_again_before_it_sleeps) {
    idle workers(4);
    cr_assert(workers.start_searching());
    cr_assert(workers.start_searching());
    cr_assert_not(workers.park(2, false), "two others are searching");
    cr_assert_not(workers.park(0, true), "another one is searching");
    cr_assert(workers.park(1, true), "it was the last searcher");
    cr_assert_eq(workers.searching(), 0U);
    cr_assert(workers.park(3, false), "it has not searched, but nobody else does");
}

// A task that came after its last look at the queues must be seen by somebody.
Test(idle, rule_d_a_lone_worker_looks_again_though_it_never_searches) {
    idle one(1);
    cr_assert(one.park(0, false));
}

Test(idle, a_worker_that_comes_back_by_itself_is_no_searcher) {
    idle workers(2);
    cr_assert(workers.park(1, false));
    cr_assert_not(workers.unpark(1));
    cr_assert_eq(workers.searching(), 0U);
    cr_assert(!workers.worker_to_wake(1).has_value(), "it is awake again");
}

Test(idle, counts_stay_right_over_many_rounds) {
    idle workers(3);
    for (int i = 0; i < 100'000; ++i) {
        const auto self = static_cast<std::uint32_t>(i % 3);
        const bool searched = workers.start_searching();
        cr_assert(searched);
        cr_assert(workers.park(self, searched));
        if (i % 2 == 0) {
            cr_assert_eq(*workers.worker_to_wake(nobody_in_particular), self);
            cr_assert(workers.unpark(self));
            cr_assert(workers.stop_searching());
        } else {
            cr_assert_not(workers.unpark(self));
        }
        cr_assert_eq(workers.searching(), 0U);
        cr_assert(!workers.worker_to_wake(nobody_in_particular).has_value());
    }
}

// Worker 0 is back from rt::block_in_place, its stand-in has not gone to rest yet, and the runtime
// ends: somebody must be the last to arrive.
Test(idle, a_stand_in_does_not_go_to_rest_when_others_have_arrived_at_the_end) {
    idle workers(1, 1);
    cr_assert_eq(workers.go_away(), idle::relief::wanted);
    cr_assert(workers.join(1));
    cr_assert(workers.come_back());
    cr_assert_eq(workers.surplus(), 1U);
    cr_assert_not(workers.arrive(1), "the stand-in is counted too");
    cr_assert_not(workers.retire(1));
    cr_assert(workers.arrive(1), "nobody leads the shutdown");
}

// One is being made for a worker that is away, and one for all that are held, which cannot be.
Test(idle, a_reinforcement_that_cannot_be_made_is_asked_for_again) {
    idle workers(2, 2);
    cr_assert_eq(workers.go_away(), idle::relief::wanted);
    cr_assert_eq(workers.reinforce(4, true), idle::relief::wanted);
    workers.give_up_making();
    cr_assert(workers.join(2), "the first one's");
    cr_assert_eq(workers.reinforce(4, true), idle::relief::wanted);
    cr_assert_eq(workers.reinforce(4, true), idle::relief::coming);
}

// Nobody would wake it, and the worker would not be lone while it is busy.
Test(idle, a_stand_in_that_is_one_too_many_rests_when_it_parks) {
    idle workers(1, 1);
    cr_assert_eq(workers.reinforce(4, true), idle::relief::wanted);
    cr_assert(workers.join(1));
    cr_assert(workers.dismiss());
    cr_assert_eq(workers.surplus(), 1U);
    static_cast<void>(workers.park(1, false));
    cr_assert_eq(workers.surplus(), 0U);
    cr_assert(workers.be_alone(false));
    cr_assert(workers.is_lone());
    cr_assert_eq(workers.reinforce(4, true), idle::relief::refused);
}

Test(idle, at_the_end_all_that_count_are_needed) {
    idle workers(1, 1);
    cr_assert_eq(workers.reinforce(1, true), idle::relief::wanted);
    cr_assert(workers.join(1));
    cr_assert_not(workers.arrive(1));
    cr_assert_not(workers.dismiss());
    cr_assert(workers.arrive(1));
}

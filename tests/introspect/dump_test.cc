// SPDX-License-Identifier: MIT
//
// Grouping of equal stacks: what counts as equal, the order, and the bound on memory.
//
// Goal: the default dump of many tasks is short and says the truth about all of them.
// Method: tasks are made by hand; sites are numbers here, since grouping never follows them.
#include "introspect/dump.h"
#include "support/test.h"

#include <string>

using rt::introspect::async_stack;
using rt::introspect::grouping;
using rt::introspect::task_facts;
using rt::introspect::task_group;
using rt::introspect::task_state;

namespace {

task_facts waiting(std::uint64_t id, std::uintptr_t site, std::uint64_t since_ns) {
    task_facts made;
    made.id = id;
    made.state = task_state::waiting;
    made.waits_for = rt::detail::wait_kind::readable;
    made.since_ns = since_ns;
    made.spawn_site = 77;
    made.stack.frames = {{site, 1}, {99, 2}};
    made.stack.end = async_stack::ending::root;
    return made;
}

} // namespace

Test(dump, equal_stacks_are_one_group_with_count_ages_and_examples) {
    grouping groups;
    for (std::uint64_t id = 1; id <= 10; ++id) {
        groups.add(waiting(id, 5, 1000 + id));
    }
    groups.add(waiting(11, 6, 10));
    const auto sorted = groups.sorted();
    cr_assert_eq(sorted.size(), 2U);
    const task_group& first = *sorted[0];
    cr_assert_eq(first.count, 10U);
    cr_assert_eq(first.oldest_ns, 1001U);
    cr_assert_eq(first.youngest_ns, 1010U);
    cr_assert_eq(first.examples[0].id, 1U);
    cr_assert_eq(first.examples[2].id, 3U);
    cr_assert_eq(sorted[1]->count, 1U);
    cr_assert_eq(sorted[1]->examples[1].id, 0U);
}

Test(dump, what_differs_in_state_reason_spawn_site_depth_or_worker_is_apart) {
    grouping groups;
    groups.add(waiting(1, 5, 1));
    task_facts other = waiting(2, 5, 1);
    other.waits_for = rt::detail::wait_kind::sleep;
    groups.add(other);
    other = waiting(3, 5, 1);
    other.state = task_state::ready;
    groups.add(other);
    other = waiting(4, 5, 1);
    other.spawn_site = 78;
    groups.add(other);
    other = waiting(5, 5, 1);
    other.stack.frames.pop_back();
    groups.add(other);
    other = waiting(6, 5, 1);
    other.bound_to = 1;
    groups.add(other);
    cr_assert_eq(groups.sorted().size(), 6U);
}

Test(dump, labels_make_no_groups_and_stand_beside_the_examples) {
    grouping groups;
    for (std::uint64_t id = 1; id <= 5; ++id) {
        task_facts one = waiting(id, 5, 1);
        one.label = id == 2 ? "" : "peer " + std::to_string(id);
        groups.add(one);
    }
    const auto sorted = groups.sorted();
    cr_assert_eq(sorted.size(), 1U);
    cr_assert_eq(sorted[0]->count, 5U);
    cr_assert_eq(sorted[0]->examples[0].label, "peer 1");
    cr_assert_eq(sorted[0]->examples[1].label, "");
    cr_assert_eq(sorted[0]->examples[2].label, "peer 3");
}

Test(dump, groups_of_equal_size_are_ordered_oldest_first) {
    grouping groups;
    groups.add(waiting(1, 5, 300));
    groups.add(waiting(2, 6, 100));
    groups.add(waiting(3, 7, 200));
    const auto sorted = groups.sorted();
    cr_assert_eq(sorted[0]->first.id, 2U);
    cr_assert_eq(sorted[1]->first.id, 3U);
    cr_assert_eq(sorted[2]->first.id, 1U);
}

Test(dump, memory_is_bounded_by_the_number_of_groups) {
    grouping groups;
    for (std::uint64_t id = 1; id <= rt::introspect::groups_max + 500; ++id) {
        groups.add(waiting(id, 1000 + id, 1));
    }
    cr_assert_eq(groups.sorted().size(), rt::introspect::groups_max);
    cr_assert_eq(groups.ungrouped(), 500U);
    groups.add(waiting(1, 1001, 1)); // a known stack is still counted
    cr_assert_eq(groups.ungrouped(), 500U);
}

Test(dump, times_are_shown_in_utc_with_milliseconds) {
    cr_assert(rt::introspect::iso_time(1'700'000'000'123'456'789) == "2023-11-14T22:13:20.123Z");
}

// SPDX-License-Identifier: MIT
//
// cpu_set: the list syntax in both directions, where errors point, and the algebra against a model.
#include "base/random.h"
#include "support/test.h"
#include "topology/cpu_set.h"

#include <set>
#include <string>
#include <vector>

using namespace rt::topology;

static cpu_set parsed(const char* list) {
    const auto set = cpu_set::parse(list);
    cr_assert(set.has_value(), "%s", list);
    return *set;
}

Test(cpu_set, reads_lists) {
    cr_assert(parsed("0").members() == (std::vector<std::uint32_t>{0}));
    cr_assert(
        parsed("0-3,8,10-11").members() == (std::vector<std::uint32_t>{0, 1, 2, 3, 8, 10, 11})
    );
    cr_assert(parsed(" 4 - 5 , 7 ").members() == (std::vector<std::uint32_t>{4, 5, 7}));
    cr_assert(parsed("3,1,2,2-3").members() == (std::vector<std::uint32_t>{1, 2, 3}));
    cr_assert(parsed("5-5").count() == 1);
    cr_assert(parsed("0-8191").count() == 8192);
}

static void check_error(const char* list, const char* expected) {
    const auto set = cpu_set::parse(list);
    cr_assert_not(set.has_value(), "%s", list);
    const std::string message = set.error().message(list);
    cr_assert_str_eq(message.c_str(), expected);
}

Test(cpu_set, errors_point_at_the_byte) {
    check_error("", "expected a CPU number at position 0 of \"\"");
    check_error("0-3,x", "expected a CPU number at position 4 of \"0-3,x\"");
    check_error("0-", "expected a CPU number at position 2 of \"0-\"");
    check_error("0,,1", "expected a CPU number at position 2 of \"0,,1\"");
    check_error("0,", "expected a CPU number at position 2 of \"0,\"");
    check_error("-1", "expected a CPU number at position 0 of \"-1\"");
    check_error("1 2", "expected a comma or the end at position 2 of \"1 2\"");
    check_error("0-2-4", "expected a comma or the end at position 3 of \"0-2-4\"");
    check_error("5-3", "expected a number not below the range's first at position 2 of \"5-3\"");
    check_error("8192", "expected a CPU number below 8192 at position 0 of \"8192\"");
    check_error(
        "0-99999999999", "expected a CPU number below 8192 at position 2 of \"0-99999999999\""
    );
}

Test(cpu_set, prints_what_it_reads) {
    for (const char* list : {"0", "0-1", "0-3,8,10-11", "63-64", "127,129", "0-8191", "8191"}) {
        cr_assert(parsed(list).print() == list, "%s", list);
    }
    cr_assert(cpu_set().print() == "none");
    cr_assert(parsed("3,1,2").print() == "1-3");
}

Test(cpu_set, walks_its_members) {
    const cpu_set set = parsed("2,64,200");
    cr_assert(set.first() == 2U);
    cr_assert(set.at_or_after(2) == 2U);
    cr_assert(set.at_or_after(3) == 64U);
    cr_assert(set.at_or_after(65) == 200U);
    cr_assert_not(set.at_or_after(201).has_value());
    cr_assert_not(set.at_or_after(100'000).has_value());
    cr_assert_not(cpu_set().first().has_value());
}

Test(cpu_set, equality_does_not_depend_on_history) {
    cpu_set grown = parsed("1,500");
    grown.remove(500);
    grown.remove(501);
    grown.remove(9'000);
    cr_assert(grown == cpu_set::of(1));
    cr_assert(grown.words().size() == 1);
    grown.remove(1);
    cr_assert(grown.is_empty());
    cr_assert(grown == cpu_set());
    cr_assert(parsed("1,500").intersected(parsed("1")) == cpu_set::of(1));
    cr_assert(parsed("1,500").without(parsed("500")) == cpu_set::of(1));
}

Test(cpu_set, algebra_agrees_with_a_model) {
    constexpr std::uint64_t seed = 11;
    rt::base::random_source random(seed);
    for (int round = 0; round < 500; ++round) {
        cpu_set a;
        cpu_set b;
        std::set<std::uint32_t> model_a;
        std::set<std::uint32_t> model_b;
        // Sets of different lengths: b stays below 70 in every other round.
        const std::uint32_t bound_b = round % 2 == 0 ? 70 : 300;
        for (int count = 0; count < 20; ++count) {
            const std::uint32_t x = random.below(300);
            const std::uint32_t y = random.below(bound_b);
            a.add(x);
            model_a.insert(x);
            b.add(y);
            model_b.insert(y);
        }
        const cpu_set both = a.united(b);
        const cpu_set shared = a.intersected(b);
        const cpu_set only = a.without(b);
        for (std::uint32_t cpu = 0; cpu < 320; ++cpu) {
            const bool in_a = model_a.contains(cpu);
            const bool in_b = model_b.contains(cpu);
            cr_assert(a.contains(cpu) == in_a);
            cr_assert(both.contains(cpu) == (in_a || in_b));
            cr_assert(shared.contains(cpu) == (in_a && in_b));
            cr_assert(only.contains(cpu) == (in_a && !in_b));
        }
        cr_assert(a.count() == model_a.size());
        cr_assert(both.count() + shared.count() == a.count() + b.count());
        cr_assert(shared.is_subset_of(a) && shared.is_subset_of(b));
        cr_assert(a.is_subset_of(both) && b.is_subset_of(both));
        cr_assert(only.intersects(b) == false);
        cr_assert(a.intersects(b) == !shared.is_empty());
        cr_assert(a.is_subset_of(b) == only.is_empty());
        cr_assert(parsed(both.print().c_str()) == both);
    }
}

// SPDX-License-Identifier: MIT
//
// intrusive_list: order, removal from anywhere, splicing, and what must not be done. A random walk
// is compared with std::list as a model.
#include "base/captured.h"
#include "base/intrusive_list.h"
#include "base/random.h"
#include "support/test.h"

#include <algorithm>
#include <deque>
#include <list>
#include <vector>

using namespace rt::base;
using rt::test::capture;

namespace {

struct other_tag;

struct item : list_link<>, list_link<other_tag> {
    explicit item(int wanted = 0)
        : number(wanted) {}
    int number;
};

using main_list = intrusive_list<item>;
using other_list = intrusive_list<item, other_tag>;

std::vector<int> numbers(main_list& list) {
    std::vector<int> found;
    for (const item& one : list) {
        found.push_back(one.number);
    }
    return found;
}

void drain(main_list& list) {
    while (list.pop_front() != nullptr) {
    }
}

} // namespace

Test(intrusive_list, starts_empty) {
    main_list list;
    cr_assert(list.is_empty());
    cr_assert(list.front() == nullptr);
    cr_assert(list.back() == nullptr);
    cr_assert(list.pop_front() == nullptr);
    cr_assert(list.pop_back() == nullptr);
    cr_assert(list.count() == 0);
}

Test(intrusive_list, keeps_order_at_both_ends) {
    main_list list;
    item one(1);
    item two(2);
    item three(3);
    list.push_back(two);
    list.push_back(three);
    list.push_front(one);
    cr_assert(numbers(list) == (std::vector<int>{1, 2, 3}));
    cr_assert(list.front() == &one);
    cr_assert(list.back() == &three);
    cr_assert(list.pop_back() == &three);
    cr_assert(list.pop_front() == &one);
    cr_assert(list.pop_front() == &two);
    cr_assert(list.is_empty());
}

Test(intrusive_list, removes_from_the_middle) {
    main_list list;
    item one(1);
    item two(2);
    item three(3);
    list.push_back(one);
    list.push_back(three);
    list.insert_before(three, two);
    list.remove(two);
    cr_assert(numbers(list) == (std::vector<int>{1, 3}));
    cr_assert_not(static_cast<list_link<>&>(two).is_linked());
    static_cast<list_link<>&>(one).unlink();
    static_cast<list_link<>&>(three).unlink();
    cr_assert(list.is_empty());
}

Test(intrusive_list, an_element_may_be_on_two_lists_by_tag) {
    main_list list;
    other_list others;
    item one(1);
    list.push_back(one);
    others.push_back(one);
    cr_assert(list.pop_front() == &one);
    cr_assert(others.front() == &one);
    others.remove(one);
}

Test(intrusive_list, splice_moves_everything_in_order) {
    main_list list;
    main_list source;
    item items[4] = {item(0), item(1), item(2), item(3)};
    list.splice_back(source);
    cr_assert(list.is_empty());
    list.push_back(items[0]);
    for (int index = 1; index < 4; ++index) {
        source.push_back(items[index]);
    }
    list.splice_back(source);
    cr_assert(source.is_empty());
    cr_assert(numbers(list) == (std::vector<int>{0, 1, 2, 3}));
    source.splice_back(list);
    cr_assert(list.is_empty());
    cr_assert(source.count() == 4);
    drain(source);
}

Test(intrusive_list, iterates_backwards_and_survives_removal_behind) {
    main_list list;
    item items[3] = {item(0), item(1), item(2)};
    for (item& one : items) {
        list.push_back(one);
    }
    auto at = list.end();
    --at;
    cr_assert(at->number == 2);
    --at;
    cr_assert((*at).number == 1);
    for (auto next = list.begin(); next != list.end();) {
        item& current = *next++;
        list.remove(current);
    }
    cr_assert(list.is_empty());
}

Test(intrusive_list, misuse_is_fatal) {
    cr_assert(capture([] {
                  main_list list;
                  item one;
                  list.push_back(one);
                  list.push_back(one);
              }).was_aborted());
    cr_assert(capture([] {
                  main_list list;
                  auto* one = new item;
                  list.push_back(*one);
                  delete one;
              }).was_aborted());
    cr_assert(capture([] {
                  item one;
                  static_cast<list_link<>&>(one).unlink();
              }).was_aborted());
    cr_assert(capture([] {
                  auto* one = new item;
                  main_list list;
                  list.push_back(*one);
              }).was_aborted());
}

Test(intrusive_list, agrees_with_a_model_over_random_operations) {
    constexpr std::uint64_t seed = 20260801;
    random_source random(seed);
    std::deque<item> items;
    for (int number = 0; number < 32; ++number) {
        items.emplace_back(number);
    }
    main_list list;
    std::list<int> model;
    for (int step = 0; step < 20'000; ++step) {
        item& chosen = items[random.below(32)];
        auto& link = static_cast<list_link<>&>(chosen);
        if (link.is_linked()) {
            list.remove(chosen);
            model.remove(chosen.number);
        } else if (random.below(2) == 0) {
            list.push_back(chosen);
            model.push_back(chosen.number);
        } else {
            list.push_front(chosen);
            model.push_front(chosen.number);
        }
        cr_assert(link.is_linked() == list.contains(chosen));
        cr_assert(std::ranges::equal(numbers(list), model), "seed %lu step %d", seed, step);
    }
    drain(list);
}

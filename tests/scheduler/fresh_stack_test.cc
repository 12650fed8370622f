// SPDX-License-Identifier: MIT
//
// The private stack of new tasks: newest first for its owner, oldest first for everybody else.
#include "base/random.h"
#include "scheduler/fake_tasks.h"
#include "scheduler/fresh_stack.h"
#include "support/test.h"

#include <cstdint>
#include <deque>

using rt::scheduler::fresh_stack;
using rt::test::fake_tasks;

namespace {

void push(fresh_stack& stack, rt::detail::task_header* task) {
    if (!stack.try_push(task)) {
        cr_assert(stack.grow());
        cr_assert(stack.try_push(task));
    }
}

} // namespace

Test(fresh_stack, is_empty_at_first) {
    fresh_stack stack;
    cr_assert_eq(stack.size(), 0U);
    cr_assert_null(stack.pop_newest());
    cr_assert_null(stack.pop_oldest());
}

Test(fresh_stack, gives_the_newest_or_the_oldest) {
    const fake_tasks tasks(5);
    fresh_stack stack;
    for (std::size_t i = 0; i < tasks.size(); ++i) {
        push(stack, tasks[i]);
    }
    cr_assert(stack.pop_newest() == tasks[4]);
    cr_assert(stack.pop_oldest() == tasks[0]);
    cr_assert(stack.pop_oldest() == tasks[1]);
    stack.push_oldest(tasks[1]);
    cr_assert(stack.pop_oldest() == tasks[1]);
    cr_assert(stack.pop_newest() == tasks[3]);
    cr_assert(stack.pop_newest() == tasks[2]);
    cr_assert_null(stack.pop_newest());
}

// Against a deque, through several growths, with the ends at every place of the ring.
Test(fresh_stack, does_what_a_deque_does) {
    const fake_tasks tasks(5000);
    fresh_stack stack;
    std::deque<rt::detail::task_header*> expected;
    rt::base::random_source random(17);
    for (int i = 0; i < 500'000; ++i) {
        const bool is_growing = (i / 20'000) % 2 == 0;
        const std::uint32_t dice = random.below(10);
        if (dice < (is_growing ? 6U : 3U) && expected.size() < tasks.size()) {
            rt::detail::task_header* const task =
                tasks[random.below(static_cast<std::uint32_t>(tasks.size()))];
            push(stack, task);
            expected.push_back(task);
        } else if (dice % 2 == 0) {
            rt::detail::task_header* const task = stack.pop_newest();
            cr_assert(task == (expected.empty() ? nullptr : expected.back()));
            if (task != nullptr) {
                expected.pop_back();
            }
        } else {
            rt::detail::task_header* const task = stack.pop_oldest();
            cr_assert(task == (expected.empty() ? nullptr : expected.front()));
            if (task != nullptr) {
                expected.pop_front();
            }
        }
        cr_assert_eq(stack.size(), expected.size());
    }
}

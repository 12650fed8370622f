// SPDX-License-Identifier: MIT
//
// What is given a task or a join handle that is empty. There is memory, so it is a mistake of the
// program: it ends with a message that says where, in the program's own terms. In a process that
// has run out of memory before, the want of it may be the reason, and it is an exception.
#include "base/captured.h"
#include "support/test.h"
#include "task/gate.h"

#include <rt/join_set.h>
#include <rt/result.h>
#include <rt/runtime.h>
#include <rt/scope.h>
#include <rt/select.h>
#include <rt/shield.h>
#include <rt/spawn.h>
#include <rt/task.h>
#include <rt/time.h>
#include <rt/try_join.h>
#include <rt/yield.h>

#include <chrono>
#include <cstddef>
#include <new>
#include <string>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
using rt::task;

using empty_task = task<int>; // what is left of one that was moved from
using empty_result = task<rt::result<int>>;

task<int> five() {
    co_return 5;
}
task<rt::result<int>> fifth() {
    co_return 5;
}

template<typename T>
std::vector<task<T>> with_an_empty_one(task<T> first) {
    std::vector<task<T>> all;
    all.push_back(std::move(first));
    all.emplace_back();
    return all;
}

task<void> selects() {
    static_cast<void>(co_await rt::select(five(), empty_task()));
}
task<void> selects_in_order() {
    static_cast<void>(co_await rt::select(rt::biased, five(), empty_task()));
}
task<void> selects_many() {
    static_cast<void>(co_await rt::select(with_an_empty_one(five())));
}
task<void> joins() {
    static_cast<void>(co_await rt::join(five(), empty_task()));
}
task<void> joins_many() {
    static_cast<void>(co_await rt::join(with_an_empty_one(five())));
}
task<void> joins_inside_of_a_select() {
    static_cast<void>(co_await rt::select(rt::sleep(1h), rt::join(five(), empty_task())));
}
task<void> tries_to_join() {
    static_cast<void>(co_await rt::try_join(fifth(), empty_result()));
}
task<void> tries_to_join_many() {
    static_cast<void>(co_await rt::try_join(with_an_empty_one(fifth())));
}
task<void> shields() {
    static_cast<void>(co_await rt::shield(empty_task()));
}
task<void> frees_of_the_budget() {
    static_cast<void>(co_await rt::unconstrained(empty_task()));
}
task<void> bounds() {
    static_cast<void>(co_await rt::timeout(1h, empty_task()));
}
task<void> runs_a_scope() {
    static_cast<void>(co_await rt::scope::run([](rt::scope&) { return empty_task(); }));
}
task<void> spawns_a_child() {
    co_await rt::scope::run([](rt::scope& children) -> task<void> {
        cr_assert_not(children.spawn(empty_task()));
        co_return;
    });
}
task<void> spawns_a_member() {
    rt::join_set<int> members;
    cr_assert_eq(members.spawn(empty_task()).id(), 0U);
    co_return;
}
task<void> spawns_a_joined_set() {
    static_cast<void>(co_await rt::spawn(rt::join(five(), empty_task())));
}

// The first round consumes the handle.
task<void> selects_a_handle_in_a_loop() {
    auto child = rt::spawn(five);
    for (int round = 0; round < 2; ++round) {
        static_cast<void>(co_await rt::select(child, rt::sleep(1h)));
    }
}
task<void> bounds_an_empty_handle() {
    rt::join_handle<int> none;
    static_cast<void>(co_await rt::timeout(1h, none));
}
task<void> joins_an_empty_handle() {
    rt::join_handle<int> none;
    static_cast<void>(co_await rt::join(five(), std::move(none)));
}

void runs(rt::runtime& runtime, task<void> (*body)()) {
    if (body == nullptr) {
        runtime.block_on(empty_task());
    } else {
        runtime.block_on(body());
    }
}

struct misuse {
    task<void> (*body)(); // null: the body is what is empty
    const char* what;
};

constexpr misuse misuses[] = {
    {selects, "rt::select of a task"},
    {selects_in_order, "rt::select of a task"},
    {selects_many, "rt::select of a task"},
    {joins, "rt::join of a task"},
    {joins_many, "rt::join of a task"},
    {joins_inside_of_a_select, "rt::join of a task"},
    {tries_to_join, "rt::try_join of a task"},
    {tries_to_join_many, "rt::try_join of a task"},
    {shields, "rt::shield of a task"},
    {frees_of_the_budget, "rt::unconstrained of a task"},
    {bounds, "rt::timeout around a task"},
    {runs_a_scope, "rt::scope::run of a body that returns a task"},
    {spawns_a_child, "rt::scope::spawn of a task"},
    {spawns_a_member, "rt::join_set::spawn of a task"},
    {spawns_a_joined_set, "rt::join of a task"},
    {selects_a_handle_in_a_loop, "a part that is a join handle"},
    {bounds_an_empty_handle, "a part that is a join handle"},
    {joins_an_empty_handle, "a part that is a join handle"},
    {nullptr, "rt::block_on of a task"},
};

} // namespace

Test(empty, whatever_is_given_it_ends_the_program_with_the_callers_line) {
    for (const misuse& each : misuses) {
        const rt::test::captured got = rt::test::capture([&] {
            rt::runtime runtime(rt::test::with_workers(1));
            runs(runtime, each.body);
        });
        const std::string text = std::string(each.what) + " that is empty, at ";
        cr_assert(got.was_aborted(), "%s", each.what);
        cr_assert(got.says(text.c_str()), "%s: %s", each.what, got.text.c_str());
        cr_assert(got.says("/empty_test.cc:"), "%s", got.text.c_str());
    }
}

#if !defined(RT_SANITIZED)

namespace {

struct impossible {
    impossible() {}
    char bytes[std::size_t{1} << 56U];
};

task<int> needs_an_impossible_frame() {
    impossible space;
    char* volatile escaped = space.bytes;
    co_await rt::yield();
    co_return escaped[0];
}

} // namespace

Test(empty, whatever_is_given_it_says_so_where_memory_has_run_out) {
    for (const misuse& each : misuses) {
        const rt::test::captured got = rt::test::capture([&] {
            task<int> (*volatile const made)() = &needs_an_impossible_frame; // not inlined
            cr_assert_not(static_cast<bool>(made()));
            rt::runtime runtime(rt::test::with_workers(1));
            try {
                runs(runtime, each.body);
            } catch (const std::bad_alloc&) {
                return;
            }
            cr_assert(each.body == spawns_a_child || each.body == spawns_a_member);
        });
        cr_assert(got.has_exited(), "%s: %s", each.what, got.text.c_str());
    }
}

#endif

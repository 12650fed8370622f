// SPDX-License-Identifier: MIT
//
// rt::spawn: what happens to the callable and its arguments, from the call to the end of the task.
//
// The rule under test: spawn takes what it is given into the task, so nothing that the caller
// leaves behind can dangle; and what the task has taken dies with the task, however long its handle
// lives.
#include "support/test.h"
#include "task/gate.h"
#include "task/parent.h"

#include <rt/runtime.h>
#include <rt/spawn.h>
#include <rt/task.h>
#include <rt/yield.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace {

using rt::task;
using rt::test::census;
using rt::test::everywhere;
using rt::test::gate;
using rt::test::member;
using rt::test::on_each_flavor;

task<std::size_t> length_of(std::string text) {
    co_await rt::yield();
    co_return text.size();
}

// References: spawn must own what they refer to.
task<std::size_t> length_of_const(const std::string& text) {
    co_await rt::yield();
    co_return text.size();
}
task<std::size_t> length_of_rvalue(std::string&& text) {
    co_await rt::yield();
    const std::string taken = std::move(text);
    co_await rt::yield();
    co_return taken.size();
}

task<std::size_t> spawns_with_temporaries() {
    const std::string pattern(1000, 'x');
    std::size_t total = 0;
    auto first = rt::spawn(length_of, pattern + "1");
    auto second = rt::spawn(length_of_const, pattern + "22");
    auto third = rt::spawn(length_of_rvalue, pattern + "333");
    {
        const std::string noise(1010, 'y'); // where a dangling reference would point to
        total += noise.size() - 1010;
    }
    total += co_await std::move(first);
    total += co_await std::move(second);
    total += co_await std::move(third);
    co_return total;
}

// A named value is copied, not referred to.
task<std::string> gets_a_copy(const std::string& text, gate* at) {
    co_await at->wait();
    co_return text;
}

task<bool> changes_after_spawn() {
    gate at;
    std::string text = "before, and long enough to be on the heap";
    const std::string kept = text;
    auto child = rt::spawn(gets_a_copy, text, &at);
    text.assign("after");
    at.open();
    co_return co_await std::move(child) == kept;
}

} // namespace

Test(spawn, owns_what_its_task_refers_to) {
    everywhere([](rt::runtime& runtime) {
        cr_assert_eq(runtime.block_on(spawns_with_temporaries()), 3006U);
        cr_assert(runtime.block_on(changes_after_spawn()));
    });
}

// ---- callables ----------------------------------------------------------------------------------

namespace {

// A capturing lambda that is a coroutine refers to the lambda object: spawn keeps it alive.
task<int> spawns_capturing_lambdas() {
    int sum = 0;
    std::vector<rt::join_handle<int>> children;
    for (int i = 0; i < 10; ++i) {
        auto owned = std::make_unique<int>(i);
        children.push_back(rt::spawn([i, owned = std::move(owned)]() -> task<int> {
            co_await rt::yield();
            const int half = *owned;
            co_await rt::yield();
            co_return half + i;
        }));
    }
    for (auto& each : children) {
        sum += co_await std::move(each);
    }
    co_return sum;
}

struct adder {
    int base;
    task<int> add(int more) const {
        co_await rt::yield();
        co_return base + more;
    }
    task<int> operator()(int more, std::unique_ptr<int> rest) && {
        co_await rt::yield();
        co_return base + more + *rest;
    }
};

task<int> spawns_members_and_functors() {
    int sum = co_await rt::spawn(&adder::add, adder{1}, 2);
    sum += co_await rt::spawn(adder{10}, 20, std::make_unique<int>(30));
    std::function<task<int>(int)> erased = [](int x) -> task<int> {
        co_return x;
    };
    sum += co_await rt::spawn(erased, 100);
    sum += co_await rt::spawn([](int x) -> task<int> { co_return x; }, 1000);
    co_return sum;
}

task<int> five(int a, int b, int c, int d, std::unique_ptr<int> e) {
    co_await rt::yield();
    co_return a + b + c + d + *e;
}

task<int> spawns_five_arguments() {
    co_return co_await rt::spawn(five, 1, 2, 3, 4, std::make_unique<int>(5));
}

task<int> spawns_a_task_object() {
    task<int> body = five(1, 1, 1, 1, std::make_unique<int>(1));
    co_return co_await rt::spawn(std::move(body));
}

} // namespace

Test(spawn, takes_capturing_lambdas) {
    everywhere([](rt::runtime& runtime) {
        cr_assert_eq(runtime.block_on(spawns_capturing_lambdas()), 90);
    });
}

Test(spawn, takes_members_functors_and_task_objects) {
    on_each_flavor([](rt::runtime& runtime) {
        cr_assert_eq(runtime.block_on(spawns_members_and_functors()), 1163);
        cr_assert_eq(runtime.block_on(spawns_five_arguments()), 15);
        cr_assert_eq(runtime.block_on(spawns_a_task_object()), 5);
    });
}

// ---- how often things are moved, and when they die ----------------------------------------------

namespace {

task<void> takes_member(member owned, gate* at) {
    const member* volatile used = &owned;
    co_await at->wait();
    static_cast<void>(used);
}

task<void> takes_member_by_reference(const member& /*borrowed*/, gate* at) {
    co_await at->wait();
}

// The handle is kept far beyond the end of the task: the arguments are not.
template<typename Function>
task<void> keeps_the_handle(Function function, census* counted) {
    gate at;
    auto child = rt::spawn(function, member(*counted), &at);
    cr_assert_eq(counted->live.load_acquire(), 1, "moved into the task, nothing left behind");
    at.open();
    while (!child.is_finished()) {
        co_await rt::yield();
    }
    cr_assert_eq(counted->live.load_acquire(), 0);
    co_await std::move(child);
}

task<void> keeps_captures_no_longer(census* counted) {
    gate at;
    auto child = rt::spawn([owned = member(*counted), wait = &at]() -> task<void> {
        co_await wait->wait();
    });
    cr_assert_eq(counted->live.load_acquire(), 1);
    at.open();
    while (!child.is_finished()) {
        co_await rt::yield();
    }
    cr_assert_eq(counted->live.load_acquire(), 0);
    co_await std::move(child);
}

} // namespace

Test(spawn, arguments_die_with_the_task_and_not_with_its_handle) {
    everywhere([](rt::runtime& runtime) {
        census counted;
        runtime.block_on(keeps_the_handle(&takes_member, &counted));
        runtime.block_on(keeps_the_handle(&takes_member_by_reference, &counted));
        runtime.block_on(keeps_captures_no_longer(&counted));
    });
}

// ---- parents and polls --------------------------------------------------------------------------

namespace {

task<void> nothing() {
    co_return;
}

task<bool> is_known_to_its_child() {
    const std::uint64_t own = rt::detail::this_thread.task->id.load_relaxed();
    gate at;
    auto child = rt::spawn([wait = &at]() -> task<void> { co_await wait->wait(); });
    const bool is_parent = rt::test::parent_of(child.header()) == own;
    at.open();
    co_await std::move(child);
    co_return is_parent;
}

task<std::uint32_t> counts_polls() {
    auto child = rt::spawn([]() -> task<void> { co_await rt::yield(); });
    while (!child.is_finished()) {
        co_await rt::yield();
    }
    co_return child.header()->polls;
}

task<void> is_spawned_here(unsigned* line) {
    const auto child = rt::spawn(nothing);
    *line = __LINE__ - 1;
    const auto site = std::bit_cast<rt::detail::site>(child.header()->spawn_site);
    cr_assert_eq(site.line(), *line);
    cr_assert(std::string_view(site.file_name()).ends_with("spawn_test.cc"));
    co_return;
}

} // namespace

Test(spawn, b077_a_task_knows_its_parent_and_where_it_was_spawned) {
    on_each_flavor([](rt::runtime& runtime) {
        cr_assert(runtime.block_on(is_known_to_its_child()));
        unsigned line = 0;
        runtime.block_on(is_spawned_here(&line));
        cr_assert(line != 0);
    });
}

Test(spawn, b106_a_task_that_yields_once_is_run_exactly_twice) {
    everywhere([](rt::runtime& runtime) { cr_assert_eq(runtime.block_on(counts_polls()), 2U); });
}

// ---- no memory ----------------------------------------------------------------------------------

namespace {

struct impossible {
    impossible() {}
    char bytes[std::size_t{1} << 56U];
};

task<int> needs_an_impossible_frame(member /*owned*/) {
    impossible space;
    char* volatile escaped = space.bytes;
    co_await rt::yield();
    co_return escaped[0];
}

[[maybe_unused]] task<bool> spawn_without_memory(census* counted) {
    auto child = rt::spawn(needs_an_impossible_frame, member(*counted));
    cr_assert(!child, "an empty handle");
    cr_assert(child.is_finished());
    child.abort();
    cr_assert_eq(child.id(), 0U);
    try {
        co_await std::move(child);
    } catch (const std::bad_alloc&) {
        co_return true;
    }
    co_return false;
}

} // namespace

#if !defined(RT_SANITIZED)
Test(spawn, of_a_task_without_memory_gives_a_handle_that_throws_bad_alloc) {
    on_each_flavor([](rt::runtime& runtime) {
        census counted;
        cr_assert(runtime.block_on(spawn_without_memory(&counted)));
        cr_assert_eq(counted.live.load_relaxed(), 0);
    });
}
#endif

// ---- what a frame can hold ----------------------------------------------------------------------

namespace {

struct alignas(64) padded {
    int value = 1;
};

// rt::spawn, rt::scope, rt::task_local and the parts of a join or select refuse the others.
static_assert(rt::detail::fits_frame<int, std::string, std::max_align_t>);
static_assert(!rt::detail::fits_frame<int, padded>);
static_assert(!rt::detail::fits_frame<std::optional<padded>>);

} // namespace

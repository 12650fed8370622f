// SPDX-License-Identifier: MIT
//
// Join handles: who gets a result, when it is destroyed, and what is left if nobody wants it.
// Every combination of endings, dropped handles and aborts is in combinations_test.cc.
#include "base/captured.h"
#include "support/test.h"
#include "task/gate.h"

#include <rt/runtime.h>
#include <rt/select.h>
#include <rt/spawn.h>
#include <rt/task.h>
#include <rt/time.h>
#include <rt/yield.h>

#include <array>
#include <cstdint>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
using rt::task;
using rt::test::census;
using rt::test::everywhere;
using rt::test::gate;
using rt::test::member;
using rt::test::on_each_flavor;

task<int> value_after_yield(int value) {
    co_await rt::yield();
    co_return value;
}

task<int> joins_one(int value) {
    co_return co_await rt::spawn(value_after_yield, value);
}

task<int> chain_of_spawns(int depth) {
    if (depth == 0) {
        co_return 0;
    }
    co_return 1 + co_await rt::spawn(chain_of_spawns, depth - 1);
}

task<void> opens(gate* at) {
    at->open();
    co_return;
}

task<bool> waits_for_a_background_task() {
    gate opened;
    auto child = rt::spawn(opens, &opened);
    co_await opened.wait();
    co_await std::move(child);
    co_return true;
}

task<member> returns_member(census* counted, gate* at) {
    co_await at->wait();
    co_return member(*counted);
}

} // namespace

Test(join, b003_joining_a_task_yields_its_output) {
    everywhere([](rt::runtime& runtime) { cr_assert_eq(runtime.block_on(joins_one(7)), 7); });
}

Test(join, b003_tasks_spawn_and_join_in_a_chain) {
    everywhere([](rt::runtime& runtime) {
        cr_assert_eq(runtime.block_on(chain_of_spawns(1000)), 1000);
    });
}

Test(join, b002_a_background_task_can_signal_the_root) {
    everywhere([](rt::runtime& runtime) {
        cr_assert(runtime.block_on(waits_for_a_background_task()));
    });
}

// ---- when it has ended already ------------------------------------------------------------------

namespace {

task<int> joins_a_finished_task() {
    auto child = rt::spawn(value_after_yield, 3);
    while (!child.is_finished()) {
        co_await rt::yield();
    }
    cr_assert(static_cast<bool>(child));
    const int value = co_await std::move(child);
    cr_assert(!child, "awaiting consumes the handle");
    co_return value;
}

task<int> joins_through_a_moved_handle() {
    rt::join_handle<int> first = rt::spawn(value_after_yield, 4);
    rt::join_handle<int> second = std::move(first);
    cr_assert(!first);
    rt::join_handle<int> third;
    cr_assert(third.is_finished(), "an empty handle waits for nothing");
    third = std::move(second);
    co_return co_await std::move(third);
}

task<bool> joins_an_lvalue() {
    auto child = rt::spawn(value_after_yield, 5);
    const int value = co_await child;
    co_return value == 5;
}

} // namespace

Test(join, a_task_that_has_ended_already_is_joined_at_once) {
    on_each_flavor([](rt::runtime& runtime) {
        cr_assert_eq(runtime.block_on(joins_a_finished_task()), 3);
    });
}

Test(join, a_handle_may_be_moved) {
    on_each_flavor([](rt::runtime& runtime) {
        cr_assert_eq(runtime.block_on(joins_through_a_moved_handle()), 4);
        cr_assert(runtime.block_on(joins_an_lvalue()));
    });
}

// ---- results ------------------------------------------------------------------------------------

namespace {

// The header has room for 32 bytes: below, at and above.
template<std::size_t Bytes>
struct blob {
    std::array<std::uint8_t, Bytes> bytes{};
};

template<std::size_t Bytes>
task<blob<Bytes>> make_blob(std::uint8_t fill) {
    blob<Bytes> made;
    made.bytes.fill(fill);
    co_await rt::yield();
    co_return made;
}

template<std::size_t Bytes>
task<bool> joins_blob() {
    const blob<Bytes> got = co_await rt::spawn(make_blob<Bytes>, std::uint8_t{0xa5});
    for (const std::uint8_t byte : got.bytes) {
        if (byte != 0xa5) {
            co_return false;
        }
    }
    co_return true;
}

task<std::unique_ptr<std::string>> make_text() {
    co_return std::make_unique<std::string>("moved out");
}

task<bool> joins_move_only() {
    const auto text = co_await rt::spawn(make_text);
    co_return *text == "moved out";
}

task<void> nothing_to_return() {
    co_await rt::yield();
}

task<bool> joins_void() {
    co_await rt::spawn(nothing_to_return);
    co_return true;
}

} // namespace

Test(join, a_result_may_be_of_any_size) {
    on_each_flavor([](rt::runtime& runtime) {
        cr_assert(runtime.block_on(joins_blob<1>()));
        cr_assert(runtime.block_on(joins_blob<32>()));
        cr_assert(runtime.block_on(joins_blob<33>()));
        cr_assert(runtime.block_on(joins_blob<100'000>()));
    });
}

Test(join, a_result_may_be_move_only_or_void) {
    on_each_flavor([](rt::runtime& runtime) {
        cr_assert(runtime.block_on(joins_move_only()));
        cr_assert(runtime.block_on(joins_void()));
    });
}

// ---- exceptions and cancellation ----------------------------------------------------------------

namespace {

struct refused : std::runtime_error {
    using std::runtime_error::runtime_error;
};

task<int> refuses() {
    co_await rt::yield();
    throw refused("no");
}

task<bool> joins_a_task_that_throws() {
    auto child = rt::spawn(refuses);
    try {
        co_await std::move(child);
    } catch (const refused& caught) {
        co_return std::string_view(caught.what()) == "no";
    }
    co_return false;
}

task<int> waits(gate* at) {
    co_await at->wait();
    co_return 1;
}

task<bool> joins_a_cancelled_task() {
    gate never;
    auto child = rt::spawn(waits, &never);
    const std::uint64_t id = child.id();
    child.abort();
    try {
        co_await std::move(child);
    } catch (const rt::join_error& caught) {
        co_return caught.task_id() == id&& std::string_view(caught.what()).size() > 0;
    }
    co_return false;
}

task<bool> error_names_the_task() {
    gate never;
    auto child = rt::spawn(waits, &never);
    const std::string id = std::to_string(child.id());
    child.abort();
    try {
        co_await std::move(child);
    } catch (const std::exception& caught) {
        co_return std::string_view(caught.what()).find(id) != std::string_view::npos;
    }
    co_return false;
}

} // namespace

Test(join, an_exception_is_rethrown_to_who_joins) {
    everywhere([](rt::runtime& runtime) { cr_assert(runtime.block_on(joins_a_task_that_throws())); }
    );
}

Test(join, b111_a_cancelled_task_gives_join_error_with_its_id) {
    everywhere([](rt::runtime& runtime) { cr_assert(runtime.block_on(joins_a_cancelled_task())); });
}

Test(join, b116_the_text_of_a_join_error_contains_the_id) {
    on_each_flavor([](rt::runtime& runtime) { cr_assert(runtime.block_on(error_names_the_task())); }
    );
}

// ---- detached -----------------------------------------------------------------------------------

namespace {

task<void> sets(bool* flag, gate* start, gate* done) {
    co_await start->wait();
    *flag = true;
    done->open();
}

task<bool> detaches() {
    gate start;
    gate done;
    bool first = false;
    bool second = false;
    gate second_done;
    rt::spawn(sets, &first, &start, &done).detach();
    { const auto dropped = rt::spawn(sets, &second, &start, &second_done); }
    start.open();
    co_await done.wait();
    co_await second_done.wait();
    // open() is the last that the tasks do with our gates, and they may still be in it.
    co_await rt::sleep(1ms);
    co_return first&& second;
}

// The handle is dropped before the task ends, or after: the result dies either way.
task<void> drops_early(census* counted) {
    gate at;
    auto child = rt::spawn(returns_member, counted, &at);
    const rt::abort_handle watch = child.abort_handle();
    child.detach();
    at.open();
    while (!watch.is_finished()) {
        co_await rt::yield();
    }
}

task<void> drops_late(census* counted) {
    gate at;
    at.open();
    auto child = rt::spawn(returns_member, counted, &at);
    while (!child.is_finished()) {
        co_await rt::yield();
    }
    cr_assert_eq(counted->live.load_relaxed(), 1, "the result is kept for the handle");
}

task<void> assigns_over(census* counted) {
    gate at;
    at.open();
    auto child = rt::spawn(returns_member, counted, &at);
    while (!child.is_finished()) {
        co_await rt::yield();
    }
    child = rt::join_handle<member>();
    cr_assert_eq(counted->live.load_relaxed(), 0);
    cr_assert(!child);
}

} // namespace

Test(join, a_detached_task_goes_on) {
    everywhere([](rt::runtime& runtime) { cr_assert(runtime.block_on(detaches())); });
}

Test(join, b104_the_result_dies_with_the_handle_or_with_the_task) {
    on_each_flavor([](rt::runtime& runtime) {
        for (const auto body : {&drops_early, &drops_late, &assigns_over}) {
            census counted;
            runtime.block_on(body(&counted));
            cr_assert_eq(counted.live.load_relaxed(), 0);
            cr_assert(counted.made.load_relaxed() > 0);
        }
    });
}

// ---- what is empty ------------------------------------------------------------------------------
//
// There is memory, so it is a mistake of the program, which the message says, with its line. Of
// parts, scopes and sets: tests/task/empty_test.cc.

namespace {

task<void> awaits_a_handle_twice() {
    auto child = rt::spawn(value_after_yield, 5);
    co_await child;
    co_await child;
}

task<void> takes_from_a_handle_twice() {
    auto child = rt::spawn(value_after_yield, 5);
    while (!child.is_finished()) {
        co_await rt::yield();
    }
    cr_assert_eq(child.take(), 5);
    child.take();
}

task<void> awaits_a_task_that_was_moved_from() {
    auto first = value_after_yield(5);
    auto second = std::move(first);
    co_await std::move(second);
    co_await std::move(first);
}

task<void> spawns_a_task_that_was_moved_from() {
    auto first = value_after_yield(5);
    auto second = std::move(first);
    co_await std::move(second);
    co_await rt::spawn(std::move(first));
}

struct misuse {
    task<void> (*body)();
    const char* text;
};

constexpr misuse misuses[] = {
    {awaits_a_handle_twice, "co_await of a join handle that is empty"},
    {takes_from_a_handle_twice, "take() of a join handle that is empty"},
    {awaits_a_task_that_was_moved_from, "co_await of a task that is empty"},
    {spawns_a_task_that_was_moved_from, "a spawn of a task that is empty"},
};

} // namespace

Test(join, what_is_empty_by_mistake_ends_the_program_with_the_line) {
    for (const misuse& each : misuses) {
        const rt::test::captured got = rt::test::capture([&] {
            rt::runtime runtime(rt::test::with_workers(1));
            runtime.block_on(each.body());
        });
        cr_assert(got.was_aborted(), "%s", each.text);
        cr_assert(got.says(each.text), "%s", got.text.c_str());
        cr_assert(got.says("join_test.cc:"), "%s", got.text.c_str());
    }
}

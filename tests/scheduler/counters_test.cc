// SPDX-License-Identifier: MIT
//
// What the counters of the workers say of a few known events, on a runtime that does nothing else.
#include "scheduler/counted.h"
#include "support/test.h"
#include "task/gate.h"
#include "task/sockets.h"

#include <rt/detail/atomic.h>
#include <rt/runtime.h>
#include <rt/select.h>
#include <rt/spawn.h>
#include <rt/spawn_on.h>
#include <rt/sync/mpsc.h>
#include <rt/time.h>
#include <rt/yield.h>

#include <cstdint>
#include <thread>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
using rt::task;
using rt::metrics::worker_counters;
using rt::test::counted;
using rt::test::gate;

task<void> nothing() {
    co_return;
}

task<void> spawns_and_joins(int depth) {
    if (depth != 0) {
        co_await rt::spawn(spawns_and_joins, depth - 1);
    }
}

task<void> waits_at(gate* at) {
    co_await at->wait();
}

task<void> uses_budget(std::uint32_t units) {
    for (std::uint32_t i = 0; i < units; ++i) {
        co_await rt::consume_budget();
    }
}

task<void> holds(rt::atomic<int>* held, const rt::atomic<bool>* is_over) {
    held->add_acq_rel(1);
    while (!is_over->load_acquire()) {
        std::this_thread::yield();
    }
    co_return;
}

} // namespace

// ---- turns --------------------------------------------------------------------------------------

namespace {

// Counts its own turns between suspensions, through the header's counter.
task<std::uint32_t> takes(rt::mpsc::receiver<int> from) {
    while (co_await from.recv()) {
    }
    co_return rt::detail::this_thread.task->polls;
}

task<void> feeds_and_counts(std::uint32_t* turns) {
    auto [to, from] = rt::mpsc::channel<int>(1);
    auto child = rt::spawn(takes(std::move(from)));
    co_await rt::yield(); // it waits
    cr_assert(co_await to.send(1));
    co_await rt::yield(); // it has taken the value, and waits again
    { const auto ends = std::move(to); }
    *turns = co_await std::move(child);
}

} // namespace

Test(counters, b013_a_task_has_as_many_turns_as_it_was_woken) {
    counted runtime(0);
    std::uint32_t turns = 0;
    runtime.block_on(feeds_and_counts(&turns));
    cr_assert_eq(turns, 3U, "%u: begun, woken by a value, woken by the end", turns);
}

Test(counters, b026_the_root_has_no_turn_without_a_wake) {
    counted runtime(0);
    gate at;
    std::thread opener([&] {
        while (at.waiting() == 0) {
            std::this_thread::yield();
        }
        for (int i = 0; i < 100; ++i) {
            runtime.spawn(nothing()).detach();
        }
        at.open();
    });
    std::uint32_t turns = 0;
    runtime.block_on([](gate* where, std::uint32_t* count) -> task<void> {
        co_await where->wait();
        *count = rt::detail::this_thread.task->polls;
    }(&at, &turns));
    opener.join();
    cr_assert_eq(turns, 2U);
}

Test(counters, b187_every_turn_is_counted_once) {
    for (const std::uint32_t workers : {0U, 1U, 2U}) {
        counted runtime(workers);
        const std::uint64_t before = runtime.sum(&worker_counters::polls);
        for (int i = 0; i < 50; ++i) {
            runtime.block_on(nothing());
        }
        cr_assert_eq(runtime.sum(&worker_counters::polls) - before, 50U);
    }
}

namespace {

// How often the worker of an epoll driver has looked at it: each look is a system call.
std::uint64_t looks() {
    return rt::metrics::this_worker->driver_enters.load_relaxed();
}

task<void> is_looked_for_once_a_yield() {
    for (int i = 0; i < 200; ++i) {
        const std::uint64_t before = looks();
        co_await rt::yield();
        cr_assert_eq(looks() - before, 1U, "yield %d", i);
    }
}

task<void> is_looked_for_once_a_budget() {
    co_await rt::yield(); // a turn of its own
    for (int i = 0; i < 200; ++i) {
        co_await uses_budget(rt::detail::poll_budget);
        const std::uint64_t before = looks();
        co_await uses_budget(1);
        cr_assert_eq(looks() - before, 1U, "yield %d", i);
    }
}

task<void> several(task<void> (*body)()) {
    std::vector<rt::join_handle<void>> children;
    for (int i = 0; i < 3; ++i) {
        children.push_back(rt::spawn(body));
    }
    for (auto& each : children) {
        co_await std::move(each);
    }
}

} // namespace

// Of one task, and of several that give way in turns.
Test(counters, b059_the_driver_is_looked_at_once_between_a_yield_and_the_next_turn) {
    for (const std::uint32_t workers : {0U, 1U}) {
        counted runtime(workers, rt::driver_kind::epoll);
        for (const auto body : {&is_looked_for_once_a_yield, &is_looked_for_once_a_budget}) {
            runtime.block_on(body());
            runtime.block_on(several(body));
        }
    }
}

// ---- where tasks are queued ---------------------------------------------------------------------

Test(counters, b014_b015_b188_spawns_inside_are_local_and_from_outside_remote) {
    for (const std::uint32_t workers : {0U, 1U, 2U}) {
        counted runtime(workers);
        // From here: the root, which this thread queues, unless it is the worker. Inside: two
        // spawns, and a wake for each join that has suspended.
        const std::uint64_t inside = workers == 0 ? 1 : 0;
        const std::uint64_t before = runtime.sum(&worker_counters::remote_schedules, true);
        runtime.block_on(spawns_and_joins(2));
        cr_assert_eq(runtime.sum(&worker_counters::remote_schedules, true) - before, 1 - inside);
        const std::uint64_t local = runtime.sum(&worker_counters::local_schedules) - inside;
        cr_assert(local >= 2 && local <= 4, "%lu", static_cast<unsigned long>(local));
    }
}

Test(counters, b014_a_wake_from_another_thread_is_one_remote_schedule) {
    counted runtime(0);
    gate at;
    std::thread opener([&] {
        while (at.waiting() == 0) {
            std::this_thread::yield();
        }
        at.open();
    });
    runtime.block_on(waits_at(&at));
    opener.join();
    cr_assert_eq(runtime.sum(&worker_counters::remote_schedules, true), 1U, "the wake");
    cr_assert_eq(runtime.sum(&worker_counters::local_schedules), 1U, "the root");
}

Test(counters, b183_one_spawn_from_outside_counts_once) {
    counted runtime(2);
    const std::uint64_t spawned = runtime.sum(&worker_counters::spawned, true);
    const std::uint64_t remote = runtime.sum(&worker_counters::remote_schedules, true);
    runtime.block_on(nothing());
    cr_assert_eq(runtime.sum(&worker_counters::spawned, true) - spawned, 1U);
    cr_assert_eq(runtime.sum(&worker_counters::remote_schedules, true) - remote, 1U);
}

namespace {

task<void> joins(rt::join_handle<void> other) {
    co_await std::move(other);
}

} // namespace

namespace {

task<void> yields(int times) {
    for (int i = 0; i < times; ++i) {
        co_await rt::yield();
    }
}

task<void> spawns_locally() {
    const worker_counters& own = *rt::metrics::this_worker;
    const std::uint64_t local = own.local_schedules.load_relaxed();
    auto child = rt::spawn_local(nothing);
    cr_assert_eq(own.local_schedules.load_relaxed() - local, 1U);
    co_await std::move(child);
    const std::uint64_t before = own.yields.load_relaxed();
    co_await rt::spawn_local(yields, 3);
    cr_assert_eq(own.yields.load_relaxed() - before, 3U);
}

} // namespace

Test(counters, b014_bound_tasks_are_counted_like_others) {
    counted runtime(1);
    runtime.block_on(spawns_locally());
    const std::uint64_t remote = runtime.sum(&worker_counters::remote_schedules, true);
    const std::uint64_t injected = runtime.sum(&worker_counters::injected);
    const auto here = rt::detail::site::current();
    auto child = rt::detail::launch(runtime.pool().bound_to_or_fatal(0, here), nothing(), here);
    while (!child.is_finished()) {
        std::this_thread::yield();
    }
    cr_assert_eq(runtime.sum(&worker_counters::remote_schedules, true) - remote, 1U);
    cr_assert_eq(runtime.sum(&worker_counters::injected) - injected, 1U);
}

Test(counters, b177_the_injected_depth_counts_spawns_that_nobody_has_taken) {
    counted idle(0);
    rt::join_handle<void> queued = idle.spawn(nothing());
    cr_assert_eq(idle.pool().injected_depth(), 1U);
    idle.block_on(joins(std::move(queued)));
    cr_assert_eq(idle.pool().injected_depth(), 0U);

    counted busy(2);
    rt::atomic<int> held{0};
    rt::atomic<bool> is_over{false};
    std::vector<rt::join_handle<void>> all;
    for (std::uint32_t i = 0; i < 2; ++i) {
        all.push_back(rt::detail::launch(
            busy.pool().bound_to_or_fatal(i, rt::detail::site::current()),
            holds(&held, &is_over),
            rt::detail::site::current()
        ));
    }
    while (held.load_acquire() != 2) {
        std::this_thread::yield();
    }
    for (std::size_t i = 1; i <= 10; ++i) {
        all.push_back(busy.spawn(nothing()));
        cr_assert_eq(busy.pool().injected_depth(), i);
    }
    all.push_back(rt::detail::launch(
        busy.pool().bound_to_or_fatal(1, rt::detail::site::current()),
        nothing(),
        rt::detail::site::current()
    ));
    cr_assert_eq(busy.pool().view(1).bound_depth, 1U);
    cr_assert_eq(busy.pool().view(0).bound_depth, 0U);
    is_over.store_release(true);
    for (const auto& each : all) {
        while (!each.is_finished()) {
            std::this_thread::yield();
        }
    }
    cr_assert_eq(busy.pool().view(1).bound_depth, 0U);
    cr_assert_eq(busy.pool().injected_depth(), 0U);
}

namespace {

// Three hundred tasks become ready in one turn, more than the ring has room for: the oldest half
// stays. (Tasks that are spawned have a place of their own, and overflow nothing.)
task<void> wakes_three_hundred(gate* at) {
    std::vector<rt::join_handle<void>> children;
    for (int i = 0; i < 300; ++i) {
        children.push_back(rt::spawn(waits_at, at));
    }
    while (at->waiting() != 300) {
        co_await rt::yield();
    }
    const std::uint64_t before = rt::metrics::this_worker->overflows.load_relaxed();
    at->open();
    cr_assert_eq(rt::metrics::this_worker->overflows.load_relaxed() - before, 1U);
    for (auto& each : children) {
        co_await std::move(each);
    }
}

} // namespace

// A lone worker does without a ring; the other one here takes nothing out of it.
Test(counters, b189_a_ring_that_is_full_overflows_once) {
    counted runtime(2);
    rt::atomic<int> held{0};
    rt::atomic<bool> is_over{false};
    auto other = runtime.spawn(holds(&held, &is_over));
    while (held.load_acquire() == 0) {
        std::this_thread::yield();
    }
    gate at;
    runtime.block_on(wakes_three_hundred(&at));
    is_over.store_release(true);
    while (!other.is_finished()) {
        std::this_thread::yield();
    }
}

namespace {

task<void> counts_what_it_woke(gate* at, const rt::scheduler::pool* pool) {
    std::vector<rt::join_handle<void>> children;
    for (int i = 0; i < 10; ++i) {
        children.push_back(rt::spawn(waits_at, at));
    }
    while (at->waiting() != 10) {
        co_await rt::yield();
    }
    at->open();
    cr_assert_eq(pool->view(0).queue_depth, 9U);
    cr_assert_eq(pool->view(0).private_depth, 1U, "the last one");
    for (auto& each : children) {
        co_await std::move(each);
    }
    cr_assert_eq(pool->view(0).queue_depth, 0U);
    children.clear();
    for (int i = 0; i < 1000; ++i) {
        children.push_back(rt::spawn(waits_at, at));
    }
    cr_assert_eq(pool->view(0).private_depth, 1000U, "as long as it is the spawner's turn");
    for (auto& each : children) {
        co_await std::move(each);
    }
    cr_assert_eq(pool->view(0).private_depth, 0U);
}

task<void> counts_itself(rt::atomic<int>* to) {
    to->add_acq_rel(1);
    co_return;
}

// In one turn, until others have run many of them.
task<void> spawns_until_others_have_run(rt::atomic<int>* ran, const rt::scheduler::pool* pool) {
    const std::uint32_t self = *rt::worker_index();
    int spawned = 0;
    while (ran->load_acquire() < 1000) {
        rt::spawn(counts_itself, ran).detach();
        ++spawned;
        const int left = spawned - ran->load_acquire(); // those that wait now are fewer
        cr_assert_leq(static_cast<int>(pool->view(self).private_depth), left);
    }
    co_return;
}

task<void> opens_sockets() {
    const std::uint64_t opened = rt::metrics::this_worker->sources_opened.load_relaxed();
    const std::uint64_t closed = rt::metrics::this_worker->sources_closed.load_relaxed();
    {
        rt::test::sockets pair;
        pair.write('x');
        cr_assert_eq(co_await rt::test::read_one(&pair.near), 'x');
        std::thread writer([&] { pair.write('y'); });
        cr_assert_eq(co_await rt::test::read_one(&pair.near), 'y');
        writer.join();
        static_cast<void>(co_await rt::timeout(1ms, rt::test::read_one(&pair.near)));
        cr_assert_eq(rt::metrics::this_worker->sources_opened.load_relaxed() - opened, 1U);
        cr_assert_eq(rt::metrics::this_worker->sources_closed.load_relaxed() - closed, 0U);
    }
    // The driver lets go at its next turn.
    while (rt::metrics::this_worker->sources_closed.load_relaxed() - closed != 1) {
        co_await rt::yield();
    }
}

} // namespace

Test(counters, b190_the_depth_of_the_queue_is_what_is_ready) {
    counted runtime(0);
    gate at;
    runtime.block_on(counts_what_it_woke(&at, &runtime.pool()));
}

Test(counters, b190_what_is_shared_is_private_no_more) {
    rt::atomic<int> ran{0};
    counted runtime(2);
    runtime.block_on(spawns_until_others_have_run(&ran, &runtime.pool()));
}

Test(counters, b195_sources_are_counted_when_they_are_watched_and_when_they_go) {
    counted runtime(0);
    runtime.block_on(opens_sockets());
}

// ---- sharing ------------------------------------------------------------------------------------

Test(counters, b186_a_task_that_is_taken_from_a_held_worker_is_counted_as_stolen) {
    counted runtime(2);
    runtime.wait_until_parked();
    runtime.block_on([]() -> task<void> {
        rt::atomic<int> ran{0};
        auto child = rt::spawn(
            [](rt::atomic<int>* flag) -> task<void> {
                flag->store_release(1);
                co_return;
            },
            &ran
        );
        while (ran.load_acquire() == 0) {
            std::this_thread::yield();
        }
        co_await std::move(child);
    }());
    cr_assert_eq(runtime.sum(&worker_counters::steal_tasks), 1U);
    cr_assert_eq(runtime.sum(&worker_counters::steal_operations), 1U);
}

// Several at once, which nobody else can have run.
Test(counters, b186_what_is_stolen_together_is_counted_one_by_one) {
    constexpr int count = 64;
    counted runtime(2);
    runtime.wait_until_parked();
    runtime.block_on([]() -> task<void> {
        rt::atomic<int> ran{0};
        for (int i = 0; i < count; ++i) {
            rt::spawn(rt::test::adds_one, &ran).detach();
        }
        rt::test::hold_until(ran, count);
        co_return;
    }());
    cr_assert_eq(runtime.sum(&worker_counters::steal_tasks), count);
    cr_assert_lt(runtime.sum(&worker_counters::steal_operations), count);
    cr_assert_geq(runtime.sum(&worker_counters::steal_failures), 1, "before it slept");
}

namespace {

task<void> yields_once() {
    co_await rt::yield();
}

} // namespace

// Once, too, if several branches of a task find in one turn that it is used up.
Test(counters, b174_a_yield_for_want_of_budget_is_counted_once) {
    counted runtime(1);
    runtime.block_on([]() -> task<void> {
        for (int i = 0; i < 10; ++i) {
            co_await rt::yield();
        }
    }());
    cr_assert_eq(runtime.sum(&worker_counters::budget_yields), 0U);
    runtime.block_on(uses_budget(rt::detail::poll_budget + 1));
    cr_assert_eq(runtime.sum(&worker_counters::budget_yields), 1U);
    runtime.block_on([]() -> task<void> {
        constexpr std::uint32_t too_many = rt::detail::poll_budget + 1;
        co_await rt::join(uses_budget(too_many), uses_budget(too_many), uses_budget(1));
    }());
    cr_assert_eq(runtime.sum(&worker_counters::budget_yields), 2U);
    runtime.block_on([]() -> task<void> {
        co_await rt::join(uses_budget(rt::detail::poll_budget - 1), yields_once());
    }());
    cr_assert_eq(runtime.sum(&worker_counters::budget_yields), 2U);
}

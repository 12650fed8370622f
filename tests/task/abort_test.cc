// SPDX-License-Identifier: MIT
//
// Aborting a task in each of its states: queued, ready, waiting, running, finished, and more than
// once, through the join handle and through abort handles that outlive it and the task.
//
// "Running" is arranged with a task that holds its worker until the test lets it go (a word it
// spins on), so that the request certainly finds it on a worker.
#include "support/test.h"
#include "task/gate.h"

#include <rt/blocking.h>
#include <rt/runtime.h>
#include <rt/spawn.h>
#include <rt/task.h>
#include <rt/time.h>
#include <rt/yield.h>

#include <cstdint>
#include <memory>
#include <stop_token>
#include <string>
#include <thread>
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
using rt::test::with_workers;

task<void> until_finished(rt::abort_handle watched) {
    while (!watched.is_finished()) {
        co_await rt::yield();
    }
}

template<typename T>
task<bool> is_cancelled(rt::join_handle<T> child) {
    try {
        static_cast<void>(co_await std::move(child));
    } catch (const rt::join_error&) {
        co_return true;
    }
    co_return false;
}

struct traces {
    census owned;
    rt::atomic<int> begun{0};
    rt::atomic<int> went_on{0}; // past the point where it must not go on
};

task<int> waits_at(traces* common, gate* at, member /*owned*/) {
    common->begun.add_relaxed(1);
    const member local(common->owned);
    co_await at->wait();
    common->went_on.add_relaxed(1);
    co_return 1;
}

// ---- queued, not started ------------------------------------------------------------------------

task<void> aborts_unstarted(traces* common) {
    gate never;
    auto child = rt::spawn(waits_at, common, &never, member(common->owned));
    child.abort(); // this task has not suspended: with one worker the child cannot have begun
    cr_assert(co_await is_cancelled(std::move(child)));
}

} // namespace

Test(abort, of_a_queued_task_destroys_it_unstarted) {
    for (const std::uint32_t workers : {0U, 1U}) {
        rt::runtime runtime(rt::test::with_workers(workers));
        traces common;
        runtime.block_on(aborts_unstarted(&common));
        cr_assert_eq(common.begun.load_relaxed(), 0);
        cr_assert_eq(common.owned.live.load_relaxed(), 0);
        cr_assert(common.owned.made.load_relaxed() > 0);
    }
}

Test(abort, of_a_task_that_may_have_started_ends_it_all_the_same) {
    everywhere([](rt::runtime& runtime) {
        traces common;
        runtime.block_on(aborts_unstarted(&common));
        cr_assert_eq(common.went_on.load_relaxed(), 0);
        cr_assert_eq(common.owned.live.load_relaxed(), 0);
    });
}

// ---- waiting ------------------------------------------------------------------------------------

namespace {

task<int> sleeps(traces* common, member /*owned*/) {
    common->begun.add_relaxed(1);
    co_await rt::sleep(1h);
    common->went_on.add_relaxed(1);
    co_return 1;
}

task<void> aborts_sleeping(traces* common, bool by_abort_handle) {
    auto child = rt::spawn(sleeps, common, member(common->owned));
    const rt::abort_handle other = child.abort_handle();
    while (common->begun.load_acquire() == 0) {
        co_await rt::yield();
    }
    co_await rt::sleep(1ms); // by now it sleeps; if not, the behaviour is the same
    if (by_abort_handle) {
        other.abort();
    } else {
        child.abort();
    }
    cr_assert(co_await is_cancelled(std::move(child)));
    cr_assert(other.is_finished());
    cr_assert_eq(common->owned.live.load_acquire(), 0, "gone before the joiner hears of it");
}

task<void> aborts_at_gate(traces* common) {
    gate never;
    auto child = rt::spawn(waits_at, common, &never, member(common->owned));
    while (never.waiting() == 0) {
        co_await rt::yield();
    }
    child.abort();
    cr_assert(co_await is_cancelled(std::move(child)));
    cr_assert_eq(never.waiting(), 0U, "it has left the gate");
}

task<int> joins(rt::join_handle<int> other) {
    co_return co_await std::move(other);
}

// The one that is waited for goes on, detached.
task<void> aborts_joining(traces* common) {
    gate at;
    auto inner = rt::spawn(waits_at, common, &at, member(common->owned));
    const rt::abort_handle watch = inner.abort_handle();
    auto outer = rt::spawn(joins, std::move(inner));
    while (at.waiting() == 0) {
        co_await rt::yield();
    }
    outer.abort();
    cr_assert(co_await is_cancelled(std::move(outer)));
    cr_assert(!watch.is_finished());
    at.open();
    co_await until_finished(watch);
    cr_assert_eq(common->went_on.load_acquire(), 1);
}

} // namespace

Test(abort, b111_of_a_sleeping_task_ends_it) {
    everywhere([](rt::runtime& runtime) {
        traces common;
        runtime.block_on(aborts_sleeping(&common, false));
        runtime.block_on(aborts_sleeping(&common, true));
        cr_assert_eq(common.went_on.load_relaxed(), 0);
        cr_assert_eq(common.owned.live.load_relaxed(), 0);
    });
}

Test(abort, of_a_task_at_a_leaf_takes_it_off_the_leaf) {
    everywhere([](rt::runtime& runtime) {
        traces common;
        runtime.block_on(aborts_at_gate(&common));
        cr_assert_eq(common.went_on.load_relaxed(), 0);
    });
}

Test(abort, of_a_task_that_joins_another_leaves_the_other_alone) {
    everywhere([](rt::runtime& runtime) {
        traces common;
        runtime.block_on(aborts_joining(&common));
    });
}

// ---- ready --------------------------------------------------------------------------------------

namespace {

// Woken and aborted in the same turn of the only worker: what woke it has been delivered, so it
// goes on from there and unwinds at its next suspension.
task<void> passes_then_waits(traces* common, gate* first, gate* second, member /*owned*/) {
    common->begun.add_relaxed(1);
    co_await first->wait();
    common->begun.add_relaxed(1);
    co_await second->wait();
    common->went_on.add_relaxed(1);
}

task<void> aborts_ready(traces* common) {
    gate first;
    gate second;
    auto child = rt::spawn(passes_then_waits, common, &first, &second, member(common->owned));
    while (first.waiting() == 0) {
        co_await rt::yield();
    }
    first.open();
    child.abort();
    while (!child.is_finished()) {
        co_await rt::yield();
    }
    cr_assert_eq(second.waiting(), 0U);
}

// Nothing follows the wake-up: the task comes to its end, and keeps its value.
task<int> passes_then_ends(gate* first) {
    co_await first->wait();
    co_return 17;
}

task<int> aborts_ready_to_end() {
    gate first;
    auto child = rt::spawn(passes_then_ends, &first);
    while (first.waiting() == 0) {
        co_await rt::yield();
    }
    first.open();
    child.abort();
    co_return co_await std::move(child);
}

task<void> yields_for_ever(traces* common, member /*owned*/) {
    for (;;) {
        common->begun.add_relaxed(1);
        co_await rt::yield();
    }
}

task<void> aborts_yielding(traces* common) {
    auto child = rt::spawn(yields_for_ever, common, member(common->owned));
    while (common->begun.load_acquire() < 3) {
        co_await rt::yield();
    }
    const int begun = common->begun.load_relaxed();
    child.abort();
    while (!child.is_finished()) {
        co_await rt::yield();
    }
    common->went_on.store_relaxed(common->begun.load_relaxed() - begun);
}

} // namespace

Test(abort, of_a_ready_task_lets_it_take_what_was_delivered) {
    for (const std::uint32_t workers : {0U, 1U}) {
        rt::runtime runtime(rt::test::with_workers(workers));
        traces common;
        runtime.block_on(aborts_ready(&common));
        cr_assert_eq(common.begun.load_relaxed(), 2);
        cr_assert_eq(common.went_on.load_relaxed(), 0);
        cr_assert_eq(common.owned.live.load_relaxed(), 0);
        cr_assert_eq(runtime.block_on(aborts_ready_to_end()), 17);
    }
}

Test(abort, of_a_task_that_only_yields_ends_it) {
    everywhere([](rt::runtime& runtime) {
        traces common;
        runtime.block_on(aborts_yielding(&common));
        cr_assert_eq(common.owned.live.load_relaxed(), 0);
    });
    // On one thread it has yielded whenever somebody else runs.
    traces common;
    rt::block_on(rt::test::with_workers(0), aborts_yielding(&common));
    cr_assert_eq(common.went_on.load_relaxed(), 0);
}

// ---- running ------------------------------------------------------------------------------------

namespace {

struct latch {
    rt::atomic<int> is_inside{0};
    rt::atomic<int> may_leave{0};

    void hold() {
        is_inside.store_release(1);
        while (may_leave.load_acquire() == 0) {
            std::this_thread::yield();
        }
    }
};

task<int> holds_its_worker(traces* common, latch* held, gate* at, member /*owned*/) {
    common->begun.add_relaxed(1);
    held->hold();
    if (at != nullptr) {
        co_await at->wait();
        common->went_on.add_relaxed(1);
    }
    co_return 5;
}

// From the test's own thread, while the task holds its worker.
void abort_when_running(rt::runtime& runtime, traces* common, gate* at, bool expected) {
    latch held;
    rt::join_handle<int> child =
        runtime.get_handle().spawn(holds_its_worker(common, &held, at, member(common->owned)));
    while (held.is_inside.load_acquire() == 0) {
        std::this_thread::yield();
    }
    child.abort();
    cr_assert(!child.is_finished());
    held.may_leave.store_release(1);
    cr_assert(runtime.block_on(is_cancelled(std::move(child))) == expected);
}

} // namespace

Test(abort, of_a_running_task_takes_effect_where_it_suspends_next) {
    for (const std::uint32_t workers : {1U, 2U, 4U}) {
        rt::runtime runtime(rt::test::with_workers(workers));
        traces common;
        gate never;
        abort_when_running(runtime, &common, &never, true);
        cr_assert_eq(common.went_on.load_relaxed(), 0);
        cr_assert_eq(common.owned.live.load_relaxed(), 0);
        cr_assert_eq(never.waiting(), 0U);
    }
}

Test(abort, of_a_running_task_that_ends_instead_leaves_its_value) {
    for (const std::uint32_t workers : {1U, 2U, 4U}) {
        rt::runtime runtime(rt::test::with_workers(workers));
        traces common;
        abort_when_running(runtime, &common, nullptr, false);
        cr_assert_eq(common.owned.live.load_relaxed(), 0);
    }
}

// ---- finished, twice, and late handles ----------------------------------------------------------

namespace {

task<int> seven() {
    co_return 7;
}

task<int> aborts_finished() {
    auto child = rt::spawn(seven);
    const rt::abort_handle late = child.abort_handle();
    co_await until_finished(late);
    child.abort();
    late.abort();
    const int value = co_await std::move(child);
    late.abort();
    cr_assert(late.is_finished());
    co_return value;
}

task<void> aborts_twice(traces* common) {
    gate never;
    auto child = rt::spawn(waits_at, common, &never, member(common->owned));
    const rt::abort_handle other = child.abort_handle();
    const rt::abort_handle copied = other;
    while (never.waiting() == 0) {
        co_await rt::yield();
    }
    child.abort();
    other.abort();
    copied.abort();
    child.abort();
    cr_assert(co_await is_cancelled(std::move(child)));
}

// The join handle is dropped right after the request (B114), or the task is detached before it.
task<void> aborts_detached(traces* common, bool first_abort) {
    gate never;
    auto child = rt::spawn(waits_at, common, &never, member(common->owned));
    const rt::abort_handle other = child.abort_handle();
    cr_assert_eq(other.id(), child.id());
    while (never.waiting() == 0) {
        co_await rt::yield();
    }
    if (first_abort) {
        child.abort();
        child.detach();
    } else {
        child.detach();
        cr_assert(!other.is_finished());
        other.abort();
    }
    co_await until_finished(other);
}

} // namespace

Test(abort, of_a_finished_task_changes_nothing) {
    everywhere([](rt::runtime& runtime) { cr_assert_eq(runtime.block_on(aborts_finished()), 7); });
}

Test(abort, may_be_asked_for_more_than_once) {
    everywhere([](rt::runtime& runtime) {
        traces common;
        runtime.block_on(aborts_twice(&common));
        cr_assert_eq(common.owned.live.load_relaxed(), 0);
        cr_assert_eq(common.went_on.load_relaxed(), 0);
    });
}

Test(abort, b114_works_although_the_join_handle_is_dropped) {
    everywhere([](rt::runtime& runtime) {
        traces common;
        runtime.block_on(aborts_detached(&common, true));
        runtime.block_on(aborts_detached(&common, false));
        cr_assert_eq(common.owned.live.load_relaxed(), 0);
        cr_assert_eq(common.went_on.load_relaxed(), 0);
    });
}

namespace {

// The header of a task is used again as soon as nobody refers to it. An abort handle does refer to
// it: whatever is spawned meanwhile, a late abort must not hit it.
task<void> stale_handles_hit_nobody() {
    std::vector<rt::abort_handle> stale;
    for (int i = 0; i < 500; ++i) {
        auto child = rt::spawn(seven);
        stale.push_back(child.abort_handle());
        cr_assert_eq(co_await std::move(child), 7);
    }
    gate at;
    traces common;
    std::vector<rt::join_handle<int>> fresh;
    for (int i = 0; i < 500; ++i) {
        fresh.push_back(rt::spawn(waits_at, &common, &at, member(common.owned)));
        stale[static_cast<std::size_t>(i)].abort();
    }
    stale.clear();
    at.open();
    for (auto& each : fresh) {
        cr_assert_eq(co_await std::move(each), 1);
    }
}

} // namespace

Test(abort, through_a_stale_handle_hits_no_other_task) {
    everywhere([](rt::runtime& runtime) { runtime.block_on(stale_handles_hit_nobody()); });
}

// ---- from a foreign thread ----------------------------------------------------------------------

Test(abort, b112_from_a_foreign_thread_destroys_the_task_before_its_handle_resolves) {
    on_each_flavor([](rt::runtime& runtime) {
        traces common;
        gate never;
        rt::join_handle<int> child =
            runtime.get_handle().spawn(waits_at(&common, &never, member(common.owned)));
        const rt::abort_handle other = child.abort_handle();
        std::thread canceller([&] {
            while (never.waiting() == 0) {
                std::this_thread::yield();
            }
            other.abort();
        });
        cr_assert(runtime.block_on(is_cancelled(std::move(child))));
        cr_assert_eq(common.owned.live.load_acquire(), 0);
        canceller.join();
    });
}

// As the page says.
Test(abort, a_stop_token_cancels_a_task) {
    for (const std::uint32_t workers : {0U, 1U, 2U}) {
        rt::block_on(with_workers(workers), []() -> task<void> {
            traces common;
            gate never;
            std::stop_source source;
            auto child = rt::spawn(waits_at, &common, &never, member(common.owned));
            const std::stop_callback on_stop(source.get_token(), [abort = child.abort_handle()] {
                abort.abort();
            });
            while (common.begun.load_relaxed() == 0) {
                co_await rt::yield();
            }
            std::thread([&source] { source.request_stop(); }).join();
            cr_assert(co_await is_cancelled(std::move(child)));
            cr_assert_eq(common.went_on.load_relaxed(), 0);
        }());
    }
}

// SPDX-License-Identifier: MIT
//
// What a thread takes for a task that nobody else can have: the one that it has spawned last, in
// this turn, and that has not left the place where only this thread finds it. Such a task is let go
// of by a store, so one that is out of date would undo what another thread does to it.
#include "support/test.h"
#include "task/gate.h"

#include <rt/block_in_place.h>
#include <rt/detail/atomic.h>
#include <rt/detail/context.h>
#include <rt/runtime.h>
#include <rt/spawn.h>
#include <rt/yield.h>

#include <cstdint>
#include <optional>
#include <utility>

namespace {

using rt::task;
using rt::detail::this_thread;
using rt::test::with_workers;

task<void> nothing() {
    co_return;
}

task<void> spawns_and_looks_again() {
    rt::join_handle<void> child = rt::spawn(nothing());
    cr_assert_eq(this_thread.newest, child.header());
    co_await rt::yield();
    cr_assert_null(this_thread.newest, "it is out of date since the last turn");
    co_await std::move(child);
}

// A runtime that ends in a task of another one has the thread for a while.
task<void> spawns_and_ends_a_runtime() {
    std::optional<rt::runtime> inner(std::in_place, with_workers(0));
    rt::join_handle<void> child = rt::spawn(nothing());
    cr_assert_eq(this_thread.newest, child.header());
    inner.reset();
    cr_assert_null(this_thread.newest, "a signal may have made it public meanwhile");
    co_await std::move(child);
}

task<void> spawns_and_goes_away() {
    rt::join_handle<void> child = rt::spawn(nothing());
    rt::block_in_place([] { cr_assert_null(this_thread.newest); });
    cr_assert_null(this_thread.newest, "others have had it");
    co_await std::move(child);
}

task<void> is_not_its_own_newest(rt::atomic<int>* begun) {
    cr_assert_neq(this_thread.newest, this_thread.task);
    begun->add_relaxed(1);
    co_return;
}

task<void> wait_for(const rt::atomic<int>* count) {
    while (count->load_relaxed() == 0) {
        co_await rt::yield();
    }
}

} // namespace

Test(newest_spawn, is_forgotten_with_the_turn) {
    for (const std::uint32_t workers : {0U, 1U, 2U}) {
        rt::block_on(with_workers(workers), spawns_and_looks_again());
    }
}

Test(newest_spawn, is_forgotten_while_another_runtime_has_the_thread) {
    for (const std::uint32_t workers : {1U, 2U}) {
        rt::block_on(with_workers(workers), spawns_and_ends_a_runtime());
    }
}

Test(newest_spawn, is_forgotten_when_the_thread_goes_away) {
    for (const std::uint32_t workers : {1U, 2U}) {
        rt::block_on(with_workers(workers), spawns_and_goes_away());
    }
}

Test(newest_spawn, is_never_the_task_that_runs) {
    for (const std::uint32_t workers : {0U, 1U, 2U}) {
        rt::config config = with_workers(workers);
        rt::atomic<int> begun{0};
        rt::join_handle<void> kept; // by nobody in a turn
        config.hooks.on_after_task_poll = [&](const rt::task_info&) {
            if (!kept) {
                kept = rt::spawn(is_not_its_own_newest(&begun));
            }
        };
        {
            rt::runtime runtime(config);
            runtime.block_on(wait_for(&begun));
        }
        kept.detach(); // no hook looks at it now
    }
}

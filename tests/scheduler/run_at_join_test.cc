// SPDX-License-Identifier: MIT
//
// A lone worker runs the newest spawn inside the turn of the task that joins it: who cannot tell
// the difference, and where it must not.
#include "support/test.h"
#include "task/gate.h"

#include <rt/block_in_place.h>
#include <rt/detail/atomic.h>
#include <rt/detail/context.h>
#include <rt/runtime.h>
#include <rt/spawn.h>
#include <rt/time.h>
#include <rt/yield.h>

#include <chrono>
#include <cstdint>
#include <stdexcept>
#include <thread>
#include <utility>

namespace {

using namespace std::chrono_literals;
using rt::task;
using rt::detail::this_thread;
using rt::test::gate;
using rt::test::with_workers;

// The lone workers: of flavor::current_thread and of a pool of one.
template<typename Body>
void on_lone_workers(Body body) {
    for (const std::uint32_t workers : {0U, 1U}) {
        rt::runtime runtime(with_workers(workers));
        body(runtime);
    }
}

task<int> value(int of) {
    co_return of;
}

task<int> value_in_another_turn(int of) {
    co_await rt::yield();
    co_return of;
}

task<int> fails() {
    throw std::runtime_error("as planned");
    co_return 0;
}

task<int> depth_of(int below) {
    co_return below == 0 ? 0 : 1 + co_await rt::spawn(depth_of, below - 1);
}

task<std::uint32_t> turns_of_two_joins() {
    const std::uint32_t before = this_thread.task->polls;
    const int one = co_await rt::spawn(value, 1);
    cr_assert_eq(one, 1);
    const int two = co_await rt::spawn(value, 2);
    cr_assert_eq(two, 2);
    co_return this_thread.task->polls - before;
}

task<std::uint32_t> turns_of_a_join_that_waits() {
    const std::uint32_t before = this_thread.task->polls;
    const int got = co_await rt::spawn(value_in_another_turn, 3);
    cr_assert_eq(got, 3);
    co_return this_thread.task->polls - before;
}

task<bool> catches() {
    try {
        co_await rt::spawn(fails);
    } catch (const std::runtime_error&) {
        co_return true;
    }
    co_return false;
}

task<bool> joins_an_aborted_one() {
    auto child = rt::spawn(value, 1);
    child.abort();
    try {
        co_await std::move(child);
    } catch (const rt::join_error&) {
        co_return true;
    }
    co_return false;
}

task<void> set_flag(rt::atomic<bool>* flag) {
    flag->store_release(true);
    co_return;
}

task<void> sleep_and_set_flag(rt::atomic<bool>* flag) {
    co_await rt::sleep(1ms);
    flag->store_release(true);
}

// Never gives way but by joining.
task<void> joins_until(rt::atomic<bool>* flag) {
    while (!flag->load_acquire()) {
        co_await rt::spawn(value, 1);
    }
}

task<void> joins_until_a_timer_and_an_older_task_have_run() {
    rt::atomic<bool> is_late{false};
    rt::atomic<bool> has_run{false};
    auto timer = rt::spawn(sleep_and_set_flag, &is_late);
    auto older = rt::spawn(set_flag, &has_run);
    co_await joins_until(&is_late);
    co_await joins_until(&has_run);
    co_await std::move(timer);
    co_await std::move(older);
}

// The child aborts the task in whose turn it runs; that one unwinds when it suspends next.
task<int> aborts(rt::abort_handle parent) {
    parent.abort();
    co_return 1;
}

task<void> joins_its_abortion(rt::abort_handle* self, gate* has_handle, gate* never, bool* joined) {
    co_await has_handle->wait();
    *joined = co_await rt::spawn(aborts, *self) == 1;
    co_await never->wait();
}

task<bool> is_aborted_by_its_child(bool* joined) {
    rt::abort_handle self;
    gate has_handle;
    gate never;
    auto parent = rt::spawn(joins_its_abortion, &self, &has_handle, &never, joined);
    self = parent.abort_handle();
    has_handle.open();
    try {
        co_await std::move(parent);
    } catch (const rt::join_error&) {
        co_return true;
    }
    co_return false;
}

// Keeps its thread until the parent's timeout is over.
task<void> blocks_until(rt::atomic<bool>* flag) {
    rt::block_in_place([flag] {
        while (!flag->load_acquire()) {
            std::this_thread::yield();
        }
    });
    co_return;
}

task<void> joins_a_blocker(rt::atomic<bool>* flag) {
    co_await rt::spawn(blocks_until, flag);
}

// The child goes on when this has ended: the flag is not in this frame.
task<bool> times_out_while_its_child_blocks(rt::atomic<bool>* is_over) {
    const auto got = co_await rt::timeout(5ms, joins_a_blocker(is_over));
    is_over->store_release(true);
    co_return !got;
}

} // namespace

Test(run_at_join, takes_no_turn_of_the_parent) {
    on_lone_workers([](rt::runtime& runtime) {
        cr_assert_eq(runtime.block_on(turns_of_two_joins()), 0U);
    });
}

Test(run_at_join, a_child_that_suspends_is_waited_for) {
    on_lone_workers([](rt::runtime& runtime) {
        cr_assert_eq(runtime.block_on(turns_of_a_join_that_waits()), 1U);
    });
}

Test(run_at_join, an_exception_comes_through) {
    on_lone_workers([](rt::runtime& runtime) { cr_assert(runtime.block_on(catches())); });
}

Test(run_at_join, an_aborted_child_does_not_begin) {
    on_lone_workers([](rt::runtime& runtime) {
        cr_assert(runtime.block_on(joins_an_aborted_one()));
    });
}

Test(run_at_join, the_stack_is_bounded) {
    on_lone_workers([](rt::runtime& runtime) {
        cr_assert_eq(runtime.block_on(depth_of(100'000)), 100'000);
    });
}

Test(run_at_join, starves_nobody) {
    on_lone_workers([](rt::runtime& runtime) {
        runtime.block_on(joins_until_a_timer_and_an_older_task_have_run());
        rt::atomic<bool> flag{false};
        std::thread elsewhere([&] { runtime.get_handle().spawn(set_flag(&flag)).detach(); });
        runtime.block_on(joins_until(&flag));
        elsewhere.join();
    });
}

Test(run_at_join, a_child_may_abort_its_parent) {
    on_lone_workers([](rt::runtime& runtime) {
        bool joined = false;
        cr_assert(runtime.block_on(is_aborted_by_its_child(&joined)));
        cr_assert(joined);
    });
}

Test(run_at_join, a_timeout_ends_while_the_child_blocks) {
    rt::atomic<bool> is_over{false};
    rt::runtime runtime(with_workers(1));
    cr_assert(runtime.block_on(times_out_while_its_child_blocks(&is_over)));
}

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
using rt::test::exactly;
using rt::test::gate;

// The lone workers: of flavor::current_thread and of a pool of one.
template<typename Body>
void on_lone_workers(Body body) {
    for (const std::uint32_t workers : {0U, 1U}) {
        rt::runtime runtime(exactly(workers));
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

// Opens the way for a child that blocks, when it is unwound.
struct sets_when_gone {
    rt::atomic<bool>* flag;
    ~sets_when_gone() { flag->store_release(true); }
};

task<void> blocks_and_says_so(rt::atomic<bool>* has_begun, rt::atomic<bool>* flag) {
    has_begun->store_release(true);
    co_await blocks_until(flag);
}

task<void> is_waited_for(rt::atomic<bool>* has_begun, rt::atomic<bool>* flag) {
    const sets_when_gone at_end{flag};
    co_await rt::spawn(blocks_and_says_so, has_begun, flag);
}

// The one whose turn all others are inside of.
task<void> waits_for_one_who_waits(rt::atomic<bool>* has_begun, rt::atomic<bool>* flag) {
    co_await rt::spawn(is_waited_for, has_begun, flag);
}

task<void> aborts_while_the_grandchild_blocks(
    rt::atomic<bool>* has_begun, rt::atomic<bool>* flag, bool shall_abort
) {
    auto parent = rt::spawn(is_waited_for, has_begun, flag);
    while (!has_begun->load_acquire()) {
        co_await rt::yield();
    }
    if (!shall_abort) {
        parent.detach();
        co_return; // the end of the runtime unwinds it
    }
    parent.abort();
    try {
        co_await std::move(parent);
        cr_assert(false);
    } catch (const rt::join_error&) {
    }
}

// Nobody is aborted: all ends come through.
task<int> blocks_with_an_older_task(rt::atomic<bool>* flag) {
    co_await blocks_until(flag);
    co_return 7;
}

task<int> adds_one(rt::atomic<bool>* flag, int above) {
    if (above == 0) {
        co_return co_await rt::spawn(blocks_with_an_older_task, flag);
    }
    co_return 1 + co_await rt::spawn(adds_one, flag, above - 1);
}

task<int> is_answered_through_many(rt::atomic<bool>* flag) {
    auto older = rt::spawn(set_flag, flag);
    const int got = co_await rt::spawn(adds_one, flag, 10);
    co_await std::move(older);
    co_return got;
}

// Aborts its parent, and goes away then: the abortion is pending when the parent is made to wait.
task<void> aborts_and_blocks(rt::abort_handle parent, rt::atomic<bool>* flag) {
    parent.abort();
    co_await blocks_until(flag);
}

task<void>
is_aborted_by_the_blocker(rt::abort_handle* self, gate* has_handle, rt::atomic<bool>* flag) {
    const sets_when_gone at_end{flag};
    co_await has_handle->wait();
    co_await rt::spawn(aborts_and_blocks, *self, flag);
}

task<bool> is_gone_before_its_child(rt::atomic<bool>* flag) {
    rt::abort_handle self;
    gate has_handle;
    auto parent = rt::spawn(is_aborted_by_the_blocker, &self, &has_handle, flag);
    self = parent.abort_handle();
    has_handle.open();
    try {
        co_await std::move(parent);
    } catch (const rt::join_error&) {
        co_return flag->load_acquire();
    }
    co_return false;
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
    rt::runtime runtime(exactly(1));
    cr_assert(runtime.block_on(times_out_while_its_child_blocks(&is_over)));
}

// Without this the parent could not be unwound, and the child that waits for it never ends.
Test(run_at_join, a_parent_can_be_aborted_while_its_child_blocks) {
    for (const bool shall_abort : {true, false}) {
        rt::atomic<bool> has_begun{false};
        rt::atomic<bool> flag{false};
        rt::runtime runtime(exactly(1));
        runtime.block_on(aborts_while_the_grandchild_blocks(&has_begun, &flag, shall_abort));
    }
}

Test(run_at_join, the_end_of_the_runtime_unwinds_all_who_wait_for_one_that_blocks) {
    rt::atomic<bool> has_begun{false};
    rt::atomic<bool> flag{false};
    rt::runtime runtime(exactly(1));
    runtime.get_handle().spawn(waits_for_one_who_waits(&has_begun, &flag)).detach();
    while (!has_begun.load_acquire()) {
        std::this_thread::yield();
    }
}

Test(run_at_join, an_answer_comes_through_those_that_were_made_to_wait) {
    rt::atomic<bool> flag{false};
    rt::runtime runtime(exactly(1));
    cr_assert_eq(runtime.block_on(is_answered_through_many(&flag)), 17);
}

Test(run_at_join, an_abortion_that_is_pending_comes_through_while_the_child_blocks) {
    rt::atomic<bool> flag{false};
    rt::runtime runtime(exactly(1));
    cr_assert(runtime.block_on(is_gone_before_its_child(&flag)));
}

// SPDX-License-Identifier: MIT
//
// Operations that are ready each time, in a loop that awaits nothing else: each takes a unit of the
// task's budget, so that the loop yields now and then. What the tests of one primitive show for it
// (b168 in mutex_test.cc and others) is here for those that are ready in more ways than one.
#include "support/runtimes.h"
#include "support/test.h"

#include <rt/runtime.h>
#include <rt/spawn.h>
#include <rt/sync/barrier.h>
#include <rt/sync/once.h>
#include <rt/sync/rwlock.h>
#include <rt/sync/watch.h>

namespace {

using rt::test::single;

// Repeats an operation until another task has run, which is ready from the beginning. The number of
// times; a loop that keeps the worker gives up.
template<typename Operation>
rt::task<int> repeat_until_another_ran(Operation operation) {
    bool has_run = false;
    rt::spawn([flag = &has_run]() -> rt::task<void> {
        *flag = true;
        co_return;
    }).detach();
    int times = 0;
    while (!has_run && times < 10'000) {
        co_await operation();
        ++times;
    }
    co_return times;
}

template<typename Operation>
void yields_now_and_then(Operation operation) {
    const int times = rt::block_on(single(), repeat_until_another_ran(operation));
    cr_assert_geq(times, 1);
    cr_assert_leq(times, 2 * int{rt::detail::poll_budget});
}

} // namespace

Test(budget, b168_a_once_that_is_done_does_not_keep_others_from_running) {
    rt::once done;
    rt::once_cell<int> cell;
    yields_now_and_then([&]() -> rt::task<void> {
        co_await done.call([]() -> rt::task<void> { co_return; });
    });
    yields_now_and_then([&]() -> rt::task<void> {
        static_cast<void>(co_await cell.get_or_init([]() -> rt::task<int> { co_return 1; }));
    });
}

Test(budget, b168_a_condition_that_holds_does_not_keep_others_from_running) {
    auto ends = rt::watch::channel<int>(1);
    auto& tx = ends.tx;
    auto& rx = ends.rx;
    yields_now_and_then([&]() -> rt::task<void> {
        static_cast<void>(co_await rx.wait_for([](int value) { return value == 1; }));
    });
    yields_now_and_then([&]() -> rt::task<void> {
        tx.send(2);
        static_cast<void>(co_await rx.changed());
    });
}

Test(budget, b168_free_read_and_write_locks_do_not_keep_others_from_running) {
    rt::rwlock lock;
    yields_now_and_then([&]() -> rt::task<void> { auto held = co_await lock.read(); });
    yields_now_and_then([&]() -> rt::task<void> { auto held = co_await lock.write(); });
}

Test(budget, b168_a_barrier_of_one_does_not_keep_others_from_running) {
    rt::barrier alone(1);
    yields_now_and_then([&]() -> rt::task<void> { static_cast<void>(co_await alone.wait()); });
}

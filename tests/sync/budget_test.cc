// SPDX-License-Identifier: MIT
//
// Operations that are ready each time, in a loop that awaits nothing else: each takes a unit of the
// task's budget, so that the loop yields now and then. What the tests of one primitive show for it
// (b168 in mutex_test.cc and others) is here for those that are ready in more ways than one.
#include "support/runtimes.h"
#include "support/test.h"

#include <rt/join.h>
#include <rt/runtime.h>
#include <rt/select.h>
#include <rt/shield.h>
#include <rt/spawn.h>
#include <rt/sync/barrier.h>
#include <rt/sync/broadcast.h>
#include <rt/sync/mpsc.h>
#include <rt/sync/mutex.h>
#include <rt/sync/notify.h>
#include <rt/sync/once.h>
#include <rt/sync/oneshot.h>
#include <rt/sync/rwlock.h>
#include <rt/sync/semaphore.h>
#include <rt/sync/watch.h>
#include <rt/time.h>
#include <rt/yield.h>

#include <chrono>
#include <utility>

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
        static_cast<void>(tx.send(2));
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

Test(budget, ends_without_a_channel_do_not_keep_others_from_running) {
    rt::oneshot::receiver<int> reply;
    yields_now_and_then([&]() -> rt::task<void> { static_cast<void>(co_await reply.recv()); });
    rt::oneshot::sender<int> answer;
    yields_now_and_then([&]() -> rt::task<void> { co_await answer.closed(); });
    rt::mpsc::receiver<int> jobs;
    yields_now_and_then([&]() -> rt::task<void> { static_cast<void>(co_await jobs.recv()); });
    rt::mpsc::sender<int> to;
    yields_now_and_then([&]() -> rt::task<void> { static_cast<void>(co_await to.send(1)); });
    yields_now_and_then([&]() -> rt::task<void> { static_cast<void>(co_await to.reserve()); });
    yields_now_and_then([&]() -> rt::task<void> { co_await to.closed(); });
    rt::broadcast::receiver<int> events;
    yields_now_and_then([&]() -> rt::task<void> { static_cast<void>(co_await events.recv()); });
    rt::watch::receiver<int> latest;
    yields_now_and_then([&]() -> rt::task<void> { static_cast<void>(co_await latest.changed()); });
    rt::watch::sender<int> source;
    yields_now_and_then([&]() -> rt::task<void> { co_await source.closed(); });
}

// ---- units, exactly -----------------------------------------------------------------------------
//
// Nothing is given back: who has to wait ends the turn, and the next one has all units.

namespace {

constexpr int all = int{rt::detail::poll_budget};

// What is left of this turn's, which it uses up.
rt::task<int> units_left() {
    int units = 0;
    for (; rt::has_budget(); ++units) {
        co_await rt::consume_budget();
    }
    co_return units;
}

rt::task<void> uses(int units) {
    for (int i = 0; i < units; ++i) {
        co_await rt::consume_budget();
    }
}

// What `operation` costs of a turn that has begun with all units and has used 100.
template<typename Operation>
rt::task<int> cost_of(Operation operation) {
    co_await rt::yield();
    co_await uses(100);
    co_await operation();
    co_return all - 100 - co_await units_left();
}

// What such a turn's task has after an operation that waits until another one calls `wake`.
template<typename Operation, typename Wake>
rt::task<int> left_after_waiting(Operation operation, Wake wake) {
    co_await rt::yield();
    co_await uses(100);
    bool has_woken = false;
    auto other = rt::spawn(
        [](Wake* of, bool* flag) -> rt::task<void> {
            *flag = true;
            (*of)();
            co_return;
        },
        &wake,
        &has_woken
    );
    co_await operation();
    cr_assert(has_woken, "it has waited");
    const int left = co_await units_left();
    co_await std::move(other);
    co_return left;
}

} // namespace

Test(budget, b172_what_goes_on_at_once_keeps_its_unit_and_what_finds_nothing_takes_none) {
    auto [to, from] = rt::mpsc::channel<int>(20);
    rt::mutex lock;
    const auto run = [](auto operation) {
        return rt::block_on(single(), cost_of(operation));
    };
    cr_assert_eq(
        run([&]() -> rt::task<void> {
            for (int i = 0; i < 10; ++i) {
                cr_assert(co_await to.send(i));
            }
            for (int i = 0; i < 10; ++i) {
                cr_assert(co_await from.recv() == i);
            }
        }),
        20
    );
    cr_assert_eq(
        run([&]() -> rt::task<void> {
            const rt::mutex::guard held = co_await lock.lock();
            cr_assert_not(static_cast<bool>(lock.try_lock()));
            cr_assert_not(from.try_recv().has_value());
        }),
        1
    );
}

Test(budget, b172_what_has_waited_has_the_budget_of_a_turn) {
    const auto run = [](auto operation, auto wake) {
        cr_assert_eq(rt::block_on(single(), left_after_waiting(operation, wake)), all);
    };
    auto [to, from] = rt::mpsc::unbounded_channel<int>();
    run([&]() -> rt::task<void> { cr_assert(co_await from.recv() == 1); },
        [&] { cr_assert(to.send(1)); });
    auto [tx, rx] = rt::oneshot::channel<int>();
    run([&]() -> rt::task<void> { cr_assert(co_await rx.recv() == 1); },
        [&] { cr_assert(tx.send(1)); });
    rt::notify changed;
    run([&]() -> rt::task<void> { co_await changed.notified(); }, [&] { changed.notify_one(); });
    rt::semaphore slots(0);
    run([&]() -> rt::task<void> { const auto slot = co_await slots.acquire(); },
        [&] { slots.release(1); });
    run([]() -> rt::task<void> { co_await rt::sleep(std::chrono::milliseconds(1)); }, [] {});
}

Test(budget, b172_what_runs_inside_leaves_the_outer_budget_as_it_was) {
    const auto run = [](auto operation) {
        cr_assert_eq(rt::block_on(single(), cost_of(operation)), 0);
    };
    run([]() -> rt::task<void> { co_await rt::join(uses(all), uses(50)); });
    run([]() -> rt::task<void> { static_cast<void>(co_await rt::select(uses(all), uses(50))); });
    run([]() -> rt::task<void> { co_await rt::shield(uses(all)); });
    run([]() -> rt::task<void> { co_await rt::unconstrained(uses(10 * all)); });
    run([]() -> rt::task<void> { co_await rt::spawn(uses(all)); }); // inside of this turn
}

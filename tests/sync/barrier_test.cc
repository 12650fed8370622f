// SPDX-License-Identifier: MIT
//
// rt::barrier: rounds, the leader, cancellation, threads.
#include "support/runtimes.h"
#include "support/test.h"
#include "sync/waiting.h"

#include <rt/runtime.h>
#include <rt/sync/barrier.h>
#include <rt/time.h>

#include <chrono>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

namespace {

using namespace std::chrono_literals;
using rt::test::run;
using rt::test::single;
using rt::test::until_waiting;
using rt::test::was_cancelled;

rt::task<bool> arrive(rt::barrier& at) {
    co_return co_await at.wait();
}

Test(barrier, lets_nobody_go_before_the_last_one_comes) {
    run([]() -> rt::task<void> {
        rt::barrier all(3);
        auto first = rt::spawn(arrive, std::ref(all));
        co_await until_waiting(first);
        auto second = rt::spawn(arrive, std::ref(all));
        co_await until_waiting(second);
        cr_assert(!first.is_finished() && !second.is_finished());
        cr_assert(first.header()->waits_for == rt::detail::wait_kind::barrier);
        cr_assert_eq(first.header()->live.wait_object, static_cast<const void*>(&all));
        cr_assert(co_await all.wait(), "the last one is the leader");
        cr_assert(!co_await first);
        cr_assert(!co_await second);
    }());
}

Test(barrier, of_none_or_one_never_waits) {
    run([]() -> rt::task<void> {
        rt::barrier none(0);
        rt::barrier one(1);
        for (int i = 0; i < 300; ++i) {
            cr_assert(co_await none.wait());
            cr_assert(co_await one.wait());
        }
    }());
}

Test(barrier, may_be_destroyed_by_the_leader) {
    run([]() -> rt::task<void> {
        for (int i = 0; i < 100; ++i) {
            auto all = std::make_unique<rt::barrier>(2);
            auto other = rt::spawn(arrive, std::ref(*all));
            co_await until_waiting(other);
            cr_assert(co_await all->wait());
            all.reset();
            cr_assert(!co_await other);
        }
    }());
}

Test(barrier, cancelled_task_has_not_arrived) {
    run([]() -> rt::task<void> {
        rt::barrier all(2);
        auto first = rt::spawn(arrive, std::ref(all));
        co_await until_waiting(first);
        first.abort();
        cr_assert(co_await was_cancelled(std::move(first)));
        auto second = rt::spawn(arrive, std::ref(all));
        co_await until_waiting(second);
        cr_assert(!second.is_finished());
        cr_assert(co_await all.wait());
        cr_assert(!co_await second);
    }());
}

Test(barrier, opening_reaches_a_task_that_is_aborted_afterwards) {
    rt::block_on(single(), []() -> rt::task<void> {
        rt::barrier all(2);
        auto other = rt::spawn(arrive, std::ref(all));
        co_await until_waiting(other);
        cr_assert(co_await all.wait());
        other.abort();
        cr_assert(!co_await was_cancelled(std::move(other)), "it was let go, and ended");
    }());
}

rt::task<void>
rounds(rt::barrier& all, rt::atomic<int>& arrived, rt::atomic<int>& leaders, int tasks) {
    for (int round = 1; round <= 200; ++round) {
        arrived.add_acq_rel(1);
        if (co_await all.wait()) {
            leaders.add_acq_rel(1);
        }
        cr_assert_geq(arrived.load_acquire(), round * tasks);
    }
}

Test(barrier, keeps_tasks_and_threads_in_step) {
    constexpr int tasks = 6;
    rt::barrier all(tasks + 1);
    rt::atomic<int> arrived{0};
    rt::atomic<int> leaders{0};
    std::thread thread([&] {
        for (int round = 1; round <= 200; ++round) {
            arrived.add_acq_rel(1);
            if (all.blocking_wait()) {
                leaders.add_acq_rel(1);
            }
            cr_assert_geq(arrived.load_acquire(), round * (tasks + 1));
        }
    });
    struct shared {
        rt::barrier& all;
        rt::atomic<int>& arrived;
        rt::atomic<int>& leaders;
    } data{all, arrived, leaders};
    run([](shared& s) -> rt::task<void> {
        std::vector<rt::join_handle<void>> members;
        for (int i = 0; i < tasks; ++i) {
            members.push_back(rt::spawn(
                rounds, std::ref(s.all), std::ref(s.arrived), std::ref(s.leaders), tasks + 1
            ));
        }
        co_await rt::test::join_all(members);
    }(data));
    thread.join();
    cr_assert_eq(leaders.load_relaxed(), 200);
}

} // namespace

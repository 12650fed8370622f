// SPDX-License-Identifier: MIT
//
// rt::semaphore: counting, order with unequal requests, cancellation, threads, and a storm.
#include "support/runtimes.h"
#include "support/test.h"
#include "sync/waiting.h"

#include <rt/runtime.h>
#include <rt/sync/semaphore.h>
#include <rt/time.h>

#include <array>
#include <chrono>
#include <csignal>
#include <functional>
#include <thread>
#include <vector>

namespace {

using namespace std::chrono_literals;
using rt::test::run;
using rt::test::single;
using rt::test::until_waiting;
using rt::test::was_cancelled;

rt::task<void> note(rt::semaphore& from, std::uint32_t count, std::vector<int>& order, int number) {
    rt::semaphore::permit held = co_await from.acquire(count);
    order.push_back(number);
    held.forget();
}

rt::task<void> acquire_then_yield(rt::semaphore& from, std::uint32_t count, bool& got) {
    rt::semaphore::permit held = co_await from.acquire(count);
    got = held.count() == count;
    co_await rt::yield();
    co_await rt::yield();
}

rt::task<bool> is_refused(rt::semaphore& from, std::uint32_t count) {
    co_return !co_await from.acquire(count);
}

Test(semaphore, close_refuses_those_that_wait_and_those_that_come) {
    run([]() -> rt::task<void> {
        rt::semaphore slots(2);
        rt::semaphore::permit held = co_await slots.acquire();
        auto first = rt::spawn(is_refused, std::ref(slots), 2U);
        co_await until_waiting(first);
        auto second = rt::spawn(is_refused, std::ref(slots), 1U);
        co_await until_waiting(second);
        cr_assert(!slots.is_closed());
        slots.close();
        cr_assert(slots.is_closed());
        cr_assert(co_await first);
        cr_assert(co_await second);
        cr_assert(co_await is_refused(slots, 1));
        cr_assert(!slots.try_acquire());
        slots.close();
        // What is held comes back, and is not given to anybody.
        held.release();
        cr_assert_eq(slots.available(), 2U);
        cr_assert(!slots.try_acquire());
    }());
}

Test(semaphore, close_refuses_a_thread_that_waits) {
    rt::semaphore slots(0);
    std::thread other([&] { cr_assert(!slots.blocking_acquire()); });
    slots.close();
    other.join();
    cr_assert(!slots.blocking_acquire());
}

Test(semaphore, counts) {
    run([]() -> rt::task<void> {
        rt::semaphore slots(3);
        cr_assert_eq(slots.available(), 3U);
        {
            rt::semaphore::permit two = co_await slots.acquire(2);
            cr_assert_eq(two.count(), 2U);
            cr_assert_eq(slots.available(), 1U);
            cr_assert(!slots.try_acquire(2));
            rt::semaphore::permit one = slots.try_acquire();
            cr_assert(one);
            cr_assert_eq(slots.available(), 0U);
        }
        cr_assert_eq(slots.available(), 3U);
        slots.release(2);
        cr_assert_eq(slots.available(), 5U);
        rt::semaphore::permit gone = co_await slots.acquire(4);
        gone.forget();
        cr_assert(!gone);
        cr_assert_eq(slots.available(), 1U);
        rt::semaphore::permit none = co_await slots.acquire(0);
        cr_assert_eq(none.count(), 0U);
    }());
}

Test(semaphore, permit_moves_its_right) {
    rt::semaphore slots(4);
    rt::semaphore::permit one = slots.try_acquire(1);
    rt::semaphore::permit three = slots.try_acquire(3);
    one = std::move(three);
    cr_assert(!three);
    cr_assert_eq(one.count(), 3U);
    cr_assert_eq(slots.available(), 1U, "what `one` held before is back");
    one.release();
    cr_assert_eq(slots.available(), 4U);
}

Test(semaphore, nobody_overtakes_a_large_request) {
    rt::block_on(single(), []() -> rt::task<void> {
        rt::semaphore slots(0);
        std::vector<int> order;
        auto large = rt::spawn(note, std::ref(slots), 5U, std::ref(order), 1);
        co_await until_waiting(large);
        auto small = rt::spawn(note, std::ref(slots), 1U, std::ref(order), 2);
        co_await until_waiting(small);
        slots.release(4);
        co_await rt::yield();
        cr_assert(order.empty());
        cr_assert_eq(slots.available(), 4U);
        cr_assert(!slots.try_acquire(), "there are permits, but others came first");
        slots.release(1);
        co_await large;
        cr_assert((order == std::vector<int>{1}));
        slots.release(1);
        co_await small;
        cr_assert((order == std::vector<int>{1, 2}));
        cr_assert_eq(slots.available(), 0U);
    }());
}

Test(semaphore, one_release_serves_several) {
    run([]() -> rt::task<void> {
        rt::semaphore slots(0);
        std::vector<int> order;
        std::vector<rt::join_handle<void>> waiters;
        for (int i = 0; i < 10; ++i) {
            waiters.push_back(rt::spawn(
                [](rt::semaphore& from) -> rt::task<void> {
                    rt::semaphore::permit held = co_await from.acquire(2);
                    held.forget();
                },
                std::ref(slots)
            ));
            co_await until_waiting(waiters.back());
        }
        slots.release(21);
        co_await rt::test::join_all(waiters);
        cr_assert_eq(slots.available(), 1U);
    }());
}

Test(semaphore, cancelled_large_request_lets_the_small_ones_go) {
    run([]() -> rt::task<void> {
        rt::semaphore slots(2);
        std::vector<int> order;
        auto large = rt::spawn(note, std::ref(slots), 5U, std::ref(order), 1);
        co_await until_waiting(large);
        auto small = rt::spawn(note, std::ref(slots), 2U, std::ref(order), 2);
        co_await until_waiting(small);
        large.abort();
        cr_assert(co_await was_cancelled(std::move(large)));
        co_await small;
        cr_assert((order == std::vector<int>{2}));
    }());
}

Test(semaphore, granted_permits_reach_an_aborted_task_and_come_back) {
    for (const bool abort_first : {false, true}) {
        rt::block_on(single(), [](bool before) -> rt::task<void> {
            rt::semaphore slots(0);
            bool got = false;
            auto waiter = rt::spawn(acquire_then_yield, std::ref(slots), 3U, std::ref(got));
            co_await until_waiting(waiter);
            if (before) {
                waiter.abort();
            }
            slots.release(3);
            waiter.abort();
            cr_assert(co_await was_cancelled(std::move(waiter)));
            cr_assert(got);
            cr_assert_eq(slots.available(), 3U);
        }(abort_first));
    }
}

Test(semaphore, timeout_ends_a_wait) {
    run([]() -> rt::task<void> {
        rt::semaphore slots(1);
        bool got = false;
        const rt::result<void> late = co_await rt::timeout(2ms, acquire_then_yield(slots, 2, got));
        cr_assert(!late && late.error().is_timed_out());
        cr_assert(!got);
        cr_assert_eq(slots.available(), 1U);
        cr_assert(slots.try_acquire());
    }());
}

Test(semaphore, b168_ready_permits_do_not_keep_others_from_running) {
    rt::block_on(single(), []() -> rt::task<void> {
        rt::semaphore slots(10);
        bool other_ran = false;
        rt::spawn(
            [](bool& ran) -> rt::task<void> {
                ran = true;
                co_return;
            },
            std::ref(other_ran)
        )
            .detach();
        int turns = 0;
        while (!other_ran && turns < 1000) {
            rt::semaphore::permit held = co_await slots.acquire();
            ++turns;
        }
        cr_assert(other_ran);
        cr_assert_eq(turns, static_cast<int>(rt::detail::poll_budget) + 1);
    }());
}

Test(semaphore, tells_dumps_what_is_waited_for) {
    run([]() -> rt::task<void> {
        rt::semaphore slots(0);
        bool got = false;
        auto waiter = rt::spawn(acquire_then_yield, std::ref(slots), 1U, std::ref(got));
        co_await until_waiting(waiter);
        cr_assert(waiter.header()->waits_for == rt::detail::wait_kind::semaphore);
        cr_assert_eq(waiter.header()->live.wait_object, static_cast<const void*>(&slots));
        slots.release();
        co_await waiter;
    }());
}

struct room {
    rt::semaphore slots{3};
    rt::atomic<int> inside{0};
    rt::atomic<int> most{0};

    void visit() {
        const int now = inside.add_acq_rel(1) + 1;
        int seen = most.load_relaxed();
        while (seen < now && !most.cas_weak_relaxed(seen, now)) {
        }
        inside.sub_acq_rel(1);
    }
};

rt::task<void> visit_often(room& shared) {
    for (std::uint32_t n = 0; n < 500; ++n) {
        rt::semaphore::permit held = co_await shared.slots.acquire(n % 3 + 1);
        shared.visit();
        if (n % 16 == 0) {
            co_await rt::yield();
        }
    }
}

rt::task<void> visit_by_many(room& shared) {
    std::vector<rt::join_handle<void>> tasks;
    for (int i = 0; i < 8; ++i) {
        tasks.push_back(rt::spawn(visit_often, std::ref(shared)));
    }
    co_await rt::test::join_all(tasks);
}

Test(semaphore, bounds_how_many_are_inside) {
    room shared;
    std::vector<std::thread> threads;
    for (int i = 0; i < 2; ++i) {
        threads.emplace_back([&] {
            for (int n = 0; n < 2000; ++n) {
                const rt::semaphore::permit held = shared.slots.blocking_acquire();
                shared.visit();
            }
        });
    }
    run(visit_by_many(shared));
    for (std::thread& each : threads) {
        each.join();
    }
    cr_assert_eq(shared.slots.available(), 3U);
    cr_assert_leq(shared.most.load_relaxed(), 3);
}

Test(semaphore, loses_no_permit_in_a_storm_of_aborts) {
    run([]() -> rt::task<void> {
        rt::semaphore slots(4);
        std::array<bool, 5> got{};
        for (int i = 0; i < 500; ++i) {
            std::vector<rt::join_handle<void>> victims;
            for (std::uint32_t n = 1; n <= 4; ++n) {
                victims.push_back(
                    rt::spawn(acquire_then_yield, std::ref(slots), n, std::ref(got[n]))
                );
            }
            if (i % 3 == 0) {
                co_await rt::yield();
            }
            for (std::size_t n = 0; n < victims.size(); ++n) {
                if ((n + static_cast<std::size_t>(i)) % 2 == 0) {
                    victims[n].abort();
                }
            }
            for (rt::join_handle<void>& each : victims) {
                static_cast<void>(co_await was_cancelled(std::move(each)));
            }
            cr_assert_eq(slots.available(), 4U);
        }
    }());
}

Test(semaphore, forgets_what_is_free_and_nothing_else) {
    rt::semaphore slots(5);
    auto held = slots.try_acquire(2);
    cr_assert_eq(slots.forget_permits(2), 2U);
    cr_assert_eq(slots.available(), 1U);
    cr_assert_eq(slots.forget_permits(9), 1U, "there is no more");
    cr_assert_eq(slots.forget_permits(1), 0U);
    held.release();
    cr_assert_eq(slots.available(), 2U);
}

// Who waits for more than there is waits on, and is served when the rest comes back.
Test(semaphore, forgets_what_others_wait_beside) {
    run([]() -> rt::task<void> {
        rt::semaphore slots(3);
        auto held = slots.try_acquire(2);
        auto waiter = rt::spawn(
            [](rt::semaphore* of) -> rt::task<void> {
                const auto mine = co_await of->acquire(2);
                cr_assert(mine);
            },
            &slots
        );
        co_await until_waiting(waiter);
        cr_assert_eq(slots.forget_permits(2), 1U);
        held.release();
        co_await std::move(waiter);
        cr_assert_eq(slots.available(), 2U);
    }());
}

Test(semaphore, destroyed_under_a_waiter_is_fatal, .signal = SIGABRT) {
    rt::block_on(single(), []() -> rt::task<void> {
        bool got = false;
        rt::join_handle<void> waiter;
        {
            rt::semaphore slots(0);
            waiter = rt::spawn(acquire_then_yield, std::ref(slots), 1U, std::ref(got));
            co_await until_waiting(waiter);
        }
    }());
}

} // namespace

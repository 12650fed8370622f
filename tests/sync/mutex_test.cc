// SPDX-License-Identifier: MIT
//
// rt::mutex: order, hand-over, cancellation in every phase of a wait, threads, and a storm.
#include "support/runtimes.h"
#include "support/test.h"
#include "sync/waiting.h"

#include <rt/runtime.h>
#include <rt/sync/mutex.h>
#include <rt/time.h>

#include <chrono>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

namespace {

using namespace std::chrono_literals;
using rt::test::is_waiting;
using rt::test::run;
using rt::test::single;
using rt::test::until_waiting;
using rt::test::was_cancelled;

rt::task<void> append(rt::mutex& lock, std::vector<int>& order, int number) {
    rt::mutex::guard held = co_await lock.lock();
    order.push_back(number);
    co_await rt::yield();
}

rt::task<void> lock_then_yield(rt::mutex& lock, bool& got) {
    rt::mutex::guard held = co_await lock.lock();
    got = true;
    co_await rt::yield();
    co_await rt::yield();
}

rt::task<void> lock_for_ever(rt::mutex& lock) {
    rt::mutex::guard held = co_await lock.lock();
    co_await rt::sleep(1h);
}

Test(mutex, is_taken_and_given_back) {
    run([]() -> rt::task<void> {
        rt::mutex lock;
        cr_assert(!lock.is_locked());
        {
            rt::mutex::guard held = co_await lock.lock();
            cr_assert(held);
            cr_assert(lock.is_locked());
            cr_assert(!lock.try_lock());
        }
        cr_assert(!lock.is_locked());
        rt::mutex::guard again = lock.try_lock();
        cr_assert(again);
        again.unlock();
        cr_assert(!again);
        cr_assert(!lock.is_locked());
    }());
}

Test(mutex, guard_moves_its_right_and_unlocks_once) {
    run([]() -> rt::task<void> {
        rt::mutex one;
        rt::mutex two;
        rt::mutex::guard held = co_await one.lock();
        rt::mutex::guard moved = std::move(held);
        cr_assert(!held && moved);
        held = co_await two.lock();
        held = std::move(moved); // gives `two` back
        cr_assert(one.is_locked() && !two.is_locked());
        held.unlock();
        cr_assert(!one.is_locked());
    }());
}

Test(mutex, serves_waiters_in_the_order_of_their_coming) {
    run([]() -> rt::task<void> {
        rt::mutex lock;
        std::vector<int> order;
        std::vector<rt::join_handle<void>> waiters;
        rt::mutex::guard held = co_await lock.lock();
        for (int i = 0; i < 100; ++i) {
            waiters.push_back(rt::spawn(append, std::ref(lock), std::ref(order), i));
            co_await until_waiting(waiters.back());
        }
        held.unlock();
        co_await rt::test::join_all(waiters);
        cr_assert_eq(order.size(), 100U);
        for (int i = 0; i < 100; ++i) {
            cr_assert_eq(order[static_cast<std::size_t>(i)], i);
        }
        cr_assert(!lock.is_locked());
    }());
}

Test(mutex, cannot_be_snatched_from_a_waiter) {
    rt::block_on(single(), []() -> rt::task<void> {
        rt::mutex lock;
        bool got = false;
        rt::mutex::guard held = co_await lock.lock();
        rt::join_handle<void> waiter = rt::spawn(lock_then_yield, std::ref(lock), std::ref(got));
        co_await until_waiting(waiter);
        held.unlock();
        cr_assert(!got);
        cr_assert(!lock.try_lock(), "it belongs to the waiter, who has not run yet");
        co_await waiter;
        cr_assert(got);
        cr_assert(lock.try_lock());
    }());
}

Test(mutex, cancelled_waiter_leaves_the_queue) {
    run([]() -> rt::task<void> {
        rt::mutex lock;
        std::vector<int> order;
        rt::mutex::guard held = co_await lock.lock();
        rt::join_handle<void> first = rt::spawn(append, std::ref(lock), std::ref(order), 1);
        co_await until_waiting(first);
        rt::join_handle<void> second = rt::spawn(append, std::ref(lock), std::ref(order), 2);
        co_await until_waiting(second);
        rt::join_handle<void> third = rt::spawn(append, std::ref(lock), std::ref(order), 3);
        co_await until_waiting(third);
        second.abort();
        cr_assert(co_await was_cancelled(std::move(second)));
        held.unlock();
        co_await first;
        co_await third;
        cr_assert((order == std::vector<int>{1, 3}));
        cr_assert(!lock.is_locked());
    }());
}

Test(mutex, last_waiter_to_give_up_leaves_an_ordinary_lock) {
    run([]() -> rt::task<void> {
        rt::mutex lock;
        std::vector<int> order;
        rt::mutex::guard held = co_await lock.lock();
        rt::join_handle<void> only = rt::spawn(append, std::ref(lock), std::ref(order), 1);
        co_await until_waiting(only);
        only.abort();
        cr_assert(co_await was_cancelled(std::move(only)));
        held.unlock();
        cr_assert(!lock.is_locked());
        cr_assert(order.empty());
        cr_assert(lock.try_lock());
    }());
}

// The lock is on its way when the task is aborted: it arrives, and is given back by unwinding.
Test(mutex, handed_over_lock_reaches_a_task_that_is_aborted_afterwards) {
    rt::block_on(single(), []() -> rt::task<void> {
        rt::mutex lock;
        bool got = false;
        rt::mutex::guard held = co_await lock.lock();
        rt::join_handle<void> waiter = rt::spawn(lock_then_yield, std::ref(lock), std::ref(got));
        co_await until_waiting(waiter);
        held.unlock();
        waiter.abort();
        cr_assert(co_await was_cancelled(std::move(waiter)));
        cr_assert(got, "the task was given the lock and must have seen it");
        cr_assert(!lock.is_locked());
    }());
}

Test(mutex, lock_handed_to_a_task_that_is_being_aborted_is_not_lost) {
    rt::block_on(single(), []() -> rt::task<void> {
        rt::mutex lock;
        bool got = false;
        rt::mutex::guard held = co_await lock.lock();
        rt::join_handle<void> waiter = rt::spawn(lock_then_yield, std::ref(lock), std::ref(got));
        co_await until_waiting(waiter);
        waiter.abort(); // claimed, but its leaf has not been asked yet
        held.unlock();
        cr_assert(co_await was_cancelled(std::move(waiter)));
        cr_assert(got);
        cr_assert(!lock.is_locked());
    }());
}

Test(mutex, timeout_ends_a_wait_and_nothing_else) {
    run([]() -> rt::task<void> {
        rt::mutex lock;
        rt::mutex::guard held = co_await lock.lock();
        const rt::result<void> late = co_await rt::timeout(2ms, lock_for_ever(lock));
        cr_assert(!late && late.error().is_timed_out());
        held.unlock();
        const rt::result<void> inside = co_await rt::timeout(2ms, lock_for_ever(lock));
        cr_assert(!inside && inside.error().is_timed_out());
        cr_assert(!lock.is_locked(), "unwinding has given it back");
    }());
}

Test(mutex, tells_dumps_who_waits_and_who_holds) {
    run([]() -> rt::task<void> {
        rt::mutex lock;
        const auto* const seen = reinterpret_cast<const rt::detail::owned_object*>(&lock);
        cr_assert_null(seen->owner.load_relaxed());
        rt::mutex::guard held = co_await lock.lock();
        cr_assert_eq(seen->owner.load_relaxed(), rt::detail::this_thread.task);
        rt::join_handle<void> waiter = rt::spawn(lock_for_ever, std::ref(lock));
        co_await until_waiting(waiter);
        cr_assert(waiter.header()->waits_for == rt::detail::wait_kind::mutex);
        cr_assert_eq(waiter.header()->live.wait_object, static_cast<const void*>(&lock));
        held.unlock();
        cr_assert_eq(seen->owner.load_relaxed(), waiter.header());
        waiter.abort();
        cr_assert(co_await was_cancelled(std::move(waiter)));
        cr_assert_null(seen->owner.load_relaxed());
    }());
}

Test(mutex, b168_free_lock_does_not_keep_others_from_running) {
    rt::block_on(single(), []() -> rt::task<void> {
        rt::mutex lock;
        bool other_ran = false;
        rt::spawn(
            [](bool& ran) -> rt::task<void> {
                ran = true;
                co_return;
            },
            std::ref(other_ran)
        )
            .detach();
        int locks = 0;
        while (!other_ran && locks < 1000) {
            rt::mutex::guard held = co_await lock.lock();
            ++locks;
        }
        cr_assert(other_ran);
        // One more than the budget: the one that had to yield first.
        cr_assert_eq(locks, static_cast<int>(rt::detail::poll_budget) + 1);
    }());
}

Test(mutex, abort_in_the_yield_queue_takes_no_lock) {
    rt::block_on(single(), []() -> rt::task<void> {
        rt::mutex lock;
        rt::join_handle<void> greedy = rt::spawn(
            [](rt::mutex& wanted) -> rt::task<void> {
                for (;;) {
                    rt::mutex::guard held = co_await wanted.lock();
                }
            },
            std::ref(lock)
        );
        for (int i = 0; i < 10; ++i) {
            co_await rt::yield();
            cr_assert(!lock.is_locked(), "a task that yields before it locks holds nothing");
        }
        greedy.abort();
        cr_assert(co_await was_cancelled(std::move(greedy)));
        cr_assert(lock.try_lock());
    }());
}

Test(mutex, may_be_destroyed_by_its_next_holder) {
    run([]() -> rt::task<void> {
        for (int i = 0; i < 200; ++i) {
            auto lock = std::make_unique<rt::mutex>();
            rt::mutex::guard held = co_await lock->lock();
            rt::join_handle<void> last = rt::spawn(
                [](auto owned) -> rt::task<void> {
                    rt::mutex::guard mine = co_await owned->lock();
                    mine.unlock();
                },
                std::move(lock)
            );
            co_await until_waiting(last);
            held.unlock();
            co_await last;
        }
    }());
}

Test(mutex, threads_outside_a_runtime_wait_their_turn) {
    rt::mutex lock;
    int counter = 0;
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) {
        threads.emplace_back([&] {
            for (int n = 0; n < 5000; ++n) {
                const rt::mutex::guard held = lock.blocking_lock();
                ++counter;
            }
        });
    }
    run([](rt::mutex& shared, int& sum) -> rt::task<void> {
        for (int n = 0; n < 5000; ++n) {
            rt::mutex::guard held = co_await shared.lock();
            ++sum;
        }
    }(lock, counter));
    for (std::thread& each : threads) {
        each.join();
    }
    cr_assert_eq(counter, 25'000);
    cr_assert(!lock.is_locked());
}

rt::task<void> storm(rt::mutex& lock, long& counter, int rounds) {
    for (int i = 0; i < rounds; ++i) {
        rt::mutex::guard held = co_await lock.lock();
        const long seen = counter;
        if (i % 7 == 0) {
            co_await rt::yield();
        }
        counter = seen + 1;
    }
}

rt::task<void> impatient(rt::mutex& lock, rt::atomic<bool>& stop) {
    while (!stop.load_relaxed()) {
        static_cast<void>(co_await rt::timeout(1ms, lock_for_ever(lock)));
        co_await rt::yield();
    }
}

Test(mutex, excludes_while_tasks_are_aborted_and_time_out) {
    run([]() -> rt::task<void> {
        rt::mutex lock;
        long counter = 0;
        rt::atomic<bool> stop{false};
        std::vector<rt::join_handle<void>> workers;
        std::vector<rt::join_handle<void>> nervous;
        for (int i = 0; i < 8; ++i) {
            workers.push_back(rt::spawn(storm, std::ref(lock), std::ref(counter), 200));
        }
        for (int i = 0; i < 4; ++i) {
            nervous.push_back(rt::spawn(impatient, std::ref(lock), std::ref(stop)));
        }
        for (int i = 0; i < 300; ++i) {
            rt::join_handle<void> victim = rt::spawn(lock_for_ever, std::ref(lock));
            if (i % 2 == 0) {
                co_await rt::yield();
            }
            victim.abort();
            cr_assert(co_await was_cancelled(std::move(victim)));
        }
        co_await rt::test::join_all(workers);
        stop.store_relaxed(true);
        co_await rt::test::join_all(nervous);
        cr_assert_eq(counter, 1600L);
        cr_assert(!lock.is_locked());
    }());
}

} // namespace

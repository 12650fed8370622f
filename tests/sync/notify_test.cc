// SPDX-License-Identifier: MIT
//
// rt::notify: the stored permit, order, rounds of notify_waiters, cancellation, threads.
#include "support/runtimes.h"
#include "support/test.h"
#include "sync/waiting.h"

#include <rt/runtime.h>
#include <rt/sync/notify.h>
#include <rt/time.h>

#include <chrono>
#include <functional>
#include <thread>
#include <vector>

namespace {

using namespace std::chrono_literals;
using rt::test::is_waiting;
using rt::test::run;
using rt::test::single;
using rt::test::until_waiting;
using rt::test::was_cancelled;

rt::task<void> wait_and_note(rt::notify& from, std::vector<int>& order, int number) {
    co_await from.notified();
    order.push_back(number);
    co_await rt::yield();
}

Test(notify, keeps_one_permit_and_no_more) {
    rt::block_on(single(), []() -> rt::task<void> {
        rt::notify news;
        std::vector<int> order;
        news.notify_one();
        news.notify_one();
        co_await news.notified();
        auto second = rt::spawn(wait_and_note, std::ref(news), std::ref(order), 1);
        co_await until_waiting(second);
        cr_assert(order.empty());
        news.notify_one();
        co_await second;
    }());
}

Test(notify, wakes_in_the_order_of_waiting) {
    run([]() -> rt::task<void> {
        rt::notify news;
        std::vector<int> order;
        std::vector<rt::join_handle<void>> waiters;
        for (int i = 0; i < 20; ++i) {
            waiters.push_back(rt::spawn(wait_and_note, std::ref(news), std::ref(order), i));
            co_await until_waiting(waiters.back());
        }
        for (std::size_t i = 0; i < waiters.size(); ++i) {
            news.notify_one();
            co_await std::move(waiters[i]);
            cr_assert_eq(order.size(), i + 1);
            cr_assert_eq(order.back(), static_cast<int>(i));
        }
    }());
}

Test(notify, last_wakes_the_one_that_came_last) {
    run([]() -> rt::task<void> {
        rt::notify news;
        std::vector<int> order;
        std::vector<rt::join_handle<void>> waiters;
        for (int i = 0; i < 3; ++i) {
            waiters.push_back(rt::spawn(wait_and_note, std::ref(news), std::ref(order), i));
            co_await until_waiting(waiters.back());
        }
        news.notify_last();
        co_await std::move(waiters[2]);
        news.notify_one();
        co_await std::move(waiters[0]);
        news.notify_last();
        co_await std::move(waiters[1]);
        cr_assert(order == std::vector<int>({2, 0, 1}));
        // With nobody waiting it is kept, once.
        news.notify_last();
        news.notify_last();
        co_await news.notified();
        auto waiter = rt::spawn(wait_and_note, std::ref(news), std::ref(order), 9);
        co_await until_waiting(waiter);
        news.notify_last();
        co_await std::move(waiter);
    }());
}

Test(notify, waiters_are_all_woken_and_nothing_is_kept) {
    run([]() -> rt::task<void> {
        rt::notify news;
        std::vector<rt::join_handle<void>> waiters;
        for (int i = 0; i < 20; ++i) {
            waiters.push_back(rt::spawn(
                [](rt::notify& from) -> rt::task<void> { co_await from.notified(); }, std::ref(news)
            ));
            co_await until_waiting(waiters.back());
        }
        news.notify_waiters();
        co_await rt::test::join_all(waiters);
        std::vector<int> order;
        auto late = rt::spawn(wait_and_note, std::ref(news), std::ref(order), 1);
        co_await until_waiting(late);
        news.notify_one();
        co_await late;
    }());
}

Test(notify, notified_counts_from_the_call_for_notify_waiters) {
    rt::block_on(single(), []() -> rt::task<void> {
        rt::notify news;
        auto before = news.notified();
        news.notify_waiters();
        co_await before; // does not wait
        auto after = news.notified();
        bool woken = false;
        rt::spawn(
            [](rt::notify& from, bool& done) -> rt::task<void> {
                done = true;
                from.notify_one();
                co_return;
            },
            std::ref(news),
            std::ref(woken)
        )
            .detach();
        co_await after;
        cr_assert(woken);
    }());
}

Test(notify, round_does_not_use_up_the_permit) {
    rt::block_on(single(), []() -> rt::task<void> {
        rt::notify news;
        auto first = news.notified();
        news.notify_one();
        news.notify_waiters();
        co_await first;
        co_await news.notified(); // the permit is still there
    }());
}

Test(notify, cancelled_waiter_leaves_the_queue) {
    run([]() -> rt::task<void> {
        rt::notify news;
        std::vector<int> order;
        auto first = rt::spawn(wait_and_note, std::ref(news), std::ref(order), 1);
        co_await until_waiting(first);
        auto second = rt::spawn(wait_and_note, std::ref(news), std::ref(order), 2);
        co_await until_waiting(second);
        first.abort();
        cr_assert(co_await was_cancelled(std::move(first)));
        news.notify_one();
        co_await second;
        cr_assert((order == std::vector<int>{2}));
        auto only = rt::spawn(wait_and_note, std::ref(news), std::ref(order), 3);
        co_await until_waiting(only);
        only.abort();
        cr_assert(co_await was_cancelled(std::move(only)));
        news.notify_one();
        co_await news.notified(); // it was kept: nobody was waiting
    }());
}

Test(notify, notification_reaches_a_task_that_is_aborted) {
    for (const bool abort_first : {false, true}) {
        rt::block_on(single(), [](bool before) -> rt::task<void> {
            rt::notify news;
            std::vector<int> order;
            auto waiter = rt::spawn(wait_and_note, std::ref(news), std::ref(order), 1);
            co_await until_waiting(waiter);
            if (before) {
                waiter.abort();
            }
            news.notify_one();
            waiter.abort();
            cr_assert(co_await was_cancelled(std::move(waiter)));
            cr_assert((order == std::vector<int>{1}));
        }(abort_first));
    }
}

Test(notify, timeout_ends_a_wait) {
    run([]() -> rt::task<void> {
        rt::notify news;
        std::vector<int> order;
        const rt::result<void> late = co_await rt::timeout(2ms, wait_and_note(news, order, 1));
        cr_assert(!late && late.error().is_timed_out());
        news.notify_one();
        co_await news.notified();
    }());
}

Test(notify, b168_permits_do_not_keep_others_from_running) {
    rt::block_on(single(), []() -> rt::task<void> {
        rt::notify news;
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
            news.notify_one();
            co_await news.notified();
            ++turns;
        }
        cr_assert(other_ran);
    }());
}

Test(notify, tells_dumps_what_is_waited_for) {
    run([]() -> rt::task<void> {
        rt::notify news;
        std::vector<int> order;
        auto waiter = rt::spawn(wait_and_note, std::ref(news), std::ref(order), 1);
        co_await until_waiting(waiter);
        cr_assert(waiter.header()->waits_for == rt::detail::wait_kind::notify);
        cr_assert_eq(waiter.header()->live.wait_object, static_cast<const void*>(&news));
        news.notify_one();
        co_await waiter;
    }());
}

Test(notify, ping_pong_of_tasks) {
    run([]() -> rt::task<void> {
        rt::notify ping;
        rt::notify pong;
        auto other = rt::spawn(
            [](rt::notify& in, rt::notify& out) -> rt::task<void> {
                for (int i = 0; i < 10'000; ++i) {
                    co_await in.notified();
                    out.notify_one();
                }
            },
            std::ref(ping),
            std::ref(pong)
        );
        for (int i = 0; i < 10'000; ++i) {
            ping.notify_one();
            co_await pong.notified();
        }
        co_await other;
    }());
}

Test(notify, ping_pong_of_a_thread_and_a_task) {
    rt::notify ping;
    rt::notify pong;
    std::thread thread([&] {
        for (int i = 0; i < 2000; ++i) {
            ping.blocking_wait();
            pong.notify_one();
        }
    });
    run([](rt::notify& out, rt::notify& in) -> rt::task<void> {
        for (int i = 0; i < 2000; ++i) {
            out.notify_one();
            co_await in.notified();
        }
    }(ping, pong));
    thread.join();
}

// Data that are changed before notify_one and looked at after notified() are never missed, whoever
// is cancelled meanwhile.
Test(notify, loses_no_news_in_a_storm) {
    run([]() -> rt::task<void> {
        rt::notify news;
        rt::atomic<long> work{0};
        rt::atomic<long> done{0};
        rt::atomic<bool> stop{false};
        std::vector<rt::join_handle<void>> tasks;
        struct shared {
            rt::notify& news;
            rt::atomic<long>& work;
            rt::atomic<long>& done;
            rt::atomic<bool>& stop;
        } all{news, work, done, stop};
        for (int i = 0; i < 4; ++i) {
            tasks.push_back(rt::spawn(
                [](shared& s) -> rt::task<void> {
                    while (!s.stop.load_acquire()) {
                        long left = s.work.load_acquire();
                        while (left > 0 && !s.work.cas_weak_acq_rel(left, left - 1)) {
                        }
                        if (left > 0) {
                            s.done.add_acq_rel(1);
                            continue;
                        }
                        co_await s.news.notified();
                    }
                },
                std::ref(all)
            ));
        }
        for (long n = 0; n < 5000; ++n) {
            work.add_acq_rel(1);
            news.notify_one();
            if (n % 50 == 0) {
                co_await rt::test::until([&] { return done.load_acquire() == n + 1; });
            }
        }
        co_await rt::test::until([&] { return done.load_acquire() == 5000; });
        stop.store_release(true);
        for (int i = 0; i < 4; ++i) {
            news.notify_waiters();
            news.notify_one();
            co_await rt::yield();
        }
        for (auto& each : tasks) {
            while (!each.is_finished()) {
                news.notify_waiters();
                co_await rt::yield();
            }
            co_await std::move(each);
        }
    }());
}

} // namespace

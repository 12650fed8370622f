// SPDX-License-Identifier: MIT
//
// rt::watch: the latest value, the news of it, references that outlive it, closing, races.
#include "support/runtimes.h"
#include "support/test.h"
#include "sync/waiting.h"

#include <rt/runtime.h>
#include <rt/sync/watch.h>
#include <rt/time.h>
#include <rt/yield.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
using rt::test::counted;
using rt::test::run;
using rt::test::single;
using rt::test::until_waiting;
using rt::test::was_cancelled;

rt::task<bool> changed(rt::watch::receiver<int>& rx) {
    co_return (co_await rx.changed()).has_value();
}

Test(watch, shows_the_latest_value) {
    auto [tx, rx] = rt::watch::channel<std::string>("first");
    cr_assert(*rx.borrow() == "first");
    cr_assert(!rx.has_changed());
    cr_assert(tx.send("second"));
    cr_assert(tx.send("third"));
    cr_assert(rx.has_changed());
    cr_assert(*rx.borrow() == "third");
    cr_assert(rx.has_changed(), "borrow alone does not count it as seen");
    cr_assert(rx.borrow_and_update()->size() == 5);
    cr_assert(!rx.has_changed());
    cr_assert(*tx.borrow() == "third");
}

Test(watch, wakes_everybody_who_waits) {
    run([]() -> rt::task<void> {
        auto [tx, rx] = rt::watch::channel<int>(0);
        std::vector<rt::watch::receiver<int>> ends(10, rx);
        std::vector<rt::join_handle<bool>> waiters;
        for (auto& end : ends) {
            waiters.push_back(rt::spawn(changed, std::ref(end)));
            co_await until_waiting(waiters.back());
        }
        cr_assert_eq(tx.receiver_count(), 11U);
        cr_assert(tx.send(1));
        for (auto& each : waiters) {
            cr_assert(co_await std::move(each));
        }
        for (auto& end : ends) {
            cr_assert(!end.has_changed());
            cr_assert_eq(*end.borrow(), 1);
        }
        cr_assert(rx.has_changed());
    }());
}

Test(watch, change_that_came_before_is_not_waited_for) {
    run([]() -> rt::task<void> {
        auto [tx, rx] = rt::watch::channel<int>(0);
        auto late = tx.subscribe();
        cr_assert(tx.send(1));
        cr_assert(co_await rx.changed());
        auto copy = late;
        cr_assert(co_await late.changed());
        cr_assert(co_await copy.changed(), "a copy has seen what the original had");
        auto fresh = tx.subscribe();
        cr_assert(!fresh.has_changed(), "a new one has seen the present value");
    }());
}

Test(watch, reference_outlives_the_value) {
    {
        auto [tx, rx] = rt::watch::channel<counted>(counted(1));
        rt::watch::ref<counted> old = rx.borrow();
        rt::watch::ref<counted> same = old;
        cr_assert(tx.send(counted(2)));
        cr_assert_eq(old->number(), 1);
        cr_assert_eq(rx.borrow()->number(), 2);
        cr_assert_eq(counted::alive.load_relaxed(), 2);
        old = {};
        cr_assert_eq(counted::alive.load_relaxed(), 2);
        same = rx.borrow();
        cr_assert_eq(counted::alive.load_relaxed(), 1);
        { const auto gone = std::move(tx); }
        { const auto gone = std::move(rx); }
        cr_assert_eq(same->number(), 2);
    }
    cr_assert_eq(counted::alive.load_relaxed(), 0);
    cr_assert_eq(counted::copies.load_relaxed(), 0);
}

Test(watch, ends_when_the_senders_are_gone) {
    run([]() -> rt::task<void> {
        auto [tx, rx] = rt::watch::channel<int>(0);
        auto waiter = rt::spawn(changed, std::ref(rx));
        co_await until_waiting(waiter);
        {
            auto copy = tx;
            const auto gone = std::move(tx);
        }
        cr_assert(!co_await waiter);
        cr_assert(rx.is_closed());
        cr_assert((co_await rx.changed()).error() == rt::errc::closed);
        cr_assert_eq(*rx.borrow(), 0, "the value is still there");
    }());
}

Test(watch, last_change_is_seen_before_the_end) {
    run([]() -> rt::task<void> {
        auto [tx, rx] = rt::watch::channel<int>(0);
        cr_assert(tx.send(1));
        { const auto gone = std::move(tx); }
        cr_assert(co_await rx.changed());
        cr_assert_eq(*rx.borrow(), 1);
        cr_assert(!co_await rx.changed());
    }());
}

Test(watch, sender_knows_when_nobody_watches) {
    run([]() -> rt::task<void> {
        auto [tx, rx] = rt::watch::channel<int>(0);
        auto waiter = rt::spawn(
            [](rt::watch::sender<int>& end) -> rt::task<void> { co_await end.closed(); },
            std::ref(tx)
        );
        co_await until_waiting(waiter);
        { const auto gone = std::move(rx); }
        co_await waiter;
        cr_assert(tx.is_closed());
        cr_assert(tx.send(1).error() == rt::errc::closed);
        cr_assert_eq(*tx.borrow(), 0);
        cr_assert(tx.send_always(2));
        cr_assert_eq(*tx.borrow(), 2);
        auto again = tx.subscribe();
        cr_assert(!tx.is_closed());
        cr_assert_eq(*again.borrow(), 2);
    }());
}

Test(watch, wait_for_a_condition) {
    run([]() -> rt::task<void> {
        auto [tx, rx] = rt::watch::channel<int>(1);
        const auto now = co_await rx.wait_for([](int value) { return value == 1; });
        cr_assert(now && **now == 1);
        auto waiter = rt::spawn(
            [](rt::watch::receiver<int> end) -> rt::task<int> {
                const auto got = co_await end.wait_for([](int value) { return value >= 10; });
                co_return got ? **got : -1;
            },
            rx
        );
        for (int i = 2; i <= 10; ++i) {
            co_await until_waiting(waiter);
            cr_assert(tx.send(i));
            co_await rt::test::until([&] {
                return waiter.is_finished() || rt::test::is_waiting(waiter);
            });
        }
        cr_assert_eq(co_await waiter, 10);
        { const auto gone = std::move(tx); }
        const auto never = co_await rx.wait_for([](int value) { return value == 0; });
        cr_assert(!never && never.error() == rt::errc::closed);
    }());
}

Test(watch, update_loses_no_change_of_another_sender) {
    auto [tx, rx] = rt::watch::channel<long>(0L);
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) {
        threads.emplace_back([end = tx]() mutable {
            for (int n = 0; n < 2000; ++n) {
                cr_assert(end.update([](long& value) { ++value; }));
            }
        });
    }
    for (std::thread& each : threads) {
        each.join();
    }
    cr_assert_eq(*rx.borrow(), 8000L);
}

Test(watch, update_if_tells_the_receivers_only_of_a_change) {
    rt::block_on(single(), []() -> rt::task<void> {
        auto [tx, rx] = rt::watch::channel<int>(5);
        auto waiter = rt::spawn(changed, std::ref(rx));
        co_await until_waiting(waiter);
        const auto at_most = [](int limit) {
            return [limit](int& value) {
                return std::exchange(value, std::min(value, limit)) > limit;
            };
        };
        const rt::result<bool> same = tx.update_if(at_most(5));
        cr_assert(same && !*same);
        co_await rt::yield();
        cr_assert(rt::test::is_waiting(waiter), "nobody was woken");
        cr_assert_eq(*tx.borrow(), 5);
        const rt::result<bool> smaller = tx.update_if(at_most(3));
        cr_assert(smaller && *smaller);
        cr_assert(co_await waiter);
        cr_assert_eq(*rx.borrow(), 3);
    }());
}

Test(watch, update_if_drops_what_was_changed_without_saying_so) {
    auto [tx, rx] = rt::watch::channel<counted>(counted(1));
    const auto sent = tx.update_if([](counted& value) {
        value = counted(2);
        return false;
    });
    cr_assert(sent && !*sent);
    cr_assert_not(rx.has_changed());
    cr_assert_eq(rx.borrow()->number(), 1);
    cr_assert_eq(counted::alive.load_relaxed(), 1, "the copy is gone");
}

Test(watch, exception_of_a_change_changes_nothing_for_the_receivers) {
    auto [tx, rx] = rt::watch::channel<counted>(counted(1));
    const auto fails = [](counted& value) -> bool {
        value = counted(2);
        throw std::runtime_error("as planned");
    };
    cr_assert_throw(static_cast<void>(tx.update_if(fails)), std::runtime_error);
    cr_assert_throw(static_cast<void>(tx.update(fails)), std::runtime_error);
    cr_assert_not(rx.has_changed());
    cr_assert_eq(rx.borrow()->number(), 1);
    cr_assert_eq(counted::alive.load_relaxed(), 1, "the copies are gone");
}

Test(watch, update_if_begins_again_with_the_value_of_a_faster_sender) {
    auto [tx, rx] = rt::watch::channel<int>(1);
    auto other = tx;
    int calls = 0;
    const rt::result<bool> sent = tx.update_if([&](int& value) {
        if (++calls == 1) {
            cr_assert(other.send(10));
        }
        ++value;
        return true;
    });
    cr_assert(sent && *sent);
    cr_assert_eq(calls, 2);
    cr_assert_eq(*rx.borrow(), 11);
    cr_assert(
        rt::watch::sender<int>().update_if([](int&) { return true; }).error() == rt::errc::closed
    );
}

Test(watch, cancelled_wait_can_be_repeated) {
    run([]() -> rt::task<void> {
        auto [tx, rx] = rt::watch::channel<int>(0);
        const auto late = co_await rt::timeout(1ms, changed(rx));
        cr_assert(!late && late.error().is_timed_out());
        cr_assert(tx.send(1));
        cr_assert(co_await changed(rx));
    }());
}

Test(watch, news_reach_a_receiver_that_is_aborted) {
    rt::block_on(single(), []() -> rt::task<void> {
        auto [tx, rx] = rt::watch::channel<int>(0);
        auto waiter = rt::spawn(changed, std::ref(rx));
        co_await until_waiting(waiter);
        waiter.abort();
        cr_assert(tx.send(1));
        cr_assert(co_await waiter);
    }());
}

Test(watch, ends_that_were_moved_from_are_closed) {
    run([]() -> rt::task<void> {
        auto [tx, rx] = rt::watch::channel<int>(0);
        auto tx2 = std::move(tx);
        auto rx2 = std::move(rx);
        cr_assert(tx.is_closed());
        cr_assert(tx.send(1).error() == rt::errc::closed);
        co_await tx.closed();
        cr_assert(!co_await rx.changed());
        cr_assert(!rx.borrow());
        cr_assert(tx2.send(1));
        cr_assert(co_await rx2.changed());
    }());
}

rt::task<int> follow(rt::watch::receiver<int> rx, int last) {
    int seen = 0;
    int news = 0;
    while (seen != last) {
        cr_assert(co_await rx.changed());
        const int value = *rx.borrow_and_update();
        cr_assert_geq(value, seen);
        seen = value;
        ++news;
    }
    co_return news;
}

Test(watch, everybody_sees_the_last_value_under_load) {
    run([]() -> rt::task<void> {
        constexpr int last = 20'000;
        auto [tx, rx] = rt::watch::channel<int>(0);
        std::vector<rt::join_handle<int>> followers;
        for (int i = 0; i < 8; ++i) {
            followers.push_back(rt::spawn(follow, rx, last));
        }
        std::thread outside([end = std::move(rx)]() mutable {
            int seen = 0;
            while (seen != last) {
                cr_assert(end.blocking_changed());
                seen = *end.borrow_and_update();
            }
        });
        for (int i = 1; i <= last; ++i) {
            cr_assert(tx.send(i));
            if (i % 50 == 0) {
                co_await rt::yield();
            }
        }
        for (auto& each : followers) {
            cr_assert_leq(co_await std::move(each), last);
        }
        outside.join();
    }());
}

} // namespace

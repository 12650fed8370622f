// SPDX-License-Identifier: MIT
//
// rt::broadcast: everybody gets everything, lagging, closing, the number of copies, and storms.
#include "support/runtimes.h"
#include "support/test.h"
#include "sync/waiting.h"

#include <rt/runtime.h>
#include <rt/sync/broadcast.h>
#include <rt/time.h>

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace {

using namespace std::chrono_literals;
using rt::test::counted;
using rt::test::run;
using rt::test::single;
using rt::test::until_waiting;
using rt::test::was_cancelled;

rt::task<int> receive_one(rt::broadcast::receiver<int>& rx) {
    const auto got = co_await rx.recv();
    co_return got ? *got : -1;
}

Test(broadcast, reaches_every_receiver_in_order) {
    run([]() -> rt::task<void> {
        auto [tx, rx] = rt::broadcast::channel<std::string>(16);
        auto rx2 = tx.subscribe();
        cr_assert_eq(tx.receiver_count(), 2U);
        for (int i = 0; i < 10; ++i) {
            cr_assert_eq(tx.send(std::to_string(i)).value(), 2U);
        }
        for (auto* each : {&rx, &rx2}) {
            cr_assert_eq(each->size(), 10U);
            for (int i = 0; i < 10; ++i) {
                cr_assert(*co_await each->recv() == std::to_string(i));
            }
            cr_assert(each->try_recv().error().is_empty());
        }
    }());
}

Test(broadcast, receiver_gets_what_is_sent_after_its_subscription) {
    auto [tx, rx] = rt::broadcast::channel<int>(4);
    cr_assert(tx.send(1));
    auto later = tx.subscribe();
    auto same = later.resubscribe();
    cr_assert(later.try_recv().error().is_empty());
    cr_assert(tx.send(2));
    cr_assert_eq(later.try_recv().value(), 2);
    cr_assert_eq(same.try_recv().value(), 2);
    cr_assert_eq(rx.try_recv().value(), 1);
}

Test(broadcast, also_tells_who_has_lost_a_single_one) {
    constexpr int size = 4;
    for (int lost = 1; lost <= 2 * size; ++lost) {
        auto [tx, rx] = rt::broadcast::channel<int>(size);
        for (int i = 0; i < size + lost; ++i) {
            cr_assert(tx.send(i));
        }
        const auto got = rx.try_recv();
        cr_assert(!got && got.error().is_lagged());
        cr_assert_eq(got.error().lost(), static_cast<std::uint64_t>(lost));
        cr_assert_eq(rx.try_recv().value(), lost);
    }
}

Test(broadcast, tells_who_lags_how_many_are_lost) {
    run([]() -> rt::task<void> {
        auto [tx, rx] = rt::broadcast::channel<int>(3); // becomes 4
        for (int i = 0; i < 10; ++i) {
            cr_assert(tx.send(i));
        }
        cr_assert_eq(rx.size(), 10U);
        const auto lost = co_await rx.recv();
        cr_assert(!lost && lost.error().is_lagged());
        cr_assert_eq(lost.error().lost(), 6U);
        const rt::error plain = lost.error();
        cr_assert(plain.is(ENOBUFS));
        for (int i = 6; i < 10; ++i) {
            cr_assert_eq((co_await rx.recv()).value(), i);
        }
        cr_assert(rx.try_recv().error() == rt::broadcast::recv_error::empty());
    }());
}

Test(broadcast, ends_after_the_last_value) {
    run([]() -> rt::task<void> {
        auto [tx, rx] = rt::broadcast::channel<int>(4);
        auto waiter = rt::spawn(receive_one, std::ref(rx));
        co_await until_waiting(waiter);
        cr_assert(waiter.header()->waits_for == rt::detail::wait_kind::channel_receive);
        {
            auto copy = tx;
            const auto gone = std::move(tx);
            cr_assert(copy.send(5));
        }
        cr_assert_eq(co_await waiter, 5);
        const auto end = co_await rx.recv();
        cr_assert(!end && end.error().is_closed());
        cr_assert(rt::error(end.error()) == rt::errc::closed);
        cr_assert(rx.try_recv().error().is_closed());
    }());
}

Test(broadcast, waiting_receivers_see_the_end) {
    run([]() -> rt::task<void> {
        auto [tx, rx] = rt::broadcast::channel<int>(4);
        auto rx2 = tx.subscribe();
        auto one = rt::spawn(receive_one, std::ref(rx));
        auto two = rt::spawn(receive_one, std::ref(rx2));
        co_await until_waiting(one);
        co_await until_waiting(two);
        { const auto gone = std::move(tx); }
        cr_assert_eq(co_await one, -1);
        cr_assert_eq(co_await two, -1);
    }());
}

Test(broadcast, sending_to_nobody_is_an_error) {
    auto [tx, rx] = rt::broadcast::channel<counted>(4);
    { const auto gone = std::move(rx); }
    cr_assert_eq(tx.receiver_count(), 0U);
    cr_assert(tx.send(counted(1)).error() == rt::errc::closed);
    cr_assert_eq(counted::alive.load_relaxed(), 0);
    auto again = tx.subscribe();
    cr_assert(tx.send(counted(2)));
    cr_assert_eq(again.try_recv()->number(), 2);
}

Test(broadcast, value_is_copied_for_all_but_the_last) {
    auto [tx, rx] = rt::broadcast::channel<counted>(4);
    auto rx2 = tx.subscribe();
    auto rx3 = tx.subscribe();
    cr_assert(tx.send(counted(1)));
    cr_assert_eq(rx.try_recv()->number(), 1);
    cr_assert_eq(rx2.try_recv()->number(), 1);
    cr_assert_eq(counted::copies.load_relaxed(), 2);
    cr_assert_eq(counted::alive.load_relaxed(), 1);
    cr_assert_eq(rx3.try_recv()->number(), 1);
    cr_assert_eq(counted::copies.load_relaxed(), 2, "the last one gets the original");
    cr_assert_eq(counted::alive.load_relaxed(), 0, "and the channel keeps nothing");
}

Test(broadcast, value_goes_with_the_last_receiver_that_owes_it) {
    auto [tx, rx] = rt::broadcast::channel<counted>(256);
    auto slow = tx.subscribe();
    for (int i = 0; i < 200; ++i) {
        cr_assert(tx.send(counted(i)));
        cr_assert_eq(rx.try_recv()->number(), i);
    }
    cr_assert_eq(counted::alive.load_relaxed(), 200);
    for (int i = 0; i < 50; ++i) {
        cr_assert(slow.try_recv());
    }
    cr_assert_eq(counted::alive.load_relaxed(), 150);
    { const auto gone = std::move(slow); }
    cr_assert_eq(counted::alive.load_relaxed(), 0);
    cr_assert_eq(tx.receiver_count(), 1U);
}

Test(broadcast, overwritten_values_are_destroyed) {
    {
        auto [tx, rx] = rt::broadcast::channel<counted>(4);
        for (int i = 0; i < 100; ++i) {
            cr_assert(tx.send(counted(i)));
            cr_assert_leq(counted::alive.load_relaxed(), 4);
        }
    }
    cr_assert_eq(counted::alive.load_relaxed(), 0);
}

Test(broadcast, throwing_copy_leaves_the_channel_usable) {
    struct fragile {
        explicit fragile(bool is_bad) noexcept
            : bad(is_bad) {}
        fragile(const fragile& other)
            : bad(other.bad) {
            if (bad) {
                throw std::runtime_error("copy");
            }
        }
        bool bad;
    };
    auto [tx, rx] = rt::broadcast::channel<fragile>(4);
    auto rx2 = tx.subscribe();
    cr_assert(tx.send(true));
    cr_assert(tx.send(false));
    cr_assert_throw(static_cast<void>(rx.try_recv()), std::runtime_error);
    cr_assert(!rx.try_recv()->bad, "the next one is next");
    cr_assert_throw(static_cast<void>(rx2.try_recv()), std::runtime_error);
}

Test(broadcast, cancelled_receiver_loses_nothing) {
    run([]() -> rt::task<void> {
        auto [tx, rx] = rt::broadcast::channel<int>(4);
        const auto late = co_await rt::timeout(1ms, receive_one(rx));
        cr_assert(!late && late.error().is_timed_out());
        cr_assert(tx.send(1));
        cr_assert_eq(co_await receive_one(rx), 1);
    }());
}

Test(broadcast, news_reach_a_receiver_that_is_aborted) {
    rt::block_on(single(), []() -> rt::task<void> {
        auto [tx, rx] = rt::broadcast::channel<int>(4);
        auto waiter = rt::spawn(receive_one, std::ref(rx));
        co_await until_waiting(waiter);
        waiter.abort();
        cr_assert(tx.send(8));
        cr_assert_eq(co_await waiter, 8);
    }());
}

Test(broadcast, b168_ready_values_do_not_keep_others_from_running) {
    rt::block_on(single(), []() -> rt::task<void> {
        auto [tx, rx] = rt::broadcast::channel<int>(1024);
        for (int i = 0; i < 1000; ++i) {
            cr_assert(tx.send(i));
        }
        const std::uint32_t polls = rt::detail::this_thread.task->polls;
        for (int i = 0; i < 1000; ++i) {
            cr_assert_eq((co_await rx.recv()).value(), i);
        }
        cr_assert_eq(rt::detail::this_thread.task->polls - polls, 1000 / rt::detail::poll_budget);
    }());
}

Test(broadcast, ends_that_were_moved_from_are_closed) {
    run([]() -> rt::task<void> {
        auto [tx, rx] = rt::broadcast::channel<int>(4);
        auto tx2 = std::move(tx);
        auto rx2 = std::move(rx);
        cr_assert(tx.send(1).error() == rt::errc::closed);
        cr_assert((co_await rx.recv()).error().is_closed());
        cr_assert_eq(rx.size(), 0U);
        cr_assert(tx2.send(1));
        cr_assert_eq((co_await rx2.recv()).value(), 1);
    }());
}

// What a receiver gets is a growing sequence; what it does not get it was told of.
rt::task<long> follow(rt::broadcast::receiver<int> rx, int count) {
    long accounted = 0;
    int last = -1;
    for (;;) {
        const auto got = co_await rx.recv();
        if (got) {
            cr_assert_gt(*got, last);
            last = *got;
            ++accounted;
        } else if (got.error().is_lagged()) {
            accounted += static_cast<long>(got.error().lost());
        } else {
            cr_assert_eq(accounted, static_cast<long>(count));
            co_return accounted;
        }
    }
}

Test(broadcast, every_value_is_received_or_reported_lost) {
    run([]() -> rt::task<void> {
        constexpr int count = 20'000;
        auto [tx, rx] = rt::broadcast::channel<int>(64);
        std::vector<rt::join_handle<long>> receivers;
        for (int i = 0; i < 6; ++i) {
            receivers.push_back(rt::spawn(follow, tx.subscribe(), count));
        }
        std::thread outside([end = std::move(rx)]() mutable {
            long accounted = 0;
            for (;;) {
                const auto got = end.blocking_recv();
                if (!got && got.error().is_closed()) {
                    break;
                }
                accounted += got ? 1 : static_cast<long>(got.error().lost());
            }
            cr_assert_eq(accounted, static_cast<long>(count));
        });
        for (int i = 0; i < count; ++i) {
            cr_assert(tx.send(i));
            if (i % 40 == 0) {
                co_await rt::yield();
            }
        }
        { const auto gone = std::move(tx); }
        for (auto& each : receivers) {
            co_await std::move(each);
        }
        outside.join();
    }());
}

Test(broadcast, receivers_that_come_and_go_leak_nothing) {
    run([]() -> rt::task<void> {
        auto [tx, rx] = rt::broadcast::channel<counted>(8);
        rt::atomic<bool> stop{false};
        auto sender = rt::spawn(
            [](rt::broadcast::sender<counted> end, rt::atomic<bool>& done) -> rt::task<void> {
                for (int i = 0; !done.load_relaxed(); ++i) {
                    static_cast<void>(end.send(counted(i)));
                    co_await rt::yield();
                }
            },
            tx,
            std::ref(stop)
        );
        for (int i = 0; i < 500; ++i) {
            auto visitor = rt::spawn(
                [](rt::broadcast::receiver<counted> end) -> rt::task<void> {
                    for (int n = 0; n < 3; ++n) {
                        static_cast<void>(co_await end.recv());
                    }
                },
                tx.subscribe()
            );
            if (i % 2 == 0) {
                visitor.abort();
            }
            static_cast<void>(co_await was_cancelled(std::move(visitor)));
        }
        stop.store_relaxed(true);
        co_await sender;
    }());
    cr_assert_eq(counted::alive.load_relaxed(), 0);
}

} // namespace

// SPDX-License-Identifier: MIT
//
// rt::mpsc: what the ends promise: order, capacity, closing, permits, batches, values of any shape.
// Cancellation and storms are in mpsc_wait_test.cc.
#include "support/runtimes.h"
#include "support/test.h"
#include "sync/waiting.h"

#include <rt/runtime.h>
#include <rt/sync/mpsc.h>

#include <cerrno>
#include <chrono>
#include <memory>
#include <numeric>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

using rt::test::counted;
using rt::test::run;
using rt::test::single;
using rt::test::until_waiting;

Test(mpsc_core, delivers_in_order_over_many_blocks) {
    run([]() -> rt::task<void> {
        auto [tx, rx] = rt::mpsc::channel<int>(1000);
        for (int round = 0; round < 3; ++round) {
            for (int i = 0; i < 1000; ++i) {
                cr_assert(co_await tx.send(i));
            }
            cr_assert(tx.try_send(-1).error().is(EAGAIN));
            for (int i = 0; i < 1000; ++i) {
                cr_assert_eq((co_await rx.recv()).value(), i);
            }
            cr_assert(rx.try_recv().error().is(EAGAIN));
        }
    }());
}

Test(mpsc_core, knows_its_capacity_and_size) {
    auto [tx, rx] = rt::mpsc::channel<int>(3);
    cr_assert_eq(tx.max_capacity(), 3U);
    cr_assert_eq(tx.capacity(), 3U);
    cr_assert(rx.is_empty());
    cr_assert(tx.try_send(1) && tx.try_send(2));
    cr_assert_eq(tx.capacity(), 1U);
    cr_assert_eq(tx.size(), 2U);
    cr_assert_eq(rx.size(), 2U);
    cr_assert(tx.try_send(3));
    cr_assert(tx.try_send(4).error().is(EAGAIN));
    cr_assert_eq(rx.try_recv().value(), 1);
    cr_assert(tx.try_send(4), "room is there as soon as a value was received");
    auto [tx0, rx0] = rt::mpsc::channel<int>(0);
    cr_assert_eq(tx0.max_capacity(), 1U);
    cr_assert(tx0.try_send(1));
}

Test(mpsc_core, receiver_sees_the_end_after_the_last_value) {
    run([]() -> rt::task<void> {
        auto [tx, rx] = rt::mpsc::channel<int>(4);
        {
            auto one = std::move(tx);
            auto two = one;
            cr_assert(co_await one.send(1));
            cr_assert(co_await two.send(2));
        }
        cr_assert_eq((co_await rx.recv()).value(), 1);
        cr_assert_eq(rx.try_recv().value(), 2);
        cr_assert(rx.try_recv().error() == rt::errc::closed);
        cr_assert((co_await rx.recv()).error() == rt::errc::closed);
    }());
}

Test(mpsc_core, weak_sender_does_not_keep_the_channel_open) {
    run([]() -> rt::task<void> {
        auto [tx, rx] = rt::mpsc::channel<int>(4);
        rt::mpsc::weak_sender<rt::mpsc::sender<int>> weak = tx.downgrade();
        {
            auto again = weak.upgrade();
            cr_assert(again);
            { const auto gone = std::move(tx); }
            cr_assert(co_await again.send(1));
        }
        cr_assert_eq((co_await rx.recv()).value(), 1);
        cr_assert((co_await rx.recv()).error() == rt::errc::closed);
        cr_assert(!weak.upgrade());
        cr_assert(weak.upgrade().try_send(2).error() == rt::errc::closed);
    }());
}

Test(mpsc_core, weak_sender_outlives_both_ends) {
    rt::mpsc::weak_sender<rt::mpsc::unbounded_sender<int>> weak;
    cr_assert(!weak.upgrade());
    {
        auto [tx, rx] = rt::mpsc::unbounded_channel<int>();
        weak = tx.downgrade();
        const auto other = weak;
        cr_assert(other.upgrade().send(1));
        cr_assert_eq(rx.try_recv().value(), 1);
    }
    const auto copy = weak;
    cr_assert(!copy.upgrade());
}

Test(mpsc_core, waiting_receiver_sees_the_end) {
    run([]() -> rt::task<void> {
        auto [tx, rx] = rt::mpsc::unbounded_channel<int>();
        auto waiter = rt::spawn(
            [](rt::mpsc::receiver<int> from) -> rt::task<bool> {
                co_return (co_await from.recv()).has_value();
            },
            std::move(rx)
        );
        co_await until_waiting(waiter);
        cr_assert(waiter.header()->waits_for == rt::detail::wait_kind::channel_receive);
        { const auto gone = std::move(tx); }
        cr_assert(!co_await waiter);
    }());
}

Test(mpsc_core, dropped_receiver_refuses_and_destroys) {
    run([]() -> rt::task<void> {
        auto [tx, rx] = rt::mpsc::channel<counted>(100);
        for (int i = 0; i < 70; ++i) {
            cr_assert(co_await tx.send(counted(i)));
        }
        cr_assert_eq(counted::alive.load_relaxed(), 70);
        { const auto gone = std::move(rx); }
        cr_assert_eq(counted::alive.load_relaxed(), 0);
        cr_assert(tx.is_closed());
        co_await tx.closed();
        cr_assert((co_await tx.send(counted(1))).error() == rt::errc::closed);
        counted kept(5);
        cr_assert(tx.try_send(std::move(kept)).error() == rt::errc::closed);
        cr_assert_eq(kept.number(), 5, "a refused value is untouched");
    }());
    cr_assert_eq(counted::alive.load_relaxed(), 0);
}

Test(mpsc_core, close_lets_the_receiver_drain) {
    run([]() -> rt::task<void> {
        auto [tx, rx] = rt::mpsc::channel<int>(4);
        auto permit = co_await tx.reserve();
        cr_assert(tx.try_send(1));
        rx.close();
        cr_assert(tx.is_closed());
        cr_assert(tx.try_send(2).error() == rt::errc::closed);
        cr_assert((co_await tx.reserve()).error() == rt::errc::closed);
        cr_assert_eq((co_await rx.recv()).value(), 1);
        cr_assert(rx.try_recv().error().is(EAGAIN), "a permit is still out");
        cr_assert(permit->send(3));
        cr_assert_eq((co_await rx.recv()).value(), 3);
        cr_assert((co_await rx.recv()).error() == rt::errc::closed);
    }());
}

Test(mpsc_core, dropped_permit_ends_a_closed_channel) {
    run([]() -> rt::task<void> {
        auto [tx, rx] = rt::mpsc::channel<int>(4);
        std::optional permit = (co_await tx.reserve()).value();
        rx.close();
        auto waiter = rt::spawn(
            [](rt::mpsc::receiver<int> from) -> rt::task<bool> {
                co_return (co_await from.recv()).has_value();
            },
            std::move(rx)
        );
        co_await until_waiting(waiter);
        permit.reset();
        cr_assert(!co_await waiter);
    }());
}

Test(mpsc_core, permits_count_as_used_capacity) {
    run([]() -> rt::task<void> {
        auto [tx, rx] = rt::mpsc::channel<int>(2);
        auto one = co_await tx.reserve();
        auto two = tx.try_reserve();
        cr_assert(one && two);
        cr_assert_eq(tx.capacity(), 0U);
        cr_assert(tx.try_reserve().error().is(EAGAIN));
        cr_assert(tx.try_send(1).error().is(EAGAIN));
        cr_assert_eq(rx.size(), 0U);
        cr_assert(two->send(22));
        cr_assert(!*two, "a permit is used up");
        cr_assert(two->send(23).error() == rt::errc::closed);
        cr_assert(one->send(11));
        cr_assert_eq((co_await rx.recv()).value(), 22, "in the order of sending");
        cr_assert_eq((co_await rx.recv()).value(), 11);
        *one = (co_await tx.reserve()).value();
        *one = {};
        cr_assert_eq(tx.capacity(), 2U);
    }());
}

Test(mpsc_core, many_are_reserved_at_once_or_none) {
    run([]() -> rt::task<void> {
        auto [tx, rx] = rt::mpsc::channel<int>(4);
        auto three = co_await tx.reserve_many(3);
        cr_assert(three.has_value());
        cr_assert_eq(three->size(), 3U);
        cr_assert_eq(tx.capacity(), 1U);
        cr_assert(tx.try_reserve_many(2).error().is(EAGAIN));
        cr_assert(tx.try_reserve_many(5).error().is(EINVAL));
        cr_assert((co_await tx.reserve_many(5)).error().is(EINVAL));
        cr_assert_eq(tx.try_reserve_many(0).value().size(), 0U);
        cr_assert_eq((co_await tx.reserve_many(0)).value().size(), 0U);
        cr_assert(three->send(1));
        rt::mpsc::permit<int> one = three->take();
        cr_assert(one.send(2));
        cr_assert(three->send(3));
        cr_assert(!*three, "they are used up");
        cr_assert(!three->take());
        cr_assert(three->send(4).error() == rt::errc::closed);
        for (int i = 1; i <= 3; ++i) {
            cr_assert_eq((co_await rx.recv()).value(), i);
        }
        cr_assert_eq(tx.capacity(), 4U);
        three = co_await tx.reserve_many(4);
        cr_assert_eq(tx.capacity(), 0U);
        *three = {};
        cr_assert_eq(tx.capacity(), 4U, "what is left is given back");
    }());
}

Test(mpsc_core, permits_keep_the_channel_open_until_the_last_is_used) {
    auto [tx, rx] = rt::mpsc::channel<int>(2);
    auto two = tx.try_reserve_many(2);
    { const auto gone = std::move(tx); }
    cr_assert(two->send(1));
    cr_assert_eq(rx.try_recv().value(), 1);
    cr_assert(rx.try_recv().error().is(EAGAIN), "another can still be sent");
    cr_assert(two->send(2));
    cr_assert_eq(rx.try_recv().value(), 2);
    cr_assert(rx.try_recv().error() == rt::errc::closed);
}

Test(mpsc_core, permit_outlives_its_sender) {
    auto [tx, rx] = rt::mpsc::channel<int>(2);
    auto permit = tx.try_reserve();
    { const auto gone = std::move(tx); }
    cr_assert(rx.try_recv().error().is(EAGAIN), "the permit can still send");
    cr_assert(permit->send(1));
    cr_assert_eq(rx.try_recv().value(), 1);
    cr_assert(rx.try_recv().error() == rt::errc::closed);
}

// A value of which making one from text throws.
struct picky {
    explicit picky(const char* text) {
        if (*text == '\0') {
            throw std::invalid_argument("empty");
        }
    }
};

Test(mpsc_core, permit_is_kept_when_making_the_value_throws) {
    auto [tx, rx] = rt::mpsc::channel<picky>(1);
    rt::mpsc::permit<picky> permit = tx.try_reserve().value();
    bool has_thrown = false;
    try {
        static_cast<void>(permit.send(""));
    } catch (const std::invalid_argument&) {
        has_thrown = true;
    }
    cr_assert(has_thrown);
    cr_assert(permit);
    cr_assert(tx.try_send("x").error().is(EAGAIN));
    cr_assert(permit.send("x"));
    cr_assert(rx.try_recv());
    cr_assert(tx.try_send("x"));
}

// What it is made from is taken out of the caller's hands by the conversion, which may throw.
Test(mpsc_core, what_cannot_be_sent_is_not_converted) {
    using std::chrono::milliseconds;
    auto value = std::make_unique<int>(2);
    auto [tx, rx] = rt::mpsc::channel<std::shared_ptr<int>>(1);
    cr_assert(tx.try_send(std::make_unique<int>(1)));
    cr_assert(tx.try_send(std::move(value)).error().is(EAGAIN));
    cr_assert_not_null(value.get());
    cr_assert(tx.blocking_send(std::move(value), milliseconds(0)).error().is_timed_out());
    cr_assert_not_null(value.get());
    cr_assert_eq(*rx.try_recv().value(), 1);
    cr_assert(tx.try_send(std::move(value)));
    cr_assert_null(value.get());
    cr_assert_eq(*rx.try_recv().value(), 2);
    cr_assert_eq(tx.capacity(), 1U);
    value = std::make_unique<int>(3);
    auto permit = tx.try_reserve();
    cr_assert(permit->send(std::make_unique<int>(4)));
    cr_assert(permit->send(std::move(value)).error().is(rt::errc::closed), "it is used up");
    cr_assert_not_null(value.get());
    rx.close();
    cr_assert(tx.try_send(std::move(value)).error().is(rt::errc::closed));
    cr_assert_not_null(value.get());
    auto ends = rt::mpsc::unbounded_channel<std::shared_ptr<int>>();
    cr_assert(ends.tx.send(std::make_unique<int>(5)));
    ends.rx.close();
    cr_assert(ends.tx.send(std::move(value)).error().is(rt::errc::closed));
    cr_assert_not_null(value.get());
    cr_assert_eq(*ends.rx.try_recv().value(), 5);
}

Test(mpsc_core, conversion_that_throws_gives_the_room_back) {
    struct fails {
        fails() = default;
        fails(std::unique_ptr<int>&&) { throw std::invalid_argument("never"); } // implicit: a test
    };
    auto [tx, rx] = rt::mpsc::channel<fails>(1);
    cr_assert_throw(
        static_cast<void>(tx.try_send(std::make_unique<int>(1))), std::invalid_argument
    );
    cr_assert_eq(tx.capacity(), 1U);
    cr_assert(tx.try_send(fails()));
    cr_assert(rx.try_recv());
}

Test(mpsc_core, permit_for_a_receiver_that_is_gone) {
    auto [tx, rx] = rt::mpsc::channel<counted>(2);
    auto permit = tx.try_reserve();
    { const auto gone = std::move(rx); }
    counted kept(1);
    cr_assert(permit->send(std::move(kept)).error() == rt::errc::closed);
    cr_assert_eq(kept.number(), 1);
    cr_assert_eq(counted::alive.load_relaxed(), 1);
}

Test(mpsc_core, recv_many_takes_what_is_there) {
    run([]() -> rt::task<void> {
        auto [tx, rx] = rt::mpsc::channel<int>(100);
        std::vector<int> got{-1};
        for (int i = 0; i < 90; ++i) {
            cr_assert(tx.try_send(i));
        }
        cr_assert_eq(co_await rx.recv_many(got, 0), 0U);
        cr_assert_eq(co_await rx.recv_many(got, 40), 40U);
        cr_assert_eq(tx.capacity(), 50U);
        cr_assert_eq(co_await rx.recv_many(got, 1000), 50U);
        cr_assert_eq(got.size(), 91U);
        for (int i = 0; i <= 90; ++i) {
            cr_assert_eq(got[static_cast<std::size_t>(i)], i - 1);
        }
        { const auto gone = std::move(tx); }
        cr_assert_eq(co_await rx.recv_many(got, 5), 0U);
    }());
}

Test(mpsc_core, recv_many_lets_all_waiting_senders_in) {
    run([]() -> rt::task<void> {
        auto [tx, rx] = rt::mpsc::channel<int>(2);
        std::vector<rt::join_handle<void>> senders;
        for (int i = 0; i < 6; ++i) {
            senders.push_back(rt::spawn(
                [](rt::mpsc::sender<int> end, int n) -> rt::task<void> {
                    cr_assert(co_await end.send(n));
                },
                tx,
                i
            ));
            while (!rt::test::is_waiting(senders.back()) && !senders.back().is_finished()) {
                co_await rt::yield();
            }
        }
        cr_assert(senders[5].header()->waits_for == rt::detail::wait_kind::channel_send);
        std::vector<int> got;
        while (got.size() < 6) {
            cr_assert_eq(co_await rx.recv_many(got, 2), 2U);
        }
        co_await rt::test::join_all(senders);
        std::vector<int> expected(6);
        std::iota(expected.begin(), expected.end(), 0);
        cr_assert(got == expected);
    }());
}

Test(mpsc_core, carries_values_of_any_shape) {
    struct alignas(128) wide {
        int number;
    };
    struct large {
        int numbers[5000];
    };
    run([]() -> rt::task<void> {
        auto [tx1, rx1] = rt::mpsc::channel<std::unique_ptr<int>>(8);
        auto [tx2, rx2] = rt::mpsc::channel<wide>(8);
        auto [tx3, rx3] = rt::mpsc::channel<large>(8);
        auto [tx4, rx4] = rt::mpsc::channel<char>(80);
        auto [tx5, rx5] = rt::mpsc::channel<std::string>(8);
        for (int i = 0; i < 40; ++i) {
            cr_assert(co_await tx1.send(std::make_unique<int>(i)));
            cr_assert(co_await tx2.send(wide{i}));
            auto big = std::make_unique<large>();
            big->numbers[4999] = i;
            cr_assert(co_await tx3.send(*big));
            cr_assert(co_await tx4.send(static_cast<char>(i)));
            cr_assert(co_await tx5.send(std::to_string(i).c_str()));
            cr_assert_eq(**co_await rx1.recv(), i);
            const auto got = co_await rx2.recv();
            cr_assert_eq(got->number, i);
            cr_assert_eq((co_await rx3.recv())->numbers[4999], i);
            cr_assert_eq(*co_await rx4.recv(), static_cast<char>(i));
            cr_assert(*co_await rx5.recv() == std::to_string(i));
        }
    }());
}

Test(mpsc_core, ends_that_were_moved_from_are_closed) {
    run([]() -> rt::task<void> {
        auto [tx, rx] = rt::mpsc::channel<int>(1);
        auto tx2 = std::move(tx);
        auto rx2 = std::move(rx);
        cr_assert((co_await tx.send(1)).error() == rt::errc::closed);
        cr_assert(tx.try_send(1).error() == rt::errc::closed);
        cr_assert((co_await tx.reserve()).error() == rt::errc::closed);
        cr_assert(tx.try_reserve().error() == rt::errc::closed);
        cr_assert((co_await tx.reserve_many(2)).error() == rt::errc::closed);
        cr_assert(tx.try_reserve_many(0).error() == rt::errc::closed);
        cr_assert(tx.is_closed());
        co_await tx.closed();
        cr_assert((co_await rx.recv()).error() == rt::errc::closed);
        cr_assert(rx.try_recv().error() == rt::errc::closed);
        std::vector<int> none;
        cr_assert_eq(co_await rx.recv_many(none, 3), 0U);
        cr_assert(!rx && rx2);
        cr_assert(co_await tx2.send(2));
        cr_assert_eq((co_await rx2.recv()).value(), 2);
    }());
}

// B168: a receiver that always finds a value gives its turn away all the same.
Test(mpsc_core, b168_ready_values_do_not_keep_others_from_running) {
    rt::block_on(single(), []() -> rt::task<void> {
        auto [tx, rx] = rt::mpsc::unbounded_channel<int>();
        for (int i = 0; i < 1000; ++i) {
            cr_assert(tx.send(i));
        }
        const std::uint32_t polls = rt::detail::this_thread.task->polls;
        bool other_ran = false;
        rt::spawn(
            [](bool& ran) -> rt::task<void> {
                ran = true;
                co_return;
            },
            std::ref(other_ran)
        )
            .detach();
        for (int i = 0; i < 1000; ++i) {
            cr_assert_eq((co_await rx.recv()).value(), i);
            cr_assert(other_ran || i <= static_cast<int>(rt::detail::poll_budget));
        }
        cr_assert(other_ran);
        cr_assert_eq(rt::detail::this_thread.task->polls - polls, 1000 / rt::detail::poll_budget);
    }());
}

Test(mpsc_core, b168_ready_room_does_not_keep_others_from_running) {
    rt::block_on(single(), []() -> rt::task<void> {
        auto [tx, rx] = rt::mpsc::channel<int>(10'000);
        const std::uint32_t polls = rt::detail::this_thread.task->polls;
        for (int i = 0; i < 1000; ++i) {
            cr_assert(co_await tx.send(i));
        }
        cr_assert_eq(rt::detail::this_thread.task->polls - polls, 1000 / rt::detail::poll_budget);
    }());
}

} // namespace

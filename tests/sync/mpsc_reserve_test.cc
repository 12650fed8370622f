// SPDX-License-Identifier: MIT
//
// Reserving room for many at once: it is served whole and in its turn, and whoever stands behind it
// is served when it gives up.
#include "support/runtimes.h"
#include "support/test.h"
#include "sync/waiting.h"

#include <rt/join_set.h>
#include <rt/runtime.h>
#include <rt/spawn.h>
#include <rt/sync/mpsc.h>
#include <rt/time.h>
#include <rt/yield.h>

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <thread>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
using rt::test::run;
using rt::test::single;
using rt::test::until_waiting;
using rt::test::was_cancelled;

rt::task<std::uint32_t> reserves(rt::mpsc::sender<int> tx, std::uint32_t count, int first) {
    auto got = co_await tx.reserve_many(count);
    if (!got) {
        co_return 0;
    }
    std::uint32_t sent = 0;
    while (*got) {
        sent += got->send(first++) ? 1 : 0;
    }
    co_return sent;
}

rt::task<bool> sends(rt::mpsc::sender<int> tx, int value) {
    co_return (co_await tx.send(value)).has_value();
}

} // namespace

Test(mpsc_reserve, waits_for_all_of_it_and_nobody_passes) {
    run([]() -> rt::task<void> {
        auto [tx, rx] = rt::mpsc::channel<int>(3);
        cr_assert(tx.try_send(0));
        auto many = rt::spawn(reserves, tx, 3U, 1);
        co_await until_waiting(many);
        auto behind = rt::spawn(sends, tx, 9);
        co_await until_waiting(behind);
        cr_assert(tx.try_send(8).error().is(EAGAIN), "somebody waits");
        cr_assert(tx.try_reserve().error().is(EAGAIN));
        cr_assert(tx.try_reserve_many(2).error().is(EAGAIN));
        cr_assert_eq(rx.try_recv().value(), 0);
        cr_assert_eq(co_await many, 3U);
        for (const int wanted : {1, 2, 3, 9}) {
            cr_assert_eq((co_await rx.recv()).value(), wanted);
        }
        cr_assert(co_await behind);
    }());
}

Test(mpsc_reserve, those_behind_one_that_gives_up_are_served_at_once) {
    run([]() -> rt::task<void> {
        auto [tx, rx] = rt::mpsc::channel<int>(3);
        cr_assert(tx.try_send(0));
        auto many = rt::spawn(reserves, tx, 3U, 1);
        co_await until_waiting(many);
        auto behind = rt::spawn(sends, tx, 9);
        co_await until_waiting(behind);
        many.abort();
        cr_assert(co_await was_cancelled(std::move(many)));
        cr_assert(co_await behind); // although nothing was received
        cr_assert_eq(rx.try_recv().value(), 0);
        cr_assert_eq(rx.try_recv().value(), 9);
    }());
}

Test(mpsc_reserve, what_was_granted_to_an_aborted_task_comes_back) {
    rt::block_on(single(), []() -> rt::task<void> {
        auto [tx, rx] = rt::mpsc::channel<int>(2);
        cr_assert(tx.try_send(0));
        auto waiter = rt::spawn(
            [](rt::mpsc::sender<int> end) -> rt::task<void> {
                auto two = co_await end.reserve_many(2);
                co_await rt::sleep(1h);
            },
            tx
        );
        co_await until_waiting(waiter);
        cr_assert(rx.try_recv());
        cr_assert_eq(tx.capacity(), 0U, "it has both");
        waiter.abort();
        cr_assert(co_await was_cancelled(std::move(waiter)));
        cr_assert_eq(tx.capacity(), 2U);
    }());
}

Test(mpsc_reserve, closing_refuses_it_while_it_waits) {
    run([]() -> rt::task<void> {
        auto [tx, rx] = rt::mpsc::channel<int>(2);
        cr_assert(tx.try_send(0));
        auto many = rt::spawn(reserves, tx, 2U, 1);
        co_await until_waiting(many);
        rx.close();
        cr_assert_eq(co_await many, 0U);
    }());
}

// Requests of all sizes, some aborted: every value of those that ended arrives, in its order, and
// no room is lost.
Test(mpsc_reserve, a_storm_loses_neither_values_nor_room) {
    run([]() -> rt::task<void> {
        constexpr std::uint32_t capacity = 7;
        auto [tx, rx] = rt::mpsc::channel<int>(capacity);
        rt::join_set<std::uint32_t> senders;
        std::vector<rt::abort_handle> handles;
        for (int i = 0; i < 500; ++i) {
            const auto count = static_cast<std::uint32_t>(i) % (capacity + 1);
            handles.push_back(senders.spawn(reserves, tx, count, 10 * i));
        }
        auto aborter = rt::spawn(
            [](std::vector<rt::abort_handle> all) -> rt::task<void> {
                for (std::size_t i = 0; i < all.size(); i += 3) {
                    all[i].abort();
                    co_await rt::yield();
                }
            },
            std::move(handles)
        );
        auto receiver = rt::spawn(
            [](rt::mpsc::receiver<int>* from) -> rt::task<std::uint32_t> {
                std::uint32_t received = 0;
                int last = 0;
                while (auto got = co_await from->recv()) {
                    // The values of one request are neighbours unless others came between.
                    cr_assert(*got % 10 == 0 || *got / 10 != last / 10 || *got == last + 1);
                    last = *got;
                    ++received;
                }
                co_return received;
            },
            &rx
        );
        std::uint32_t sent = 0;
        while (auto ended = co_await senders.join_next()) {
            try {
                sent += ended.take();
            } catch (const rt::join_error&) {
            }
        }
        co_await std::move(aborter);
        cr_assert_eq(tx.try_reserve_many(0).value().size(), 0U);
        auto all = co_await tx.reserve_many(capacity);
        cr_assert(all.has_value(), "no room is lost");
        *all = {};
        tx = {};
        cr_assert_eq(co_await std::move(receiver), sent);
    }());
}

// ---- threads ------------------------------------------------------------------------------------

Test(mpsc_reserve, threads_wait_for_room_and_get_it) {
    auto [tx, rx] = rt::mpsc::channel<int>(2);
    auto one = tx.blocking_reserve();
    cr_assert(one.has_value() && one->send(0));
    cr_assert(tx.try_send(1));
    std::thread reserving([sender = tx]() mutable {
        auto many = sender.blocking_reserve_many(2); // there is room for none
        cr_assert(many.has_value());
        for (int value = 2; *many; ++value) {
            cr_assert(many->send(value));
        }
        auto last = sender.blocking_reserve();
        cr_assert(last.has_value() && last->send(4));
    });
    for (const int wanted : {0, 1, 2, 3, 4}) {
        cr_assert_eq(rx.blocking_recv().value(), wanted);
    }
    reserving.join();
    cr_assert(tx.blocking_reserve_many(0).has_value());
    cr_assert(tx.blocking_reserve_many(3).error().is(EINVAL), "there will never be so much");
    rx.close();
    cr_assert(tx.blocking_reserve().error().is(rt::errc::closed));
    cr_assert(tx.blocking_reserve_many(1).error().is(rt::errc::closed));
    cr_assert(decltype(tx)().blocking_reserve().error().is(rt::errc::closed));
}

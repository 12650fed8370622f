// SPDX-License-Identifier: MIT
//
// rt::oneshot: delivery, closing from both ends, cancellation, threads, and that no value is lost.
#include "support/runtimes.h"
#include "support/test.h"
#include "sync/waiting.h"

#include <rt/join.h>
#include <rt/runtime.h>
#include <rt/select.h>
#include <rt/sync/oneshot.h>
#include <rt/time.h>

#include <cerrno>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

namespace {

using namespace std::chrono_literals;
using rt::test::counted;
using rt::test::run;
using rt::test::single;
using rt::test::until_waiting;
using rt::test::was_cancelled;

rt::task<rt::result<int>> receive(rt::oneshot::receiver<int> rx) {
    co_return co_await rx;
}

rt::task<int> receive_counted(rt::oneshot::receiver<counted> rx) {
    rt::result<counted> got = co_await rx;
    co_return got ? got->number() : -2;
}

Test(oneshot, delivers_what_was_sent_before) {
    run([]() -> rt::task<void> {
        auto [tx, rx] = rt::oneshot::channel<std::string>();
        cr_assert(tx.send("early"));
        cr_assert(!tx, "the sender is used up");
        rt::result<std::string> got = co_await rx;
        cr_assert(got && *got == "early");
        got = co_await rx;
        cr_assert(!got && got.error() == rt::errc::closed, "it was taken before");
    }());
}

Test(oneshot, delivers_to_one_that_waits) {
    run([]() -> rt::task<void> {
        auto [tx, rx] = rt::oneshot::channel<int>();
        auto waiter = rt::spawn(receive, std::move(rx));
        co_await until_waiting(waiter);
        cr_assert(waiter.header()->waits_for == rt::detail::wait_kind::oneshot);
        cr_assert(waiter.header()->live.wait_object != nullptr);
        cr_assert(tx.send(7));
        const rt::result<int> got = co_await waiter;
        cr_assert(got && *got == 7);
    }());
}

Test(oneshot, moves_what_cannot_be_copied) {
    run([]() -> rt::task<void> {
        auto [tx, rx] = rt::oneshot::channel<std::unique_ptr<int>>();
        cr_assert(tx.send(std::make_unique<int>(3)));
        auto got = co_await std::move(rx);
        cr_assert(got && **got == 3);
    }());
}

Test(oneshot, takes_over_aligned_and_large_values) {
    struct alignas(64) wide {
        int numbers[1000];
    };
    auto [tx, rx] = rt::oneshot::channel<wide>();
    wide value{};
    value.numbers[999] = 5;
    cr_assert(tx.send(value));
    const auto got = rx.try_recv();
    cr_assert(got && got->numbers[999] == 5);
}

Test(oneshot, dropped_sender_is_noticed) {
    run([]() -> rt::task<void> {
        auto [tx, rx] = rt::oneshot::channel<int>();
        auto waiter = rt::spawn(receive, std::move(rx));
        co_await until_waiting(waiter);
        { const auto gone = std::move(tx); }
        const rt::result<int> got = co_await waiter;
        cr_assert(!got && got.error() == rt::errc::closed);
    }());
}

Test(oneshot, dropped_receiver_is_noticed) {
    run([]() -> rt::task<void> {
        auto [tx, rx] = rt::oneshot::channel<std::unique_ptr<int>>();
        cr_assert(!tx.is_closed());
        { const auto gone = std::move(rx); }
        cr_assert(tx.is_closed());
        co_await tx.closed();
        auto value = std::make_unique<int>(1);
        const rt::result<void> sent = tx.send(std::move(value));
        cr_assert(!sent && sent.error() == rt::errc::closed);
        cr_assert(value != nullptr, "a refused value is untouched");
    }());
}

Test(oneshot, closed_wakes_a_sender_that_waits_for_it) {
    for (const bool by_drop : {false, true}) {
        run([](bool drops) -> rt::task<void> {
            auto [tx, rx] = rt::oneshot::channel<int>();
            auto waiter = rt::spawn(
                [](rt::oneshot::sender<int> end) -> rt::task<void> {
                    co_await end.closed();
                    cr_assert(end.is_closed());
                },
                std::move(tx)
            );
            co_await until_waiting(waiter);
            if (drops) {
                const auto gone = std::move(rx);
            } else {
                rx.close();
            }
            co_await waiter;
        }(by_drop));
    }
}

Test(oneshot, close_keeps_a_value_that_was_sent) {
    auto [tx, rx] = rt::oneshot::channel<int>();
    cr_assert(tx.send(1));
    rx.close();
    cr_assert_eq(rx.try_recv().value(), 1);
    auto [tx2, rx2] = rt::oneshot::channel<int>();
    rx2.close();
    cr_assert(!tx2.send(1));
    cr_assert(rx2.try_recv().error() == rt::errc::closed);
}

// The sender is still there, and would have to be dropped before anything else happened.
Test(oneshot, close_is_the_end_for_the_receiver_too) {
    run([]() -> rt::task<void> {
        auto [tx, rx] = rt::oneshot::channel<int>();
        rx.close();
        cr_assert(rx.try_recv().error() == rt::errc::closed);
        cr_assert((co_await rx.recv()).error() == rt::errc::closed);
        cr_assert((co_await rx.recv()).error() == rt::errc::closed, "it is not used up");
        cr_assert(tx.is_closed());
    }());
    auto [tx, rx] = rt::oneshot::channel<int>();
    rx.close();
    cr_assert(rx.blocking_recv().error() == rt::errc::closed);
    cr_assert(tx.send(1).error() == rt::errc::closed);
    cr_assert(rx.try_recv().error() == rt::errc::closed);
}

Test(oneshot, close_by_another_part_of_the_task_ends_the_wait) {
    for (const bool is_sender_dropped_first : {false, true}) {
        run([](bool drops) -> rt::task<void> {
            auto ends = rt::oneshot::channel<int>();
            const auto got = co_await rt::join(
                ends.rx.recv(),
                [](rt::oneshot::ends<int>* of, bool drops_first) -> rt::task<void> {
                    co_await rt::yield();
                    if (drops_first) {
                        of->tx = {};
                    }
                    of->rx.close();
                    of->tx = {};
                }(&ends, drops)
            );
            cr_assert(std::get<0>(got).error() == rt::errc::closed);
            cr_assert(ends.rx.try_recv().error() == rt::errc::closed);
        }(is_sender_dropped_first));
    }
}

Test(oneshot, try_recv_tells_not_yet_from_never) {
    auto [tx, rx] = rt::oneshot::channel<int>();
    cr_assert(rx.try_recv().error().is(EAGAIN));
    cr_assert(tx.send(1));
    cr_assert_eq(rx.try_recv().value(), 1);
    cr_assert(rx.try_recv().error() == rt::errc::closed);
    rt::oneshot::receiver<int> none;
    cr_assert(none.try_recv().error() == rt::errc::closed);
}

Test(oneshot, every_way_out_destroys_the_value_once) {
    {
        auto [tx, rx] = rt::oneshot::channel<counted>();
        cr_assert(tx.send(counted(1))); // sent, never received
    }
    {
        auto [tx, rx] = rt::oneshot::channel<counted>();
        cr_assert(tx.send(counted(1)));
        cr_assert(rx.try_recv());
    }
    {
        auto [tx, rx] = rt::oneshot::channel<counted>();
        rx.close();
        cr_assert(!tx.send(counted(1)));
    }
    {
        auto [tx, rx] = rt::oneshot::channel<counted>();
        const auto gone = std::move(tx);
    }
    cr_assert_eq(counted::alive.load_relaxed(), 0);
}

Test(oneshot, cancelled_receiver_leaves_the_value_in_the_channel) {
    run([]() -> rt::task<void> {
        auto [tx, rx] = rt::oneshot::channel<int>();
        const auto wait = [](rt::oneshot::receiver<int>& from) -> rt::task<int> {
            co_return (co_await from).value();
        };
        const auto late = co_await rt::timeout(2ms, wait(rx));
        cr_assert(!late && late.error().is_timed_out());
        cr_assert(tx.send(4));
        const auto got = co_await rt::timeout(10s, wait(rx));
        cr_assert(got && *got == 4);
    }());
}

Test(oneshot, value_reaches_a_task_that_is_aborted) {
    for (const bool abort_first : {false, true}) {
        rt::block_on(single(), [](bool before) -> rt::task<void> {
            auto [tx, rx] = rt::oneshot::channel<counted>();
            auto waiter = rt::spawn(receive_counted, std::move(rx));
            co_await until_waiting(waiter);
            if (before) {
                waiter.abort();
            }
            cr_assert(tx.send(counted(9)));
            waiter.abort();
            cr_assert_eq(co_await waiter, 9, "it ended before it could be cancelled");
        }(abort_first));
    }
    cr_assert_eq(counted::alive.load_relaxed(), 0);
}

Test(oneshot, thread_waits_for_a_task) {
    auto [tx, rx] = rt::oneshot::channel<int>();
    std::thread thread([end = std::move(rx)]() mutable {
        cr_assert_eq(end.blocking_recv().value(), 11);
    });
    run([](rt::oneshot::sender<int> end) -> rt::task<void> {
        co_await rt::yield();
        cr_assert(end.send(11));
    }(std::move(tx)));
    thread.join();
}

rt::task<void> partner(rt::oneshot::receiver<int> in, rt::oneshot::sender<int> out) {
    const int got = (co_await in).value();
    cr_assert(out.send(got + 1));
}

rt::task<void> exchange(int number) {
    auto [tx1, rx1] = rt::oneshot::channel<int>();
    auto [tx2, rx2] = rt::oneshot::channel<int>();
    rt::spawn(partner, std::move(rx1), std::move(tx2)).detach();
    cr_assert(tx1.send(number));
    cr_assert_eq((co_await rx2).value(), number + 1);
}

Test(oneshot, thousands_of_exchanges) {
    run([]() -> rt::task<void> {
        std::vector<rt::join_handle<void>> tasks;
        for (int i = 0; i < 3000; ++i) {
            tasks.push_back(rt::spawn(exchange, i));
        }
        co_await rt::test::join_all(tasks);
    }());
}

// Both ends and an abort at the same time: the value is received or destroyed, once.
Test(oneshot, race_of_send_drop_and_abort_loses_nothing) {
    run([]() -> rt::task<void> {
        for (int i = 0; i < 1500; ++i) {
            auto [tx, rx] = rt::oneshot::channel<counted>();
            auto waiter = rt::spawn(receive_counted, std::move(rx));
            auto giver = rt::spawn(
                [](rt::oneshot::sender<counted> end) -> rt::task<bool> {
                    co_return end.send(counted(5)).has_value();
                },
                std::move(tx)
            );
            if (i % 3 != 0) {
                co_await rt::yield();
            }
            waiter.abort();
            const bool sent = co_await giver;
            try {
                const int got = co_await std::move(waiter);
                cr_assert(sent && got == 5);
            } catch (const rt::join_error&) {
                // Cancelled: the value, if it was sent, was destroyed with the channel.
            }
            cr_assert_eq(counted::alive.load_relaxed(), 0);
        }
    }());
}

Test(oneshot, closed_wait_can_be_cancelled) {
    run([]() -> rt::task<void> {
        auto [tx, rx] = rt::oneshot::channel<int>();
        const auto wait = [](rt::oneshot::sender<int>& end) -> rt::task<void> {
            co_await end.closed();
        };
        const auto late = co_await rt::timeout(2ms, wait(tx));
        cr_assert(!late && late.error().is_timed_out());
        cr_assert(tx.send(1));
        cr_assert_eq((co_await rx).value(), 1);
    }());
}

Test(oneshot, b168_ready_values_do_not_keep_others_from_running) {
    rt::block_on(single(), []() -> rt::task<void> {
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
            auto [tx, rx] = rt::oneshot::channel<int>();
            cr_assert(tx.send(turns));
            cr_assert_eq((co_await rx).value(), turns);
            ++turns;
        }
        cr_assert(other_ran);
    }());
}

} // namespace

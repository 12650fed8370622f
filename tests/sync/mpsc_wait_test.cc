// SPDX-License-Identifier: MIT
//
// rt::mpsc: waiting for room and for values, cancellation in every phase of it, threads outside a
// runtime, and storms in which every value is counted.
#include "support/runtimes.h"
#include "support/test.h"
#include "sync/waiting.h"

#include <rt/runtime.h>
#include <rt/sync/mpsc.h>
#include <rt/sync/oneshot.h>
#include <rt/time.h>

#include <cerrno>
#include <chrono>
#include <functional>
#include <optional>
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

rt::task<bool> send_one(rt::mpsc::sender<counted> tx, int number) {
    co_return (co_await tx.send(counted(number))).has_value();
}

rt::task<bool> reserve_and_send(rt::mpsc::sender<counted> tx, int number) {
    rt::result<rt::mpsc::permit<counted>> permit = co_await tx.reserve();
    co_return permit && permit->send(counted(number)).has_value();
}

rt::task<int> receive_one(rt::mpsc::receiver<counted>& rx) {
    rt::result<counted> got = co_await rx.recv();
    co_return got ? got->number() : -2;
}

Test(mpsc_wait, full_channel_serves_senders_in_their_order) {
    run([]() -> rt::task<void> {
        auto [tx, rx] = rt::mpsc::channel<counted>(1);
        cr_assert(tx.try_send(counted(0)));
        std::vector<rt::join_handle<bool>> senders;
        for (int i = 1; i <= 60; ++i) {
            senders.push_back(
                i % 3 == 0 ? rt::spawn(reserve_and_send, tx, i) : rt::spawn(send_one, tx, i)
            );
            co_await until_waiting(senders.back());
        }
        cr_assert(tx.try_send(counted(99)).error().is(EAGAIN));
        for (int i = 0; i <= 60; ++i) {
            cr_assert_eq((co_await rx.recv())->number(), i);
        }
        for (auto& each : senders) {
            cr_assert(co_await std::move(each));
        }
    }());
    cr_assert_eq(counted::alive.load_relaxed(), 0);
}

Test(mpsc_wait, room_belongs_to_the_one_that_waits) {
    rt::block_on(single(), []() -> rt::task<void> {
        auto [tx, rx] = rt::mpsc::channel<counted>(1);
        cr_assert(tx.try_send(counted(0)));
        auto waiter = rt::spawn(send_one, tx, 1);
        co_await until_waiting(waiter);
        cr_assert_eq(rx.try_recv()->number(), 0);
        cr_assert(tx.try_send(counted(2)).error().is(EAGAIN), "its value went in at once");
        cr_assert_eq(rx.try_recv()->number(), 1, "before its task has run");
        cr_assert(tx.try_send(counted(2)));
        cr_assert(co_await waiter);
    }());
}

Test(mpsc_wait, cancelled_sender_takes_its_value_with_it) {
    run([]() -> rt::task<void> {
        auto [tx, rx] = rt::mpsc::channel<counted>(1);
        cr_assert(tx.try_send(counted(0)));
        auto first = rt::spawn(send_one, tx, 1);
        co_await until_waiting(first);
        auto second = rt::spawn(send_one, tx, 2);
        co_await until_waiting(second);
        const int before = counted::alive.load_relaxed();
        first.abort();
        cr_assert(co_await was_cancelled(std::move(first)));
        // The value, and what it was moved from in the coroutine's frame.
        cr_assert_eq(counted::alive.load_relaxed(), before - 2);
        cr_assert_eq((co_await rx.recv())->number(), 0);
        cr_assert_eq((co_await rx.recv())->number(), 2);
        cr_assert(co_await second);
        cr_assert(rx.try_recv().error().is(EAGAIN));
    }());
}

Test(mpsc_wait, value_that_went_in_stays_in_when_its_sender_is_aborted) {
    for (const bool abort_first : {false, true}) {
        rt::block_on(single(), [](bool before) -> rt::task<void> {
            auto [tx, rx] = rt::mpsc::channel<counted>(1);
            cr_assert(tx.try_send(counted(0)));
            auto waiter = rt::spawn(send_one, tx, 1);
            co_await until_waiting(waiter);
            if (before) {
                waiter.abort();
            }
            cr_assert_eq(rx.try_recv()->number(), 0);
            waiter.abort();
            cr_assert(co_await waiter, "it has sent, and ended before it could be cancelled");
            cr_assert_eq(rx.try_recv()->number(), 1);
        }(abort_first));
    }
    cr_assert_eq(counted::alive.load_relaxed(), 0);
}

Test(mpsc_wait, granted_permit_of_an_aborted_task_comes_back) {
    rt::block_on(single(), []() -> rt::task<void> {
        auto [tx, rx] = rt::mpsc::channel<counted>(1);
        cr_assert(tx.try_send(counted(0)));
        auto waiter = rt::spawn(
            [](rt::mpsc::sender<counted> end) -> rt::task<void> {
                auto permit = co_await end.reserve();
                co_await rt::sleep(1h);
            },
            tx
        );
        co_await until_waiting(waiter);
        cr_assert(rx.try_recv());
        cr_assert_eq(tx.capacity(), 0U, "it has the permit");
        waiter.abort();
        cr_assert(co_await was_cancelled(std::move(waiter)));
        cr_assert_eq(tx.capacity(), 1U);
    }());
}

Test(mpsc_wait, permit_that_comes_back_goes_to_the_next_in_line) {
    run([]() -> rt::task<void> {
        auto [tx, rx] = rt::mpsc::channel<counted>(1);
        std::optional permit = tx.try_reserve().value();
        auto waiter = rt::spawn(send_one, tx, 1);
        co_await until_waiting(waiter);
        permit.reset();
        cr_assert(co_await waiter);
        cr_assert_eq(rx.try_recv()->number(), 1);
    }());
}

Test(mpsc_wait, cancelled_receiver_loses_nothing) {
    run([]() -> rt::task<void> {
        auto [tx, rx] = rt::mpsc::channel<counted>(4);
        for (int i = 0; i < 5; ++i) {
            const auto late = co_await rt::timeout(1ms, receive_one(rx));
            cr_assert(!late && late.error().is_timed_out());
        }
        cr_assert(tx.try_send(counted(1)));
        cr_assert_eq((co_await rt::timeout(10s, receive_one(rx))).value(), 1);
    }());
}

Test(mpsc_wait, value_on_its_way_reaches_a_receiver_that_is_aborted) {
    for (const bool abort_first : {false, true}) {
        rt::block_on(single(), [](bool before) -> rt::task<void> {
            auto [tx, rx] = rt::mpsc::channel<counted>(4);
            auto waiter = rt::spawn(receive_one, std::ref(rx));
            co_await until_waiting(waiter);
            if (before) {
                waiter.abort();
            }
            cr_assert(tx.try_send(counted(3)));
            waiter.abort();
            cr_assert_eq(co_await waiter, 3);
        }(abort_first));
    }
    cr_assert_eq(counted::alive.load_relaxed(), 0);
}

Test(mpsc_wait, aborted_in_the_yield_queue_has_taken_nothing) {
    rt::block_on(single(), []() -> rt::task<void> {
        auto [tx, rx] = rt::mpsc::unbounded_channel<counted>();
        int received = 0;
        for (int i = 0; i < 1000; ++i) {
            cr_assert(tx.send(counted(i)));
        }
        auto greedy = rt::spawn(
            [](rt::mpsc::receiver<counted>& from, int& count) -> rt::task<void> {
                for (;;) {
                    cr_assert_eq((co_await from.recv())->number(), count);
                    ++count;
                }
            },
            std::ref(rx),
            std::ref(received)
        );
        co_await rt::yield();
        greedy.abort();
        cr_assert(co_await was_cancelled(std::move(greedy)));
        cr_assert(received > 0 && received < 1000);
        cr_assert_eq(rx.size(), static_cast<std::uint64_t>(1000 - received));
        cr_assert_eq(rx.try_recv()->number(), received, "the next one is there");
    }());
    cr_assert_eq(counted::alive.load_relaxed(), 0);
}

Test(mpsc_wait, closing_ends_a_receiver_that_waits) {
    run([]() -> rt::task<void> {
        auto [tx, rx] = rt::mpsc::channel<int>(1);
        auto receiver = rt::spawn([from = &rx]() -> rt::task<bool> {
            const auto got = co_await from->recv();
            co_return got.has_value();
        });
        co_await until_waiting(receiver);
        rx.close();
        cr_assert_not(co_await std::move(receiver));
        cr_assert(tx.is_closed());
    }());
}

Test(mpsc_wait, closing_refuses_those_that_wait) {
    for (const bool by_drop : {false, true}) {
        run([](bool drops) -> rt::task<void> {
            auto [tx, rx] = rt::mpsc::channel<counted>(1);
            cr_assert(tx.try_send(counted(0)));
            auto sender = rt::spawn(send_one, tx, 1);
            co_await until_waiting(sender);
            auto reserver = rt::spawn(reserve_and_send, tx, 2);
            co_await until_waiting(reserver);
            auto watcher = rt::spawn(
                [](rt::mpsc::sender<counted> end) -> rt::task<void> { co_await end.closed(); }, tx
            );
            co_await until_waiting(watcher);
            if (drops) {
                const auto gone = std::move(rx);
            } else {
                rx.close();
            }
            cr_assert(!co_await sender);
            cr_assert(!co_await reserver);
            co_await watcher;
        }(by_drop));
    }
    cr_assert_eq(counted::alive.load_relaxed(), 0);
}

// A value that is long on its way into the channel: its move waits for a gate, once.
struct slow {
    slow(int n, rt::atomic<int>* g) noexcept
        : number(n)
        , gate(g) {}
    slow(slow&& other) noexcept
        : number(other.number) {
        if (rt::atomic<int>* const at = std::exchange(other.gate, nullptr)) {
            at->store_release(1);
            while (at->load_acquire() != 2) {
                std::this_thread::yield();
            }
        }
    }
    slow& operator=(slow&&) = delete;
    ~slow() = default;

    int number;
    rt::atomic<int>* gate = nullptr;
};

// A value whose send has returned is found by try_recv, although an earlier one is still on its
// way.
Test(mpsc_wait, try_recv_finds_what_was_sent_behind_a_value_on_its_way) {
    auto [tx, rx] = rt::mpsc::channel<slow>(8);
    rt::atomic<int> gate{0};
    std::thread first([&, to = tx]() mutable { cr_assert(to.try_send(slow(1, &gate))); });
    while (gate.load_acquire() != 1) {
        std::this_thread::yield();
    }
    cr_assert(tx.try_send(slow(2, nullptr)));
    rt::atomic<bool> is_asking{false};
    std::thread opener([&] {
        while (!is_asking.load_acquire()) {
            std::this_thread::yield();
        }
        gate.store_release(2);
    });
    is_asking.store_release(true);
    const rt::result<slow> got = rx.try_recv();
    cr_assert(got && got->number == 1);
    const rt::result<slow> next = rx.try_recv();
    cr_assert(next && next->number == 2);
    cr_assert(rx.try_recv().error().is(EAGAIN));
    first.join();
    opener.join();
}

Test(mpsc_wait, threads_send_and_receive) {
    auto [tx, rx] = rt::mpsc::channel<counted>(3);
    auto [back_tx, back_rx] = rt::mpsc::channel<int>(3);
    std::thread producer([end = std::move(tx)]() mutable {
        for (int i = 0; i < 3000; ++i) {
            cr_assert(end.blocking_send(counted(i)));
        }
    });
    std::thread consumer([end = std::move(back_rx)]() mutable {
        for (int i = 0; i < 3000; ++i) {
            cr_assert_eq(end.blocking_recv().value(), i);
        }
        cr_assert(end.blocking_recv().error() == rt::errc::closed);
    });
    run([](rt::mpsc::receiver<counted> in, rt::mpsc::sender<int> out) -> rt::task<void> {
        while (rt::result<counted> got = co_await in.recv()) {
            cr_assert(co_await out.send(got->number()));
        }
    }(std::move(rx), std::move(back_tx)));
    producer.join();
    consumer.join();
    cr_assert_eq(counted::alive.load_relaxed(), 0);
}

struct stamped {
    int sender;
    int number;
};

rt::task<void> stamp(rt::mpsc::sender<stamped> tx, int sender, int count) {
    for (int i = 0; i < count; ++i) {
        cr_assert(co_await tx.send(stamped{sender, i}));
    }
}

Test(mpsc_wait, many_senders_keep_their_own_order) {
    for (const std::uint64_t capacity : {1, 2, 7, 100, 100'000}) {
        run([](std::uint64_t room) -> rt::task<void> {
            constexpr int senders = 8;
            constexpr int count = 1000;
            auto [tx, rx] = rt::mpsc::channel<stamped>(room);
            for (int i = 0; i < senders; ++i) {
                rt::spawn(stamp, tx, i, count).detach();
            }
            { const auto done = std::move(tx); }
            std::vector<int> next(senders, 0);
            int received = 0;
            while (rt::result<stamped> got = co_await rx.recv()) {
                cr_assert_eq(got->number, next[static_cast<std::size_t>(got->sender)]++);
                ++received;
            }
            cr_assert_eq(received, senders * count);
        }(capacity));
    }
}

rt::task<void> send_patiently(rt::mpsc::sender<counted> tx, rt::atomic<int>& sent, int count) {
    for (int i = 0; i < count; ++i) {
        const auto attempt = [](rt::mpsc::sender<counted>& end, int n, rt::atomic<int>& sum
                             ) -> rt::task<void> {
            cr_assert(co_await end.send(counted(n)));
            sum.add_relaxed(1);
        };
        if (i % 4 == 0) {
            static_cast<void>(co_await rt::timeout(1ms, attempt(tx, i, sent)));
        } else {
            co_await attempt(tx, i, sent);
        }
    }
}

// Sends and receives time out and tasks are aborted, and still the count of what was sent is the
// count of what was received, and every value is destroyed once.
Test(mpsc_wait, storm_of_timeouts_and_aborts_loses_no_value) {
    run([]() -> rt::task<void> {
        auto [tx, rx] = rt::mpsc::channel<counted>(2);
        rt::atomic<int> sent{0};
        std::vector<rt::join_handle<void>> senders;
        for (int i = 0; i < 6; ++i) {
            senders.push_back(rt::spawn(send_patiently, tx, std::ref(sent), 300));
        }
        int victims_sent = 0;
        int received = 0;
        for (int i = 0; i < 200; ++i) {
            auto victim = rt::spawn(send_one, tx, -7);
            if (i % 2 == 0) {
                co_await rt::yield();
            }
            victim.abort();
            for (int n = 0; n < 5; ++n) {
                const auto got = co_await rt::timeout(1ms, receive_one(rx));
                received += got ? 1 : 0;
            }
            try {
                victims_sent += co_await std::move(victim) ? 1 : 0;
            } catch (const rt::join_error&) {
                // It was cancelled before it had sent.
            }
        }
        { const auto done = std::move(tx); }
        while (rt::result<counted> got = co_await rx.recv()) {
            ++received;
        }
        co_await rt::test::join_all(senders);
        cr_assert_eq(received, sent.load_relaxed() + victims_sent);
    }());
    cr_assert_eq(counted::alive.load_relaxed(), 0);
}

// A reply's sender that is still in a channel whose receiver has gone must not keep its requester
// waiting, however the two moments interleave.
Test(mpsc_wait, request_to_a_server_that_leaves_is_answered_with_closed) {
    struct request {
        rt::oneshot::sender<int> reply;
    };
    run([]() -> rt::task<void> {
        for (int i = 0; i < 2000; ++i) {
            auto [tx, rx] = rt::mpsc::channel<request>(4);
            auto client = rt::spawn(
                [](rt::mpsc::sender<request>& end) -> rt::task<void> {
                    auto [reply, answer] = rt::oneshot::channel<int>();
                    static_cast<void>(co_await end.send(request{std::move(reply)}));
                    cr_assert((co_await answer).error() == rt::errc::closed);
                },
                std::ref(tx)
            );
            auto server = rt::spawn(
                [](rt::mpsc::receiver<request> end) -> rt::task<void> {
                    const auto gone = std::move(end);
                    co_return;
                },
                std::move(rx)
            );
            co_await server;
            co_await client; // `tx` is alive all the time
        }
    }());
}

} // namespace

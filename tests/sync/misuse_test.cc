// SPDX-License-Identifier: MIT
//
// What is forbidden ends the program with advice, every time, and not only when something happens
// to be waited for: so a test of one's own finds it. Each case runs in a child process, because the
// text is the behaviour.
#include "base/captured.h"
#include "support/runtimes.h"
#include "support/test.h"
#include "sync/waiting.h"

#include <rt/runtime.h>
#include <rt/sync.h>

#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <unistd.h>

namespace {

using namespace std::chrono_literals;
using rt::test::captured;
using rt::test::single;

rt::task<void> calls(void (*function)()) {
    function();
    co_return;
}

captured in_a_task(void (*function)()) {
    return rt::test::capture([function] { rt::block_on(single(), calls(function)); });
}

captured in_main(rt::task<void> (*function)()) {
    return rt::test::capture([function] { rt::block_on(single(), function()); });
}

void expect_blocking_refused(void (*function)(), const char* kind) {
    const captured child = in_a_task(function);
    cr_expect(child.was_aborted(), "%s went through: %s", kind, child.text.c_str());
    cr_expect(child.says("a blocking_ function ("), "%s", child.text.c_str());
    cr_expect(child.says(kind), "%s: %s", kind, child.text.c_str());
    cr_expect(child.says("use co_await"), "%s", child.text.c_str());
}

} // namespace

// ---- blocking_ functions in a task, with nothing to wait for ------------------------------------

Test(misuse, a_task_must_not_block_for_a_lock_that_is_free) {
    expect_blocking_refused([] { rt::mutex().blocking_lock().unlock(); }, "(mutex)");
    expect_blocking_refused([] { rt::mutex().blocking_lock(0ms).unlock(); }, "(mutex)");
    expect_blocking_refused([] { rt::rwlock().blocking_read().unlock(); }, "(rwlock)");
    expect_blocking_refused([] { rt::rwlock().blocking_write(1ms).unlock(); }, "(rwlock)");
}

// One that is done is not waited for, by a task either (man rt_once(3)).
Test(misuse, a_task_must_not_block_at_a_once_that_is_not_done) {
    expect_blocking_refused([] { rt::once().blocking_call([] {}); }, "(once)");
    expect_blocking_refused(
        [] { rt::once_cell<int>().blocking_get_or_init([] { return 1; }); }, "(once)"
    );
}

Test(misuse, a_task_must_not_block_for_permits_that_are_free) {
    expect_blocking_refused([] { rt::semaphore(1).blocking_acquire().release(); }, "(semaphore)");
    expect_blocking_refused(
        [] { rt::semaphore(1).blocking_acquire(1ms).release(); }, "(semaphore)"
    );
    expect_blocking_refused(
        [] {
            rt::semaphore slots(1);
            slots.close();
            static_cast<void>(slots.blocking_acquire());
        },
        "semaphore"
    );
}

Test(misuse, a_task_must_not_block_for_a_notification_that_is_kept) {
    expect_blocking_refused(
        [] {
            rt::notify news;
            news.notify_one();
            news.blocking_wait();
        },
        "notify"
    );
}

Test(misuse, a_task_must_not_block_at_a_barrier_of_one) {
    expect_blocking_refused([] { static_cast<void>(rt::barrier(1).blocking_wait()); }, "barrier");
}

Test(misuse, a_task_must_not_block_for_a_reply_that_is_there) {
    expect_blocking_refused(
        [] {
            auto [tx, rx] = rt::oneshot::channel<int>();
            static_cast<void>(tx.send(1));
            static_cast<void>(rx.blocking_recv());
        },
        "oneshot"
    );
    expect_blocking_refused(
        [] { static_cast<void>(rt::oneshot::receiver<int>().blocking_recv()); }, "oneshot"
    );
}

Test(misuse, a_task_must_not_block_at_a_channel_that_is_ready) {
    expect_blocking_refused(
        [] {
            auto [tx, rx] = rt::mpsc::channel<int>(1);
            static_cast<void>(tx.blocking_send(1));
        },
        "(send)"
    );
    expect_blocking_refused(
        [] {
            auto [tx, rx] = rt::mpsc::channel<int>(1);
            static_cast<void>(tx.blocking_reserve_many(0));
        },
        "(send)"
    );
    expect_blocking_refused(
        [] {
            std::vector<int> got;
            static_cast<void>(rt::mpsc::channel<int>(1).rx.blocking_recv_many(got, 0));
        },
        "(receive)"
    );
    expect_blocking_refused(
        [] {
            auto [tx, rx] = rt::mpsc::channel<int>(1);
            static_cast<void>(tx.try_send(1));
            static_cast<void>(rx.blocking_recv());
        },
        "(receive)"
    );
    expect_blocking_refused(
        [] {
            auto [tx, rx] = rt::broadcast::channel<int>(1);
            static_cast<void>(tx.send(1));
            static_cast<void>(rx.blocking_recv());
        },
        "(receive)"
    );
    expect_blocking_refused(
        [] {
            auto [tx, rx] = rt::watch::channel<int>(1);
            static_cast<void>(tx.send(2));
            static_cast<void>(rx.blocking_changed());
        },
        "(receive)"
    );
}

Test(misuse, a_task_must_not_block_at_the_end_of_no_channel) {
    expect_blocking_refused(
        [] { static_cast<void>(rt::mpsc::sender<int>().blocking_send(1)); }, "(send)"
    );
    expect_blocking_refused(
        [] { static_cast<void>(rt::mpsc::sender<int>().blocking_reserve(1ms)); }, "(send)"
    );
    expect_blocking_refused(
        [] { static_cast<void>(rt::mpsc::receiver<int>().blocking_recv()); }, "(receive)"
    );
}

Test(misuse, a_task_must_not_block_for_a_condition_that_holds) {
    expect_blocking_refused(
        [] {
            auto [tx, rx] = rt::watch::channel<int>(0);
            static_cast<void>(rx.blocking_wait_for([](int value) { return value == 0; }));
        },
        "(receive)"
    );
}

// ---- what a task waits on is destroyed ----------------------------------------------------------

namespace {

rt::task<void> receives(rt::oneshot::receiver<int>* rx) {
    static_cast<void>(co_await *rx);
}
rt::task<void> receives(rt::broadcast::receiver<int>* rx) {
    static_cast<void>(co_await rx->recv());
}
rt::task<void> receives(rt::watch::receiver<int>* rx) {
    static_cast<void>(co_await rx->changed());
}
rt::task<void> receives(rt::mpsc::receiver<int>* rx) {
    static_cast<void>(co_await rx->recv());
}
rt::task<void> sends(rt::mpsc::sender<int>* tx) {
    static_cast<void>(co_await tx->send(2));
}
rt::task<void> reserves(rt::mpsc::sender<int>* tx) {
    static_cast<void>(co_await tx->reserve());
}
template<typename Sender>
rt::task<void> waits_for_the_end(Sender* tx) {
    co_await tx->closed();
}

// Begins `wait` on `end`, then does `harm` to the end. A task that was not stopped says so.
template<typename End>
rt::task<void> harms(End end, rt::task<void> (*wait)(End*), void (*harm)(std::unique_ptr<End>&)) {
    auto held = std::make_unique<End>(std::move(end));
    const auto waiter = rt::spawn(wait, held.get());
    co_await rt::test::until_waiting(waiter);
    harm(held);
    ::_exit(0); // and not into what is broken by now
}

template<typename End>
void destroys(std::unique_ptr<End>& held) {
    held.reset();
}
template<typename End>
void assigns(std::unique_ptr<End>& held) {
    *held = End();
}
template<typename End>
void moves_from(std::unique_ptr<End>& held) {
    const End other = std::move(*held);
}

void expect_seen(const captured& child, const char* what) {
    cr_expect(child.was_aborted(), "%s went through: %s", what, child.text.c_str());
    cr_expect(child.says(what), "%s: %s", what, child.text.c_str());
    cr_expect(child.says("must outlive the wait"), "%s", child.text.c_str());
}

} // namespace

Test(misuse, oneshot_receiver_destroyed_under_its_waiter) {
    expect_seen(
        in_main([]() -> rt::task<void> {
            auto [tx, rx] = rt::oneshot::channel<int>();
            co_await harms(std::move(rx), &receives, &destroys);
        }),
        "oneshot"
    );
}

Test(misuse, oneshot_sender_destroyed_or_used_up_under_its_waiter) {
    using end = rt::oneshot::sender<int>;
    expect_seen(
        in_main([]() -> rt::task<void> {
            auto [tx, rx] = rt::oneshot::channel<int>();
            co_await harms(std::move(tx), &waits_for_the_end<end>, &destroys);
        }),
        "oneshot"
    );
    expect_seen(
        in_main([]() -> rt::task<void> {
            auto [tx, rx] = rt::oneshot::channel<int>();
            co_await harms<end>(
                std::move(tx),
                &waits_for_the_end<end>,
                [](std::unique_ptr<end>& held) { static_cast<void>(held->send(1)); }
            );
        }),
        "oneshot"
    );
}

Test(misuse, mpsc_receiver_destroyed_under_its_waiter) {
    expect_seen(
        in_main([]() -> rt::task<void> {
            auto [tx, rx] = rt::mpsc::channel<int>(1);
            co_await harms(std::move(rx), &receives, &destroys);
        }),
        "mpsc"
    );
}

namespace {

// On its way into the channel for as long as it likes.
struct endless {
    explicit endless(rt::atomic<int>* at) noexcept
        : begun(at) {}
    endless(endless&& other) noexcept
        : begun(other.begun) {
        begun->store_release(1);
        for (;;) {
            ::pause();
        }
    }

    rt::atomic<int>* begun;
};

} // namespace

// The wait is not in the channel, but in the cell that a sender has claimed and not filled.
Test(misuse, mpsc_receiver_destroyed_under_its_waiter_while_a_value_is_on_its_way) {
    using end = rt::mpsc::receiver<endless>;
    expect_seen(
        in_main([]() -> rt::task<void> {
            static rt::atomic<int> begun{0};
            auto [tx, rx] = rt::mpsc::channel<endless>(1);
            std::thread([to = std::move(tx)]() mutable {
                static_cast<void>(to.try_send(endless(&begun)));
            }).detach();
            while (begun.load_acquire() == 0) {
                std::this_thread::yield();
            }
            co_await harms<end>(
                std::move(rx),
                [](end* from) -> rt::task<void> { static_cast<void>(co_await from->recv()); },
                &destroys
            );
        }),
        "mpsc"
    );
}

Test(misuse, last_mpsc_sender_destroyed_under_its_waiter) {
    using end = rt::mpsc::sender<int>;
    expect_seen(
        in_main([]() -> rt::task<void> {
            auto [tx, rx] = rt::mpsc::channel<int>(1);
            static_cast<void>(tx.try_send(1));
            co_await harms(std::move(tx), &sends, &destroys);
        }),
        "mpsc"
    );
    expect_seen(
        in_main([]() -> rt::task<void> {
            auto [tx, rx] = rt::mpsc::channel<int>(1);
            static_cast<void>(tx.try_send(1));
            co_await harms(std::move(tx), &reserves, &assigns);
        }),
        "mpsc"
    );
    expect_seen(
        in_main([]() -> rt::task<void> {
            auto [tx, rx] = rt::mpsc::channel<int>(1);
            co_await harms(std::move(tx), &waits_for_the_end<end>, &destroys);
        }),
        "mpsc"
    );
}

Test(misuse, broadcast_receiver_gone_under_its_waiter) {
    using end = rt::broadcast::receiver<int>;
    static void (*harm)(std::unique_ptr<end>&);
    for (auto* each : {&destroys<end>, &assigns<end>, &moves_from<end>}) {
        harm = each;
        expect_seen(
            in_main([]() -> rt::task<void> {
                auto [tx, rx] = rt::broadcast::channel<int>(1);
                const end other = tx.subscribe();
                co_await harms(std::move(rx), &receives, harm);
            }),
            "broadcast"
        );
    }
}

Test(misuse, watch_receiver_gone_under_its_waiter) {
    using end = rt::watch::receiver<int>;
    static void (*harm)(std::unique_ptr<end>&);
    for (auto* each : {&destroys<end>, &assigns<end>, &moves_from<end>}) {
        harm = each;
        expect_seen(
            in_main([]() -> rt::task<void> {
                auto [tx, rx] = rt::watch::channel<int>(1);
                const end other = tx.subscribe();
                co_await harms(std::move(rx), &receives, harm);
            }),
            "watch"
        );
    }
}

Test(misuse, last_watch_sender_destroyed_under_its_waiter) {
    using end = rt::watch::sender<int>;
    expect_seen(
        in_main([]() -> rt::task<void> {
            auto [tx, rx] = rt::watch::channel<int>(1);
            co_await harms(std::move(tx), &waits_for_the_end<end>, &destroys);
        }),
        "watch"
    );
}

Test(misuse, lock_destroyed_under_its_waiter_says_which_kind) {
    expect_seen(
        in_main([]() -> rt::task<void> {
            auto news = std::make_unique<rt::notify>();
            const auto waiter = rt::spawn(
                [](rt::notify* on) -> rt::task<void> { co_await on->notified(); }, news.get()
            );
            co_await rt::test::until_waiting(waiter);
            news.reset();
        }),
        "notify"
    );
}

// An end goes after its wait, however that has ended: the count of waits is not left behind.
Test(misuse, end_that_was_waited_on_before_may_go) {
    rt::block_on(single(), []() -> rt::task<void> {
        auto [tx, rx] = rt::watch::channel<int>(1);
        auto [sender, receiver] = rt::broadcast::channel<int>(1);
        {
            auto held = std::make_unique<rt::watch::receiver<int>>(rx);
            auto other = std::make_unique<rt::broadcast::receiver<int>>(sender.subscribe());
            auto waiter = rt::spawn(
                [](rt::watch::receiver<int>* from) -> rt::task<void> {
                    auto wait = from->changed();
                    static_cast<void>(co_await wait);
                    *from = {}; // `wait` is still there
                },
                held.get()
            );
            auto cancelled = rt::spawn(
                [](rt::broadcast::receiver<int>* from) -> rt::task<void> {
                    static_cast<void>(co_await from->recv());
                },
                other.get()
            );
            co_await rt::test::until_waiting(waiter);
            co_await rt::test::until_waiting(cancelled);
            static_cast<void>(tx.send(2));
            co_await std::move(waiter);
            cancelled.abort();
            cr_assert(co_await rt::test::was_cancelled(std::move(cancelled)));
        }
        cr_assert(rx.has_changed());
        cr_assert_eq(sender.receiver_count(), 1U);
        cr_assert(static_cast<bool>(receiver));
    }());
}

// SPDX-License-Identifier: MIT
//
// The end of a runtime among objects that outlive it, and blocking closures beside tasks.
//
// Goal: whoever wakes, hands over or sends while the runtime unwinds its tasks loses nothing and
// touches nothing that is gone. Method: many short runtimes, a thread or destructors that go on.
#include "support/runtimes.h"
#include "support/test.h"
#include "sync/waiting.h"

#include <rt/blocking.h>
#include <rt/detail/atomic.h>
#include <rt/runtime.h>
#include <rt/sync.h>

#include <functional>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

namespace {

using rt::test::counted;

rt::task<void> receive(rt::oneshot::receiver<counted> rx) {
    static_cast<void>(co_await rx);
}

rt::task<void> receive_all(std::vector<rt::oneshot::receiver<counted>> receivers) {
    for (auto& each : receivers) {
        rt::spawn(receive, std::move(each)).detach();
    }
    co_await rt::yield();
}

// Counts who is inside, also when it is unwound there.
struct visit {
    explicit visit(rt::atomic<int>& count)
        : inside(count) {
        cr_assert_eq(inside.add_acq_rel(1), 0);
    }
    visit(const visit&) = delete;
    visit& operator=(const visit&) = delete;
    ~visit() { inside.sub_acq_rel(1); }

    rt::atomic<int>& inside;
};

rt::task<void> take_turns(rt::mutex& lock, rt::semaphore& slots, rt::atomic<int>& inside) {
    for (;;) {
        const rt::mutex::guard held = co_await lock.lock();
        const visit here(inside);
        const rt::semaphore::permit slot = co_await slots.acquire();
        co_await rt::yield();
    }
}

// Sends, notifies and unlocks when it is unwound, to others that are unwound at the same time.
struct last_words {
    rt::mpsc::sender<counted> tx;
    rt::notify& news;
    rt::watch::sender<int>& state;
    ~last_words() {
        static_cast<void>(tx.try_send(counted(1)));
        news.notify_one();
        news.notify_waiters();
        static_cast<void>(state.send_always(2));
    }
};

rt::task<void>
says_last_words(rt::mpsc::sender<counted> tx, rt::notify& news, rt::watch::sender<int>& state) {
    const last_words words{std::move(tx), news, state};
    for (;;) {
        co_await news.notified();
    }
}

rt::task<void> listens(rt::mpsc::receiver<counted> rx) {
    while (co_await rx.recv()) {
    }
}

rt::task<void> watches(rt::watch::receiver<int> rx) {
    while (co_await rx.changed()) {
    }
}

rt::task<void>
wait_for_one_another(rt::notify& news, rt::watch::sender<int>& state, std::uint64_t capacity) {
    for (int i = 0; i < 8; ++i) {
        auto [tx, rx] = rt::mpsc::channel<counted>(capacity);
        rt::spawn(listens, std::move(rx)).detach();
        rt::spawn(watches, state.subscribe()).detach();
        rt::spawn(says_last_words, tx, std::ref(news), std::ref(state)).detach();
        rt::spawn(says_last_words, std::move(tx), std::ref(news), std::ref(state)).detach();
    }
    co_await rt::yield();
}

} // namespace

Test(shutdown, b094_thread_sends_while_the_runtime_ends) {
    constexpr int rounds = 60;
    constexpr int tasks = 32;
    for (int round = 0; round < rounds; ++round) {
        std::vector<rt::oneshot::sender<counted>> senders;
        std::vector<rt::oneshot::receiver<counted>> receivers;
        for (int i = 0; i < tasks; ++i) {
            auto [tx, rx] = rt::oneshot::channel<counted>();
            senders.push_back(std::move(tx));
            receivers.push_back(std::move(rx));
        }
        rt::atomic<bool> go{false};
        std::thread thread([&] {
            while (!go.load_acquire()) {
            }
            for (auto& each : senders) {
                static_cast<void>(each.send(counted(1)));
            }
        });
        {
            rt::runtime runtime(round % 2 == 0 ? rt::test::settings() : rt::test::single());
            runtime.block_on(receive_all(std::move(receivers)));
            go.store_release(true);
        }
        thread.join();
        cr_assert_eq(counted::alive.load_relaxed(), 0);
    }
}

// Each task holds the lock in turn; the ones that wait are handed it while they are unwound.
Test(shutdown, b087_locks_are_handed_over_among_tasks_that_are_unwound) {
    for (int round = 0; round < 60; ++round) {
        rt::mutex lock;
        rt::semaphore slots(1);
        rt::atomic<int> inside{0};
        {
            rt::runtime runtime(rt::test::settings());
            runtime.block_on([](auto& m, auto& s, auto& in) -> rt::task<void> {
                for (int i = 0; i < 16; ++i) {
                    rt::spawn(take_turns, std::ref(m), std::ref(s), std::ref(in)).detach();
                }
                for (int i = 0; i < 10; ++i) {
                    co_await rt::yield();
                }
            }(lock, slots, inside));
        }
        cr_assert(lock.try_lock());
        cr_assert_eq(slots.available(), 1U);
    }
}

Test(shutdown, b087_destructors_wake_one_another) {
    for (int round = 0; round < 60; ++round) {
        rt::notify news;
        auto [state, seen] = rt::watch::channel<int>(1);
        {
            rt::runtime runtime(rt::test::settings());
            const std::uint64_t capacity = round % 2 == 0 ? 1 : 64;
            runtime.block_on(wait_for_one_another(news, state, capacity));
        }
        cr_assert_eq(*seen.borrow(), 2);
        cr_assert_eq(counted::alive.load_relaxed(), 0);
        cr_assert_eq(state.receiver_count(), 1U);
    }
}

Test(shutdown, b028_channels_work_before_and_after_the_runtime) {
    auto [tx, rx] = rt::mpsc::channel<int>(2);
    auto [utx, urx] = rt::mpsc::unbounded_channel<int>();
    cr_assert(tx.blocking_send(1));
    cr_assert(utx.send(1));
    {
        rt::runtime runtime(rt::test::settings());
        runtime.block_on([](auto& bounded, auto& unbounded) -> rt::task<void> {
            cr_assert(co_await bounded.send(2));
            cr_assert(unbounded.send(2));
        }(tx, utx));
    }
    for (int i = 1; i <= 2; ++i) {
        cr_assert_eq(*rx.blocking_recv(), i);
        cr_assert_eq(*urx.blocking_recv(), i);
    }
    cr_assert(tx.blocking_send(3));
    cr_assert_eq(*rx.blocking_recv(), 3);
    tx = {};
    utx = {};
    cr_assert(rx.blocking_recv().error().is(rt::errc::closed));
    cr_assert(urx.blocking_recv().error().is(rt::errc::closed));
}

// More operations than a turn has budget: a thread of the blocking pool has none to use up.
Test(shutdown, b162_blocking_closure_uses_locks_and_channels_without_a_budget) {
    rt::test::run([]() -> rt::task<void> {
        rt::mutex lock;
        rt::semaphore slots(1);
        auto [tx, rx] = rt::mpsc::channel<int>(4);
        auto sum = rt::spawn(
            [](rt::mpsc::receiver<int> from) -> rt::task<int> {
                int all = 0;
                while (rt::result<int> got = co_await from.recv()) {
                    all += *got;
                }
                co_return all;
            },
            std::move(rx)
        );
        co_await rt::blocking([&, to = std::move(tx)]() mutable {
            for (int i = 0; i < 300; ++i) {
                const rt::mutex::guard held = lock.blocking_lock();
                const rt::semaphore::permit slot = slots.blocking_acquire();
                cr_assert(to.blocking_send(1));
            }
            to = {};
        });
        cr_assert_eq(co_await std::move(sum), 300);
    }());
}

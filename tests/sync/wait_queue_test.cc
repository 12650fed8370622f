// SPDX-License-Identifier: MIT
//
// What all awaiters of rt/sync have in common: the list, the yield before an operation, the advice
// to who awaits in the wrong place.
#include "support/runtimes.h"
#include "support/test.h"
#include "sync/waiting.h"

#include <rt/detail/promise.h>
#include <rt/detail/wait_queue.h>
#include <rt/runtime.h>
#include <rt/sync/mpsc.h>
#include <rt/sync/mutex.h>
#include <rt/sync/notify.h>
#include <rt/time.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

namespace {

using namespace std::chrono_literals;
using rt::detail::sync_wait;
using rt::detail::sync_wait_type;
using rt::detail::wait_list;
using rt::detail::wait_node;
using rt::detail::wake_list;
using rt::test::run;
using rt::test::single;
using rt::test::was_cancelled;

class plain_wait : public sync_wait {
public:
    plain_wait() noexcept
        : sync_wait(type, nullptr) {}

    static constexpr sync_wait_type type{
        [](sync_wait*) noexcept { return false; },
        [](wait_node*) noexcept { return wait_node::cancel_result::in_flight; },
        rt::detail::wait_kind::user,
    };
};

Test(wait_queue, list_is_first_in_first_out_and_gives_up_from_the_middle) {
    plain_wait waits[5];
    wait_list list;
    for (plain_wait& each : waits) {
        list.push_back(&each);
    }
    cr_assert(list.remove(&waits[2]));
    cr_assert(!list.remove(&waits[2]), "it is off the list");
    cr_assert(list.remove(&waits[4]));
    cr_assert(list.remove(&waits[0]));
    cr_assert_eq(list.front(), &waits[1]);
    cr_assert_eq(list.pop_front(), &waits[1]);
    cr_assert(!list.remove(&waits[1]));
    list.push_back(&waits[0]);
    cr_assert_eq(list.pop_front(), &waits[3]);
    cr_assert_eq(list.pop_front(), &waits[0]);
    cr_assert(list.is_empty());
}

Test(wait_queue, taking_all_takes_each_off_the_list) {
    plain_wait waits[6];
    wait_list list;
    wake_list taken;
    taken.add_all(list);
    cr_assert_null(taken.take());
    for (int i = 0; i < 3; ++i) {
        list.push_back(&waits[i]);
    }
    taken.add(&waits[5]);
    taken.add_all(list);
    cr_assert(list.is_empty());
    list.push_back(&waits[3]);
    for (int i = 0; i < 3; ++i) {
        cr_assert(!list.remove(&waits[i]), "it was taken");
    }
    cr_assert(list.remove(&waits[3]), "it came afterwards");
    taken.add(&waits[4]);
    for (const int i : {5, 0, 1, 2, 4}) {
        cr_assert_eq(taken.take(), &waits[i]);
    }
    cr_assert_null(taken.take());
}

rt::task<void> receive_for_ever(rt::mpsc::receiver<int>& rx) {
    for (;;) {
        cr_assert(co_await rx.recv());
    }
}

// B173: a deadline around operations that are always ready.
Test(wait_queue, b173_deadline_ends_a_loop_that_never_waits) {
    rt::block_on(single(), []() -> rt::task<void> {
        auto [tx, rx] = rt::mpsc::unbounded_channel<int>();
        auto feeder = rt::spawn(
            [](rt::mpsc::unbounded_sender<int> end) -> rt::task<void> {
                for (;;) {
                    for (int i = 0; i < 300; ++i) {
                        cr_assert(end.send(i));
                    }
                    co_await rt::yield();
                }
            },
            tx
        );
        const rt::result<void> late = co_await rt::timeout(5ms, receive_for_ever(rx));
        cr_assert(!late && late.error().is_timed_out());
        feeder.abort();
        cr_assert(co_await was_cancelled(std::move(feeder)));
    }());
}

// While it is in the yield queue the task's leaf is a stand-in that looks like a frame: a dump goes
// through it to the coroutine that awaits.
Test(wait_queue, yielding_task_has_a_readable_stack) {
    rt::block_on(single(), []() -> rt::task<void> {
        auto [tx, rx] = rt::mpsc::unbounded_channel<int>();
        for (int i = 0; i < 200; ++i) {
            cr_assert(tx.send(i));
        }
        rt::join_handle<void> reader = rt::spawn(receive_for_ever(rx));
        void* const coroutine = reader.header()->resume;
        while (reader.header()->polls == 0) {
            co_await rt::yield();
        }
        cr_assert_eq(rx.size(), 200 - rt::detail::poll_budget, "it has used up its turn");
        void* const leaf = reader.header()->resume;
        cr_assert_neq(leaf, coroutine);
        cr_assert_eq(reinterpret_cast<std::uintptr_t>(leaf) % 16, 0U);
        const rt::detail::frame_header* const frame = rt::detail::frame_of(leaf);
        cr_assert_eq(frame->continuation, reinterpret_cast<std::uintptr_t>(coroutine));
        reader.abort();
        cr_assert(co_await was_cancelled(std::move(reader)));
    }());
}

Test(wait_queue, wake_ups_from_threads_reach_a_runtime_of_one_thread) {
    rt::notify ping;
    rt::notify pong;
    std::thread thread([&] {
        for (int i = 0; i < 500; ++i) {
            ping.blocking_wait();
            pong.notify_one();
        }
    });
    rt::block_on(single(), [](rt::notify& out, rt::notify& in) -> rt::task<void> {
        for (int i = 0; i < 500; ++i) {
            out.notify_one();
            co_await in.notified();
        }
    }(ping, pong));
    thread.join();
}

// A runtime that ends takes its waiting tasks off every list.
Test(wait_queue, b083_runtime_may_end_while_tasks_wait) {
    rt::mutex lock;
    rt::notify news;
    auto [tx, rx] = rt::mpsc::channel<std::unique_ptr<int>>(1);
    rt::mutex::guard held = lock.try_lock();
    cr_assert(tx.try_send(std::make_unique<int>(1)));
    {
        rt::runtime runtime(rt::test::settings());
        runtime.block_on([](auto& mutex, auto& notify, auto& sender) -> rt::task<void> {
            std::vector<rt::join_handle<void>> tasks;
            for (int i = 0; i < 20; ++i) {
                tasks.push_back(rt::spawn(
                    [](rt::mutex& m) -> rt::task<void> {
                        rt::mutex::guard never = co_await m.lock();
                    },
                    std::ref(mutex)
                ));
                tasks.push_back(rt::spawn(
                    [](rt::notify& n) -> rt::task<void> { co_await n.notified(); }, std::ref(notify)
                ));
                tasks.push_back(rt::spawn(
                    [](rt::mpsc::sender<std::unique_ptr<int>> end) -> rt::task<void> {
                        static_cast<void>(co_await end.send(std::make_unique<int>(2)));
                    },
                    sender
                ));
            }
            for (auto& each : tasks) {
                co_await rt::test::until_waiting(each);
                each.detach();
            }
        }(lock, news, tx));
    }
    held.unlock();
    cr_assert(lock.try_lock());
    news.notify_one();
    news.blocking_wait();
    cr_assert_eq(**rx.try_recv(), 1);
    cr_assert(rx.try_recv().error().is(EAGAIN));
}

rt::task<void> lock_once(rt::mutex& lock) {
    rt::mutex::guard held = co_await lock.lock();
}

Test(wait_queue, awaiting_outside_a_task_is_refused, .signal = SIGABRT) {
    rt::mutex lock;
    const rt::task<void> stray = lock_once(lock);
    stray.handle().resume();
}

} // namespace

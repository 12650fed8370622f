// SPDX-License-Identifier: MIT
//
// rt::rwlock: who is let in together, in which order, and what cancellation gives back.
#include "support/runtimes.h"
#include "support/test.h"
#include "sync/waiting.h"

#include <rt/runtime.h>
#include <rt/sync/rwlock.h>
#include <rt/time.h>

#include <chrono>
#include <functional>
#include <thread>
#include <vector>

namespace {

using namespace std::chrono_literals;
using rt::test::run;
using rt::test::single;
using rt::test::until_waiting;
using rt::test::was_cancelled;

rt::task<void> read_and_note(rt::rwlock& lock, std::vector<int>& order, int number) {
    rt::rwlock::read_guard held = co_await lock.read();
    order.push_back(number);
}

rt::task<void> write_and_note(rt::rwlock& lock, std::vector<int>& order, int number) {
    rt::rwlock::write_guard held = co_await lock.write();
    order.push_back(number);
    co_await rt::yield();
}

Test(rwlock, lets_readers_in_together_and_writers_alone) {
    run([]() -> rt::task<void> {
        rt::rwlock lock;
        {
            rt::rwlock::read_guard one = co_await lock.read();
            rt::rwlock::read_guard two = co_await lock.read();
            cr_assert(one && two);
            cr_assert(lock.try_read());
            cr_assert(!lock.try_write());
        }
        {
            rt::rwlock::write_guard alone = co_await lock.write();
            cr_assert(alone);
            cr_assert(!lock.try_read());
            cr_assert(!lock.try_write());
        }
        cr_assert(lock.try_write());
    }());
}

Test(rwlock, guards_move_and_unlock_early) {
    rt::rwlock lock;
    rt::rwlock::write_guard writing = lock.try_write();
    rt::rwlock::write_guard moved = std::move(writing);
    cr_assert(!writing && moved);
    cr_assert(!lock.try_read());
    moved.unlock();
    rt::rwlock::read_guard reading = lock.try_read();
    rt::rwlock::read_guard other = std::move(reading);
    cr_assert(!reading && other);
    cr_assert(!lock.try_write());
    other = rt::rwlock::read_guard();
    cr_assert(lock.try_write());
}

Test(rwlock, writer_is_not_starved_by_later_readers) {
    run([]() -> rt::task<void> {
        rt::rwlock lock;
        std::vector<int> order;
        rt::rwlock::read_guard held = co_await lock.read();
        auto writer = rt::spawn(write_and_note, std::ref(lock), std::ref(order), 1);
        co_await until_waiting(writer);
        auto reader = rt::spawn(read_and_note, std::ref(lock), std::ref(order), 2);
        co_await until_waiting(reader);
        cr_assert(!lock.try_read(), "a writer is waiting");
        held.unlock();
        co_await writer;
        co_await reader;
        cr_assert((order == std::vector<int>{1, 2}));
    }());
}

Test(rwlock, readers_behind_a_writer_go_on_together) {
    run([]() -> rt::task<void> {
        rt::rwlock lock;
        rt::atomic<int> inside{0};
        rt::atomic<bool> go{false};
        rt::rwlock::write_guard held = co_await lock.write();
        std::vector<rt::join_handle<void>> readers;
        for (int i = 0; i < 5; ++i) {
            readers.push_back(rt::spawn(
                [](rt::rwlock& l, rt::atomic<int>& in, rt::atomic<bool>& open) -> rt::task<void> {
                    rt::rwlock::read_guard reading = co_await l.read();
                    in.add_acq_rel(1);
                    co_await rt::test::until([&open] { return open.load_acquire(); });
                },
                std::ref(lock),
                std::ref(inside),
                std::ref(go)
            ));
            co_await until_waiting(readers.back());
        }
        held.unlock();
        co_await rt::test::until([&] { return inside.load_acquire() == 5; });
        cr_assert(!lock.try_write());
        go.store_release(true);
        co_await rt::test::join_all(readers);
        cr_assert(lock.try_write());
    }());
}

Test(rwlock, downgrade_lets_readers_in_but_no_writer) {
    run([]() -> rt::task<void> {
        rt::rwlock lock;
        std::vector<int> order;
        rt::rwlock::write_guard held = co_await lock.write();
        auto reader = rt::spawn(read_and_note, std::ref(lock), std::ref(order), 1);
        co_await until_waiting(reader);
        auto writer = rt::spawn(write_and_note, std::ref(lock), std::ref(order), 2);
        co_await until_waiting(writer);
        rt::rwlock::read_guard reading = std::move(held).downgrade();
        co_await reader;
        cr_assert((order == std::vector<int>{1}));
        cr_assert(!writer.is_finished());
        reading.unlock();
        co_await writer;
        cr_assert((order == std::vector<int>{1, 2}));
    }());
}

Test(rwlock, cancelled_writer_lets_the_readers_behind_it_in) {
    run([]() -> rt::task<void> {
        rt::rwlock lock;
        std::vector<int> order;
        rt::rwlock::read_guard held = co_await lock.read();
        auto writer = rt::spawn(write_and_note, std::ref(lock), std::ref(order), 1);
        co_await until_waiting(writer);
        auto reader = rt::spawn(read_and_note, std::ref(lock), std::ref(order), 2);
        co_await until_waiting(reader);
        writer.abort();
        cr_assert(co_await was_cancelled(std::move(writer)));
        co_await reader;
        cr_assert((order == std::vector<int>{2}));
    }());
}

Test(rwlock, granted_lock_reaches_an_aborted_writer_and_comes_back) {
    rt::block_on(single(), []() -> rt::task<void> {
        rt::rwlock lock;
        std::vector<int> order;
        rt::rwlock::read_guard held = co_await lock.read();
        auto writer = rt::spawn(write_and_note, std::ref(lock), std::ref(order), 1);
        co_await until_waiting(writer);
        held.unlock();
        writer.abort();
        cr_assert(co_await was_cancelled(std::move(writer)));
        cr_assert((order == std::vector<int>{1}));
        cr_assert(lock.try_write());
    }());
}

Test(rwlock, tells_dumps_which_task_writes) {
    run([]() -> rt::task<void> {
        rt::rwlock lock;
        std::vector<int> order;
        const auto* const seen = reinterpret_cast<const rt::detail::owned_object*>(&lock);
        rt::rwlock::write_guard held = co_await lock.write();
        cr_assert_eq(seen->owner.load_relaxed(), rt::detail::this_thread.task);
        auto reader = rt::spawn(read_and_note, std::ref(lock), std::ref(order), 1);
        co_await until_waiting(reader);
        cr_assert(reader.header()->waits_for == rt::detail::wait_kind::mutex);
        cr_assert_eq(reader.header()->live.wait_object, static_cast<const void*>(&lock));
        held.unlock();
        cr_assert_null(seen->owner.load_relaxed());
        co_await reader;
    }());
}

Test(rwlock, readers_see_whole_writes_under_load) {
    rt::rwlock lock;
    long one = 0;
    long two = 0;
    rt::atomic<int> torn{0};
    std::vector<std::thread> threads;
    threads.emplace_back([&] {
        for (int n = 0; n < 2000; ++n) {
            const rt::rwlock::write_guard held = lock.blocking_write();
            ++one;
            ++two;
        }
    });
    threads.emplace_back([&] {
        for (int n = 0; n < 2000; ++n) {
            const rt::rwlock::read_guard held = lock.blocking_read();
            torn.add_relaxed(one == two ? 0 : 1);
        }
    });
    struct shared {
        rt::rwlock& lock;
        long& one;
        long& two;
        rt::atomic<int>& torn;
    } all{lock, one, two, torn};
    run([](shared& data) -> rt::task<void> {
        std::vector<rt::join_handle<void>> tasks;
        for (int i = 0; i < 6; ++i) {
            tasks.push_back(rt::spawn(
                [](shared& s, bool writes) -> rt::task<void> {
                    for (int n = 0; n < 500; ++n) {
                        if (writes) {
                            rt::rwlock::write_guard held = co_await s.lock.write();
                            ++s.one;
                            co_await rt::yield();
                            ++s.two;
                        } else {
                            rt::rwlock::read_guard held = co_await s.lock.read();
                            s.torn.add_relaxed(s.one == s.two ? 0 : 1);
                        }
                    }
                },
                std::ref(data),
                i < 2
            ));
        }
        co_await rt::test::join_all(tasks);
    }(all));
    for (std::thread& each : threads) {
        each.join();
    }
    cr_assert_eq(torn.load_relaxed(), 0);
    cr_assert_eq(one, 3000L);
    cr_assert_eq(two, 3000L);
    cr_assert(lock.try_write());
}

} // namespace

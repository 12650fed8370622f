// SPDX-License-Identifier: MIT
//
// Spawning and waking across threads: nothing that was made ready is forgotten, whoever did it.
//
// A forgotten task makes a test hang until its time limit; that is the assertion. Foreign threads
// are plain std::threads, which no worker knows of.
#include "support/test.h"
#include "task/gate.h"

#include <rt/detail/atomic.h>
#include <rt/runtime.h>
#include <rt/spawn.h>
#include <rt/sync/mpsc.h>
#include <rt/time.h>
#include <rt/yield.h>

#include <chrono>
#include <latch>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
using rt::task;
using rt::test::census;
using rt::test::everywhere;
using rt::test::gate;
using rt::test::member;
using rt::test::with_workers;

task<void> counts(rt::atomic<int>* count) {
    count->add_acq_rel(1);
    co_return;
}

task<void> passes_then_counts(gate* at, rt::atomic<int>* count) {
    co_await at->wait();
    count->add_acq_rel(1);
}

void wait_for(const rt::atomic<int>& count, int value) {
    while (count.load_acquire() != value) {
        std::this_thread::yield();
    }
}

} // namespace

// ---- one at a time, so that the runtime is asleep or falling asleep each time -------------------

namespace {

// A task that arrives just as the only worker decides to sleep is the classic lost wake-up.
void spawn_one_by_one(std::uint32_t workers, rt::driver_kind driver, int rounds) {
    rt::runtime runtime(with_workers(workers, driver));
    const rt::handle onto = runtime.get_handle();
    rt::atomic<int> count{0};
    for (int i = 1; i <= rounds; ++i) {
        onto.spawn(counts(&count)).detach();
        wait_for(count, i);
        for (int spin = 0; spin < i % 64; ++spin) { // sweeps over the moments of falling asleep
            rt::fence_seq_cst();
        }
    }
}

} // namespace

Test(pool, b008_a_spawn_from_another_thread_wakes_an_idle_worker) {
    for (const rt::driver_kind driver : {rt::driver_kind::automatic, rt::driver_kind::epoll}) {
        spawn_one_by_one(1, driver, 50'000);
    }
}

Test(pool, b008_a_spawn_from_another_thread_wakes_one_of_several_idle_workers) {
    for (const rt::driver_kind driver : {rt::driver_kind::automatic, rt::driver_kind::epoll}) {
        spawn_one_by_one(2, driver, 20'000);
        spawn_one_by_one(4, driver, 20'000);
    }
}

namespace {

// The same for wake-ups of a task that exists.
task<void> ponders(rt::atomic<gate*>* next, int rounds, rt::atomic<int>* passed) {
    for (int i = 0; i < rounds; ++i) {
        gate at;
        next->store_release(&at);
        co_await at.wait();
        while (next->load_acquire() != nullptr) { // the opener has let go of the gate
            co_await rt::yield();
        }
        passed->add_acq_rel(1);
    }
}

void wake_one_by_one(std::uint32_t workers, int rounds) {
    rt::runtime runtime(with_workers(workers));
    rt::atomic<gate*> next{nullptr};
    rt::atomic<int> passed{0};
    std::thread waker([&] {
        for (int i = 0; i < rounds; ++i) {
            gate* at = nullptr;
            while ((at = next.load_acquire()) == nullptr) {
                std::this_thread::yield();
            }
            at->open();
            next.store_release(nullptr);
            wait_for(passed, i + 1);
        }
    });
    runtime.block_on(ponders(&next, rounds, &passed));
    waker.join();
}

} // namespace

Test(pool, b027_a_wake_from_another_thread_reaches_a_task_of_an_idle_runtime) {
    for (const std::uint32_t workers : {0U, 1U, 2U, 4U}) {
        wake_one_by_one(workers, 1'000);
    }
}

// ---- many ---------------------------------------------------------------------------------------

namespace {

task<void> spawns_waiters(gate* at, rt::atomic<int>* count, int many) {
    std::vector<rt::join_handle<void>> children;
    for (int i = 0; i < many; ++i) {
        children.push_back(rt::spawn(passes_then_counts, at, count));
    }
    for (auto& each : children) {
        co_await std::move(each);
    }
}

task<void> spawns_a_spawner(gate* at, rt::atomic<int>* count, int many) {
    co_await rt::spawn(spawns_waiters, at, count, many);
}

void wake_many(rt::runtime& runtime, task<void> (*body)(gate*, rt::atomic<int>*, int), int many) {
    gate at;
    rt::atomic<int> count{0};
    std::thread foreign([&] {
        while (at.waiting() < static_cast<std::size_t>(many) / 2) {
            std::this_thread::yield();
        }
        at.open();
    });
    runtime.block_on(body(&at, &count, many));
    foreign.join();
    cr_assert_eq(count.load_relaxed(), many);
}

} // namespace

Test(pool, b004_two_hundred_tasks_of_the_root_are_woken_by_a_foreign_thread) {
    everywhere([](rt::runtime& runtime) { wake_many(runtime, &spawns_waiters, 200); });
}

Test(pool, b005_five_hundred_tasks_of_a_task_are_woken_by_a_foreign_thread) {
    everywhere([](rt::runtime& runtime) { wake_many(runtime, &spawns_a_spawner, 500); });
}

Test(pool, b017_a_thousand_tasks_from_outside_all_run) {
    for (int round = 0; round < 5; ++round) {
        for (const std::uint32_t workers : {1U, 2U, 4U}) {
            rt::runtime runtime(with_workers(workers));
            rt::atomic<int> count{0};
            for (int i = 0; i < 1000; ++i) {
                runtime.get_handle().spawn(counts(&count)).detach();
            }
            wait_for(count, 1000);
        }
    }
}

Test(pool, many_threads_spawn_at_once) {
    for (const std::uint32_t workers : {1U, 2U, 4U, 8U}) {
        rt::runtime runtime(with_workers(workers));
        rt::atomic<int> count{0};
        std::vector<std::thread> threads;
        for (int t = 0; t < 4; ++t) {
            threads.emplace_back([&] {
                for (int i = 0; i < 5000; ++i) {
                    runtime.get_handle().spawn(counts(&count)).detach();
                }
            });
        }
        for (std::thread& each : threads) {
            each.join();
        }
        wait_for(count, 20'000);
    }
}

// ---- messages round and round -------------------------------------------------------------------

namespace {

task<void> forwards(rt::mpsc::receiver<int> from, rt::mpsc::sender<int> to) {
    while (const rt::result<int> got = co_await from.recv()) {
        cr_assert(co_await to.send(*got + 1));
    }
}

task<int> passes_round(int members, int rounds) {
    auto [first, last] = rt::mpsc::channel<int>(10);
    std::vector<rt::join_handle<void>> children;
    for (int i = 0; i < members; ++i) {
        auto [to, from] = rt::mpsc::channel<int>(10);
        children.push_back(rt::spawn(forwards, std::exchange(last, std::move(from)), std::move(to))
        );
    }
    int value = 0;
    for (int i = 0; i < rounds; ++i) {
        cr_assert(co_await first.send(value));
        value = *co_await last.recv();
    }
    { const auto ends = std::move(first); }
    for (auto& each : children) {
        co_await std::move(each);
    }
    co_return value;
}

task<void> many_rings(int rings, int members, int rounds) {
    std::vector<rt::join_handle<int>> all;
    for (int i = 0; i < rings; ++i) {
        all.push_back(rt::spawn(passes_round, members, rounds));
    }
    for (auto& each : all) {
        cr_assert_eq(co_await std::move(each), members * rounds);
    }
}

} // namespace

Test(pool, b018_fifty_rings_of_two_hundred_tasks_pass_a_message_five_times_round) {
#if defined(RT_SANITIZED)
    constexpr int repetitions = 5;
#else
    constexpr int repetitions = 50;
#endif
    for (const std::uint32_t workers : {0U, 1U, 2U, 4U}) {
        rt::runtime runtime(with_workers(workers));
        for (int i = 0; i < repetitions; ++i) {
            runtime.block_on(many_rings(50, 200, 5));
        }
    }
}

// ---- two runtimes -------------------------------------------------------------------------------

namespace {

task<void> bounces(std::vector<std::unique_ptr<gate>>* gates, std::size_t parity) {
    for (std::size_t i = parity; i + 1 < gates->size(); i += 2) {
        co_await (*gates)[i]->wait();
        (*gates)[i + 1]->open();
    }
}

} // namespace

Test(pool, b019_tasks_of_two_runtimes_wake_each_other) {
    rt::runtime first(with_workers(1));
    rt::runtime second(with_workers(2));
    std::vector<std::unique_ptr<gate>> gates;
    for (int i = 0; i < 5001; ++i) {
        gates.push_back(std::make_unique<gate>());
    }
    rt::join_handle<void> other = second.get_handle().spawn(bounces(&gates, 1));
    gates[0]->open();
    first.block_on(bounces(&gates, 0));
    second.block_on([](rt::join_handle<void> child) -> task<void> {
        co_await std::move(child);
    }(std::move(other)));
    cr_assert(gates.back()->is_open());
}

Test(pool, a_task_of_one_runtime_joins_a_task_of_another) {
    rt::runtime first(with_workers(1));
    rt::runtime second(with_workers(1));
    for (int i = 0; i < 1000; ++i) {
        rt::join_handle<int> child = second.get_handle().spawn([](int v) -> task<int> {
            co_await rt::yield();
            co_return v;
        }(i));
        const int got = first.block_on([](rt::join_handle<int> of) -> task<int> {
            co_return co_await std::move(of);
        }(std::move(child)));
        cr_assert_eq(got, i);
    }
}

// ---- current_thread -----------------------------------------------------------------------------

Test(pool, b012_on_current_thread_nothing_runs_until_somebody_blocks_on_it) {
    rt::runtime runtime(with_workers(0));
    rt::atomic<int> count{0};
    runtime.get_handle().spawn(counts(&count)).detach();
    std::thread beside([&] { runtime.get_handle().spawn(counts(&count)).detach(); });
    beside.join();
    cr_assert_eq(count.load_relaxed(), 0);
    runtime.block_on([](rt::atomic<int>* seen) -> task<void> {
        while (seen->load_acquire() != 2) {
            co_await rt::yield();
        }
    }(&count));
    cr_assert_eq(runtime.worker_count(), 1U);
}

Test(pool, b006_tasks_go_on_in_the_next_block_on) {
    rt::runtime runtime(with_workers(0));
    gate at;
    rt::atomic<int> count{0};
    runtime.block_on([](gate* where, rt::atomic<int>* seen) -> task<void> {
        rt::spawn(passes_then_counts, where, seen).detach();
        co_await rt::yield();
    }(&at, &count));
    cr_assert_eq(at.waiting(), 1U);
    at.open();
    cr_assert_eq(count.load_relaxed(), 0);
    runtime.block_on([](rt::atomic<int>* seen) -> task<void> {
        while (seen->load_acquire() != 1) {
            co_await rt::yield();
        }
    }(&count));
}

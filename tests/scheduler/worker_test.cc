// SPDX-License-Identifier: MIT
//
// The worker loop: fairness, stealing, and what a busy or stuck task may keep others from.
//
// Most tests would hang if the behaviour were missing, and their time limit is the assertion. Tasks
// that never end by themselves are ended by the runtime's destruction.
#include "driver/io_source.h"
#include "support/test.h"
#include "task/gate.h"
#include "task/sockets.h"

#include <rt/detail/atomic.h>
#include <rt/runtime.h>
#include <rt/spawn.h>
#include <rt/time.h>
#include <rt/yield.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <initializer_list>
#include <thread>
#include <vector>

#include <unistd.h>

namespace {

using namespace std::chrono_literals;
using rt::task;
using rt::test::everywhere;
using rt::test::gate;
using rt::test::on_workers;
using rt::test::read_one;
using rt::test::sockets;
using rt::test::with_workers;

// Gives its turn away again and again: Tokio's "task that wakes itself".
task<void> spins(const rt::atomic<bool>* is_over) {
    while (!is_over->load_acquire()) {
        co_await rt::yield();
    }
}

task<void> sets(rt::atomic<int>* flag) {
    flag->store_release(1);
    co_return;
}

task<void> opens(gate* at) {
    at->open();
    co_return;
}

// Two tasks that wake each other through gates for ever, without yielding: pings fill the LIFO
// slot.
struct pair_state {
    explicit pair_state(std::size_t rounds)
        : ping(rounds)
        , pong(rounds) {}
    std::vector<gate> ping;
    std::vector<gate> pong;
};

task<void> pings(pair_state* shared) {
    for (std::size_t i = 0; i < shared->ping.size(); ++i) {
        shared->ping[i].open();
        co_await shared->pong[i].wait();
    }
}
task<void> pongs(pair_state* shared) {
    for (std::size_t i = 0; i < shared->ping.size(); ++i) {
        co_await shared->ping[i].wait();
        shared->pong[i].open();
    }
}

// Starts the next of its kind and ends: an endless chain that never yields.
task<void> respawns(const rt::atomic<bool>* is_over) {
    if (!is_over->load_acquire()) {
        rt::spawn(respawns, is_over).detach();
    }
    co_return;
}

} // namespace

// ---- under load ---------------------------------------------------------------------------------

namespace {

task<void> waits_for_foreign_spawn(rt::handle onto, int spinners) {
    rt::atomic<bool> is_over{false};
    rt::atomic<int> flag{0};
    std::vector<rt::join_handle<void>> children;
    for (int i = 0; i < spinners; ++i) {
        children.push_back(rt::spawn(spins, &is_over));
    }
    std::thread foreign([&] { onto.spawn(sets(&flag)).detach(); });
    while (flag.load_acquire() == 0) {
        co_await rt::yield();
    }
    foreign.join();
    is_over.store_release(true);
    for (auto& each : children) {
        co_await std::move(each);
    }
}

task<void> completes_beside_spinners(int spinners, const rt::atomic<bool>* never) {
    for (int i = 0; i < spinners; ++i) {
        rt::spawn(spins, never).detach();
    }
    gate at;
    auto child = rt::spawn(opens, &at);
    co_await at.wait();
    co_await std::move(child);
}

task<void> sleeps_beside_spinners(int spinners, const rt::atomic<bool>* never) {
    for (int i = 0; i < spinners; ++i) {
        rt::spawn(spins, never).detach();
    }
    for (int i = 0; i < 5; ++i) {
        co_await rt::sleep(1ms);
    }
}

task<void> respawns_beside(int chains, const rt::atomic<bool>* is_over) {
    for (int i = 0; i < chains; ++i) {
        rt::spawn(respawns, is_over).detach();
    }
    gate at;
    auto child = rt::spawn(opens, &at);
    co_await at.wait();
    co_await std::move(child);
    co_await rt::sleep(1ms);
}

} // namespace

Test(worker, b009_a_spawn_from_outside_runs_although_others_spin) {
    everywhere([](rt::runtime& runtime) {
        runtime.block_on(waits_for_foreign_spawn(runtime.get_handle(), 20));
    });
}

Test(worker, b010_b011_tasks_complete_although_others_spin) {
    const rt::atomic<bool> never{false};
    everywhere([&](rt::runtime& runtime) {
        runtime.block_on(completes_beside_spinners(20, &never));
    });
}

Test(worker, b063_timers_fire_although_others_spin) {
    const rt::atomic<bool> never{false};
    everywhere([&](rt::runtime& runtime) { runtime.block_on(sleeps_beside_spinners(100, &never)); }
    );
}

Test(worker, b054_an_endless_chain_of_spawns_starves_nobody) {
    for (const std::uint32_t workers : {0U, 1U, 2U, 4U, 8U}) {
        rt::atomic<bool> is_over{false};
        rt::runtime runtime(with_workers(workers));
        runtime.block_on(respawns_beside(3, &is_over));
        is_over.store_release(true);
    }
}

// ---- ping-pong ----------------------------------------------------------------------------------

namespace {

task<void> yields_five_times(rt::atomic<int>* flag) {
    for (int i = 0; i < 5; ++i) {
        co_await rt::yield();
    }
    flag->store_release(1);
}

// A hundred pairs keep every worker busy; an unrelated task must get its turns all the same, long
// before they end.
task<std::size_t> saturates(std::vector<pair_state>* pairs) {
    std::vector<rt::join_handle<void>> children;
    for (pair_state& each : *pairs) {
        children.push_back(rt::spawn(pings, &each));
        children.push_back(rt::spawn(pongs, &each));
    }
    rt::atomic<int> flag{0};
    auto other = rt::spawn(yields_five_times, &flag);
    co_await std::move(other);
    std::size_t running = 0;
    for (const auto& each : children) {
        running += each.is_finished() ? 0 : 1;
    }
    for (auto& each : children) {
        co_await std::move(each);
    }
    co_return running;
}

} // namespace

Test(worker, b053_pairs_that_wake_each_other_starve_nobody) {
    for (const std::uint32_t workers : {0U, 1U, 2U, 4U, 8U}) {
        rt::runtime runtime(with_workers(workers));
        std::vector<pair_state> pairs;
        for (int i = 0; i < 100; ++i) {
            pairs.emplace_back(1000);
        }
        cr_assert(runtime.block_on(saturates(&pairs)) > 0);
    }
}

Test(worker, b052_every_interval_may_be_one) {
    const rt::atomic<bool> never{false}; // outlives the tasks that the runtime ends
    for (const std::uint32_t workers : {0U, 1U, 2U, 8U}) {
        rt::config wanted = with_workers(workers);
        wanted.inject_interval = 1;
        wanted.event_interval = 1;
        rt::runtime runtime(wanted);
        runtime.block_on(completes_beside_spinners(10, &never));
        runtime.block_on(waits_for_foreign_spawn(runtime.get_handle(), 3));
    }
}

// ---- the driver under load ----------------------------------------------------------------------

namespace {

task<void> reads_beside_spinners(int spinners, const rt::atomic<bool>* never) {
    sockets pair;
    for (int i = 0; i < spinners; ++i) {
        rt::spawn(spins, never).detach();
    }
    for (char byte = 'a'; byte < 'f'; ++byte) {
        std::thread writer([&] { pair.write(byte); });
        cr_assert_eq(co_await read_one(&pair.near), byte);
        writer.join();
    }
}

task<void> gives_way(bool for_want_of_budget) {
    if (!for_want_of_budget) {
        co_await rt::yield();
        co_return;
    }
    while (rt::has_budget()) {
        co_await rt::consume_budget();
    }
    co_await rt::consume_budget();
}

// A task that is ready to read runs before one that has given way since and shares its worker: the
// driver is looked at before that one runs again.
task<int> gives_way_until_read(bool for_want_of_budget, sockets* pair, rt::atomic<int>* was_read) {
    pair->write('x');
    int times = 0;
    while (was_read->load_acquire() == 0) {
        co_await gives_way(for_want_of_budget);
        ++times;
    }
    co_return times;
}

task<void> reads_and_tells(sockets* pair, gate* begun, rt::atomic<int>* was_read) {
    char byte = 0;
    cr_assert_eq(::read(pair->near.fd(), &byte, 1), -1);
    const std::uint64_t seen = pair->near.source().look(rt::driver::ready_read);
    pair->near.source().spend(rt::driver::ready_read, seen);
    begun->open();
    cr_assert(co_await pair->near.ready(rt::detail::direction::read));
    was_read->store_release(1);
}

task<int> turns_until_the_driver_is_looked_at(bool for_want_of_budget) {
    sockets pair;
    rt::atomic<int> was_read{0};
    gate begun;
    auto reader = rt::spawn(reads_and_tells, &pair, &begun, &was_read);
    co_await begun.wait();
    co_await rt::yield(); // the watch reaches the kernel
    const int times = co_await gives_way_until_read(for_want_of_budget, &pair, &was_read);
    co_await std::move(reader);
    co_return times;
}

} // namespace

Test(worker, b062_sockets_become_ready_although_others_spin) {
    const rt::atomic<bool> never{false};
    everywhere([&](rt::runtime& runtime) { runtime.block_on(reads_beside_spinners(100, &never)); });
}

Test(worker, b057_the_driver_is_looked_at_before_a_yielded_task_runs_again) {
    on_workers({0U, 1U}, [](rt::runtime& runtime) {
        cr_assert_eq(runtime.block_on(turns_until_the_driver_is_looked_at(false)), 1);
    });
}

Test(worker, b058_the_driver_is_looked_at_before_a_task_without_budget_runs_again) {
    on_workers({0U, 1U}, [](rt::runtime& runtime) {
        cr_assert_eq(runtime.block_on(turns_until_the_driver_is_looked_at(true)), 1);
    });
}

// ---- stealing, and tasks that hold their worker -------------------------------------------------

namespace {

// Spawns `count` tasks and then holds its worker until all of them have run: somebody else must
// take every one, the last spawned (which is private to this worker) included.
task<void> holds_until_others_ran(int count) {
    rt::atomic<int> ran{0};
    std::vector<rt::join_handle<void>> children;
    for (int i = 0; i < count; ++i) {
        children.push_back(rt::spawn([counter = &ran]() -> task<void> {
            counter->add_acq_rel(1);
            co_return;
        }));
    }
    while (ran.load_acquire() != count) {
        std::this_thread::yield();
    }
    for (auto& each : children) {
        co_await std::move(each);
    }
}

// The same for tasks that were waiting and are woken by the one that holds the worker.
task<void> holds_until_woken_ran(int count) {
    rt::atomic<int> ran{0};
    gate at;
    std::vector<rt::join_handle<void>> children;
    for (int i = 0; i < count; ++i) {
        children.push_back(rt::spawn([counter = &ran, where = &at]() -> task<void> {
            co_await where->wait();
            counter->add_acq_rel(1);
        }));
    }
    while (at.waiting() != static_cast<std::size_t>(count)) {
        co_await rt::yield();
    }
    at.open();
    while (ran.load_acquire() != count) {
        std::this_thread::yield();
    }
    for (auto& each : children) {
        co_await std::move(each);
    }
}

// And for one that sleeps on the held worker's wheel.
task<void> holds_until_sleeper_woke() {
    rt::atomic<int> ran{0};
    rt::atomic<int> begun{0};
    auto child = rt::spawn([counter = &ran, started = &begun]() -> task<void> {
        started->store_release(1);
        co_await rt::sleep(1ms);
        counter->add_acq_rel(1);
    });
    while (begun.load_acquire() == 0) {
        co_await rt::yield();
    }
    while (ran.load_acquire() == 0) {
        std::this_thread::yield();
    }
    co_await std::move(child);
}

} // namespace

Test(worker, b055_a_task_that_holds_its_worker_does_not_hold_what_it_has_spawned) {
    on_workers({2U, 4U, 8U}, [](rt::runtime& runtime) {
        for (const int count : {1, 2, 10, 1000}) {
            runtime.block_on(holds_until_others_ran(count));
        }
    });
}

Test(worker, b055_a_task_that_holds_its_worker_does_not_hold_what_it_has_woken) {
    on_workers({2U, 4U, 8U}, [](rt::runtime& runtime) {
        for (const int count : {1, 2, 100}) {
            runtime.block_on(holds_until_woken_ran(count));
        }
    });
}

Test(worker, a_task_that_holds_its_worker_does_not_hold_its_timers) {
    on_workers({2U, 8U}, [](rt::runtime& runtime) {
        for (int i = 0; i < 20; ++i) {
            runtime.block_on(holds_until_sleeper_woke());
        }
    });
}

namespace {

// Tokio's rt_unstable_eager_driver_handoff: the worker that delivers a readiness runs the first
// task of it, which blocks until the second, whose readiness only that worker's driver knows, has
// run.
task<void> blocks_for_the_other(sockets* own, rt::atomic<int>* ready, rt::atomic<int>* passed) {
    ready->add_acq_rel(1);
    static_cast<void>(co_await read_one(&own->near));
    passed->add_acq_rel(1);
    while (passed->load_acquire() != 2) {
        std::this_thread::yield();
    }
}

task<void> two_readers_block_for_each_other() {
    sockets first;
    sockets second;
    rt::atomic<int> ready{0};
    rt::atomic<int> passed{0};
    auto a = rt::spawn(blocks_for_the_other, &first, &ready, &passed);
    auto b = rt::spawn(blocks_for_the_other, &second, &ready, &passed);
    std::thread writer([&] {
        while (ready.load_acquire() != 2) {
            std::this_thread::yield();
        }
        first.write('x');
        while (passed.load_acquire() == 0) {
            std::this_thread::yield();
        }
        second.write('x');
    });
    co_await std::move(a);
    co_await std::move(b);
    writer.join();
}

} // namespace

Test(worker, b064_a_worker_that_blocks_after_an_event_does_not_wedge_the_runtime) {
#if defined(__has_feature)
#    if __has_feature(thread_sanitizer)
    cr_skip_test("the thread sanitizer holds the watchdog's signal back while a task spins");
#    endif
#endif
    on_workers({2U, 8U}, [](rt::runtime& runtime) {
        for (int i = 0; i < 20; ++i) {
            runtime.block_on(two_readers_block_for_each_other());
        }
    });
}

namespace {

task<void> spins_until(rt::atomic<bool>* over) {
    while (!over->load_acquire()) {
        std::this_thread::yield();
    }
    co_return;
}

task<void> yields_beside_a_task_that_waits_for_it() {
    rt::atomic<bool> over{false};
    auto other = rt::spawn(spins_until, &over);
    co_await rt::yield();
    over.store_release(true);
    co_await std::move(other);
}

} // namespace

// What has yielded waits in a place that only its worker reaches.
Test(worker, a_task_that_holds_its_worker_does_not_hold_what_has_yielded) {
#if defined(__has_feature)
#    if __has_feature(thread_sanitizer)
    cr_skip_test("the thread sanitizer holds the watchdog's signal back while a task spins");
#    endif
#endif
    on_workers({2U, 8U}, [](rt::runtime& runtime) {
        for (int i = 0; i < 20; ++i) {
            runtime.block_on(yields_beside_a_task_that_waits_for_it());
        }
    });
}

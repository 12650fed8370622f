// SPDX-License-Identifier: MIT
//
// Tasks that are bound to a worker run there and nowhere else, whoever wakes, cancels or ends them.
//
// Every turn and every destructor of these tasks notes a fault when it finds itself on another
// worker. That a task is not stolen is shown beside one that is: both are spawned by a task that
// holds its worker until the free one has been taken away.
#include "metrics/worker_counters.h"
#include "runtime/core.h"
#include "scheduler/resident.h"
#include "support/test.h"
#include "task/gate.h"
#include "task/sockets.h"

#include <rt/block_in_place.h>
#include <rt/blocking.h>
#include <rt/detail/atomic.h>
#include <rt/runtime.h>
#include <rt/select.h>
#include <rt/spawn.h>
#include <rt/spawn_blocking.h>
#include <rt/spawn_on.h>
#include <rt/time.h>
#include <rt/yield.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include <unistd.h>

namespace {

using namespace std::chrono_literals;
using rt::task;
using rt::test::everywhere;
using rt::test::exactly;
using rt::test::findings;
using rt::test::gate;
using rt::test::joins;
using rt::test::on_each_flavor;
using rt::test::resident;

task<void> sleeps_long() {
    co_await rt::sleep(1h);
}

task<void> takes_turns_of_all_kinds(resident self) {
    self.look();
    co_await rt::yield();
    self.look();
    co_await rt::sleep(1ms);
    self.look();
    co_await rt::blocking([] {});
    self.look();
    static_cast<void>(co_await rt::timeout(1ms, sleeps_long()));
    self.look();
    co_await rt::join(rt::sleep(1ms), rt::spawn([]() -> task<void> { co_await rt::yield(); }));
    self.look();
}

task<void> spawns_on_all(findings* found, std::uint32_t workers, int count) {
    std::vector<rt::join_handle<void>> children;
    for (int i = 0; i < count; ++i) {
        const std::uint32_t worker = static_cast<std::uint32_t>(i) % workers;
        children.push_back(rt::spawn_on(worker, takes_turns_of_all_kinds, resident(found, worker)));
    }
    for (auto& each : children) {
        co_await std::move(each);
    }
}

} // namespace

Test(bound_tasks, take_every_turn_on_their_worker) {
    everywhere([](rt::runtime& runtime) {
        findings found;
        runtime.block_on(spawns_on_all(&found, runtime.worker_count(), 64));
        cr_assert_eq(found.faults.load_relaxed(), 0);
        cr_assert_eq(found.turns.load_relaxed(), 7 * 64);
        cr_assert_eq(found.live.load_relaxed(), 0);
    });
}

Test(bound_tasks, may_be_spawned_from_outside) {
    everywhere([](rt::runtime& runtime) {
        findings found;
        const rt::handle onto = runtime.get_handle();
        cr_assert_eq(onto.worker_count(), runtime.worker_count());
        for (int i = 0; i < 64; ++i) {
            const std::uint32_t worker = static_cast<std::uint32_t>(i) % onto.worker_count();
            auto body = takes_turns_of_all_kinds(resident(&found, worker));
            runtime.block_on(
                [](rt::join_handle<void> child) -> task<void> {
                    co_await std::move(child);
                }(i % 2 == 0 ? onto.spawn_on(worker, std::move(body))
                             : onto.spawn_on(worker, {.name = "resident"}, std::move(body)))
            );
        }
        cr_assert_eq(found.faults.load_relaxed(), 0);
        cr_assert_eq(found.turns.load_relaxed(), 7 * 64);
    });
}

namespace {

task<void> spawns_locally(findings* found) {
    for (int i = 0; i < 10; ++i) {
        const std::uint32_t here = *rt::worker_index();
        rt::join_handle<void> child =
            rt::spawn_local(takes_turns_of_all_kinds, resident(found, here));
        rt::join_handle<void> named =
            rt::spawn_local({.name = "local"}, takes_turns_of_all_kinds, resident(found, here));
        co_await std::move(child); // and may be on another worker now
        co_await std::move(named);
    }
}

} // namespace

Test(bound_tasks, b039_spawn_local_binds_to_the_calling_worker) {
    everywhere([](rt::runtime& runtime) {
        findings found;
        std::vector<rt::join_handle<void>> parents;
        for (int i = 0; i < 8; ++i) {
            parents.push_back(runtime.get_handle().spawn(spawns_locally(&found)));
        }
        runtime.block_on([](std::vector<rt::join_handle<void>>* all) -> task<void> {
            for (auto& each : *all) {
                co_await std::move(each);
            }
        }(&parents));
        cr_assert_eq(found.faults.load_relaxed(), 0);
        cr_assert_eq(found.turns.load_relaxed(), 7 * 8 * 20);
    });
}

namespace {

struct place {
    std::optional<std::uint32_t> index;
    pid_t thread;
};

task<place> here() {
    co_await rt::yield();
    co_return place{rt::worker_index(), ::gettid()};
}

} // namespace

Test(bound_tasks, b043_worker_index_is_that_of_the_thread) {
    for (const std::uint32_t workers : {0U, 1U, 2U, 4U}) {
        auto core = std::make_shared<rt::engine::core>(exactly(workers));
        cr_assert(core->start().text.empty());
        rt::scheduler::pool& pool = core->workers();
        const auto where = rt::detail::site::current();
        for (std::uint32_t i = 0; i < pool.worker_count(); ++i) {
            auto bound = rt::detail::launch(
                pool.bound_to_or_fatal(i, rt::detail::site::current()), here(), where
            );
            const place got = rt::detail::block_on(
                *core,
                [](rt::join_handle<place> of) -> task<place> {
                    co_return co_await std::move(of);
                }(std::move(bound)),
                where
            );
            cr_assert(got.index == i);
            cr_assert_eq(got.thread, pool.view(i).tid);
        }
        const place root = rt::detail::block_on(*core, here(), where);
        cr_assert_eq(root.thread, pool.view(*root.index).tid, "a root runs on a worker");
        cr_assert(workers != 0 || (root.index == 0U && root.thread == ::gettid()));
        core->shut_down();
    }
}

Test(bound_tasks, b043_there_is_no_worker_index_off_the_workers) {
    cr_assert(!rt::worker_index());
    everywhere([](rt::runtime& runtime) {
        const auto in = runtime.get_handle().enter();
        cr_assert(!rt::worker_index(), "on the thread of block_on, outside of it");
        cr_assert_eq(
            runtime.block_on([]() -> task<int> {
                int without = co_await rt::blocking([] { return rt::worker_index() ? 0 : 1; });
                without += co_await rt::spawn_blocking([] { return rt::worker_index() ? 0 : 1; });
                co_return without + (rt::worker_index() ? 1 : 0);
            }()),
            3
        );
        cr_assert(!rt::worker_index(), "and not afterwards");
    });
}

// A stand-in is no worker, and may be gone when its number is used.
Test(bound_tasks, b043_there_is_no_worker_index_on_a_stand_in) {
    rt::runtime runtime(exactly(1));
    runtime.block_on([]() -> task<void> {
        rt::atomic<int> seen{0};
        auto child = rt::spawn([into = &seen]() -> task<void> {
            into->store_release(rt::worker_index() ? 2 : 1);
            co_return;
        });
        rt::block_in_place([&seen] { rt::test::hold_until(seen, 1); });
        cr_assert_eq(seen.load_acquire(), 1);
        cr_assert(rt::worker_index() == 0U);
        co_await std::move(child);
    }());
}

// ---- order and fairness -------------------------------------------------------------------------

namespace {

task<void> notes(std::vector<int>* order, int number) {
    order->push_back(number);
    co_return;
}

task<void> spawns_in_order(std::vector<int>* order) {
    std::vector<rt::join_handle<void>> children;
    for (int i = 0; i < 1000; ++i) {
        children.push_back(rt::spawn_local(notes, order, i));
    }
    co_await joins(&children);
}

task<void> yields(const rt::atomic<bool>* is_over) {
    while (!is_over->load_acquire()) {
        co_await rt::yield();
    }
}

task<void> respawns_locally(const rt::atomic<bool>* is_over) {
    if (!is_over->load_acquire()) {
        rt::spawn_local(respawns_locally, is_over).detach();
    }
    co_return;
}

task<void> respawns(const rt::atomic<bool>* is_over) {
    if (!is_over->load_acquire()) {
        rt::spawn(respawns, is_over).detach();
    }
    co_return;
}

// Whatever keeps the workers busy, a bound task is woken, by a timer, a socket and from outside.
task<void> is_served(gate* at) {
    co_await at->wait();
    co_await rt::sleep(1ms);
    rt::test::sockets pair;
    std::thread writer([&] { pair.write('x'); });
    cr_assert_eq(co_await rt::test::read_one(&pair.near), 'x');
    writer.join();
    co_await rt::yield();
}

} // namespace

Test(bound_tasks, run_in_the_order_in_which_they_were_spawned) {
    everywhere([](rt::runtime& runtime) {
        std::vector<int> order; // of one worker, so without a lock
        const std::uint32_t last = runtime.worker_count() - 1;
        std::vector<rt::join_handle<void>> children;
        for (int i = 0; i < 1000; ++i) {
            children.push_back(runtime.get_handle().spawn_on(last, notes(&order, i)));
        }
        runtime.block_on(joins(&children));
        auto parent = runtime.get_handle().spawn_on(last, spawns_in_order(&order));
        runtime.block_on([](rt::join_handle<void> of) -> task<void> {
            co_await std::move(of);
        }(std::move(parent)));
        cr_assert_eq(order.size(), 2000U);
        for (int i = 0; i < 2000; ++i) {
            cr_assert_eq(order[static_cast<std::size_t>(i)], i % 1000);
        }
    });
}

Test(bound_tasks, b011_are_not_starved_and_starve_nobody) {
    const rt::atomic<bool> never{false}; // outlives the tasks that the runtime ends
    everywhere([&](rt::runtime& runtime) {
        const rt::handle onto = runtime.get_handle();
        for (std::uint32_t worker = 0; worker < onto.worker_count(); ++worker) {
            for (int i = 0; i < 10; ++i) {
                onto.spawn_on(worker, yields(&never)).detach();
                onto.spawn(yields(&never)).detach();
            }
            onto.spawn_on(worker, respawns_locally(&never)).detach();
            onto.spawn_on(worker, respawns(&never)).detach();
        }
        gate at;
        std::vector<rt::join_handle<void>> served;
        for (std::uint32_t worker = 0; worker < onto.worker_count(); ++worker) {
            served.push_back(onto.spawn_on(worker, is_served(&at)));
            served.push_back(onto.spawn(is_served(&at)));
        }
        std::thread opener([&] {
            while (at.waiting() != served.size()) {
                std::this_thread::yield();
            }
            at.open();
        });
        runtime.block_on(joins(&served));
        opener.join();
    });
}

Test(bound_tasks, b057_the_driver_is_looked_at_before_one_that_has_yielded_runs_again) {
    for (const rt::driver_kind driver : {rt::driver_kind::automatic, rt::driver_kind::epoll}) {
        for (const std::uint32_t workers : {0U, 1U}) {
            rt::runtime runtime(exactly(workers, driver));
            const int turns = runtime.block_on([]() -> task<int> {
                rt::atomic<bool> has_read{false};
                rt::test::sockets pair;
                gate begun;
                auto reader = rt::spawn_local(
                    [](rt::test::sockets* from, gate* at, rt::atomic<bool>* flag) -> task<void> {
                        at->open();
                        static_cast<void>(co_await rt::test::read_one(&from->near));
                        flag->store_release(true);
                    },
                    &pair,
                    &begun,
                    &has_read
                );
                co_await begun.wait();
                auto counter = rt::spawn_local(
                    [](rt::test::sockets* to, const rt::atomic<bool>* flag) -> task<int> {
                        co_await rt::yield(); // the watch reaches the kernel
                        to->write('x');
                        int count = 0;
                        for (; !flag->load_acquire(); ++count) {
                            co_await rt::yield();
                        }
                        co_return count;
                    },
                    &pair,
                    &has_read
                );
                const int count = co_await std::move(counter);
                co_await std::move(reader);
                co_return count;
            }());
            cr_assert(turns < 10, "%d", turns);
        }
    }
}

Test(bound_tasks, b140_many_tasks_each_with_a_local_child_are_all_joined) {
    on_each_flavor([](rt::runtime& runtime) {
        std::vector<rt::join_handle<void>> parents;
        rt::atomic<int> count{0};
        for (int i = 0; i < 128; ++i) {
            parents.push_back(runtime.get_handle().spawn([](rt::atomic<int>* ended) -> task<void> {
                co_await rt::spawn_local(
                    [](rt::atomic<int>* of) -> task<void> {
                        co_await rt::yield();
                        of->add_acq_rel(1);
                    },
                    ended
                );
            }(&count)));
        }
        runtime.block_on(joins(&parents));
        cr_assert_eq(count.load_relaxed(), 128);
    });
}

// ---- they stay ----------------------------------------------------------------------------------

namespace {

// Holds its worker until another one has taken its free child away.
task<void> holds_its_worker(findings* found) {
    const std::uint32_t here = *rt::worker_index();
    rt::atomic<int> free_child_ran{0};
    auto bound_child = rt::spawn_local(takes_turns_of_all_kinds, resident(found, here));
    rt::spawn(
        [](rt::atomic<int>* flag) -> task<void> {
            flag->store_release(1);
            co_return;
        },
        &free_child_ran
    )
        .detach();
    while (free_child_ran.load_acquire() == 0) {
        std::this_thread::yield();
    }
    cr_assert_eq(found->turns.load_relaxed(), 0);
    co_await std::move(bound_child);
    cr_assert_eq(*rt::worker_index(), here, "it is bound itself");
}

} // namespace

Test(bound_tasks, are_not_taken_from_a_worker_that_is_held_up) {
    for (const std::uint32_t workers : {2U, 4U, 8U}) {
        for (int round = 0; round < 10; ++round) {
            rt::runtime runtime(exactly(workers));
            findings found;
            rt::join_handle<void> holder =
                runtime.get_handle().spawn_on(workers - 1, holds_its_worker(&found));
            runtime.block_on([](rt::join_handle<void> of) -> task<void> {
                co_await std::move(of);
            }(std::move(holder)));
            cr_assert_eq(found.faults.load_relaxed(), 0);
        }
    }
}

// Nobody but the worker concerned is unparked by a wake-up of a bound task.
Test(bound_tasks, wake_their_worker_and_no_other) {
    auto core = std::make_shared<rt::engine::core>(exactly(4));
    cr_assert(core->start().text.empty());
    rt::scheduler::pool& pool = core->workers();
    const auto wait_until_parked = [&] {
        for (std::uint32_t i = 0; i < 4; ++i) {
            while (pool.view(i).state != rt::scheduler::worker_state::parked) {
                std::this_thread::yield();
            }
        }
    };
    const auto unparks_of = [&](std::uint32_t worker) {
        return pool.view(worker).counters->unparks.load_relaxed();
    };
    wait_until_parked();
    std::array<std::uint64_t, 4> before{};
    for (std::uint32_t i = 0; i < 4; ++i) {
        before[i] = unparks_of(i);
    }
    for (int round = 0; round < 100; ++round) {
        auto child = rt::detail::launch(
            pool.bound_to_or_fatal(2, rt::detail::site::current()),
            []() -> task<void> {
                co_return;
            }(),
            rt::detail::site::current()
        );
        while (!child.is_finished()) {
            std::this_thread::yield();
        }
        wait_until_parked();
    }
    for (const std::uint32_t other : {0U, 1U, 3U}) {
        cr_assert_eq(unparks_of(other), before[other], "worker %u", other);
    }
    cr_assert(unparks_of(2) > before[2]);
    core->shut_down();
}

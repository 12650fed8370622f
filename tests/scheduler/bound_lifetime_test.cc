// SPDX-License-Identifier: MIT
//
// How bound tasks are woken by many threads, cancelled and ended: always on their worker; and what
// happens when there is no such worker. See scheduler/resident.h.
#include "base/captured.h"
#include "scheduler/resident.h"
#include "support/test.h"
#include "task/gate.h"

#include <rt/blocking.h>
#include <rt/detail/atomic.h>
#include <rt/runtime.h>
#include <rt/spawn.h>
#include <rt/spawn_on.h>
#include <rt/sync/mutex.h>
#include <rt/time.h>
#include <rt/yield.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
using rt::task;
using rt::test::capture;
using rt::test::captured;
using rt::test::exactly;
using rt::test::findings;
using rt::test::gate;
using rt::test::joins;
using rt::test::on_each_flavor;
using rt::test::opener;
using rt::test::resident;

task<void> notes(std::vector<int>* order, int number) {
    order->push_back(number);
    co_return;
}

} // namespace

// ---- storms -------------------------------------------------------------------------------------

namespace {

task<void> waits_again_and_again(std::vector<std::unique_ptr<gate>>* gates, resident self) {
    for (const std::unique_ptr<gate>& each : *gates) {
        co_await each->wait();
        self.look();
    }
}

} // namespace

Test(bound_lifetime, are_woken_by_many_threads_without_loss) {
    constexpr int threads = 6;
    constexpr int rounds = 400;
    for (const std::uint32_t workers : {0U, 1U, 2U, 4U}) {
        findings found;
        std::vector<std::vector<std::unique_ptr<gate>>> gates(threads);
        for (auto& each : gates) {
            for (int i = 0; i < rounds; ++i) {
                each.push_back(std::make_unique<gate>());
            }
        }
        rt::runtime runtime(exactly(workers));
        const rt::handle onto = runtime.get_handle();
        std::vector<rt::join_handle<void>> children;
        for (auto& each : gates) {
            for (std::uint32_t worker = 0; worker < onto.worker_count(); ++worker) {
                for (int i = 0; i < 3; ++i) {
                    children.push_back(onto.spawn_on(
                        worker, waits_again_and_again(&each, resident(&found, worker))
                    ));
                }
            }
        }
        std::vector<std::thread> wakers;
        wakers.reserve(threads);
        for (auto& each : gates) {
            wakers.emplace_back([&each] {
                for (const std::unique_ptr<gate>& one : each) {
                    one->open();
                }
            });
        }
        runtime.block_on(joins(&children));
        for (std::thread& each : wakers) {
            each.join();
        }
        cr_assert_eq(found.faults.load_relaxed(), 0);
        cr_assert_eq(found.live.load_relaxed(), 0);
    }
}

// ---- cancellation and the end -------------------------------------------------------------------

namespace {

task<void> waits(gate* at, resident self) {
    self.look();
    co_await at->wait();
}

task<void> sleeps(resident self) {
    self.look();
    co_await rt::sleep(1h);
}

task<void> spins(resident self) {
    for (;;) {
        self.look();
        co_await rt::yield();
    }
}

task<void> is_in_a_closure(gate* at, resident self) {
    co_await rt::blocking([at] {
        while (!at->is_open()) {
            std::this_thread::yield();
        }
    });
    self.look();
    co_await rt::sleep(1h);
}

// Spawns on its way out, on its worker and on another.
class heir {
public:
    heir(findings* found, rt::handle onto) noexcept
        : found_(found)
        , onto_(std::move(onto)) {}
    heir(heir&& other) noexcept
        : found_(std::exchange(other.found_, nullptr))
        , onto_(std::move(other.onto_)) {}
    ~heir() {
        if (found_ != nullptr) {
            const std::uint32_t here = *rt::worker_index();
            rt::spawn_local(sleeps, resident(found_, here)).detach();
            rt::spawn(yields_once, resident(found_, here)).detach();
        }
    }

private:
    static task<void> yields_once(resident /*owned*/) { co_await rt::yield(); }

    findings* found_;
    rt::handle onto_;
};

task<void> leaves_an_heir(gate* at, heir /*owned*/) {
    co_await at->wait();
}

} // namespace

Test(bound_lifetime, b113_aborted_from_another_thread_they_are_destroyed_on_their_worker) {
    on_each_flavor([](rt::runtime& runtime) {
        findings found;
        gate never;
        const rt::handle onto = runtime.get_handle();
        std::vector<rt::join_handle<void>> children;
        for (int i = 0; i < 200; ++i) {
            const std::uint32_t worker = static_cast<std::uint32_t>(i) % onto.worker_count();
            children.push_back(onto.spawn_on(worker, sleeps(resident(&found, worker))));
            children.push_back(onto.spawn_on(worker, waits(&never, resident(&found, worker))));
            children.push_back(onto.spawn_on(worker, spins(resident(&found, worker))));
        }
        std::vector<rt::abort_handle> aborts;
        for (const auto& each : children) {
            aborts.push_back(each.abort_handle());
        }
        std::thread aborter([&] {
            for (const rt::abort_handle& each : aborts) {
                each.abort();
            }
        });
        runtime.block_on([](std::vector<rt::join_handle<void>>* all) -> task<void> {
            for (auto& each : *all) {
                try {
                    co_await std::move(each);
                    cr_assert(false, "it had been aborted");
                } catch (const rt::join_error&) {
                    continue;
                }
            }
        }(&children));
        aborter.join();
        cr_assert_eq(found.faults.load_relaxed(), 0);
        cr_assert_eq(found.live.load_relaxed(), 0);
    });
}

Test(bound_lifetime, b083_the_end_of_the_runtime_destroys_them_on_their_worker) {
    for (const rt::driver_kind driver : {rt::driver_kind::automatic, rt::driver_kind::epoll}) {
        for (const std::uint32_t workers : {0U, 1U, 2U, 4U, 8U}) {
            findings found;
            gate never;
            gate at;
            auto runtime = std::make_unique<rt::runtime>(exactly(workers, driver));
            const rt::handle onto = runtime->get_handle();
            for (int i = 0; i < 100; ++i) {
                const std::uint32_t worker = static_cast<std::uint32_t>(i) % onto.worker_count();
                onto.spawn_on(worker, waits(&never, resident(&found, worker))).detach();
                onto.spawn_on(worker, sleeps(resident(&found, worker))).detach();
                onto.spawn_on(worker, spins(resident(&found, worker))).detach();
                onto.spawn_on(worker, is_in_a_closure(&at, resident(&found, worker))).detach();
            }
            std::thread opener;
            runtime->block_on([]() -> task<void> {
                co_await rt::sleep(1ms);
            }());
            for (int i = 0; i < 100; ++i) { // some have not begun
                const std::uint32_t worker = static_cast<std::uint32_t>(i) % onto.worker_count();
                onto.spawn_on(worker, sleeps(resident(&found, worker))).detach();
            }
            opener = std::thread([&] { at.open(); });
            runtime.reset();
            opener.join();
            cr_assert_eq(found.faults.load_relaxed(), 0);
            cr_assert_eq(found.live.load_relaxed(), 0);
        }
    }
}

Test(bound_lifetime, b100_one_that_a_destructor_spawns_during_the_end_is_destroyed) {
    for (const std::uint32_t workers : {0U, 1U, 2U, 8U}) {
        findings found;
        gate never;
        auto runtime = std::make_unique<rt::runtime>(exactly(workers));
        const rt::handle onto = runtime->get_handle();
        for (int i = 0; i < 100; ++i) {
            const std::uint32_t worker = static_cast<std::uint32_t>(i) % onto.worker_count();
            onto.spawn_on(worker, leaves_an_heir(&never, heir(&found, onto))).detach();
        }
        runtime->block_on([]() -> task<void> {
            co_await rt::sleep(1ms);
        }());
        runtime.reset();
        cr_assert_eq(found.live.load_relaxed(), 0);
    }
}

namespace {

task<void> opens_when_it_dies(gate* waited, opener /*owned*/, resident self) {
    self.look();
    co_await waited->wait();
}

// Whoever is destroyed with the lock hands it to the next one.
task<void> wants_and_keeps(rt::mutex* lock, gate* never, resident self) {
    const rt::mutex::guard held = co_await lock->lock();
    self.look();
    co_await never->wait();
}

} // namespace

Test(bound_lifetime, b146_destructors_that_wake_one_another_do_no_harm) {
    constexpr std::size_t count = 60;
    for (const rt::driver_kind driver : {rt::driver_kind::automatic, rt::driver_kind::epoll}) {
        for (const std::uint32_t workers : {0U, 1U, 2U, 4U, 8U}) {
            findings found;
            std::mutex lock;
            std::array<gate, count> gates;
            rt::mutex handed_on;
            gate never;
            {
                rt::runtime runtime(exactly(workers, driver));
                const rt::handle onto = runtime.get_handle();
                for (std::size_t i = 0; i < count; ++i) {
                    const std::uint32_t worker =
                        static_cast<std::uint32_t>(i) % onto.worker_count();
                    onto.spawn_on(
                            worker,
                            opens_when_it_dies(
                                &gates[i],
                                opener(&gates[(i + 1) % count], &lock),
                                resident(&found, worker)
                            )
                    )
                        .detach();
                    onto.spawn_on(
                            worker, wants_and_keeps(&handed_on, &never, resident(&found, worker))
                    )
                        .detach();
                }
                runtime.block_on(
                    [](const std::array<gate, count>* all, const gate* held) -> task<void> {
                        while (all->back().waiting() == 0 || held->waiting() == 0) {
                            co_await rt::yield();
                        }
                    }(&gates, &never)
                );
            }
            cr_assert_eq(found.faults.load_relaxed(), 0);
            cr_assert_eq(found.live.load_relaxed(), 0);
            cr_assert_not(handed_on.is_locked());
        }
    }
}

Test(bound_lifetime, b094_spawns_and_wakes_from_outside_are_harmless_while_the_runtime_goes) {
    for (int round = 0; round < 40; ++round) {
        findings found;
        rt::atomic<bool> has_begun{false};
        rt::atomic<bool> is_over{false};
        std::vector<std::unique_ptr<gate>> gates;
        for (int i = 0; i < 500; ++i) {
            gates.push_back(std::make_unique<gate>());
        }
        auto runtime =
            std::make_unique<rt::runtime>(exactly(static_cast<std::uint32_t>(round % 4)));
        const rt::handle onto = runtime->get_handle();
        for (const auto& each : gates) {
            onto.spawn_on(
                    onto.worker_count() - 1,
                    waits(each.get(), resident(&found, onto.worker_count() - 1))
            )
                .detach();
        }
        std::thread spawner([&] {
            while (!is_over.load_acquire()) {
                auto late = onto.spawn_on(0, []() -> task<void> {
                    co_return;
                }());
                has_begun.store_release(true);
            }
        });
        std::thread waker([&] {
            for (const auto& each : gates) {
                each->open();
            }
        });
        while (!has_begun.load_acquire()) {
            std::this_thread::yield();
        }
        runtime.reset();
        is_over.store_release(true);
        spawner.join();
        waker.join();
        cr_assert_eq(found.live.load_relaxed(), 0);
        auto late = onto.spawn_on(0, sleeps(resident(&found, 0)));
        cr_assert(late.is_finished(), "cancelled by the spawner");
        cr_assert_eq(found.live.load_relaxed(), 0);
    }
}

// ---- current_thread, and misuse -----------------------------------------------------------------

Test(bound_lifetime, b012_on_current_thread_they_wait_until_somebody_blocks_on_it) {
    rt::runtime runtime(exactly(0));
    std::vector<int> order;
    auto child = runtime.get_handle().spawn_on(0, notes(&order, 1));
    cr_assert(order.empty());
    runtime.block_on([](rt::join_handle<void> of) -> task<void> {
        co_await std::move(of);
    }(std::move(child)));
    cr_assert_eq(order.size(), 1U);
}

Test(bound_lifetime, b220_timers_of_bound_tasks_move_a_paused_clock) {
    rt::config wanted = exactly(0);
    wanted.start_paused = true;
    rt::runtime runtime(wanted);
    runtime.block_on([]() -> task<void> {
        std::vector<rt::join_handle<void>> children;
        for (int i = 0; i < 100; ++i) {
            children.push_back(
                rt::spawn_local([](int days) -> task<void> { co_await rt::sleep(24h * days); }, i)
            );
        }
        co_await joins(&children);
    }());
}

Test(bound_lifetime, a_worker_that_there_is_not_aborts_with_advice) {
    const captured outside = capture([] {
        rt::runtime runtime(exactly(2));
        runtime.get_handle()
            .spawn_on(
                2,
                []() -> task<void> {
                    co_return;
                }()
            )
            .detach();
    });
    cr_assert(outside.was_aborted());
    cr_assert(
        outside.says("spawn_on worker 2 of a runtime that has 2"), "%s", outside.text.c_str()
    );
    const captured inside = capture([] {
        rt::block_on(exactly(0), []() -> task<void> {
            co_await rt::spawn_on(1, []() -> task<void> { co_return; });
        }());
    });
    cr_assert(inside.was_aborted());
    cr_assert(inside.says("spawn_on worker 1 of a runtime that has 1"), "%s", inside.text.c_str());
}

Test(bound_lifetime, b041_b042_spawn_local_off_a_worker_aborts_with_advice) {
    const captured outside = capture([] {
        rt::spawn_local([]() -> task<void> {
            co_return;
        }())
            .detach();
    });
    cr_assert(outside.was_aborted());
    cr_assert(outside.says("rt::spawn_local outside a worker"), "%s", outside.text.c_str());
    const captured in_closure = capture([] {
        rt::block_on(exactly(1), []() -> task<void> {
            co_await rt::blocking([] {
                rt::spawn_local([]() -> task<void> {
                    co_return;
                }())
                    .detach();
            });
        }());
    });
    cr_assert(in_closure.was_aborted());
    cr_assert(in_closure.says("rt::spawn_local outside a worker"), "%s", in_closure.text.c_str());
    const captured spawned_on = capture([] {
        rt::spawn_on(
            0,
            []() -> task<void> {
                co_return;
            }()
        )
            .detach();
    });
    cr_assert(spawned_on.was_aborted());
    cr_assert(spawned_on.says("rt::spawn_on outside a runtime"), "%s", spawned_on.text.c_str());
}

// SPDX-License-Identifier: MIT
//
// rt::block_in_place and the end of the runtime: who waits for whom, when a function is under way,
// begins, or is called by a destructor while the tasks are cancelled.
#include "support/test.h"
#include "task/gate.h"

#include <rt/block_in_place.h>
#include <rt/detail/atomic.h>
#include <rt/runtime.h>
#include <rt/spawn.h>
#include <rt/sync/mutex.h>
#include <rt/time.h>
#include <rt/yield.h>

#include <chrono>
#include <cstdint>
#include <latch>
#include <memory>
#include <thread>
#include <utility>

namespace {

using namespace std::chrono_literals;
using rt::block_in_place;
using rt::task;
using rt::test::gate;
using rt::test::hold_until;
using rt::test::on_workers;
using rt::test::with_workers;

// Opens when it is destroyed.
struct opener {
    explicit opener(rt::atomic<int>* flag) noexcept
        : opened(flag) {}
    opener(const opener&) = delete;
    opener& operator=(const opener&) = delete;
    ~opener() { opened->store_release(1); }

    rt::atomic<int>* opened;
};

task<void> waits_for_ever(rt::atomic<int>* begun, rt::atomic<int>* opened) {
    const opener at_end(opened);
    gate never;
    begun->add_acq_rel(1);
    co_await never.wait();
}

} // namespace

// The function waits for a task that only the shutdown ends.
Test(block_in_place_end, b096_the_shutdown_ends_the_task_that_a_function_waits_for) {
    for (int round = 0; round < 20; ++round) {
        on_workers({1, 2, 8}, [](rt::runtime& runtime) {
            // Static, because the runtime outlives what this function could own.
            static rt::atomic<int> begun;
            static rt::atomic<int> opened;
            begun.store_relaxed(0);
            opened.store_relaxed(0);
            const rt::handle handle = runtime.get_handle();
            handle.spawn(waits_for_ever(&begun, &opened)).detach();
            for (int i = 0; i < 2; ++i) {
                handle
                    .spawn([]() -> task<void> {
                        block_in_place([] {
                            begun.add_acq_rel(1);
                            hold_until(opened, 1);
                        });
                        block_in_place([] {}); // again, now that it is late
                        co_await rt::yield();
                        std::abort(); // it is cancelled here
                    }())
                    .detach();
            }
            hold_until(begun, 3);
        });
        cr_assert(true);
    }
}

// The worker that cancels the tasks calls their destructors, and nobody can stand in for it.
Test(block_in_place_end, a_destructor_that_the_end_of_the_runtime_runs_may_block) {
    on_workers({1, 2, 8}, [](rt::runtime& runtime) {
        struct blocking_member {
            ~blocking_member() {
                block_in_place([this] {
                    std::latch has_lock(1);
                    std::thread other([&] {
                        auto held = lock.blocking_lock();
                        has_lock.count_down();
                        std::this_thread::yield();
                    });
                    has_lock.wait();
                    const auto held = lock.blocking_lock();
                    other.join();
                    cr_assert_eq(rt::block_on(rt::test::single(), add_one(6)), 7);
                });
                ++*calls;
            }
            static task<int> add_one(int to) { co_return to + 1; }

            int* calls;
            rt::mutex lock{};
        };
        static int calls;
        calls = 0;
        for (int i = 0; i < 2; ++i) {
            gate begun;
            auto waiting = runtime.get_handle().spawn([](gate* at) -> task<void> {
                const blocking_member member{&calls};
                at->open();
                co_await rt::sleep(24h);
            }(&begun));
            runtime.block_on([](gate* at) -> task<void> {
                co_await at->wait();
            }(&begun));
            if (i == 0) {
                waiting.abort();
                runtime.block_on([](auto one) -> task<void> {
                    try {
                        co_await std::move(one);
                    } catch (const rt::join_error&) {
                    }
                }(std::move(waiting)));
                cr_assert_eq(calls, 1, "in a task that is aborted it may as well");
            }
        }
        static_cast<void>(runtime.shut_down(1h));
        cr_assert_eq(calls, 2);
    });
}

task<int> seven() {
    co_return 7;
}

// Asks the runtime that ends for a task, and notes whether it was refused.
struct asking_member {
    ~asking_member() {
        block_in_place([this] {
            ask();
            std::thread([this] { ask(); }).join();
        });
    }
    void ask() const {
        try {
            static_cast<void>(runtime.block_on(seven()));
        } catch (const rt::join_error&) {
            refused->add_acq_rel(1);
        }
    }

    rt::handle runtime;
    rt::atomic<int>* refused;
};

// Nobody could run it: everybody else is at rest, and the one that asks is the one that ends tasks.
Test(block_in_place_end, what_such_a_destructor_asks_of_its_runtime_is_refused) {
    for (const bool is_bound : {false, true}) {
        on_workers({1, 2, 8}, [is_bound](rt::runtime& runtime) {
            static rt::atomic<int> refused;
            refused.store_relaxed(0);
            const std::uint32_t workers = runtime.worker_count();
            const rt::handle handle = runtime.get_handle();
            rt::atomic<int> begun{0};
            const auto waits = [](rt::handle of, rt::atomic<int>* at) -> task<void> {
                const asking_member member{of, &refused};
                at->add_acq_rel(1);
                co_await rt::sleep(24h);
            };
            for (std::uint32_t i = 0; i < workers; ++i) {
                if (is_bound) {
                    handle.spawn_on(i, waits(handle, &begun)).detach();
                } else {
                    handle.spawn(waits(handle, &begun)).detach();
                }
            }
            hold_until(begun, static_cast<int>(workers));
            cr_assert(runtime.shut_down(1h).is_complete);
            cr_assert_eq(refused.load_acquire(), static_cast<int>(2 * workers));
        });
    }
}

Test(block_in_place_end, b097_a_shutdown_at_any_moment_ends_everything) {
    for (int round = 0; round < 150; ++round) {
        rt::atomic<int> alive{0};
        struct counted {
            explicit counted(rt::atomic<int>* of) noexcept
                : count(of) {
                count->add_acq_rel(1);
            }
            counted(const counted& other) noexcept
                : counted(other.count) {}
            counted& operator=(const counted&) = delete;
            ~counted() { count->sub_acq_rel(1); }
            rt::atomic<int>* count;
        };
        {
            rt::runtime runtime(with_workers(1 + static_cast<std::uint32_t>(round % 3)));
            const rt::handle handle = runtime.get_handle();
            for (int i = 0; i < 6; ++i) {
                handle
                    .spawn([](counted /*held*/, int turns) -> task<void> {
                        for (int turn = 0; turn < turns; ++turn) {
                            block_in_place([] { std::this_thread::yield(); });
                            rt::spawn([]() -> task<void> { co_return; }).detach();
                            if (turn % 4 == 0) {
                                co_await rt::yield();
                            }
                            if (turn % 16 == 0) {
                                co_await rt::sleep(1ms);
                            }
                        }
                    }(counted(&alive), 10'000))
                    .detach();
            }
            for (int i = 0; i < round * 20; ++i) {
                rt::compiler_barrier();
            }
            if (round % 2 == 0) {
                runtime.block_on([]() -> task<void> {
                    co_await rt::sleep(1ms);
                }());
            }
        }
        cr_assert_eq(alive.load_acquire(), 0);
    }
}

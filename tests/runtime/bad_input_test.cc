// SPDX-License-Identifier: MIT
//
// Bad input to the runtime itself, one test for each kind: what a program may get wrong has a
// result that the manual names. What aborts with advice beside this: tests/task/context_test.cc,
// tests/runtime/enter_test.cc; hooks that throw: hooks_test.cc.
#include "base/captured.h"
#include "support/test.h"
#include "task/gate.h"

#include <rt/blocking.h>
#include <rt/detail/atomic.h>
#include <rt/runtime.h>
#include <rt/spawn.h>
#include <rt/spawn_blocking.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
using rt::task;
using rt::test::capture;
using rt::test::captured;
using rt::test::census;
using rt::test::gate;
using rt::test::member;
using rt::test::with_workers;

task<int> seven() {
    co_return 7;
}

task<void> owns(member /*owned*/) {
    co_return;
}

template<typename Handle>
void expect_cancelled(Handle handle) {
    cr_assert(handle.is_finished());
    cr_assert_throw(handle.take(), rt::join_error);
}

} // namespace

// In code 0 stands for the default; an operator who writes 0 is told the range.
Test(bad_input, zero_workers_are_the_default_in_code_and_a_fault_in_the_environment) {
    rt::config wanted = rt::test::settings();
    wanted.workers = 0;
    {
        rt::runtime runtime(wanted);
        cr_assert(runtime.worker_count() >= 1);
    }
    ::setenv("LIBRT_WORKERS", "0", 1);
    std::string text;
    try {
        const rt::runtime runtime(wanted);
    } catch (const std::invalid_argument& caught) {
        text = caught.what();
    }
    ::unsetenv("LIBRT_WORKERS");
    cr_assert(text.find("LIBRT_WORKERS") != std::string::npos, "%s", text.c_str());
    cr_assert(text.find("1024") != std::string::npos, "%s", text.c_str());
}

Test(bad_input, whatever_a_handle_is_asked_for_after_its_runtime_is_cancelled) {
    for (const std::uint32_t workers : {0U, 1U, 2U, 8U}) {
        census counted;
        auto runtime = std::make_unique<rt::runtime>(with_workers(workers));
        const rt::handle kept = runtime->get_handle();
        runtime.reset();
        expect_cancelled(kept.spawn(seven()));
        expect_cancelled(kept.spawn({.name = "late"}, seven()));
        expect_cancelled(kept.spawn_on(0, seven()));
        expect_cancelled(kept.spawn_blocking([] { return 7; }));
        expect_cancelled(kept.spawn(owns(member(counted))));
        cr_assert_eq(kept.worker_count(), std::max(workers, 1U));
        cr_assert_eq(counted.live.load_acquire(), 0);
        kept.spawn(owns(member(counted))).detach();
        cr_assert_eq(counted.live.load_acquire(), 0);
    }
}

Test(bad_input, a_worker_that_does_not_exist_is_named) {
    const captured got = capture([] {
        rt::runtime runtime(with_workers(2));
        runtime.get_handle().spawn_on(2, seven()).detach();
    });
    cr_assert(got.was_aborted(), "%s", got.text.c_str());
    cr_assert(got.says("spawn_on worker 2 of a runtime that has 2"), "%s", got.text.c_str());
}

Test(bad_input, block_on_after_shut_down_throws_join_error) {
    for (const std::uint32_t workers : {0U, 1U, 2U, 8U}) {
        rt::runtime runtime(with_workers(workers));
        cr_assert(runtime.shut_down(10s).is_complete);
        cr_assert_throw(runtime.block_on(seven()), rt::join_error);
        cr_assert(runtime.shut_down(10s).is_complete); // again: nothing is left to do
    }
}

// A task's destructor spawns when the runtime's end cancels it: the new one does not begin.
Test(bad_input, a_spawn_during_the_end_is_cancelled) {
    struct spawner {
        explicit spawner(rt::atomic<int>* count, rt::atomic<int>* cancelled)
            : ran(count)
            , refused(cancelled) {}
        spawner(spawner&& other) noexcept
            : ran(std::exchange(other.ran, nullptr))
            , refused(other.refused) {}
        ~spawner() {
            if (ran != nullptr) {
                auto late = rt::spawn([count = ran]() -> task<void> {
                    count->add_acq_rel(1);
                    co_return;
                });
                late.abort();
                late.detach();
                refused->add_acq_rel(1);
            }
        }
        rt::atomic<int>* ran;
        rt::atomic<int>* refused;
    };
    for (const std::uint32_t workers : {0U, 1U, 2U, 8U}) {
        rt::atomic<int> ran{0};
        rt::atomic<int> refused{0};
        gate never;
        auto runtime = std::make_unique<rt::runtime>(with_workers(workers));
        for (int i = 0; i < 20; ++i) {
            runtime->get_handle()
                .spawn([](gate* at, spawner /*owned*/) -> task<void> {
                    co_await at->wait();
                }(&never, spawner(&ran, &refused)))
                .detach();
        }
        runtime->block_on(seven());
        runtime.reset();
        cr_assert_eq(refused.load_acquire(), 20);
        cr_assert_eq(ran.load_acquire(), 0);
    }
}

Test(bad_input, block_on_in_a_task_aborts_and_in_a_closure_works) {
    for (const std::uint32_t workers : {0U, 1U, 2U, 8U}) {
        const captured got = capture([=] {
            rt::runtime runtime(with_workers(workers));
            runtime.block_on([](rt::runtime* own) -> task<void> {
                own->block_on(seven());
                co_return;
            }(&runtime));
        });
        cr_assert(got.was_aborted(), "%s", got.text.c_str());
        cr_assert(got.says("block_on inside a task"), "%s", got.text.c_str());
    }
    rt::runtime runtime(with_workers(1));
    rt::runtime other(with_workers(0));
    cr_assert_eq(
        runtime.block_on([](rt::runtime* own, rt::runtime* second) -> task<int> {
            co_return co_await rt::blocking([=] {
                return own->block_on(seven()) + second->block_on(seven());
            });
        }(&runtime, &other)),
        14
    );
}

// Aborted, or ended with its runtime, while it is in a queue: destroyed once, without a turn.
Test(bad_input, a_task_that_is_destroyed_while_it_is_queued_never_runs) {
    for (const std::uint32_t workers : {0U, 1U, 2U, 8U}) {
        census counted;
        rt::atomic<int> ran{0};
        rt::atomic<bool> is_held{true};
        auto runtime = std::make_unique<rt::runtime>(with_workers(workers));
        const rt::handle onto = runtime->get_handle();
        // Every worker is held, so nobody takes what is queued from outside.
        rt::atomic<std::uint32_t> held{0};
        for (std::uint32_t i = 0; i < workers; ++i) {
            onto.spawn_on(
                    i,
                    [](auto* arrived, auto* wait) -> task<void> {
                        arrived->add_acq_rel(1);
                        while (wait->load_acquire()) {
                            std::this_thread::yield();
                        }
                        co_return;
                    }(&held, &is_held)
            )
                .detach();
        }
        while (held.load_acquire() != workers) {
            std::this_thread::yield();
        }
        std::vector<rt::join_handle<void>> queued;
        for (int i = 0; i < 600; ++i) { // more than a ring takes
            queued.push_back(onto.spawn([](auto* count, member /*owned*/) -> task<void> {
                count->add_acq_rel(1);
                co_return;
            }(&ran, member(counted))));
        }
        for (int i = 0; i < 300; ++i) {
            queued[static_cast<std::size_t>(2 * i)].abort();
        }
        // The rest ends with the runtime; its end waits for the turns of those that hold.
        std::thread ender([&] { runtime.reset(); });
        cr_assert_eq(ran.load_acquire(), 0);
        std::size_t aborted = 0;
        is_held.store_release(false);
        ender.join();
        for (auto& each : queued) {
            cr_assert(each.is_finished());
            try {
                each.take();
            } catch (const rt::join_error&) {
                ++aborted;
            }
        }
        cr_assert(aborted >= 300);
        cr_assert_eq(aborted + static_cast<std::size_t>(ran.load_acquire()), queued.size());
        cr_assert_eq(counted.live.load_acquire(), 0);
    }
}

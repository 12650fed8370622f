// SPDX-License-Identifier: MIT
//
// Several threads inside of block_on of one flavor::current_thread: one of them drives the worker,
// and whoever needs it next goes on when that one leaves (src/scheduler/seat.h).
#include "support/test.h"
#include "task/gate.h"

#include <rt/blocking.h>
#include <rt/detail/atomic.h>
#include <rt/detail/context.h>
#include <rt/runtime.h>
#include <rt/spawn.h>
#include <rt/time.h>
#include <rt/yield.h>

#include <chrono>
#include <cstdint>
#include <stdexcept>
#include <string_view>
#include <thread>
#include <vector>

namespace {

using namespace std::chrono_literals;
using rt::task;
using rt::test::gate;
using rt::test::with_workers;

struct shared {
    rt::atomic<int> inside{0};
    rt::atomic<int> overlaps{0};
    rt::atomic<int> ended{0};
};

// A turn in which it is alone.
void take_a_turn(shared* of) {
    if (of->inside.add_acq_rel(1) != 0) {
        of->overlaps.add_relaxed(1);
    }
    of->inside.sub_acq_rel(1);
}

task<int> root(shared* of, int number) {
    take_a_turn(of);
    for (int i = 0; i < number % 4; ++i) {
        co_await rt::yield();
        take_a_turn(of);
    }
    if (number % 8 == 0) {
        co_await rt::sleep(1ms);
        take_a_turn(of);
    }
    const int below = co_await rt::spawn(
        [](shared* same) -> task<int> {
            take_a_turn(same);
            co_return 1;
        },
        of
    );
    take_a_turn(of);
    of->ended.add_relaxed(1);
    co_return number + below;
}

} // namespace

Test(seat, b024_threads_that_block_on_it_at_once_take_turns) {
    constexpr int threads = 6;
    constexpr int rounds = 300;
    for (const rt::driver_kind driver : {rt::driver_kind::automatic, rt::driver_kind::epoll}) {
        shared state;
        rt::runtime runtime(with_workers(0, driver));
        rt::atomic<int> wrong{0};
        std::vector<std::thread> callers;
        for (int t = 0; t < threads; ++t) {
            callers.emplace_back([&, t] {
                for (int i = 0; i < rounds; ++i) {
                    const int number = t * rounds + i;
                    if (runtime.block_on(root(&state, number)) != number + 1) {
                        wrong.add_relaxed(1);
                    }
                }
            });
        }
        for (std::thread& each : callers) {
            each.join();
        }
        cr_assert_eq(wrong.load_relaxed(), 0);
        cr_assert_eq(state.overlaps.load_relaxed(), 0);
        cr_assert_eq(state.ended.load_relaxed(), threads * rounds);
    }
}

// The timer of the second root is armed on the first thread and fires on the second.
Test(seat, b024_timers_go_on_when_the_thread_that_drives_leaves) {
    for (const rt::driver_kind driver : {rt::driver_kind::automatic, rt::driver_kind::epoll}) {
        rt::runtime runtime(with_workers(0, driver));
        gate drives;
        gate has_begun;
        std::thread::id first;
        std::thread::id began_on;
        std::thread::id ended_on;
        std::thread second([&] {
            while (drives.waiting() == 0 && !drives.is_open()) {
                std::this_thread::yield();
            }
            runtime.block_on(
                [](gate* wait, gate* begun, std::thread::id* began, std::thread::id* ended
                ) -> task<void> {
                    *began = std::this_thread::get_id();
                    wait->open();
                    begun->open();
                    co_await rt::sleep(20ms);
                    *ended = std::this_thread::get_id();
                }(&drives, &has_begun, &began_on, &ended_on)
            );
            cr_assert(ended_on == std::this_thread::get_id());
        });
        runtime.block_on([](gate* until, std::thread::id* on) -> task<void> {
            *on = std::this_thread::get_id();
            co_await until->wait();
        }(&drives, &first));
        second.join();
        cr_assert(has_begun.is_open());
        cr_assert(first == std::this_thread::get_id());
        cr_assert(began_on == first, "nobody else could run it");
        cr_assert(ended_on != first);
    }
}

Test(seat, b025_a_root_has_as_many_turns_as_wakes_whoever_drives) {
    constexpr int threads = 3;
    rt::runtime runtime(with_workers(0));
    gate at;
    rt::atomic<int> most{0};
    std::vector<std::thread> callers;
    for (int t = 0; t < threads; ++t) {
        callers.emplace_back([&] {
            const std::uint32_t turns = runtime.block_on([](gate* wait) -> task<std::uint32_t> {
                co_await wait->wait();
                co_return rt::detail::this_thread.task->polls;
            }(&at));
            cr_assert_leq(turns, 2U);
            most.add_relaxed(1);
        });
    }
    while (at.waiting() != threads) {
        std::this_thread::yield();
    }
    at.open();
    for (std::thread& each : callers) {
        each.join();
    }
    cr_assert_eq(most.load_relaxed(), threads);
}

// Those that wait for the seat are released as soon as their own task has ended, whoever ran it.
Test(seat, short_roots_end_while_a_long_one_drives) {
    rt::runtime runtime(with_workers(0));
    gate over;
    std::thread driving([&] {
        runtime.block_on([](gate* until) -> task<void> {
            co_await until->wait();
        }(&over));
    });
    while (over.waiting() == 0) {
        std::this_thread::yield();
    }
    for (int i = 0; i < 1000; ++i) {
        const std::thread::id ran_on = runtime.block_on([]() -> task<std::thread::id> {
            co_return std::this_thread::get_id();
        }());
        cr_assert(ran_on == driving.get_id());
    }
    over.open();
    driving.join();
}

Test(seat, a_closure_of_the_runtime_may_block_on_it) {
    rt::runtime runtime(with_workers(0));
    const int got = runtime.block_on([](rt::runtime* own) -> task<int> {
        co_return co_await rt::blocking([own] {
            return own->block_on([]() -> task<int> {
                co_await rt::sleep(1ms);
                co_return 7;
            }());
        });
    }(&runtime));
    cr_assert_eq(got, 7);
}

Test(seat, b101_every_block_on_ends_when_an_exception_shuts_the_runtime_down) {
    constexpr int threads = 4;
    rt::config wanted = with_workers(0);
    wanted.unhandled = rt::unhandled_exception::shut_down;
    rt::runtime runtime(wanted);
    gate never;
    rt::atomic<int> told{0};
    std::vector<std::thread> callers;
    for (int t = 0; t < threads; ++t) {
        callers.emplace_back([&] {
            try {
                runtime.block_on([](gate* at) -> task<void> {
                    co_await at->wait();
                }(&never));
            } catch (const std::runtime_error& error) {
                told.add_relaxed(std::string_view(error.what()) == "as planned" ? 1 : 0);
            }
        });
    }
    while (never.waiting() != threads) {
        std::this_thread::yield();
    }
    // Detached on the worker: one that is dropped outside of the runtime shuts nothing down.
    const auto fails = []() -> task<void> {
        throw std::runtime_error("as planned");
        co_return;
    };
    cr_assert_throw(
        runtime.block_on([](decltype(fails) body, gate* at) -> task<void> {
            rt::spawn(body()).detach();
            co_await at->wait();
        }(fails, &never)),
        std::runtime_error
    );
    for (std::thread& each : callers) {
        each.join();
    }
    cr_assert_eq(told.load_relaxed(), threads);
}

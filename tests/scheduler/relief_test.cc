// SPDX-License-Identifier: MIT
//
// A stand-in runs what waits while every worker is held in a long turn: what becomes of it, of the
// worker, and of the runtime afterwards. That it comes at all is the business of long_poll_test.cc,
// and that nothing is lost under any interleaving of tests/model/relief_model_test.cc.
#include "metrics/worker_counters.h"
#include "scheduler/pool_state.h"
#include "support/test.h"
#include "task/gate.h"
#include "task/sockets.h"

#include <rt/block_in_place.h>
#include <rt/detail/atomic.h>
#include <rt/detail/context.h>
#include <rt/runtime.h>
#include <rt/spawn.h>
#include <rt/time.h>
#include <rt/yield.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

#include <sys/resource.h>

namespace {

using namespace std::chrono_literals;
using rt::task;
using rt::detail::this_thread;
using rt::test::adds_one;
using rt::test::hold_until;
using rt::test::on_workers;
using rt::test::read_one;
using rt::test::sockets;
using rt::test::with_workers;

rt::config one_with_reliefs(std::uint32_t most) {
    rt::config config = with_workers(1);
    config.relief_threads = most;
    return config;
}

// Holds the worker until another one has run a task.
task<void> is_held_once() {
    rt::atomic<int> ran{0};
    auto queued = rt::spawn(adds_one, &ran);
    hold_until(ran, 1);
    co_await std::move(queued);
}

// Whether a child that is joined runs inside of the turn, as it does with a lone worker only.
task<bool> is_alone() {
    const std::uint32_t before = this_thread.task->polls;
    rt::atomic<int> ran{0};
    co_await rt::spawn(adds_one, &ran);
    co_return this_thread.task->polls == before;
}

task<void> waits_to_be_alone() {
    while (!co_await is_alone()) {
        co_await rt::yield();
    }
}

} // namespace

Test(relief, the_worker_is_lone_again_when_its_stand_in_rests) {
    on_workers({1}, [](rt::runtime& runtime) {
        runtime.block_on([]() -> task<void> {
            co_await waits_to_be_alone();
            for (int round = 0; round < 5; ++round) {
                co_await is_held_once();
                co_await waits_to_be_alone();
                rt::block_in_place([] {});
                co_await waits_to_be_alone();
            }
        }());
    });
}

// The stand-in has run a task, and looks for more when the function returns.
Test(relief, the_worker_is_lone_again_while_it_stays_busy) {
    on_workers({1}, [](rt::runtime& runtime) {
        runtime.block_on([]() -> task<void> {
            for (int round = 0; round < 300; ++round) {
                rt::atomic<int> ran{0};
                auto queued = rt::spawn(adds_one, &ran);
                rt::block_in_place([&ran, round] {
                    hold_until(ran, 1);
                    const auto until = rt::clock::now() + std::chrono::microseconds(round % 100);
                    while (rt::clock::now() < until) {
                    }
                });
                co_await std::move(queued);
                co_await waits_to_be_alone();
            }
        }());
    });
}

// Where there can be one stand-in only, it stays for the worker that it has relieved.
Test(relief, a_worker_that_goes_away_after_it_was_held_has_somebody) {
    for (const std::uint32_t most : {1U, 512U}) {
        rt::config config = with_workers(1);
        config.blocking_threads_max = most;
        rt::runtime runtime(config);
        runtime.block_on([]() -> task<void> {
            rt::atomic<int> ran{0};
            auto first = rt::spawn(adds_one, &ran);
            hold_until(ran, 1);
            rt::block_in_place([&ran] {
                const auto until = rt::clock::now() + 20ms; // until the watchdog has seen it
                while (rt::clock::now() < until) {
                    std::this_thread::yield();
                }
                rt::spawn(adds_one, &ran).detach();
                hold_until(ran, 2);
            });
            co_await std::move(first);
        }());
    }
}

Test(relief, of_many_tasks_all_are_run) {
    on_workers({1, 2}, [](rt::runtime& runtime) {
        runtime.block_on([](std::uint32_t workers) -> task<void> {
            constexpr int count = 20'000;
            rt::atomic<int> ran{0};
            std::vector<rt::join_handle<void>> others;
            for (std::uint32_t i = 1; i < workers; ++i) {
                others.push_back(rt::spawn([&ran]() -> task<void> {
                    hold_until(ran, count);
                    co_return;
                }));
            }
            for (int i = 0; i < count; ++i) {
                rt::spawn(adds_one, &ran).detach();
            }
            hold_until(ran, count);
            for (auto& each : others) {
                co_await std::move(each);
            }
        }(runtime.get_handle().worker_count()));
    });
}

// Descriptors are short for a while: no stand-in can be made then, and one can afterwards.
Test(relief, a_shortage_that_passes_uses_no_stand_in_up) {
    rt::runtime runtime(with_workers(1));
    runtime.block_on([]() -> task<void> {
        rlimit limit{};
        cr_assert_eq(::getrlimit(RLIMIT_NOFILE, &limit), 0);
        rlimit none = limit;
        none.rlim_cur = 3;
        for (int round = 0; round < 600; ++round) { // more than there can be
            cr_assert_eq(::setrlimit(RLIMIT_NOFILE, &none), 0);
            rt::block_in_place([] {});
            while (this_thread.worker->pool().sleepers.is_making()) {
                co_await rt::yield();
            }
            cr_assert_eq(::setrlimit(RLIMIT_NOFILE, &limit), 0);
        }
        rt::atomic<int> ran{0};
        auto queued = rt::spawn(adds_one, &ran);
        rt::block_in_place([&ran] { hold_until(ran, 1); });
        co_await std::move(queued);
    }());
}

Test(relief, a_task_that_is_held_inside_of_a_join_goes_away_after_that) {
    on_workers({1}, [](rt::runtime& runtime) {
        for (int round = 0; round < 5; ++round) {
            runtime.block_on([]() -> task<void> {
                co_await waits_to_be_alone();
                rt::atomic<int> ran{0};
                co_await rt::spawn([&ran]() -> task<void> {
                    auto first = rt::spawn(adds_one, &ran);
                    hold_until(ran, 1);
                    auto second = rt::spawn(adds_one, &ran);
                    rt::block_in_place([&ran] { hold_until(ran, 2); });
                    co_await std::move(first);
                    co_await std::move(second);
                });
                cr_assert_eq(ran.load_acquire(), 2);
            }());
        }
    });
}

// They wait on the stand-in's own ring and wheel, which rests when they become ready.
Test(relief, what_begins_to_wait_on_a_stand_in_goes_on) {
    on_workers({1, 2}, [](rt::runtime& runtime) {
        runtime.block_on([](std::uint32_t workers) -> task<void> {
            sockets pair;
            rt::atomic<int> begun{0};
            auto sleeper = rt::spawn([&]() -> task<void> {
                begun.add_acq_rel(1);
                co_await rt::sleep(20ms);
            });
            auto reader = rt::spawn([&]() -> task<void> {
                begun.add_acq_rel(1);
                static_cast<void>(co_await read_one(&pair.near));
            });
            std::vector<rt::join_handle<void>> others;
            for (std::uint32_t i = 1; i < workers; ++i) {
                others.push_back(rt::spawn([&]() -> task<void> {
                    hold_until(begun, 2);
                    co_return;
                }));
            }
            hold_until(begun, 2);
            co_await std::move(sleeper);
            pair.write('x');
            co_await std::move(reader);
            for (auto& each : others) {
                co_await std::move(each);
            }
        }(runtime.get_handle().worker_count()));
    });
}

namespace {

struct crowd {
    rt::atomic<int> running{0};
    rt::atomic<int> most{0};
    rt::atomic<int> is_over{0};
};

task<void> is_in(crowd* of) {
    const int now = of->running.add_acq_rel(1) + 1;
    for (int seen = of->most.load_acquire(); seen < now;) {
        if (of->most.cas_weak_acq_rel(seen, now)) {
            break;
        }
    }
    hold_until(of->is_over, 1);
    of->running.sub_acq_rel(1);
    co_return;
}

// How many of ten long turns are on at once, given time.
int most_at_once(std::uint32_t reliefs, int at_least) {
    crowd all;
    rt::runtime runtime(one_with_reliefs(reliefs));
    std::vector<rt::join_handle<void>> handles;
    handles.reserve(10);
    for (int i = 0; i < 10; ++i) {
        handles.push_back(runtime.get_handle().spawn(is_in(&all)));
    }
    hold_until(all.running, at_least);
    const auto until = rt::clock::now() + 30ms;
    while (rt::clock::now() < until) {
        std::this_thread::yield();
    }
    all.is_over.store_release(1);
    runtime.block_on([](std::vector<rt::join_handle<void>>* joined) -> task<void> {
        for (auto& each : *joined) {
            co_await std::move(each);
        }
    }(&handles));
    return all.most.load_acquire();
}

} // namespace

Test(relief, there_are_as_many_as_the_configuration_allows) {
    cr_assert_eq(most_at_once(0, 1), 1, "no two tasks at once");
    cr_assert_eq(most_at_once(1, 2), 2);
    cr_assert_eq(most_at_once(3, 4), 4);
}

Test(relief, each_is_counted) {
    const auto reliefs = [] { // the watchdog is no worker
        std::uint64_t sum = 0;
        for (const auto* each = rt::metrics::first_outside(); each != nullptr; each = each->next) {
            sum += each->reliefs.load_relaxed();
        }
        return sum;
    };
    const std::uint64_t before = reliefs();
    rt::runtime runtime(with_workers(1));
    runtime.block_on(is_held_once());
    while (reliefs() == before) { // at the next sample
        std::this_thread::yield();
    }
}

// The pool ends by itself while it is reinforced, and its owner comes later.
Test(relief, an_exception_ends_the_runtime_at_any_moment) {
    for (int round = 0; round < 40; ++round) {
        rt::config config = with_workers(static_cast<std::uint32_t>(1 + round % 2));
        config.unhandled = rt::unhandled_exception::shut_down;
        rt::atomic<int> thrown{0}; // goes after the runtime, whose tasks look at it
        rt::runtime runtime(config);
        const rt::handle onto = runtime.get_handle();
        const auto holds = [](rt::atomic<int>* at, int more) -> task<void> {
            hold_until(*at, 1);
            const auto until = rt::clock::now() + std::chrono::milliseconds(more);
            while (rt::clock::now() < until) {
            }
            co_return;
        };
        for (std::uint32_t i = 0; i < config.workers; ++i) {
            onto.spawn(holds, &thrown, round % 8).detach();
        }
        const auto throws = [](rt::atomic<int>* at) -> task<void> {
            at->store_release(1);
            throw std::runtime_error("as planned");
            co_return;
        };
        onto.spawn(throws, &thrown).detach();
        const auto until = rt::clock::now() + std::chrono::milliseconds(5 + round % 25);
        while (rt::clock::now() < until || thrown.load_acquire() == 0) {
            std::this_thread::yield();
        }
    }
}

// The held turn and the end in any order.
Test(relief, the_runtime_ends_at_any_moment) {
    for (int round = 0; round < 60; ++round) {
        const auto workers = static_cast<std::uint32_t>(1 + round % 2);
        rt::atomic<int> alive{0};
        {
            rt::runtime runtime(with_workers(workers));
            for (int i = 0; i < 4; ++i) {
                struct counted {
                    explicit counted(rt::atomic<int>* of) noexcept
                        : count(of) {
                        count->add_acq_rel(1);
                    }
                    counted(counted&& other) noexcept
                        : count(std::exchange(other.count, nullptr)) {}
                    counted(const counted&) = delete;
                    counted& operator=(const counted&) = delete;
                    counted& operator=(counted&&) = delete;
                    ~counted() {
                        if (count != nullptr) {
                            count->sub_acq_rel(1);
                        }
                    }
                    rt::atomic<int>* count;
                };
                runtime.get_handle()
                    .spawn([](counted /*held*/, int milliseconds) -> task<void> {
                        for (;;) {
                            const auto until =
                                rt::clock::now() + std::chrono::milliseconds(milliseconds);
                            while (rt::clock::now() < until) {
                            }
                            co_await rt::yield();
                        }
                    }(counted(&alive), 3 + i))
                    .detach();
            }
            const auto until = rt::clock::now() + std::chrono::microseconds(500 * (round % 30));
            while (rt::clock::now() < until) {
                std::this_thread::yield();
            }
        }
        cr_assert_eq(alive.load_acquire(), 0);
    }
}

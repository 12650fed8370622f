// SPDX-License-Identifier: MIT
//
// Shutting down while other threads spawn, wake and abort (B094, B098, B099).
//
// A runtime dies under its users' hands, again and again. Nothing may be lost, done twice or left;
// nobody may wait for ever; and what happens to a task of one runtime must not depend on another
// runtime's end.
#include "base/random.h"
#include "stress/seed.h"
#include "support/test.h"
#include "task/gate.h"

#include <rt/blocking.h>
#include <rt/detail/atomic.h>
#include <rt/runtime.h>
#include <rt/spawn.h>
#include <rt/time.h>
#include <rt/yield.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

namespace {

using namespace std::chrono_literals;
using rt::task;
using rt::test::census;
using rt::test::gate;
using rt::test::member;
using rt::test::with_workers;

task<void> waits(gate* at, member /*owned*/) {
    co_await at->wait();
}

task<void> ends_at_once() {
    co_return;
}
task<void> naps() {
    co_await rt::sleep(1ms);
}
task<void> yields_once() {
    co_await rt::yield();
}

template<typename T>
bool ended_well(rt::join_handle<T>& handle) {
    try {
        handle.take();
    } catch (const rt::join_error&) {
        return false;
    }
    return true;
}

// Ends a runtime while two threads spawn onto it and, each time, `other` onto one that lasts, none
// of which may be cancelled. The first of each pair is cancelled by its spawner once its runtime is
// gone, and the second gets its header.
void end_beside(
    rt::runtime& lasting,
    const rt::config& of_dying,
    task<void> (*other)(),
    rt::base::random_source& random
) {
    auto dying = std::make_unique<rt::runtime>(of_dying);
    rt::atomic<bool> is_over{false};
    rt::atomic<int> wrong{0};
    std::vector<std::thread> spawners;
    for (int t = 0; t < 2; ++t) {
        spawners.emplace_back([&, onto = dying->get_handle(), onto_lasting = lasting.get_handle()] {
            while (!is_over.load_acquire()) {
                onto.spawn(ends_at_once()).detach();
                rt::join_handle<void> second = onto_lasting.spawn(other());
                while (!second.is_finished()) {
                    std::this_thread::yield();
                }
                wrong.add_relaxed(ended_well(second) ? 0 : 1);
            }
        });
    }
    for (std::uint32_t spin = random.below(100'000); spin != 0; --spin) {
        rt::fence_acquire();
    }
    dying.reset();
    is_over.store_release(true);
    for (std::thread& each : spawners) {
        each.join();
    }
    cr_assert_eq(wrong.load_acquire(), 0, "tasks of another runtime were cancelled");
}

template<typename Round>
void repeat(std::chrono::nanoseconds how_long, Round round) {
    const std::uint64_t seed = rt::test::stress_seed("shutdown_storm");
    rt::base::random_source random(seed);
    const rt::clock::time_point end = rt::clock::now() + rt::test::stress_time(how_long);
    do {
        round(random);
    } while (rt::clock::now() < end);
}

} // namespace

// Every handle resolves, whether its task ran, was cancelled, or came too late.
Test(shutdown_storm, b094_spawns_from_outside_resolve_while_the_runtime_goes) {
    repeat(4s, [](rt::base::random_source& random) {
        census counted;
        rt::atomic<int> ran{0};
        auto runtime = std::make_unique<rt::runtime>(with_workers(random.below(5)));
        std::vector<rt::join_handle<void>> handles;
        rt::atomic<bool> is_over{false};
        std::thread spawner([&, onto = runtime->get_handle()] {
            while (!is_over.load_acquire()) {
                handles.push_back(
                    onto.spawn([](rt::atomic<int>* count, member /*owned*/) -> task<void> {
                        count->add_relaxed(1);
                        co_await rt::yield();
                    }(&ran, member(counted)))
                );
            }
        });
        for (std::uint32_t spin = random.below(200'000); spin != 0; --spin) {
            rt::fence_acquire();
        }
        runtime.reset();
        is_over.store_release(true);
        spawner.join();
        int finished = 0;
        for (auto& each : handles) {
            cr_assert(each.is_finished());
            finished += ended_well(each) ? 1 : 0;
        }
        cr_assert_leq(finished, ran.load_acquire());
        handles.clear();
        cr_assert_eq(counted.live.load_acquire(), 0);
    });
}

// Threads that never stop spawning do not keep the runtime from its end.
Test(shutdown_storm, b094_ends_although_others_go_on_spawning) {
    repeat(1s, [](rt::base::random_source& random) {
        census counted;
        auto runtime = std::make_unique<rt::runtime>(with_workers(random.below(3)));
        rt::atomic<bool> is_over{false};
        std::vector<std::thread> spawners;
        for (int t = 0; t < 3; ++t) {
            spawners.emplace_back([&, onto = runtime->get_handle()] {
                while (!is_over.load_acquire()) {
                    onto.spawn([](member /*owned*/) -> task<void> {
                            co_await rt::yield();
                        }(member(counted)))
                        .detach();
                }
            });
        }
        for (std::uint32_t spin = random.below(100'000); spin != 0; --spin) {
            rt::fence_acquire();
        }
        runtime.reset();
        is_over.store_release(true);
        for (std::thread& each : spawners) {
            each.join();
        }
        cr_assert_eq(counted.live.load_acquire(), 0);
    });
}

Test(shutdown_storm, b094_wakes_from_outside_are_harmless_while_the_runtime_goes) {
    repeat(4s, [](rt::base::random_source& random) {
        census counted;
        auto runtime = std::make_unique<rt::runtime>(with_workers(random.below(5)));
        std::vector<std::unique_ptr<gate>> gates;
        for (int i = 0; i < 200; ++i) {
            gates.push_back(std::make_unique<gate>());
            runtime->get_handle().spawn(waits(gates.back().get(), member(counted))).detach();
        }
        rt::atomic<int> opened{0};
        std::thread opener([&] {
            for (auto& each : gates) {
                each->open();
                opened.add_acq_rel(1);
            }
        });
        const auto some = static_cast<int>(random.below(200));
        while (opened.load_acquire() < some) {
        }
        runtime.reset();
        opener.join();
        cr_assert_eq(counted.live.load_acquire(), 0);
    });
}

Test(shutdown_storm, aborts_from_outside_are_harmless_while_the_runtime_goes) {
    repeat(3s, [](rt::base::random_source& random) {
        census counted;
        gate never;
        auto runtime = std::make_unique<rt::runtime>(with_workers(random.below(5)));
        std::vector<rt::abort_handle> handles;
        for (int i = 0; i < 200; ++i) {
            auto child = runtime->get_handle().spawn(waits(&never, member(counted)));
            handles.push_back(child.abort_handle());
        }
        rt::atomic<int> aborted{0};
        std::thread aborter([&] {
            for (auto& each : handles) {
                each.abort();
                aborted.add_acq_rel(1);
            }
        });
        const auto some = static_cast<int>(random.below(200));
        while (aborted.load_acquire() < some) {
        }
        runtime.reset();
        aborter.join();
        for (auto& each : handles) {
            cr_assert(each.is_finished());
        }
        cr_assert_eq(counted.live.load_acquire(), 0);
    });
}

// Closures that run on the blocking pool meanwhile are waited for, and hand their results back.
Test(shutdown_storm, b099_blocking_closures_end_while_the_runtime_goes) {
    repeat(3s, [](rt::base::random_source& random) {
        census counted;
        rt::atomic<int> inside{0};
        auto runtime = std::make_unique<rt::runtime>(with_workers(random.below(5)));
        for (int i = 0; i < 20; ++i) {
            runtime->get_handle()
                .spawn([](rt::atomic<int>* count, member /*owned*/) -> task<void> {
                    for (;;) {
                        co_await rt::blocking([count] {
                            count->add_acq_rel(1);
                            std::this_thread::yield();
                            count->sub_acq_rel(1);
                        });
                    }
                }(&inside, member(counted)))
                .detach();
        }
        runtime->block_on([](std::uint32_t us) -> task<void> {
            co_await rt::sleep(std::chrono::microseconds(us));
        }(random.below(3000)));
        runtime.reset();
        cr_assert_eq(inside.load_acquire(), 0);
        cr_assert_eq(counted.live.load_acquire(), 0);
    });
}

// Headers of tasks are shared between the runtimes of a process. A shutdown looks at all of them;
// it must abort its own and no other.
Test(shutdown_storm, the_end_of_one_runtime_does_not_cancel_tasks_of_another) {
    rt::runtime lasting(with_workers(2));
    repeat(5s, [&](rt::base::random_source& random) {
        end_beside(lasting, with_workers(random.below(3)), yields_once, random);
    });
}

// The same where it is most likely to go wrong: the spawn hook holds each spawn onto the dying
// runtime up while its task can be seen and is in no queue yet.
Test(shutdown_storm, the_end_of_one_runtime_spares_the_next_owner_of_a_header) {
    rt::runtime lasting(with_workers(2));
    repeat(3s, [&](rt::base::random_source& random) {
        rt::config wanted = with_workers(random.below(3));
        wanted.hooks.on_task_spawn = [](const rt::task_info&) {
            std::this_thread::yield();
        };
        end_beside(lasting, wanted, naps, random);
    });
}

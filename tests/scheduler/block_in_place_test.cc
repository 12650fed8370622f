// SPDX-License-Identifier: MIT
//
// rt::block_in_place: who goes on while a function blocks a worker's thread, and what the task and
// its worker are afterwards. What must happen while the function blocks is what it waits for.
#include "scheduler/pool_state.h"
#include "scheduler/worker.h"
#include "support/test.h"
#include "task/gate.h"
#include "task/parent.h"
#include "task/sockets.h"

#include <rt/block_in_place.h>
#include <rt/blocking.h>
#include <rt/detail/atomic.h>
#include <rt/detail/context.h>
#include <rt/runtime.h>
#include <rt/spawn.h>
#include <rt/spawn_blocking.h>
#include <rt/spawn_on.h>
#include <rt/sync/mpsc.h>
#include <rt/task_local.h>
#include <rt/time.h>
#include <rt/yield.h>

#include <chrono>
#include <latch>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
using rt::block_in_place;
using rt::task;
using rt::test::adds_one;
using rt::test::gate;
using rt::test::hold_until;
using rt::test::on_workers;
using rt::test::read_one;
using rt::test::sockets;
using rt::test::with_workers;

template<typename F>
task<void> blocks(F function) {
    block_in_place(function);
    co_return;
}

} // namespace

Test(block_in_place, gives_what_the_function_returns_and_throws_what_it_throws) {
    on_workers({1, 2, 8}, [](rt::runtime& runtime) {
        runtime.block_on([]() -> task<void> {
            int place = 0;
            int& same = block_in_place([&]() -> int& { return place; });
            cr_assert_eq(&same, &place);
            auto moved = block_in_place([] { return std::make_unique<int>(7); });
            cr_assert_eq(*moved, 7);
            bool is_caught = false;
            try {
                block_in_place([] { throw std::runtime_error("thrown"); });
            } catch (const std::runtime_error& error) {
                is_caught = std::string(error.what()) == "thrown";
            }
            cr_assert(is_caught);
            co_await rt::yield(); // it is a task on a worker again
            co_await rt::sleep(1ms);
        }());
    });
}

Test(block_in_place, b158_blockers_do_not_stop_a_thousand_new_tasks) {
    on_workers({1, 2, 8}, [](rt::runtime& runtime) {
        runtime.block_on([]() -> task<void> {
            rt::atomic<int> blocked{0};
            rt::atomic<int> ran{0};
            std::vector<rt::join_handle<void>> blockers;
            for (int i = 0; i < 4; ++i) {
                blockers.push_back(rt::spawn(blocks([&] {
                    blocked.add_acq_rel(1);
                    hold_until(ran, 1000);
                })));
            }
            while (blocked.load_acquire() != 4) {
                co_await rt::yield();
            }
            for (int i = 0; i < 1000; ++i) {
                rt::spawn(adds_one, &ran).detach();
            }
            for (auto& each : blockers) {
                co_await std::move(each);
            }
        }());
    });
}

Test(block_in_place, b159_is_legal_on_workers_nested_and_outside) {
    cr_assert_eq(block_in_place([] { return block_in_place([] { return 1; }); }), 1);
    on_workers({1, 2, 8}, [](rt::runtime& runtime) {
        const int sum = runtime.block_on([]() -> task<int> {
            const int own = block_in_place([] { return block_in_place([] { return 1; }); });
            const int spawned = co_await rt::spawn([]() -> task<int> {
                co_return block_in_place([] { return block_in_place([] { return 2; }); });
            });
            co_return own + spawned +
                co_await rt::spawn_blocking([] { return block_in_place([] { return 4; }); });
        }());
        cr_assert_eq(sum, 7);
    });
}

Test(block_in_place, b159_on_a_current_thread_runtime_it_aborts_with_advice, .signal = SIGABRT) {
    rt::block_on(rt::test::single(), blocks([] {}));
}

// The tasks and timers of the only worker, and the sockets that it watches.
Test(block_in_place, a_lone_worker_s_tasks_timers_and_sockets_go_on) {
    on_workers({1, 2, 8}, [](rt::runtime& runtime) {
        for (int round = 0; round < 5; ++round) {
            runtime.block_on([]() -> task<void> {
                sockets pair;
                rt::atomic<int> begun{0};
                rt::atomic<int> ended{0};
                auto sleeper = rt::spawn([&]() -> task<void> {
                    begun.add_acq_rel(1);
                    co_await rt::sleep(2ms);
                    co_await rt::sleep(2ms);
                    ended.add_acq_rel(1);
                });
                auto reader = rt::spawn([&]() -> task<void> {
                    begun.add_acq_rel(1);
                    static_cast<void>(co_await read_one(&pair.near));
                    static_cast<void>(co_await read_one(&pair.near));
                    ended.add_acq_rel(1);
                });
                while (begun.load_acquire() != 2) {
                    co_await rt::yield();
                }
                co_await rt::yield();
                auto queued = rt::spawn(adds_one, &ended);
                block_in_place([&] {
                    pair.write('a');
                    pair.write('b');
                    hold_until(ended, 3);
                });
                co_await std::move(sleeper);
                co_await std::move(reader);
                co_await std::move(queued);
            }());
        }
    });
}

Test(block_in_place, what_the_function_spawns_and_wakes_runs_elsewhere_at_once) {
    on_workers({1, 2, 8}, [](rt::runtime& runtime) {
        runtime.block_on([]() -> task<void> {
            gate at;
            rt::atomic<int> ran{0};
            auto waiter = rt::spawn([&]() -> task<void> {
                co_await at.wait();
                ran.add_acq_rel(1);
            });
            while (at.waiting() != 1) {
                co_await rt::yield();
            }
            auto spawned = block_in_place([&] {
                at.open();
                auto child = rt::spawn(adds_one, &ran);
                hold_until(ran, 2);
                return child;
            });
            co_await std::move(spawned);
            co_await std::move(waiter);
        }());
    });
}

Test(block_in_place, b160_another_runtime_runs_in_it_and_the_task_yields_afterwards) {
    on_workers({1, 2, 8}, [](rt::runtime& runtime) {
        runtime.block_on([]() -> task<void> {
            const int seen = block_in_place([] {
                return rt::block_on(rt::test::single(), []() -> task<int> {
                    co_await rt::sleep(1ms);
                    co_await rt::yield();
                    co_return co_await rt::blocking([] { return 5; });
                }());
            });
            cr_assert_eq(seen, 5);
            cr_assert_eq(co_await rt::blocking([] { return 6; }), 6, "it has its own pool again");
            co_await rt::yield();
        }());
    });
}

Test(block_in_place, b161_b162_block_on_of_its_own_runtime_works_in_it) {
    on_workers({1, 2, 8}, [](rt::runtime& runtime) {
        for (int round = 0; round < 100; ++round) {
            const int seen = runtime.block_on([](rt::runtime* own) -> task<int> {
                co_return block_in_place([&] {
                    return own->block_on([](rt::runtime* same) -> task<int> {
                        co_await rt::yield();
                        co_return block_in_place([&] {
                            return same->block_on([]() -> task<int> {
                                co_await rt::yield();
                                co_return 3;
                            }());
                        });
                    }(own));
                });
            }(&runtime));
            cr_assert_eq(seen, 3);
        }
    });
}

// A value that is there takes a unit of a task's budget, and has a task without any wait its turn;
// in the function there is no task.
Test(block_in_place, b163_there_is_no_budget_in_it) {
    on_workers({1, 2, 8}, [](rt::runtime& runtime) {
        runtime.block_on([]() -> task<void> {
            constexpr int values = 10 * rt::detail::poll_budget;
            auto [tx, rx] = rt::mpsc::unbounded_channel<int>();
            for (int i = 0; i < values; ++i) {
                cr_assert(tx.send(i).has_value());
            }
            while (rt::has_budget()) {
                co_await rt::consume_budget();
            }
            const int received = block_in_place([&rx] {
                int count = 0;
                while (count < values && rx.blocking_recv() == count) {
                    ++count;
                }
                return count;
            });
            cr_assert_eq(received, values);
        }());
    });
}

// Tokio refuses it in local tasks. Here the worker that such a task is bound to comes back to it.
Test(block_in_place, b138_a_bound_task_blocks_and_stays_on_its_worker) {
    on_workers({1, 2, 8}, [](rt::runtime& runtime) {
        rt::atomic<int> others{0};
        runtime.block_on([](rt::runtime* runtime, rt::atomic<int>* others) -> task<void> {
            const rt::handle onto = runtime->get_handle();
            const std::uint32_t last = onto.worker_count() - 1;
            co_await onto.spawn_on(last, [](rt::atomic<int>* others) -> task<void> {
                const auto index = rt::worker_index();
                const auto thread = std::this_thread::get_id();
                rt::spawn(adds_one, others).detach();
                block_in_place([others] { hold_until(*others, 1); });
                cr_assert(rt::worker_index() == index);
                co_await rt::yield();
                cr_assert(rt::worker_index() == index);
                cr_assert(std::this_thread::get_id() == thread);
            }(others));
        }(&runtime, &others));
        cr_assert_eq(others.load_acquire(), 1);
    });
}

Test(block_in_place, b164_the_budget_is_in_force_again_afterwards) {
    on_workers({1, 2, 8}, [](rt::runtime& runtime) {
        const bool had_none = runtime.block_on([]() -> task<bool> {
            block_in_place([] {});
            bool seen = false;
            for (int i = 0; i < 1024; ++i) {
                seen = seen || !rt::has_budget();
                co_await rt::consume_budget();
            }
            co_return seen;
        }());
        cr_assert(had_none);
    });
}

Test(block_in_place, b165_what_has_yielded_runs_while_it_blocks) {
    on_workers({1, 2, 8}, [](rt::runtime& runtime) {
        runtime.block_on([]() -> task<void> {
            rt::atomic<int> turns{0};
            auto other = rt::spawn([&]() -> task<void> {
                turns.add_acq_rel(1);
                co_await rt::yield();
                turns.add_acq_rel(1);
            });
            while (turns.load_acquire() == 0) {
                co_await rt::yield();
            }
            block_in_place([&] { hold_until(turns, 2); });
            co_await std::move(other);
        }());
    });
}

Test(block_in_place, b166_blocking_and_other_tasks_all_end) {
    on_workers({1, 2, 8}, [](rt::runtime& runtime) {
        runtime.block_on([]() -> task<void> {
            rt::atomic<int> ran{0};
            std::vector<rt::join_handle<void>> all;
            for (int i = 0; i < 3000; ++i) {
                if (i % 3 == 0) {
                    all.push_back(rt::spawn(adds_one, &ran));
                    continue;
                }
                all.push_back(rt::spawn([&ran, yields = i % 2 == 0]() -> task<void> {
                    block_in_place([&] { ran.add_acq_rel(1); });
                    if (yields) {
                        co_await rt::yield();
                    }
                }));
            }
            for (auto& each : all) {
                co_await std::move(each);
            }
            cr_assert_eq(ran.load_acquire(), 3000);
        }());
    });
}

Test(block_in_place, many_block_at_once_until_all_do) {
    on_workers({1, 2, 8}, [](rt::runtime& runtime) {
        for (int round = 0; round < 3; ++round) {
            runtime.block_on([]() -> task<void> {
                constexpr int count = 40;
                std::latch all(count);
                std::vector<rt::join_handle<void>> blockers;
                for (int i = 0; i < count; ++i) {
                    blockers.push_back(rt::spawn(blocks([&] { all.arrive_and_wait(); })));
                }
                for (auto& each : blockers) {
                    co_await std::move(each);
                }
            }());
        }
    });
}

Test(block_in_place, the_task_keeps_its_locals_its_thread_and_its_children_s_parent) {
    static rt::task_local<int> number;
    on_workers({1, 2, 8}, [](rt::runtime& runtime) {
        runtime.block_on(number.scope(4, []() -> task<void> {
            const std::thread::id here = std::this_thread::get_id();
            const rt::detail::task_header* const self = rt::detail::this_thread.task;
            const auto* const worker = rt::detail::this_thread.worker;
            gate at;
            auto child = block_in_place([&] {
                cr_assert_eq(*number.get(), 4);
                cr_assert(std::this_thread::get_id() == here);
                cr_assert(rt::detail::this_thread.task == nullptr);
                return rt::spawn([wait = &at]() -> task<void> { co_await wait->wait(); });
            });
            cr_assert(rt::detail::this_thread.task == self);
            cr_assert(rt::detail::this_thread.worker == worker);
            cr_assert(rt::detail::this_thread.in_place == nullptr);
            cr_assert_eq(rt::test::parent_of(child.header()), *rt::current_task_id());
            at.open();
            co_await std::move(child);
        }()));
    });
}

// Two stand-ins and no more: the third call holds the last of them, so what is queued behind it
// waits until a call returns; it is run then, and nobody was made in vain.
Test(block_in_place, a_call_that_nobody_can_stand_in_for_is_a_long_turn) {
    constexpr int calls = 3;
    rt::config config = with_workers(1);
    config.blocking_threads_max = calls - 1;
    config.relief_threads = 0;
    rt::runtime runtime(config);
    rt::atomic<int> begun{0};
    rt::atomic<int> opened{0};
    rt::atomic<int> ran{0};
    const rt::handle handle = runtime.get_handle();
    std::vector<rt::join_handle<void>> all;
    for (int i = 0; i < calls; ++i) {
        all.push_back(handle.spawn(blocks([&] {
            begun.add_acq_rel(1);
            hold_until(opened, 1);
        })));
    }
    hold_until(begun, calls);
    all.push_back(handle.spawn(adds_one, &ran));
    cr_assert_eq(ran.load_acquire(), 0, "somebody is left who could run it");
    opened.store_release(1);
    runtime.block_on([](std::vector<rt::join_handle<void>> each) -> task<void> {
        for (auto& one : each) {
            co_await std::move(one);
        }
        const auto& pool = rt::detail::this_thread.worker->pool();
        cr_assert_eq(pool.index_end() - pool.workers.size(), std::size_t{calls - 1});
    }(std::move(all)));
    cr_assert_eq(ran.load_acquire(), 1);
}

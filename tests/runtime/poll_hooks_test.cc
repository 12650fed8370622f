// SPDX-License-Identifier: MIT
//
// The hooks around each poll: once before and once after, in pairs, with the task that it is about.
#include "support/runtimes.h"
#include "support/test.h"

#include <rt/block_in_place.h>
#include <rt/detail/atomic.h>
#include <rt/runtime.h>
#include <rt/select.h>
#include <rt/time.h>
#include <rt/yield.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
using rt::test::settings;
using rt::test::single;

// What was told about turns. A terminate hook is called within the last one.
struct turn_log {
    enum class kind { before, after, terminate };
    struct event {
        kind what;
        rt::task_info task;
        std::thread::id thread;
    };
    using counts = std::map<std::uint64_t, int>; // of turns, by the task's id

    std::mutex lock;
    std::vector<event> seen;

    std::function<void(const rt::task_info&)> add(kind what) {
        return [this, what](const rt::task_info& task) {
            const std::lock_guard hold(lock);
            seen.push_back({what, task, std::this_thread::get_id()});
        };
    }
    void install(rt::config& config) {
        config.hooks.on_before_task_poll = add(kind::before);
        config.hooks.on_after_task_poll = add(kind::after);
        config.hooks.on_task_terminate = add(kind::terminate);
    }
    // Asserts that each thread's turns follow one another, and that a task ends in its last one.
    // For a runtime that has ended.
    counts check() const {
        counts turns;
        std::map<std::thread::id, std::uint64_t> running; // 0: none
        std::set<std::uint64_t> ended;
        for (const event& each : seen) {
            std::uint64_t& current = running[each.thread];
            cr_assert_neq(each.task.id, 0);
            if (each.what == kind::before) {
                cr_assert_eq(current, 0, "a turn within a turn");
                cr_assert(!ended.contains(each.task.id));
                current = each.task.id;
                ++turns[current];
                continue;
            }
            cr_assert_eq(current, each.task.id);
            if (each.what == kind::after) {
                current = 0;
            } else {
                cr_assert(ended.insert(each.task.id).second);
            }
        }
        for (const auto& [thread, current] : running) {
            cr_assert_eq(current, 0, "a turn without an end");
        }
        cr_assert_eq(ended.size(), turns.size());
        return turns;
    }
};

// Those of on_every_runtime, and one worker with a thread of its own.
template<typename Body>
void with_one_worker_too(Body body) {
    rt::test::on_every_runtime(body);
    rt::config one = settings();
    one.workers = 1;
    body(one);
}

rt::task<void> relabels() {
    rt::set_task_label("two");
    co_await rt::yield();
}

rt::task<void> nothing() {
    co_return;
}

// Where one worker alone runs the child inside of this turn.
rt::task<void> relabels_and_joins() {
    rt::set_task_label("two");
    co_await rt::spawn(nothing);
}

rt::task<void> sleep_long() {
    co_await rt::sleep(1h);
}

// Waits for a count that only hooks change, and sleeps for ever if they do not.
rt::task<void> wait_for(rt::atomic<int>* count, int wanted) {
    while (count->load_relaxed() < wanted) {
        co_await rt::sleep(1ms);
    }
}

rt::task<void> yield_thrice() {
    for (int i = 0; i < 3; ++i) {
        co_await rt::yield();
    }
}

rt::task<void> sleep_thrice() {
    for (int i = 0; i < 3; ++i) {
        co_await rt::sleep(1ms);
    }
}

rt::task<void> spawn_and_join(int depth) {
    if (depth != 0) {
        co_await rt::spawn(spawn_and_join(depth - 1));
        co_await rt::spawn(spawn_and_join(depth - 1));
    }
}

rt::task<void> begin_and_sleep_long(rt::atomic<int>* begun) {
    begun->add_relaxed(1);
    co_await rt::sleep(1h);
}

} // namespace

// In one turn and in two; a turn inside of one ends its first piece.
Test(hooks, a_label_is_told_as_it_was_before_the_turn) {
    for (const auto body : {relabels, relabels_and_joins}) {
        turn_log log;
        rt::config config = single();
        log.install(config);
        rt::block_on(config, [](auto labelled) -> rt::task<void> {
            rt::spawn({.label = "one"}, labelled).detach();
            co_await rt::yield();
            co_await rt::yield();
        }(body));
        std::string labels;
        for (const turn_log::event& each : log.seen) {
            if (!each.task.label.is_empty()) {
                labels += each.task.label.text();
                labels += each.what == turn_log::kind::before ? "( "
                    : each.what == turn_log::kind::after      ? ") "
                                                              : ". ";
            }
        }
        cr_assert_str_eq(labels.c_str(), "one( one) two( two. two) ");
    }
}

Test(hooks, b078_poll_hooks_are_called_around_each_turn) {
    with_one_worker_too([](rt::config config) {
        turn_log log;
        std::uint64_t yielding = 0;
        std::uint64_t sleeping = 0;
        log.install(config);
        {
            rt::runtime runtime(config);
            rt::join_handle<void> first =
                runtime.get_handle().spawn({.name = "yields"}, yield_thrice());
            rt::join_handle<void> second = runtime.get_handle().spawn(sleep_thrice());
            yielding = first.id();
            sleeping = second.id();
            runtime.block_on([](auto one, auto other) -> rt::task<void> {
                co_await std::move(one);
                co_await std::move(other);
            }(std::move(first), std::move(second)));
        }
        const turn_log::counts turns = log.check();
        cr_assert_eq(turns.size(), 3, "these and the root");
        cr_assert_eq(turns.at(yielding), 4);
        cr_assert_eq(turns.at(sleeping), 4);
        for (const turn_log::event& each : log.seen) {
            const std::string name = each.task.name == nullptr ? "" : each.task.name;
            cr_assert_eq(name == "yields", each.task.id == yielding);
            cr_assert_not_null(
                std::strstr(each.task.spawned_at.file_name(), "hooks_test.cc"),
                "also when the task is gone"
            );
        }
    });
}

// A worker that is alone runs what a task spawns and joins inside the turn of that task.
Test(hooks, b078_a_turn_inside_a_turn_interrupts_it) {
    with_one_worker_too([](rt::config config) {
        turn_log log;
        log.install(config);
        rt::block_on(config, spawn_and_join(6));
        const turn_log::counts turns = log.check();
        cr_assert_eq(turns.size(), 127);
        // One for the beginning and one for the way back from each child, or two if the child's
        // turn inside of this one was not its last.
        int parents = 0;
        for (const auto& [id, count] : turns) {
            cr_assert_leq(count, 5);
            parents += count >= 3 ? 1 : 0;
        }
        if (config.workers != 2) {
            cr_assert_eq(parents, 63, "nobody but this worker could have run a child before");
        }
    });
}

Test(hooks, b078_branches_have_no_turns_of_their_own) {
    with_one_worker_too([](rt::config config) {
        turn_log log;
        log.install(config);
        rt::block_on(config, []() -> rt::task<void> {
            co_await rt::join(yield_thrice(), sleep_thrice(), nothing());
            co_await rt::join(spawn_and_join(1), rt::spawn(nothing()));
            co_await rt::select(yield_thrice(), sleep_long());
        }());
        cr_assert_eq(log.check().size(), 4, "the root and three that were spawned");
    });
}

Test(hooks, b078_a_turn_in_which_a_task_is_cancelled_has_both) {
    with_one_worker_too([](rt::config config) {
        turn_log log;
        log.install(config);
        rt::block_on(config, []() -> rt::task<void> {
            rt::join_handle<void> aborted = rt::spawn(sleep_long());
            rt::atomic<int> begun{0};
            rt::spawn(begin_and_sleep_long(&begun)).detach(); // the end of the runtime cancels it
            co_await wait_for(&begun, 1);
            aborted.abort();
            while (!aborted.is_finished()) {
                co_await rt::yield();
            }
        }());
        const std::size_t tasks = log.check().size();
        cr_assert_eq(tasks, 3);
    });
}

Test(hooks, b078_poll_hooks_go_on_while_a_task_blocks_in_place) {
    for (const unsigned workers : {1U, 2U}) {
        turn_log log;
        rt::config config = settings();
        config.workers = workers;
        log.install(config);
        rt::block_on(config, []() -> rt::task<void> {
            rt::join_handle<void> child = rt::spawn(yield_thrice());
            rt::block_in_place([&] {
                while (!child.is_finished()) {
                    std::this_thread::yield();
                }
            });
            co_await std::move(child);
        }());
        const turn_log::counts turns = log.check();
        cr_assert_eq(turns.size(), 2);
    }
}

Test(hooks, b078_each_poll_hook_may_be_set_alone_and_may_spawn) {
    constexpr int count = 20;
    for (const auto hook : {&rt::hooks::on_before_task_poll, &rt::hooks::on_after_task_poll}) {
        with_one_worker_too([hook](rt::config config) {
            rt::atomic<int> calls{0};
            rt::atomic<int> begun{0};
            config.hooks.*hook = [&](const rt::task_info&) {
                if (calls.add_relaxed(1) < count) {
                    rt::spawn([](rt::atomic<int>* all) -> rt::task<void> {
                        all->add_relaxed(1);
                        co_return;
                    }(&begun))
                        .detach();
                }
            };
            rt::runtime runtime(config);
            runtime.block_on(spawn_and_join(3));
            runtime.block_on(wait_for(&begun, count));
            cr_assert_eq(begun.load_relaxed(), count);
        });
    }
}

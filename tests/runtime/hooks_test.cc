// SPDX-License-Identifier: MIT
//
// config::hooks: when each is called, and that what it does or throws is harmless. Those around
// polls are in poll_hooks_test.cc.
#include "base/captured.h"
#include "support/runtimes.h"
#include "support/test.h"
#include "task/gate.h"

#include <rt/block_in_place.h>
#include <rt/blocking.h>
#include <rt/detail/atomic.h>
#include <rt/runtime.h>
#include <rt/spawn_blocking.h>
#include <rt/spawn_on.h>
#include <rt/sync/notify.h>
#include <rt/time.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <mutex>
#include <set>
#include <source_location>
#include <stdexcept>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
using rt::test::settings;
using rt::test::single;

// What was told about tasks.
struct event_log {
    std::mutex lock;
    std::vector<rt::task_info> seen;

    void add(const rt::task_info& one) {
        const std::lock_guard hold(lock);
        seen.push_back(one);
    }
    std::set<std::uint64_t> ids() {
        const std::lock_guard hold(lock);
        std::set<std::uint64_t> all;
        for (const rt::task_info& one : seen) {
            all.insert(one.id);
        }
        return all;
    }
};

rt::task<void> nothing() {
    co_return;
}

rt::task<void> sleep_long() {
    co_await rt::sleep(1h);
}

rt::task<void> spawn_many(int count) {
    std::vector<rt::join_handle<void>> children;
    for (int i = 0; i < count; ++i) {
        children.push_back(rt::spawn(nothing()));
    }
    for (rt::join_handle<void>& child : children) {
        co_await std::move(child);
    }
    co_await rt::spawn_blocking([] {});
}

rt::task<void> spawn_bound(std::set<std::uint64_t>* ids) {
    auto local = rt::spawn_local(nothing);
    auto chosen = rt::spawn_on(0, nothing);
    *ids = {local.id(), chosen.id()};
    co_await std::move(local);
    co_await std::move(chosen);
}

rt::task<void> use_threads() {
    co_await rt::blocking([] {});
    co_await rt::sleep(1ms);
}

// Waits for a count that only hooks change, and sleeps for ever if they do not.
rt::task<void> wait_for(rt::atomic<int>* count, int wanted) {
    while (count->load_relaxed() < wanted) {
        co_await rt::sleep(1ms);
    }
}

rt::task<void> spawn_and_join(int depth) {
    if (depth != 0) {
        co_await rt::spawn(spawn_and_join(depth - 1));
        co_await rt::spawn(spawn_and_join(depth - 1));
    }
}

rt::task<void> wait_for_note(rt::notify* note) {
    co_await note->notified();
}

rt::task<void> give_note(rt::notify* note) {
    note->notify_one();
    co_return;
}

} // namespace

Test(hooks, b070_start_and_stop_are_called_once_per_thread) {
    for (const auto keep : {10'000ms, 0ms}) {
        rt::atomic<int> started{0};
        rt::atomic<int> stopped{0};
        rt::config config = settings();
        config.blocking_keep_alive = keep;
        config.hooks.on_thread_start = [&] {
            started.add_relaxed(1);
        };
        config.hooks.on_thread_stop = [&] {
            stopped.add_relaxed(1);
        };
        {
            rt::runtime runtime(config);
            runtime.block_on(use_threads());
            cr_assert_geq(started.load_relaxed(), 2);
        }
        cr_assert_eq(started.load_relaxed(), stopped.load_relaxed());
        cr_assert_eq(started.load_relaxed(), 3, "two workers and a thread for the closure");
    }
}

Test(hooks, park_and_unpark_are_called_around_sleeping) {
    rt::test::on_every_runtime([](rt::config config) {
        rt::atomic<int> parks{0};
        rt::atomic<int> unparks{0};
        config.hooks.on_thread_park = [&] {
            parks.add_relaxed(1);
        };
        config.hooks.on_thread_unpark = [&] {
            unparks.add_relaxed(1);
        };
        rt::block_on(config, wait_for(&unparks, 3));
        cr_assert_geq(parks.load_relaxed(), unparks.load_relaxed());
    });
}

// The task that wakes the root is spawned by the hook: a worker that slept in spite of it would
// sleep for ever.
Test(hooks, b072_what_the_park_hook_spawns_is_run_before_sleeping) {
    rt::test::on_every_runtime([](rt::config config) {
        config.workers = config.flavor == rt::flavor::current_thread ? 0 : 1;
        for (const bool is_bound : {false, true}) {
            rt::notify note;
            rt::atomic<bool> has_spawned{false};
            config.hooks.on_thread_park = [&] {
                if (!has_spawned.exchange_acq_rel(true)) {
                    (is_bound ? rt::spawn_local(give_note(&note)) : rt::spawn(give_note(&note)))
                        .detach();
                }
            };
            rt::block_on(config, wait_for_note(&note));
        }
    });
}

Test(hooks, each_of_those_of_threads_may_be_set_alone) {
    for (const auto hook :
         {&rt::hooks::on_thread_start,
          &rt::hooks::on_thread_stop,
          &rt::hooks::on_thread_park,
          &rt::hooks::on_thread_unpark}) {
        rt::atomic<int> calls{0};
        rt::config config = settings();
        config.hooks.*hook = [&calls] {
            calls.add_relaxed(1);
        };
        rt::block_on(config, []() -> rt::task<void> {
            co_await rt::sleep(1ms);
        }());
        cr_assert_geq(calls.load_relaxed(), 1);
    }
}

Test(hooks, b070_a_thread_that_stands_in_for_a_worker_has_start_and_stop) {
    rt::atomic<int> started{0};
    rt::atomic<int> stopped{0};
    rt::config config = rt::test::exactly(1);
    config.hooks.on_thread_start = [&] {
        started.add_relaxed(1);
    };
    config.hooks.on_thread_stop = [&] {
        stopped.add_relaxed(1);
    };
    rt::block_on(config, []() -> rt::task<void> {
        rt::atomic<int> ran{0};
        auto child = rt::spawn(rt::test::adds_one, &ran);
        rt::block_in_place([&ran] { rt::test::hold_until(ran, 1); });
        co_await std::move(child);
    }());
    cr_assert_eq(started.load_relaxed(), 2);
    cr_assert_eq(stopped.load_relaxed(), 2);
}

Test(hooks, b071_a_root_that_the_park_hook_wakes_is_run_before_sleeping) {
    rt::test::on_every_runtime([](rt::config config) {
        rt::notify note;
        rt::atomic<bool> has_given{false};
        config.workers = config.flavor == rt::flavor::current_thread ? 0 : 1;
        config.hooks.on_thread_park = [&] {
            if (!has_given.exchange_acq_rel(true)) {
                note.notify_one();
            }
        };
        rt::block_on(config, wait_for_note(&note));
    });
}

// The worker never sleeps, since its hook always makes work: the wheel must be looked at all the
// same.
Test(hooks, b073_a_park_hook_that_always_makes_work_does_not_stop_timers) {
    rt::test::on_every_runtime([](rt::config config) {
        rt::notify note;
        config.workers = config.flavor == rt::flavor::current_thread ? 0 : 1;
        config.hooks.on_thread_park = [&] {
            note.notify_one();
        };
        rt::runtime runtime(config);
        rt::join_handle<void> timer = runtime.get_handle().spawn([]() -> rt::task<void> {
            co_await rt::sleep(5ms);
        }());
        while (!timer.is_finished()) {
            runtime.block_on(wait_for_note(&note));
        }
    });
}

Test(hooks, b075_b076_spawn_and_terminate_are_called_once_per_task) {
    constexpr int count = 1000;
    rt::test::on_every_runtime([](rt::config config) {
        event_log spawned;
        event_log ended;
        config.hooks.on_task_spawn = [&](const rt::task_info& one) {
            spawned.add(one);
        };
        config.hooks.on_task_terminate = [&](const rt::task_info& one) {
            ended.add(one);
        };
        rt::block_on(config, spawn_many(count));
        cr_assert_eq(spawned.seen.size(), count + 2, "the root and the closure are tasks as well");
        cr_assert_eq(ended.seen.size(), count + 2);
        cr_assert_eq(spawned.ids().size(), count + 2);
        cr_assert(spawned.ids() == ended.ids());
    });
}

Test(hooks, tasks_that_are_bound_have_them_too) {
    for (rt::config config : {settings(), single()}) {
        event_log seen[4];
        std::set<std::uint64_t> ids;
        auto* log = seen;
        for (const auto hook :
             {&rt::hooks::on_task_spawn,
              &rt::hooks::on_before_task_poll,
              &rt::hooks::on_after_task_poll,
              &rt::hooks::on_task_terminate}) {
            config.hooks.*hook = [into = log++](const rt::task_info& one) {
                into->add(one);
            };
        }
        rt::block_on(config, spawn_bound(&ids));
        cr_assert_eq(ids.size(), 2);
        for (event_log& each : seen) {
            const std::set<std::uint64_t> all = each.ids();
            cr_assert(std::includes(all.begin(), all.end(), ids.begin(), ids.end()));
        }
    }
}

Test(hooks, b077_they_are_told_name_and_place_of_the_spawn) {
    event_log spawned;
    rt::config config = settings();
    config.hooks.on_task_spawn = [&](const rt::task_info& one) {
        spawned.add(one);
    };
    rt::runtime runtime(config);
    const std::uint_least32_t line = std::source_location::current().line() + 1;
    runtime.get_handle().spawn(nothing()).detach();
    runtime.get_handle().spawn({.name = "named"}, nothing()).detach();
    cr_assert_eq(spawned.seen.size(), 2);
    cr_assert_eq(spawned.seen[0].spawned_at.line(), line);
    cr_assert_null(spawned.seen[0].name);
    cr_assert_eq(spawned.seen[1].spawned_at.line(), line + 1);
    cr_assert_str_eq(spawned.seen[1].name, "named");
    cr_assert(std::strstr(spawned.seen[1].spawned_at.file_name(), "hooks_test.cc") != nullptr);
}

Test(hooks, they_are_told_the_label) {
    event_log spawned;
    event_log ended;
    rt::config config = single();
    config.hooks.on_task_spawn = [&](const rt::task_info& one) {
        spawned.add(one);
    };
    config.hooks.on_task_terminate = [&](const rt::task_info& one) {
        ended.add(one);
    };
    rt::block_on(config, []() -> rt::task<void> {
        co_await rt::spawn({.label = "first"}, nothing);
        co_await rt::spawn({.label = "second"}, []() -> rt::task<void> {
            rt::set_task_label("second, and last");
            co_return;
        });
    }());
    cr_assert_eq(spawned.seen.size(), 3);
    cr_assert(spawned.seen[0].label.is_empty());
    cr_assert_str_eq(spawned.seen[1].label.text(), "first");
    cr_assert_str_eq(spawned.seen[2].label.text(), "second");
    cr_assert_eq(ended.seen.size(), 3);
    cr_assert_str_eq(ended.seen[0].label.text(), "first");
    cr_assert_str_eq(ended.seen[1].label.text(), "second, and last");
    cr_assert(ended.seen[2].label.is_empty());
}

Test(hooks, terminate_is_called_for_tasks_that_are_cancelled) {
    rt::atomic<int> ended{0};
    rt::config config = settings();
    config.hooks.on_task_terminate = [&](const rt::task_info&) {
        ended.add_relaxed(1);
    };
    {
        rt::runtime runtime(config);
        for (int i = 0; i < 10; ++i) {
            runtime.get_handle().spawn(sleep_long()).detach();
        }
    }
    cr_assert_eq(ended.load_relaxed(), 10);
}

Test(hooks, b082_a_hook_that_throws_is_reported_and_harmless) {
    const rt::test::captured got = rt::test::capture([] {
        rt::config config = settings();
        config.hooks.on_task_terminate = [](const rt::task_info&) {
            throw std::runtime_error("on purpose");
        };
        config.hooks.on_thread_start = [] {
            throw 1;
        };
        rt::runtime runtime(config);
        runtime.block_on(nothing());
        runtime.block_on(nothing());
    });
    cr_assert(got.has_exited());
    cr_assert(got.says("hook on_task_terminate has thrown: on purpose"));
    cr_assert(got.says("hook on_thread_start has thrown"));
}

Test(hooks, b082_every_hook_may_throw_on_every_runtime) {
    const rt::test::captured got = rt::test::capture([] {
        rt::test::on_every_runtime([](rt::config config) {
            const auto fails = [] {
                throw std::runtime_error("on purpose");
            };
            config.hooks.on_thread_start = fails;
            config.hooks.on_thread_stop = fails;
            config.hooks.on_thread_park = fails;
            config.hooks.on_thread_unpark = fails;
            config.hooks.on_task_spawn = [](const rt::task_info&) {
                throw std::runtime_error("on purpose");
            };
            config.hooks.on_before_task_poll = config.hooks.on_task_spawn;
            config.hooks.on_after_task_poll = config.hooks.on_task_spawn;
            config.hooks.on_task_terminate = config.hooks.on_task_spawn;
            rt::block_on(config, spawn_many(3));
            rt::block_on(config, spawn_and_join(3));
            rt::block_on(config, use_threads());
        });
    });
    cr_assert(got.has_exited(), "%s", got.text.c_str());
    for (const char* hook :
         {"on_thread_start",
          "on_thread_stop",
          "on_thread_park",
          "on_thread_unpark",
          "on_task_spawn",
          "on_before_task_poll",
          "on_after_task_poll",
          "on_task_terminate"}) {
        cr_assert(got.says(hook), "%s", hook);
    }
}

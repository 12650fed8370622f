// SPDX-License-Identifier: MIT
//
// How long tasks are ready before their turns (config::schedule_latency): told to the hooks around
// a turn, and a sample for each turn in the histogram.
//
// Whoever makes a task ready must say so. One that forgets leaves a time from before the task began
// to wait, and what the task is said to have been ready for, and has waited for, is then longer
// than the time that has passed. No test here depends on how fast the machine is.
#include "base/clock.h"
#include "metrics/histogram.h"
#include "runtime/core.h"
#include "support/runtimes.h"
#include "support/test.h"

#include <rt/blocking.h>
#include <rt/join.h>
#include <rt/runtime.h>
#include <rt/select.h>
#include <rt/spawn.h>
#include <rt/spawn_blocking.h>
#include <rt/spawn_on.h>
#include <rt/sync.h>
#include <rt/time.h>
#include <rt/version.h>
#include <rt/yield.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
using rt::task;
using std::chrono::nanoseconds;

constexpr nanoseconds none(-1);

// What the hooks around turns were told, by the names of tasks.
struct latencies {
    std::mutex lock;
    std::map<std::string, std::vector<nanoseconds>> before; // -1: a turn without one
    std::map<std::string, std::vector<nanoseconds>> after;
    bool has_other = false; // a hook of no turn was told one

    void install(rt::config& config) {
        config.hooks.on_before_task_poll = [this](const rt::task_info& one) {
            add(before, one);
        };
        config.hooks.on_after_task_poll = [this](const rt::task_info& one) {
            add(after, one);
        };
        config.hooks.on_task_spawn = [this](const rt::task_info& one) {
            const std::lock_guard hold(lock);
            has_other |= one.schedule_latency.has_value();
        };
        config.hooks.on_task_terminate = config.hooks.on_task_spawn;
    }
    void add(auto& where, const rt::task_info& one) {
        const std::lock_guard hold(lock);
        where[one.name == nullptr ? "" : one.name].push_back(one.schedule_latency.value_or(none));
    }
};

void spin_for(nanoseconds time) {
    const std::uint64_t end_ns =
        rt::base::monotonic_ns() + static_cast<std::uint64_t>(time.count());
    while (rt::base::monotonic_ns() < end_ns) {
    }
}

constexpr auto wait = 20ms;

task<void> nothing() {
    co_return;
}

task<void> nap(std::chrono::milliseconds time) {
    co_await rt::sleep(time);
}

task<void> notify_later(rt::notify* what) {
    co_await rt::sleep(wait);
    what->notify_one();
}

task<void> lock_for_long(rt::mutex* what, rt::notify* has_it) {
    const auto held = co_await what->lock();
    has_it->notify_one();
    co_await rt::sleep(wait);
}

task<void> send_later(rt::mpsc::sender<int> to) {
    co_await rt::sleep(wait);
    static_cast<void>(co_await to.send(1));
}

// Waits in each way there is, or spins before it yields; each time at least for `wait`, in which it
// is not ready. The number of times.
task<int> wait_in_every_way() {
    rt::notify changed;
    rt::mutex door;
    co_await rt::sleep(wait); // 1
    co_await rt::spawn(nap, wait);
    auto notifier = rt::spawn(notify_later, &changed); // 3
    co_await changed.notified();
    co_await std::move(notifier);
    auto holder = rt::spawn(lock_for_long, &door, &changed);
    co_await changed.notified();
    {
        const auto held = co_await door.lock(); // 4
    }
    co_await std::move(holder);
    auto [to, from] = rt::mpsc::channel<int>(1);
    auto sender = rt::spawn(send_later, std::move(to));
    static_cast<void>(co_await from.recv()); // 5
    co_await std::move(sender);
    co_await rt::blocking([] { spin_for(wait); });
    co_await rt::spawn_blocking([] { spin_for(wait); });
    co_await rt::join(nap(wait), nap(wait));
    co_await rt::select(nap(wait), nap(10h)); // 9
    for (int i = 0; i < 3; ++i) {
        spin_for(wait);
        co_await rt::yield();
    }
    co_return 12;
}

// Of the task "aborted", which waits until it is.
task<nanoseconds> abort_one_that_waits() {
    const std::uint64_t begin_ns = rt::base::monotonic_ns();
    auto doomed = rt::spawn({.name = "aborted"}, nap, 10h);
    co_await rt::sleep(wait);
    doomed.abort();
    bool is_aborted = false;
    try {
        co_await std::move(doomed);
    } catch (const rt::join_error&) {
        is_aborted = true;
    }
    cr_assert(is_aborted);
    co_return nanoseconds(rt::base::monotonic_ns() - begin_ns);
}

struct lives {
    nanoseconds waiter;
    nanoseconds aborted;
    int waits;
};

task<lives> live() {
    const std::uint64_t begin_ns = rt::base::monotonic_ns();
    lives had{};
    had.waits = co_await rt::spawn({.name = "waiter"}, wait_in_every_way);
    had.waiter = nanoseconds(rt::base::monotonic_ns() - begin_ns);
    had.aborted = co_await abort_one_that_waits();
    co_return had;
}

nanoseconds sum_of(const std::vector<nanoseconds>& all) {
    return std::accumulate(all.begin(), all.end(), nanoseconds(0));
}

// Holds up its worker after it has made others ready: one that is new, one that had waited.
task<void> hold_up(rt::notify* changed) {
    auto queued = rt::spawn({.name = "queued"}, nothing);
    changed->notify_one();
    spin_for(wait);
    co_await std::move(queued);
}

task<void> wait_for(rt::notify* changed) {
    co_await changed->notified();
}

task<void> wait_behind_another() {
    rt::notify changed;
    auto woken = rt::spawn({.name = "woken"}, wait_for, &changed);
    co_await rt::yield();
    co_await rt::yield();
    co_await rt::spawn(hold_up, &changed);
    co_await std::move(woken);
}

task<void> joins_one_that_is_bound() {
    co_await rt::spawn_local(nothing);
}

} // namespace

Test(schedule_latency, a_task_is_ready_from_its_wake_up_on) {
    rt::test::on_every_runtime([](rt::config config) {
        latencies seen;
        seen.install(config);
        config.schedule_latency = true;
        const lives had = rt::block_on(config, live());
        cr_assert(seen.before == seen.after);
        for (nanoseconds& each : seen.before["waiter"]) {
            each = std::max(each, 0ns); // a turn that goes on after one inside of it has none
        }
        const nanoseconds ready = sum_of(seen.before["waiter"]);
        cr_assert(ready > 0ns);
        cr_assert(ready + had.waits * wait <= had.waiter);
        cr_assert_eq(seen.before["aborted"].size(), 2U);
        cr_assert(sum_of(seen.before["aborted"]) + wait <= had.aborted);
        cr_assert_not(seen.has_other);
    });
}

Test(schedule_latency, b079_hooks_are_told_none_unless_it_is_measured) {
    rt::test::on_every_runtime([](rt::config config) {
        latencies seen;
        seen.install(config);
        rt::block_on(config, wait_behind_another());
        cr_assert_eq(seen.before["queued"].size(), 1U);
        for (const auto& [name, all] : seen.before) {
            for (const nanoseconds each : all) {
                cr_assert(each == none);
            }
        }
    });
}

Test(schedule_latency, b080_a_task_waits_for_its_runtime_to_be_driven) {
    latencies seen;
    rt::config config = rt::test::single();
    seen.install(config);
    config.schedule_latency = true;
    rt::runtime runtime(config);
    const std::uint64_t begin_ns = rt::base::monotonic_ns();
    auto early = runtime.get_handle().spawn({.name = "early"}, nothing());
    spin_for(wait);
    runtime.block_on([](rt::join_handle<void> one) -> task<void> {
        co_await std::move(one);
    }(std::move(early)));
    cr_assert_eq(seen.before["early"].size(), 1U);
    const nanoseconds passed(rt::base::monotonic_ns() - begin_ns);
    cr_assert(seen.before["early"][0] >= wait && seen.before["early"][0] <= passed);
    cr_assert(seen.before["early"] == seen.after["early"]);
}

Test(schedule_latency, b081_tasks_wait_behind_one_that_holds_their_worker_up) {
    for (const bool has_lifo_slot : {true, false}) {
        latencies seen;
        rt::config config = rt::test::settings();
        config.workers = 1;
        config.relief_threads = 0;
        config.lifo_slot = has_lifo_slot;
        seen.install(config);
        config.schedule_latency = true;
        rt::block_on(config, wait_behind_another());
        cr_assert_eq(seen.before["queued"].size(), 1U);
        cr_assert(seen.before["queued"][0] >= wait);
        cr_assert_eq(seen.before["woken"].size(), 2U);
        cr_assert(seen.before["woken"][1] >= wait);
    }
}

// The rest of the parent's turn, behind that of its child, did not wait for anything.
Test(schedule_latency, what_is_left_of_a_turn_after_one_inside_of_it_has_none) {
    latencies seen;
    rt::config config = rt::test::single();
    config.schedule_latency = true;
    seen.install(config);
    rt::block_on(config, []() -> task<void> {
        co_await rt::spawn({.name = "parent"}, []() -> task<void> { co_await rt::spawn(nothing); });
    }());
    for (const auto* all : {&seen.before["parent"], &seen.after["parent"]}) {
        cr_assert_eq(all->size(), 2U);
        cr_assert((*all)[0] != none);
        cr_assert((*all)[1] == none);
    }
}

Test(schedule_latency, b194_every_turn_is_one_sample) {
    if (!rt::features::metrics) {
        cr_skip_test("built without metrics");
    }
    for (const bool is_on : {true, false}) {
        rt::config config = rt::test::settings();
        config.schedule_latency = is_on;
        const auto core = std::make_shared<rt::engine::core>(config);
        cr_assert(core->start().text.empty());
        rt::detail::block_on(*core, wait_behind_another(), rt::detail::site::current());
        rt::detail::block_on(*core, joins_one_that_is_bound(), rt::detail::site::current());
        core->shut_down();
        std::uint64_t turns = 0;
        for (std::uint32_t i = 0; i < core->workers().view_count(); ++i) {
            turns += core->workers().view(i).counters->polls.load_relaxed();
        }
        const rt::metrics::histogram_data ready = core->workers().read_schedule_latency();
        cr_assert_geq(turns, 6U);
        cr_assert_eq(ready.total(), is_on ? turns : 0U);
    }
}

// SPDX-License-Identifier: MIT
//
// The walk over the tasks of a real runtime, without a socket.
//
// Method: a core that is put on the observed list by the test itself; tasks that wait for ever,
// that spin until they are told to stop, and that never get a turn because all workers spin.
#include "base/clock.h"
#include "introspect/observed.h"
#include "introspect/observed_core.h"
#include "introspect/snapshot.h"
#include "support/test.h"

#include <rt/detail/atomic.h>
#include <rt/join_set.h>
#include <rt/runtime.h>
#include <rt/spawn.h>
#include <rt/sync/mutex.h>
#include <rt/sync/notify.h>
#include <rt/sync/rwlock.h>
#include <rt/time.h>
#include <rt/yield.h>

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <utility>

using rt::introspect::no_deadline;
using rt::introspect::observed;
using rt::introspect::observed_core;
using rt::introspect::task_facts;
using rt::introspect::task_state;
using rt::introspect::walk_result;
using rt::introspect::walk_tasks;

namespace {

using namespace std::chrono_literals;

struct shared_state {
    rt::atomic<bool> stop{false};
    rt::atomic<int> spinning{0};
};

rt::task<void> waits(int /*number*/) {
    co_await rt::sleep(24h);
}

rt::task<void> spins(shared_state* state) {
    state->spinning.add_acq_rel(1);
    while (!state->stop.load_acquire()) {
    }
    co_return;
}

rt::task<void> holds(rt::mutex& lock, rt::rwlock& table) {
    const rt::mutex::guard held = co_await lock.lock();
    const rt::rwlock::write_guard writing = co_await table.write();
    co_await rt::sleep(24h);
}

rt::task<void> wants(rt::mutex& lock) {
    const rt::mutex::guard held = co_await lock.lock();
}

rt::task<void> reads(rt::rwlock& table) {
    const rt::rwlock::read_guard reading = co_await table.read();
}

rt::task<void> idles() {
    co_return;
}

std::map<task_state, int> count_states(walk_result& result) {
    std::map<task_state, int> counts;
    const auto runtimes = observed().read();
    result = walk_tasks(runtimes, no_deadline, [&](const task_facts& task) {
        ++counts[task.state];
        cr_assert(task.id != 0);
        if (task.state == task_state::waiting) {
            cr_assert(task.waits_for == rt::detail::wait_kind::sleep);
            cr_assert_eq(task.stack.frames.size(), 1U);
        }
    });
    return counts;
}

} // namespace

Test(snapshot, tasks_are_seen_in_their_states) {
    shared_state state; // goes after the core, whose tasks look at it
    observed_core core;
    for (int i = 0; i < 700; ++i) { // more than one batch
        core.spawn(waits(i));
    }
    walk_result result;
    while (count_states(result)[task_state::waiting] < 700) {
    }
    core.spawn(spins(&state));
    core.spawn(spins(&state));
    while (state.spinning.load_acquire() < 2) {
    }
    core.spawn(idles());
    core.spawn(idles());
    std::map<task_state, int> counts = count_states(result);
    cr_assert_eq(counts[task_state::waiting], 700);
    cr_assert_eq(counts[task_state::running], 2);
    cr_assert_eq(counts[task_state::ready], 2);
    cr_assert_eq(result.seen, 704U);
    cr_assert_eq(result.consistent, 704U);
    cr_assert(!result.is_cut);
    cr_assert_eq(rt::introspect::count_tasks_alive(), 704U);
    state.stop.store_release(true);
    while (rt::introspect::count_tasks_alive() > 700) {
    }
}

namespace {

rt::task<void> waits_late(rt::atomic<std::uint64_t>* since_ns) {
    const std::uint64_t end_ns = rt::base::monotonic_ns() + 5'000'000;
    while (rt::base::monotonic_ns() < end_ns) {
    }
    since_ns->store_release(end_ns);
    co_await rt::yield(); // the worker looks at the clock
    co_await rt::sleep(24h);
}

} // namespace

Test(snapshot, a_task_is_shown_with_the_time_when_it_began_to_wait) {
    rt::atomic<std::uint64_t> since_ns{0};
    observed_core core;
    core.spawn(waits_late(&since_ns));
    std::uint64_t shown_ns = 0;
    while (shown_ns == 0) {
        const auto runtimes = observed().read();
        walk_tasks(runtimes, no_deadline, [&](const task_facts& task) {
            shown_ns = task.state == task_state::waiting ? task.since_ns : 0;
        });
    }
    cr_assert_geq(shown_ns, since_ns.load_acquire());
    cr_assert_leq(shown_ns, rt::base::monotonic_ns());
}

Test(snapshot, who_waits_for_a_lock_is_shown_with_its_holder) {
    rt::mutex lock;
    rt::rwlock table;
    observed_core core;
    core.spawn(holds(lock, table));
    while (!lock.is_locked() || table.try_read()) {
    }
    core.spawn(wants(lock));
    core.spawn(reads(table));
    const auto runtimes = observed().read();
    std::map<std::uintptr_t, std::uint64_t> holders; // by lock
    std::uint64_t holder = 0;
    while (holders.size() < 2 || holder == 0) {
        holders.clear();
        holder = 0;
        walk_tasks(runtimes, no_deadline, [&](const task_facts& task) {
            if (task.waits_for == rt::detail::wait_kind::mutex && task.is_consistent) {
                holders[task.wait_object] = task.waits_on;
            } else if (task.waits_for == rt::detail::wait_kind::sleep) {
                holder = task.id;
                cr_assert_eq(task.waits_on, 0U);
            }
        });
    }
    cr_assert_eq(holders[reinterpret_cast<std::uintptr_t>(&lock)], holder);
    cr_assert_eq(holders[reinterpret_cast<std::uintptr_t>(&table)], holder);
}

namespace {

rt::task<void> joins(rt::join_handle<void> other) {
    co_await std::move(other);
}

rt::task<void> joins_any() {
    rt::join_set<void> all;
    all.spawn(waits(1));
    static_cast<void>(co_await all.join_next());
}

// Joins what it has just spawned: a lone worker runs that inside of this task's turn.
rt::task<void> joins_inside(shared_state* state) {
    co_await rt::spawn(spins(state));
}

rt::task<void> spawns_and_joins(shared_state* state) {
    co_await joins_inside(state);
}

} // namespace

Test(snapshot, who_joins_a_task_is_shown_with_it) {
    observed_core core;
    rt::join_handle<void> slept = core.spawn_joinable(waits(0));
    const std::uint64_t sleeper = slept.id();
    core.spawn(joins(std::move(slept)));
    core.spawn(joins_any());
    const auto runtimes = observed().read();
    int joining = 0;
    int joining_any = 0;
    while (joining + joining_any < 2) {
        joining = joining_any = 0;
        walk_tasks(runtimes, no_deadline, [&](const task_facts& task) {
            if (task.state != task_state::waiting || !task.is_consistent) {
                return;
            }
            if (task.waits_for == rt::detail::wait_kind::join) {
                ++joining;
                cr_assert_eq(task.waits_on, sleeper);
            } else if (task.waits_for == rt::detail::wait_kind::join_any) {
                ++joining_any;
                cr_assert_eq(task.waits_on, 0U);
            }
        });
    }
    cr_assert_eq(joining, 1);
}

// The parent's turn goes on, but it is its child that runs.
Test(snapshot, who_joins_a_task_that_runs_inside_its_turn_is_shown_as_waiting) {
    observed_core core(1);
    shared_state state;
    core.spawn(spawns_and_joins(&state));
    while (state.spinning.load_acquire() == 0) {
    }
    task_facts parent;
    task_facts child;
    const walk_result result =
        walk_tasks(observed().read(), no_deadline, [&](const task_facts& task) {
            (task.state == task_state::running ? child : parent) = task;
        });
    state.stop.store_release(true);
    cr_assert_eq(result.seen, 2U);
    cr_assert_eq(result.consistent, 2U);
    cr_assert_eq(child.parent_id, parent.id);
    cr_assert(parent.state == task_state::waiting);
    cr_assert(parent.waits_for == rt::detail::wait_kind::join);
    cr_assert_eq(parent.waits_on, child.id);
    cr_assert_eq(parent.stack.frames.size(), 2U, "from the join to the root");
    while (rt::introspect::count_tasks_alive() != 0) {
    }
}

Test(snapshot, a_bound_task_is_shown_with_its_worker) {
    observed_core core;
    rt::detail::launch(core.bound_to(1), waits(0), rt::detail::site::current()).detach();
    core.spawn(waits(0));
    walk_result result;
    while (count_states(result)[task_state::waiting] < 2) {
    }
    std::map<std::uint32_t, int> bound;
    const auto runtimes = observed().read();
    walk_tasks(runtimes, no_deadline, [&](const task_facts& task) { ++bound[task.bound_to]; });
    cr_assert_eq(bound[1], 1);
    cr_assert_eq(bound[rt::introspect::no_worker], 1);
}

Test(snapshot, a_deadline_that_has_passed_cuts_the_walk_after_a_batch) {
    observed_core core;
    for (int i = 0; i < 2000; ++i) {
        core.spawn(waits(i));
    }
    const auto runtimes = observed().read();
    const walk_result result = walk_tasks(runtimes, 0, [](const task_facts&) {});
    cr_assert(result.is_cut);
    cr_assert(result.seen < 2000);
}

Test(snapshot, tasks_of_other_runtimes_are_not_shown) {
    const observed_core seen;
    rt::config quiet;
    quiet.workers = 1;
    quiet.pin = rt::pin_mode::none;
    quiet.introspect = false;
    rt::runtime other(quiet);
    other.get_handle().spawn(waits(0)).detach();
    walk_result result;
    cr_assert(count_states(result).empty());
    cr_assert_eq(rt::introspect::count_tasks_alive(), 1U);
}

Test(snapshot, b202_a_walk_over_sleeping_workers_keeps_nobody_from_waking) {
    observed_core core;
    for (int round = 0; round < 100; ++round) {
        const auto runtimes = observed().read();
        walk_tasks(runtimes, no_deadline, [](const task_facts&) {});
        core.spawn(idles());
        while (rt::introspect::count_tasks_alive() != 0) {
        }
    }
}

Test(snapshot, b203_ten_thousand_ready_tasks_behind_held_workers_are_all_seen) {
    shared_state state; // goes after the core, whose tasks look at it
    observed_core core;
    core.spawn(spins(&state));
    core.spawn(spins(&state));
    while (state.spinning.load_acquire() < 2) {
    }
    for (int i = 0; i < 10'000; ++i) {
        core.spawn(idles());
    }
    walk_result result;
    std::map<task_state, int> counts = count_states(result);
    state.stop.store_release(true);
    cr_assert_eq(counts[task_state::ready], 10'000);
    cr_assert_eq(counts[task_state::running], 2);
}

// Goal: every task that lives throughout is reported once, however fast the others come and go.
// Method: walks while two tasks spawn without end.
Test(snapshot, a_walk_during_churn_shows_each_lasting_task_once) {
    observed_core core;
    static rt::atomic<bool> stop{false};
    constexpr auto churn = [](int) -> rt::task<void> {
        while (!stop.load_acquire()) {
            rt::join_handle<void> child = rt::spawn(idles());
            co_await std::move(child);
        }
    };
    for (int i = 0; i < 300; ++i) {
        core.spawn(waits(i));
    }
    walk_result result;
    while (count_states(result)[task_state::waiting] < 300) {
    }
    core.spawn(churn(0));
    core.spawn(churn(1));
    for (int round = 0; round < 50; ++round) {
        std::map<std::uint64_t, int> times;
        int lasting = 0;
        walk_tasks(observed().read(), no_deadline, [&](const task_facts& task) {
            ++times[task.id];
            lasting += task.waits_for == rt::detail::wait_kind::sleep ? 1 : 0;
        });
        cr_assert_eq(lasting, 300);
        for (const auto& [id, count] : times) {
            cr_assert_eq(count, 1);
        }
    }
    stop.store_release(true);
}

// ---- from inside, and while tasks are woken -----------------------------------------------------

namespace {

rt::task<void> yields_for_ever() {
    for (;;) {
        co_await rt::yield();
    }
}

rt::task<void> calls_it() {
    co_await yields_for_ever();
}

rt::task<void> calls_that() {
    co_await calls_it();
}

rt::task<void> dumps_three_others() {
    std::map<std::uint64_t, std::uint64_t> parents; // of those that are to be seen
    const std::uint64_t self = *rt::current_task_id();
    for (int i = 0; i < 3; ++i) {
        rt::join_handle<void> child = rt::spawn(calls_that);
        parents[child.id()] = self;
        child.detach();
    }
    for (int i = 0; i < 3; ++i) {
        co_await rt::yield();
    }
    int running = 0;
    rt::introspect::site_cache sites;
    walk_tasks(observed().read(), no_deadline, [&](const task_facts& task) {
        cr_assert(task.is_consistent);
        if (task.id == self) {
            ++running;
            cr_assert(task.state == task_state::running);
            return;
        }
        cr_assert_eq(parents[task.id], task.parent_id);
        cr_assert_eq(parents.erase(task.id), 1U);
        cr_assert(task.state == task_state::ready);
        cr_assert(task.stack.end == rt::introspect::async_stack::ending::root);
        std::string chain;
        for (const auto& frame : task.stack.frames) {
            const std::string& function = sites.find(frame.site).function;
            for (const char* const name : {"yields_for_ever", "calls_it", "calls_that"}) {
                chain += function.find(name) != std::string::npos ? name + std::string(" ") : "";
            }
        }
        cr_assert_str_eq(chain.c_str(), "yields_for_ever calls_it calls_that ");
        cr_assert_eq(task.stack.frames.size(), 3U);
    });
    cr_assert_eq(running, 1);
    cr_assert(parents.empty());
}

struct churn {
    rt::atomic<bool> is_over{false};
    rt::atomic<long> timers{0};
    rt::atomic<long> wakes{0};
    rt::notify changed;
};

rt::task<void> sleeps_again(churn* of) {
    while (!of->is_over.load_acquire()) {
        co_await rt::sleep(1ms);
        of->timers.add_relaxed(1);
    }
}

rt::task<void> waits_again(churn* of) {
    while (!of->is_over.load_acquire()) {
        co_await of->changed.notified();
        of->wakes.add_relaxed(1);
    }
}

} // namespace

Test(snapshot, b196_a_task_sees_the_call_chains_of_the_others_on_current_thread) {
    observed_core core(0);
    core.block_on(dumps_three_others());
}

// The workers have no part in the walk, and a foreign thread wakes their tasks.
Test(snapshot, b199_walks_while_timers_and_another_thread_wake_tasks) {
    constexpr int each = 50;
    churn shared; // goes after the core, whose tasks look at it
    observed_core core;
    for (int i = 0; i < each; ++i) {
        core.spawn(sleeps_again(&shared));
        core.spawn(waits_again(&shared));
    }
    std::thread waker([&] {
        while (!shared.is_over.load_acquire()) {
            shared.changed.notify_waiters();
        }
    });
    const auto runtimes = observed().read();
    long complete = 0; // stacks of tasks that stood still
    for (int walks = 0; walks < 200 || shared.timers.load_relaxed() < 10 * each ||
         shared.wakes.load_relaxed() < 10 * each || complete < each;
         ++walks) {
        std::map<std::uint64_t, int> times;
        walk_tasks(runtimes, no_deadline, [&](const task_facts& task) {
            ++times[task.id];
            if (task.is_consistent && task.state == task_state::waiting) {
                ++complete;
                cr_assert_eq(task.stack.frames.size(), 1U);
                cr_assert(task.stack.end == rt::introspect::async_stack::ending::root);
            }
        });
        cr_assert_eq(times.size(), std::size_t{2 * each});
        for (const auto& [id, count] : times) {
            cr_assert_eq(count, 1);
        }
    }
    shared.is_over.store_release(true);
    waker.join();
    while (rt::introspect::count_tasks_alive() != 0) {
        shared.changed.notify_waiters();
    }
}

// SPDX-License-Identifier: MIT
//
// What the workers count when they fall asleep, wake up and go away.
#include "scheduler/counted.h"
#include "support/test.h"
#include "task/gate.h"

#include <rt/block_in_place.h>
#include <rt/blocking.h>
#include <rt/runtime.h>
#include <rt/spawn.h>
#include <rt/time.h>
#include <rt/yield.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <thread>
#include <utility>

#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace {

using namespace std::chrono_literals;
using rt::task;
using rt::metrics::worker_counters;
using rt::test::counted;
using rt::test::gate;

task<void> nothing() {
    co_return;
}

task<void> sleeps() {
    co_await rt::sleep(1ms);
}

task<void> sleeps_long() {
    co_await rt::sleep(1h);
}

// Until each worker sleeps and has counted that: one more park than unparks. Returns the most parks
// of one worker, and notes the fewest.
std::uint64_t most_parks(counted& runtime, std::uint64_t* fewest) {
    runtime.wait_until_parked();
    std::uint64_t most = 0;
    *fewest = UINT64_MAX;
    for (std::uint32_t i = 0; i < runtime.pool().worker_count(); ++i) {
        const worker_counters& seen = *runtime.pool().view(i).counters;
        // The park is counted after the state is shown.
        while (seen.parks.load_relaxed() != seen.unparks.load_relaxed() + 1) {
            std::this_thread::yield();
        }
        most = std::max(most, seen.parks.load_relaxed());
        *fewest = std::min(*fewest, seen.parks.load_relaxed());
    }
    return most;
}

} // namespace

Test(park_counters, b179_every_worker_that_waits_for_a_timer_has_parked) {
    counted current(0);
    current.block_on(sleeps());
    cr_assert_geq(current.sum(&worker_counters::parks), 1U);
    for (const std::uint32_t workers : {1U, 2U, 4U}) {
        counted runtime(workers);
        runtime.block_on(sleeps());
        std::uint64_t fewest = 0;
        cr_assert_geq(most_parks(runtime, &fewest), 2U, "the one that slept until the timer");
        cr_assert_geq(fewest, 1U);
    }
}

Test(park_counters, b180_parks_and_unparks_differ_by_one_while_a_worker_sleeps) {
    for (const std::uint32_t workers : {1U, 2U, 4U}) {
        counted runtime(workers);
        std::uint64_t fewest = 0;
        cr_assert_eq(most_parks(runtime, &fewest), 1U, "nothing has happened yet");
        cr_assert_eq(fewest, 1U);
        runtime.block_on(nothing());
        cr_assert_geq(most_parks(runtime, &fewest), 2U, "who was called has parked again");
        runtime.end();
        for (std::uint32_t i = 0; i < workers; ++i) {
            const worker_counters& seen = *runtime.pool().view(i).counters;
            cr_assert_eq(seen.parks.load_relaxed(), seen.unparks.load_relaxed());
        }
    }
}

Test(park_counters, b180_a_thread_that_leaves_block_on_is_not_parked) {
    counted runtime(0);
    cr_assert_eq(runtime.sum(&worker_counters::parks), 0U);
    for (int i = 0; i < 3; ++i) {
        runtime.block_on(sleeps());
        cr_assert_eq(runtime.sum(&worker_counters::parks), runtime.sum(&worker_counters::unparks));
    }
}

// A signal that is not meant for anything wakes the worker, which finds nothing to do.
Test(park_counters, b185_a_wake_up_for_nothing_is_counted) {
    counted runtime(2);
    runtime.wait_until_parked();
    cr_assert_eq(runtime.pool().view(0).counters->noop_parks.load_relaxed(), 0U);
    while (runtime.pool().view(0).counters->noop_parks.load_relaxed() == 0) {
        cr_assert_eq(::syscall(SYS_tgkill, ::getpid(), runtime.pool().view(0).tid, SIGURG), 0);
        std::this_thread::yield();
    }
    cr_assert_eq(runtime.sum(&worker_counters::polls), 0U);
}

// Hangs if they are not: a wake-up counts if the worker slept already.
Test(park_counters, wake_ups_are_counted_by_who_sends_them) {
    counted runtime(1);
    const std::uint64_t before = rt::test::sum_outside(&worker_counters::wakes_sent);
    while (rt::test::sum_outside(&worker_counters::wakes_sent) == before) {
        runtime.wait_until_parked();
        runtime.block_on(nothing());
    }
}

Test(park_counters, closures_are_counted_and_so_is_what_was_taken_from_the_lifo_slot) {
    counted runtime(1);
    const std::uint64_t closures = runtime.sum(&worker_counters::blocking_jobs, true);
    runtime.block_on([]() -> task<void> {
        const worker_counters& own = *rt::metrics::this_worker;
        const std::uint64_t hits = own.lifo_hits.load_relaxed();
        gate at;
        auto child = rt::spawn([wait = &at]() -> task<void> { co_await wait->wait(); });
        co_await rt::yield(); // it waits
        at.open();
        co_await std::move(child);
        cr_assert_geq(own.lifo_hits.load_relaxed() - hits, 1);
        rt::block_in_place([] {});
        rt::block_in_place([] {});
    }());
    cr_assert_eq(runtime.sum(&worker_counters::in_place), 2);
    runtime.block_on([]() -> task<void> {
        co_await rt::blocking([] {});
    }());
    cr_assert_eq(runtime.sum(&worker_counters::blocking_jobs, true) - closures, 1);
}

Test(park_counters, timers_are_shown_while_they_are_armed) {
    counted runtime(1);
    {
        const rt::join_handle<void> sleeper = runtime.spawn(sleeps_long());
        while (runtime.pool().view(0).timers != 1) {
            std::this_thread::yield();
        }
        sleeper.abort();
    }
    while (runtime.pool().view(0).timers != 0) {
        std::this_thread::yield();
    }
}

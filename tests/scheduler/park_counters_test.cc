// SPDX-License-Identifier: MIT
//
// What the workers count when they fall asleep and wake up.
#include "scheduler/counted.h"
#include "support/test.h"

#include <rt/runtime.h>
#include <rt/time.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <thread>

#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace {

using namespace std::chrono_literals;
using rt::task;
using rt::metrics::worker_counters;
using rt::test::counted;

task<void> nothing() {
    co_return;
}

task<void> sleeps() {
    co_await rt::sleep(1ms);
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

// SPDX-License-Identifier: MIT
//
// What the workers count when they fall asleep and wake up.
#include "scheduler/counted.h"
#include "support/test.h"

#include <rt/runtime.h>
#include <rt/time.h>

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

} // namespace

Test(park_counters, b179_b180_parks_and_unparks_differ_by_one_while_a_worker_sleeps) {
    counted runtime(2);
    runtime.block_on([]() -> task<void> {
        co_await rt::sleep(1ms);
    }());
    runtime.wait_until_parked();
    for (std::uint32_t i = 0; i < 2; ++i) {
        // The park is counted after the state is shown.
        const worker_counters& seen = *runtime.pool().view(i).counters;
        while (seen.parks.load_relaxed() != seen.unparks.load_relaxed() + 1) {
            std::this_thread::yield();
        }
        cr_assert_geq(seen.parks.load_relaxed(), 1U);
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

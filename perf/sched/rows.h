// SPDX-License-Identifier: MIT
//
// perf-sched: the scheduler's workloads, one row each. Every row has a twin of the same name in the
// programs below peers/, written from the same definition, so that ratios mean something.
//
// Where a definition says that the main thread spawns or waits, the rows do that from the main
// thread, which is no worker: through rt::handle and a semaphore. Where it says block_on, they use
// rt::runtime::block_on, which runs its task on a worker; Tokio runs it on the caller. That is a
// difference between the two, and part of what is measured.
//
// The tables are by theme, a file each, and add themselves (perf::table).
#pragma once

#include "support/bench.h"

#include <rt/detail/atomic.h>
#include <rt/rt.h>

#include <cstdint>
#include <memory>
#include <semaphore>

namespace sched {

// How a task tells the main thread, which is no task, that something is done.
using signal = std::counting_semaphore<>;

// What a bench's runtime is made from: the defaults, so that everything that users get by default
// is measured too. No workers: the calling thread is the worker.
inline rt::config config_for(std::uint32_t workers) {
    rt::config config;
    config.workers = workers;
    if (workers == 0) {
        config.flavor = rt::flavor::current_thread;
        config.workers = 1;
    }
    return config;
}

// What the tasks of an iteration share when the last of them is to tell the main thread, as in
// Tokio's benches: a shared counter and a signal, each owned by each task through a reference.
struct countdown {
    std::shared_ptr<rt::atomic<std::uint32_t>> remaining =
        std::make_shared<rt::atomic<std::uint32_t>>();
    std::shared_ptr<signal> done = std::make_shared<signal>(0);

    // Relaxed: the semaphore orders what main reads afterwards.
    void finish_one() const {
        if (remaining->sub_relaxed(1) == 1) {
            done->release();
        }
    }
};

} // namespace sched

// SPDX-License-Identifier: MIT
//
// What each worker counts: one block of single-writer counters per worker, on cache lines of its
// own.
//
// The owner adds with a relaxed load and a relaxed store (0.3 ns measured); the observer reads with
// relaxed loads at any time. Each counter is exact and monotonic; two counters of one worker may be
// one event apart, and a sum over workers is not a snapshot. Threads that are not workers have
// blocks of the same kind: one that counts something takes one, and leaves it to the next when it
// exits, with what it has counted; so blocks only ever grow, and there are as many as there were
// such threads at once. All of them in one block, with atomic additions, made two threads that
// spawn from outside wait for each other's cache line at every spawn.
// The X-list is the only place where a counter is named: the metrics page, the socket and the tests
// are generated from it.
#pragma once

#include "metrics/histogram.h"

#include <rt/detail/atomic.h>
#include <rt/detail/config.h>

#include <cstdint>

namespace rt::metrics {

// name, metric family, help text
#define RT_WORKER_COUNTERS(X)                                                                      \
    X(spawned, "librt_tasks_spawned", "Tasks created")                                             \
    X(completed, "librt_tasks_completed", "Tasks that ran to their end")                           \
    X(cancelled, "librt_tasks_cancelled", "Tasks that were cancelled")                             \
    X(polls, "librt_worker_polls", "Turns given to tasks")                                         \
    X(ticks, "librt_worker_ticks", "Rounds of the worker loop")                                    \
    X(yields, "librt_task_yields", "Times a task gave up its turn")                                \
    X(budget_yields, "librt_budget_yields", "Yields after a turn that used up its budget")         \
    X(local_schedules, "librt_local_schedules", "Tasks queued on the worker's own queue")          \
    X(remote_schedules, "librt_remote_schedules", "Tasks queued on an injection queue")            \
    X(lifo_hits, "librt_lifo_hits", "Turns taken from the LIFO slot")                              \
    X(overflows, "librt_queue_overflows", "Times half a full queue was moved to injection")        \
    X(injected, "librt_injected_tasks", "Tasks taken from an injection queue")                     \
    X(steal_operations, "librt_steal_operations", "Successful steals")                             \
    X(steal_tasks, "librt_steal_tasks", "Tasks stolen")                                            \
    X(steal_failures, "librt_steal_failures", "Searches that found nothing to steal")              \
    X(parks, "librt_worker_parks", "Times the worker slept")                                       \
    X(unparks, "librt_worker_unparks", "Times the worker came back from sleep")                    \
    X(noop_parks, "librt_worker_noop_parks", "Times it slept again without a turn in between")     \
    X(wakes_sent, "librt_wakes_sent", "Workers woken by this one")                                 \
    X(kicks_sent, "librt_kicks_sent", "Signals sent to workers in a long turn")                    \
    X(reliefs, "librt_reliefs", "Times all workers were held and a stand-in was called")           \
    X(driver_enters, "librt_driver_enters", "System calls made to submit, poll or wait")           \
    X(driver_events, "librt_driver_events", "Completions or readiness events handled")             \
    X(timers_armed, "librt_timers_armed", "Timers put into the wheel")                             \
    X(timers_fired, "librt_timer_fires", "Timers that expired")                                    \
    X(sources_opened, "librt_sources_opened", "File descriptors registered with the driver")       \
    X(sources_closed, "librt_sources_closed", "File descriptors taken out of the driver")          \
    X(in_place, "librt_blocks_in_place", "Times a task blocked in place")                          \
    X(blocking_jobs, "librt_blocking_jobs", "Closures handed to the blocking pool")

struct alignas(128) worker_counters {
#define RT_DECLARE(name, family, help) atomic<std::uint64_t> name{0};
    RT_WORKER_COUNTERS(RT_DECLARE)
#undef RT_DECLARE

    histogram* poll_times = nullptr; // constant; null unless config::poll_histogram asks for it
    std::uint64_t poll_started = 0;  // owner; base::ticks() of the turn that is measured
    histogram* schedule_latency = nullptr; // constant; null unless config::schedule_latency
};

// A block of threads that are no workers. Published once, never freed.
struct outside_counters : worker_counters {
    outside_counters* next = nullptr; // constant once published
    atomic<bool> is_taken{true};      // by the thread that writes it
};

// The calling thread's block; null until it counts for the first time if it is no worker. Set by
// the worker for its own lifetime.
extern constinit thread_local worker_counters* this_worker
    __attribute__((tls_model("initial-exec")));

// The newest of the blocks of threads that are not workers; the others follow. Never null.
[[nodiscard]] const outside_counters* first_outside() noexcept;

// Adds to a block of the calling thread's, which is no worker and has none yet.
void add_outside(atomic<std::uint64_t> worker_counters::*counter, std::uint64_t n) noexcept;

// Of a worker that has not started: all are 0.
extern constinit worker_counters no_counters;

// Adds to one counter of the calling thread.
inline void add(atomic<std::uint64_t> worker_counters::*counter, std::uint64_t n) noexcept {
    if constexpr (features::metrics) {
        if (this_worker != nullptr) [[likely]] {
            (this_worker->*counter).bump_relaxed(n);
        } else {
            add_outside(counter, n);
        }
    }
}

inline void count(atomic<std::uint64_t> worker_counters::*counter) noexcept {
    add(counter, 1);
}

inline void count_spawn() noexcept {
    count(&worker_counters::spawned);
}

inline void count_end(bool was_cancelled) noexcept {
    count(was_cancelled ? &worker_counters::cancelled : &worker_counters::completed);
}

} // namespace rt::metrics

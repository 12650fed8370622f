// SPDX-License-Identifier: MIT
//
// rt::config: how a runtime is made.
//
//     rt::runtime runtime({.workers = 4, .cpus = "0-3"});
//
// A plain struct, which is copied; nothing looks at it after the runtime has started. It is checked
// as a whole then, together with the LIBRT_* variables that override its fields. What a change of a
// field is good for is in librt-tuning(7), a page that names the variables too.
#pragma once

#include <rt/hooks.h>

#include <chrono>
#include <cstdint>
#include <string>

namespace rt {

enum class flavor : std::uint8_t {
    multi_thread,   // `workers` threads that steal from one another
    current_thread, // one worker: the thread that calls block_on
};

// To what a worker thread is pinned.
enum class pin_mode : std::uint8_t {
    automatic, // `cpu` when the process has the CPUs to itself, else `cache`
    none,
    cpu,   // one CPU
    cache, // the CPUs that share its last-level cache
    node,  // the CPUs of its NUMA node
};

// What becomes of an exception that no join handle will see.
enum class unhandled_exception : std::uint8_t {
    ignore,
    report,    // a line on standard error
    shut_down, // the same, then every task is cancelled, and block_on throws the exception
};

enum class driver_kind : std::uint8_t { automatic, uring, epoll };

struct config {
    rt::flavor flavor = rt::flavor::multi_thread;
    // Worker threads; 0: one per physical core in the cpuset, within the cgroup's quota. Range
    // 1-1024.
    std::uint32_t workers = 0;
    // CPUs to use, as "0-3,8"; empty: all that the process may use.
    std::string cpus;
    pin_mode pin = pin_mode::automatic;
    driver_kind driver = driver_kind::automatic;
    // Submission entries per ring, a power of two, 32-4096. Rings count against RLIMIT_MEMLOCK.
    std::uint32_t ring_entries = 256;
    // Task turns between two looks at the driver. Range 1-65536.
    std::uint32_t event_interval = 61;
    // Task turns between two looks at the injection queue while the worker has its own work; 0: as
    // many as take about 200 us, 2-127. Range 0-65536.
    std::uint32_t inject_interval = 0;
    // Whether the task that was woken last has the next turn, up to 7 times in a row.
    bool lifo_slot = true;
    // While all workers are in long turns and something waits, threads that run it in their place,
    // at most; 0-512. With 0 it waits. Not for flavor::current_thread.
    std::uint32_t relief_threads = 4;
    // Threads for rt::blocking, at most; 1-65536.
    std::uint32_t blocking_threads_max = 512;
    // How long an idle blocking thread stays.
    std::chrono::milliseconds blocking_keep_alive{10'000};
    // Stack of workers and of threads for rt::blocking, in KiB; 0: as ulimit -s says. Range 64 to
    // 1048576.
    std::uint32_t thread_stack_kib = 0;
    // Threads that rt makes are called NAME-w0, NAME-b0, ...; at most 10 characters.
    std::string name = "rt";
    // Whether this process answers on its introspection socket.
    bool introspect = true;
    // Path of that socket; empty: see man librt-introspect(7).
    std::string socket_path;
    // What an exception does that leaves a task whose join handle is gone.
    unhandled_exception unhandled = unhandled_exception::report;
    // Whether to measure what each turn of a task takes, for the metrics: two looks at the clock.
    bool poll_histogram = false;
    // Whether to measure how long each task is ready before its turn, for the metrics and for the
    // hooks around turns: a look at the clock for each wake-up and each turn.
    bool schedule_latency = false;
    // Where random choices begin: victims of theft, and rt::select. 0: not set; they are the same
    // in each thread.
    std::uint64_t seed = 0;
    // For tests: rt::clock begins paused (rt/paused_clock.h). Only with flavor::current_thread.
    bool start_paused = false;
    // Called at certain moments in the life of threads and tasks (rt/hooks.h).
    rt::hooks hooks;
};

} // namespace rt

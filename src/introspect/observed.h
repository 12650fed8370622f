// SPDX-License-Identifier: MIT
//
// The runtimes that may be looked at, and copies of what they publish.
//
// A runtime is added once its workers run and removed before they are destroyed; the list's lock is
// held only while plain values are copied out, so neither a start nor a stop ever waits for a dump.
// Everything above works on the copies. Counters of removed runtimes are folded into one block, and
// the sums of the process never go backwards: what a thread had used when it was looked at last is
// kept here, because the file that says so goes with the thread, which may be before the runtime is
// removed; and of a runtime that goes during a look either its own figures are in it, or the block.
//
// Threads: add and remove by whoever starts and stops runtimes; the rest by the sentinel.
#pragma once

#include "blocking/pool.h"
#include "metrics/worker_counters.h"
#include "runtime/core.h"
#include "scheduler/scheduler.h"

#include <rt/runtime.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

namespace rt::introspect {

struct counter_name {
    std::string_view name;
    std::string_view family; // metric family, without _total
    std::string_view help;
};

#define RT_COUNTER_NAME(name, family, help) counter_name{#name, family, help},
inline constexpr counter_name counter_names[] = {RT_WORKER_COUNTERS(RT_COUNTER_NAME)};
#undef RT_COUNTER_NAME
inline constexpr std::size_t counter_count = std::size(counter_names);

// One block of worker counters, in the order of counter_names.
using counter_values = std::array<std::uint64_t, counter_count>;

[[nodiscard]] counter_values read_counters(const metrics::worker_counters& counters) noexcept;
void add_to(counter_values& sum, const counter_values& part) noexcept;

// What the kernel's scheduler knows of a thread.
struct thread_time {
    std::uint64_t cpu_ns = 0;
    std::uint64_t wait_ns = 0; // runnable but not running
    bool is_known = false;     // false when no descriptor is left to read it with
};
[[nodiscard]] thread_time read_thread_time(int tid) noexcept;

struct worker_facts {
    scheduler::worker_view view; // view.counters is null here: the copy outlives the worker
    counter_values counters{};
    thread_time time;
    std::uint64_t same_turn_ns = 0; // how long it is known to have been in one turn
    bool is_stuck = false;
};

struct runtime_facts {
    std::uint64_t id = 0;                     // the core's
    std::string unique_name;                  // its name, and a number if another one has that
    std::uintptr_t scheduler = 0;             // the pool
    scheduler::scheduler_addresses addresses; // what task headers point to
    config settings;
    std::string driver;
    std::string driver_reason;
    std::string placement_reason;
    std::uint64_t started_ns = 0; // monotonic
    std::size_t injected_depth = 0;
    offload::counts blocking;
    metrics::histogram_data blocking_latency; // nanoseconds
    metrics::histogram_data poll_times;       // nanoseconds; empty unless they are measured
    metrics::histogram_data schedule_latency; // the same
    std::vector<worker_facts> workers;
};

// A task that a worker was running.
struct current_task {
    std::uintptr_t header = 0;
    std::uint64_t id = 0;
    std::uint32_t runtime = 0; // index into the facts that are asked for at the same time
    std::uint32_t worker = 0;
};

// Sums of the runtimes that are gone.
struct retired_facts {
    counter_values counters{};
    thread_time time;
};

class observed_list {
public:
    void add(engine::core& runtime);
    // Keeps what its threads have used until now.
    void note_times(engine::core& runtime) noexcept;
    void remove(engine::core& runtime) noexcept;
    [[nodiscard]] bool is_empty() const;

    // Copies of everything; `retired` is of the same moment.
    [[nodiscard]] std::vector<runtime_facts> read(retired_facts* retired = nullptr);

    // Only what the workers are running now. `schedulers`: as in the facts.
    void
    read_current(const std::vector<runtime_facts>& facts, std::vector<current_task>& tasks) const;

    // Held across fork, so that the child's copy of the list is whole.
    void lock_for_fork() { lock_.lock(); }
    void unlock_after_fork() { lock_.unlock(); }
    // For the child: forgets all.
    void clear() noexcept;

private:
    struct entry {
        engine::core* core;
        std::vector<thread_time> used; // by worker; when it was looked at last
    };

    // The following need lock_.
    [[nodiscard]] std::vector<entry>::iterator find(std::uint64_t id) noexcept;
    static void read_times(entry& one) noexcept;
    void settle(std::vector<runtime_facts>& all);

    // Copying allocates, which a ranked lock forbids; starts and stops may wait for a copy.
    mutable std::mutex lock_;
    std::vector<entry> entries_; // guarded by lock_
    retired_facts retired_;      // guarded by lock_
};

// The process's list.
[[nodiscard]] observed_list& observed() noexcept;

// "io_uring" or "epoll".
[[nodiscard]] std::string_view text_of(driver::kind which) noexcept;
// "starting", "running", "searching", "parked" or "stopped".
[[nodiscard]] std::string_view text_of(scheduler::worker_state state) noexcept;

} // namespace rt::introspect

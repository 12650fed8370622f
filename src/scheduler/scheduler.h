// SPDX-License-Identifier: MIT
//
// The scheduler's façade: what the layers above may use of it.
//
// A pool is a set of workers, each with a ring deque, a LIFO slot, a driver and a timer wheel, and
// an injection queue per NUMA node. The worker loop is in worker.cc and nothing else is; how they
// fall asleep and wake each other without losing a task is in idle.h; who steals from whom comes
// from topology. flavor::current_thread is a pool of one worker that the caller of block_on runs.
#pragma once

#include "driver/driver.h"
#include "driver/timer_wheel.h"
#include "metrics/histogram.h"
#include "metrics/worker_counters.h"

#include <rt/detail/header.h>
#include <rt/runtime.h>

#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace rt::offload {
class pool;
}

namespace rt::scheduler {

class worker;
class pool_state;

// What a worker is doing, for observers.
enum class worker_state : std::uint8_t { starting, running, searching, parked, in_place, stopped };

// What an observer sees of one worker. All fields may be a moment old.
struct worker_view {
    std::uint32_t index = 0;
    int tid = 0; // 0 before the thread has started
    std::uint32_t node = 0;
    std::string cpus; // what it is pinned to, "" if it is not
    worker_state state = worker_state::starting;
    const detail::task_header* task = nullptr; // the task being run
    std::uint64_t task_id = 0;
    std::uint64_t turn = 0;          // changes with every turn given to a task
    std::uint32_t queue_depth = 0;   // ready tasks in the ring and behind it
    std::uint32_t private_depth = 0; // those that only this worker can reach, until they wait long
    std::size_t bound_depth = 0;     // ready tasks that only this worker runs
    std::uint64_t timers = 0;
    const metrics::worker_counters* counters = &metrics::no_counters;
};

// What the headers of a pool's tasks may name as their scheduler, as addresses, for observers.
struct scheduler_addresses {
    std::uintptr_t pool = 0;
    std::uintptr_t bound = 0; // of the tasks that are bound to worker 0; the others follow
    std::size_t bound_bytes = 0;
    std::uint32_t workers = 0;

    // The worker that the tasks of `scheduler` are bound to, if they are.
    [[nodiscard]] std::optional<std::uint32_t> worker_of(std::uintptr_t scheduler) const noexcept {
        const std::uintptr_t offset = scheduler - bound;
        if (scheduler < bound || offset >= bound_bytes * workers) {
            return std::nullopt;
        }
        return static_cast<std::uint32_t>(offset / bound_bytes);
    }
    [[nodiscard]] bool include(std::uintptr_t scheduler) const noexcept {
        return scheduler == pool || worker_of(scheduler);
    }
};

struct thread_listener;

// Why a pool could not be started; an empty text means that it was.
struct start_fault {
    int code = 0; // errno of a refused resource; 0: config::cpus cannot be used
    std::string text;
};

// Why workers cannot be on the CPUs that `cpus`, a valid list, names; empty: they can.
[[nodiscard]] std::string cpus_fault(const std::string& cpus);

class pool final : public detail::scheduler_base {
public:
    pool() noexcept;
    ~pool();

    // Makes the workers and, unless the flavour is current_thread, starts their threads.
    // `driver_kind` has been chosen; `settings` and `hooks` outlive the pool. Called once; after a
    // fault the pool can only be destroyed.
    [[nodiscard]] start_fault start(
        const config& settings,
        driver::kind driver_kind,
        engine::core* owner,
        offload::pool* blocking,
        const rt::hooks& hooks
    );

    void schedule(detail::task_header* task) noexcept override;
    void schedule_joiner(detail::task_header* task) noexcept override;
    void schedule_new(detail::task_header* task) noexcept override;
    bool refuse_late(detail::task_header* task) noexcept override;
    bool run_at_join(detail::task_header* task, detail::join_wait& wait) noexcept override;

    // Where the tasks go that only worker `index` runs. Aborts with advice if there is none.
    [[nodiscard]] detail::scheduler_base*
    bound_to_or_fatal(std::uint32_t index, detail::site at) noexcept;

    // Schedules a task that is new, and returns when it has ended: the calling thread, which is in
    // no task, runs tasks meanwhile if the flavour is current_thread, else it sleeps.
    void run_root(const detail::join_handle_base& root) noexcept;

    // Tells the workers to, and returns: no spawn that comes later begins. Not what is the caller's
    // own to end, a flavor::current_thread.
    void begin_shut_down() noexcept;

    // Cancels every task, waits until all are gone, joins the threads. Idempotent.
    void shut_down() noexcept;

    // The exception that made the pool end by itself (config::unhandled); null if none has.
    [[nodiscard]] std::exception_ptr unhandled() const noexcept;

    // The tasks that have not ended, while or after shut_down was called. Threads: any.
    [[nodiscard]] std::vector<unfinished_task> unfinished() const;

    [[nodiscard]] std::uint32_t worker_count() const noexcept;
    // The stand-ins that have been made (in_place.cc) come after the workers.
    [[nodiscard]] std::uint32_t view_count() const noexcept;
    [[nodiscard]] worker_view view(std::uint32_t index) const; // below view_count()
    [[nodiscard]] std::size_t injected_depth() const noexcept; // over all nodes
    // What turns took, in nanoseconds; empty unless config::poll_histogram asks for it.
    [[nodiscard]] metrics::histogram_data read_poll_times() const;
    // How long tasks were ready, the same, if config::schedule_latency asks for it.
    [[nodiscard]] metrics::histogram_data read_schedule_latency() const;
    [[nodiscard]] scheduler_addresses addresses() const noexcept;
    [[nodiscard]] driver::kind driver_kind() const noexcept;
    // How the workers were placed and pinned, and why.
    [[nodiscard]] const std::string& placement_reason() const noexcept;

private:
    [[nodiscard]] start_fault start_threads();
    void hook_tasks(const rt::hooks& hooks) noexcept;
    // One of the histograms of all workers.
    [[nodiscard]] metrics::histogram_data
    sum_of(metrics::histogram* metrics::worker_counters::*which) const;
    void run_on_this_thread(detail::task_header* root, thread_listener& listener) noexcept;
    [[gnu::noinline]] void
    schedule_new_elsewhere(detail::task_header* task, bool is_ending) noexcept;

    std::unique_ptr<pool_state> state_;
};

// The calling worker's wheel. Aborts with advice on other threads.
driver::timer_wheel& current_wheel() noexcept;

// The clock of the calling worker's timers; CLOCK_MONOTONIC on other threads.
[[nodiscard]] std::uint64_t now_ns() noexcept;

// The paused clock of tests. False: not the worker of a flavor::current_thread, or the clock is not
// in the state that this asks for.
[[nodiscard]] bool pause_clock() noexcept;
[[nodiscard]] bool resume_clock() noexcept;
[[nodiscard]] bool advance_clock(std::uint64_t by_ns) noexcept;
[[nodiscard]] bool is_clock_paused() noexcept;

} // namespace rt::scheduler

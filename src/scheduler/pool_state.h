// SPDX-License-Identifier: MIT
//
// What the workers of a pool share.
//
// Constant after start-up: settings, workers, queues. The phase moves running -> draining -> done
// and never back; see shutdown.cc.
#pragma once

#include "base/lock.h"
#include "base/thread.h"
#include "blocking/pool.h"
#include "driver/driver.h"
#include "scheduler/bound_tasks.h"
#include "scheduler/futex.h"
#include "scheduler/idle.h"
#include "scheduler/inject_queue.h"
#include "scheduler/park_spin.h"
#include "scheduler/scheduler.h"
#include "scheduler/seat.h"
#include "scheduler/tuning.h"
#include "scheduler/virtual_clock.h"
#include "scheduler/wake_latency.h"
#include "scheduler/watchdog.h"
#include "scheduler/worker.h"
#include "topology/cpu_set.h"

#include <rt/detail/atomic.h>
#include <rt/runtime.h>

#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace rt::scheduler {

inline constexpr std::uint32_t no_preference = UINT32_MAX; // for notify

inline constexpr std::uint32_t nobody = UINT32_MAX;        // for called_
inline constexpr std::uint32_t everybody = UINT32_MAX - 1; // the same: the end

enum phase : std::uint32_t { phase_running, phase_draining, phase_done };

class pool_state {
public:
    pool_state(const config& wanted, driver::kind kind, std::uint32_t worker_count);

    // Appends to a node's injection queue and wakes somebody. After shutdown the tasks, which can
    // only be new ones, are cancelled here. Threads: any.
    void inject(std::uint32_t node, const task_chain& chain) noexcept;

    // Cancels a task that the caller owns and no queue has taken, because the pool has ended.
    void refuse(task_header* task) noexcept;

    // Wakes one sleeper, if the rules of idle.h ask for it. Call after work was made visible.
    void notify(std::uint32_t near) noexcept;

    // For a task that a thread from outside spawns onto a queue. True: the pool ends, and it has
    // been cancelled. False: the caller queues it; if the pool ends and it is too fast, it has
    // waited.
    [[nodiscard]] bool refuse_from_outside(task_header* task, const inject_queue& queue) noexcept;

    // Cancels a new task that is in no queue if the pool ends. True: it has ended.
    [[nodiscard]] bool refuse_late(task_header* task) noexcept;

    // Wakes every worker, for the leader of a shutdown is one of them.
    void unpark_all() noexcept;

    // Step 1 of the end, unless somebody was faster. Threads: any.
    void begin_end() noexcept;

    // The addresses of this pool and of its bound tasks.
    [[nodiscard]] scheduler_addresses addresses() const noexcept;

    // Whether any queue that a searcher looks at has something in it.
    [[nodiscard]] bool has_work() const noexcept;

    // For flavor::current_thread with a seed: the random choices of the next block_on. By the
    // thread that drives.
    [[nodiscard]] base::random_source next_order() noexcept;

    // Of workers and stand-ins; 0: the C library's default.
    [[nodiscard]] std::size_t stack_bytes() const noexcept {
        return std::size_t{settings.thread_stack_kib} * 1024;
    }

    [[nodiscard]] std::uint32_t node_count() const noexcept {
        return static_cast<std::uint32_t>(injected.size());
    }
    [[nodiscard]] inject_queue& inject_of(std::uint32_t node) noexcept {
        return *injected[node % injected.size()];
    }

    // The end of a worker's life: the last one to arrive cancels all tasks, the others wait for it.
    void drain(worker& self) noexcept;

    // Waits until no thread from outside is between queueing a task and waking a worker. The task
    // that such a thread holds keeps the pool alive until it is queued, and the queue's count of
    // guests from then on.
    void see_guests_off() noexcept;

    // An exception that nobody will see, on a worker. Returns whether to report it. With the policy
    // shut_down the pool ends: all tasks are cancelled, block_on's among them.
    [[nodiscard]] bool on_unhandled(const std::exception_ptr& exception) noexcept;

    // A worker or a stand-in by its index; null: a stand-in that has not started. Threads: any.
    [[nodiscard]] worker* find(std::uint32_t index) const noexcept {
        const auto count = static_cast<std::uint32_t>(workers.size());
        // acquire: pairs with the release of the stand-in's thread, which has made its driver.
        return index < count ? workers[index].get() : stand_ins[index - count].load_acquire();
    }
    // Indices below this may be given to find().
    [[nodiscard]] std::uint32_t index_end() const noexcept {
        return static_cast<std::uint32_t>(workers.size()) + stand_in_count.load_relaxed();
    }
    // Makes a stand-in near a worker; it calls sleepers.join(). Threads: any worker, the watchdog.
    void make_stand_in(const worker& near) noexcept;
    // It cannot do its work. By its own thread, which ends then.
    void give_up_stand_in(std::uint32_t number) noexcept;
    // Makes all of them look for what to do.
    void wake_stand_ins() noexcept;
    // Waits for the threads of stand-ins, once the workers have ended.
    void join_stand_ins() noexcept;

    // During a shutdown, turns are given by the leader, or by one worker that comes back late from
    // rt::block_in_place: who has the baton.
    void take_baton() noexcept;
    void pass_baton() noexcept;

    // Start-up failed: makes the `started` workers whose threads exist leave.
    void abandon_start(std::uint32_t started) noexcept;

    const config settings;
    const driver::kind driver_kind;
    virtual_clock clock; // see there who may touch it
    detail::scheduler_base* facade = nullptr;
    const rt::hooks* hooks = nullptr; // null unless one for threads is set
    engine::core* owner = nullptr;
    offload::pool* blocking = nullptr;
    std::vector<std::unique_ptr<inject_queue>> injected; // by node
    const std::uint32_t bound_count;
    const std::unique_ptr<bound_tasks[]> bound; // by worker; stand-ins have none
    std::vector<std::unique_ptr<worker>> workers;
    idle sleepers;
    bool may_spin = false;               // there is more than one CPU
    wake_latency waking;                 // of its threads
    park_spin block_on_spin;             // of the threads in run_root
    seat driving;                        // of flavor::current_thread: who drives its worker
    std::uint64_t block_on_count = 0;    // of the same: for whoever drives
    std::vector<topology::cpu_set> pins; // by worker; empty: not pinned
    // What stand-ins are pinned to: all that workers could have been, for the worker that one
    // stands in for may compute on its own CPU. Empty: nothing.
    topology::cpu_set stand_in_cpus;
    std::string placement_reason;
    std::vector<base::thread> threads;
    watchdog dog;
    atomic<std::uint32_t> stand_in_count{0}; // written under stand_in_lock; only grows
    atomic<worker*> stand_ins[stand_ins_max] = {};
    base::futex_lock stand_in_lock{base::lock_rank::block_in_place};
    std::vector<std::unique_ptr<worker>> stand_in_workers;     // guarded by stand_in_lock
    std::vector<std::optional<base::thread>> stand_in_threads; // guarded by stand_in_lock
    std::vector<std::uint32_t> stand_ins_given_up;             // guarded by stand_in_lock; numbers
    bool is_watchdog_over = false;                             // guarded by stand_in_lock
    atomic<bool> is_company_wanted{false};                     // see worker::on_kick
    atomic<worker*> leader{nullptr};                           // of the shutdown
    // Whoever ends the tasks then is in rt::block_in_place, in a destructor of one: see
    // in_place.cc.
    atomic<bool> is_ending_away{false};
    atomic<std::uint32_t> late{0}; // workers that have come back since there is a leader
    base::spin_lock walk_lock{base::lock_rank::scheduler_shutdown}; // see shutdown.cc
    std::vector<int> start_errors; // by worker; errno of its driver, during start-up
    atomic<std::uint32_t> phase{phase_running};
    bool is_down = false; // owner of the pool
    atomic<bool> has_unhandled{false};
    std::exception_ptr unhandled; // written by who set has_unhandled, before it cancels any task

private:
    [[nodiscard]] bool add_stand_in(std::uint32_t number, std::uint32_t node) noexcept;
    void enter_draining() noexcept;
    void cancel_all(worker& self) noexcept;
    void hold_up(const inject_queue& queue) noexcept;
    void help_others(worker& self) noexcept;
    [[nodiscard]] bool run_some(worker& self) noexcept;
    [[nodiscard]] bool run_bound_of_others(worker& self) noexcept;
    void let_late_ones_run() noexcept;

    atomic<std::uint32_t> baton_{0}; // futex word; 1: somebody has it
    // Whom the leader has called to run its bound tasks; the leader rests until it is nobody again.
    atomic<std::uint32_t> called_{nobody};
};

// What the thread of a worker or stand-in does first: name, signals, pin, memory.
void prepare_thread(
    pool_state& pool, const std::string& name, const topology::cpu_set& pin, std::uint32_t node
);

} // namespace rt::scheduler

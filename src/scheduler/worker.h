// SPDX-License-Identifier: MIT
//
// One worker: its queues, its driver, its wheel, and the loop that runs tasks.
//
// Threads. `queue` may be stolen from, `unpark` called and the published words read by any thread;
// everything else belongs to the thread that runs the worker. Park state: running -> parked before
// the driver's wait, exchanged to notified by whoever wakes it; the system call is made only if the
// old value was parked. A notification that comes earlier makes the next park return at once.
#pragma once

#include "base/random.h"
#include "driver/driver.h"
#include "driver/timer_wheel.h"
#include "metrics/histogram.h"
#include "metrics/worker_counters.h"
#include "scheduler/bound_tasks.h"
#include "scheduler/fresh_stack.h"
#include "scheduler/held_tasks.h"
#include "scheduler/inject_pace.h"
#include "scheduler/local_queue.h"
#include "scheduler/oldest_pace.h"
#include "scheduler/park_spin.h"
#include "scheduler/parker.h"
#include "scheduler/rest_looks.h"
#include "scheduler/scheduler.h"
#include "scheduler/steal_profit.h"
#include "scheduler/tuning.h"
#include "scheduler/turn_age.h"

#include <rt/detail/atomic.h>
#include <rt/detail/context.h>
#include <rt/detail/header.h>

#include <cstdint>
#include <memory>
#include <vector>

namespace rt::scheduler {

// Victims at one distance, nearest group first in worker::victims.
struct steal_group {
    std::uint32_t distance = 0;
    std::vector<std::uint32_t> workers;
};

class alignas(128) worker {
public:
    worker(pool_state& pool, std::uint32_t index, std::uint32_t node) noexcept;
    worker(const worker&) = delete;
    worker& operator=(const worker&) = delete;
    ~worker();

    // Makes the calling thread this worker: driver, context, counters. Errors: the driver's.
    [[nodiscard]] result<void> attach() noexcept;
    // The opposite; destroys the driver.
    void detach() noexcept;
    // Enters and leaves the context of an attached worker (flavor::current_thread).
    void enter() noexcept;
    void leave() noexcept;

    // Runs tasks until `stop` says so. `stop` is read between turns.
    void run(const atomic<std::uint32_t>& stop) noexcept;

    // Queues a task that became ready on this worker's own thread.
    void schedule_local(task_header* task) noexcept;
    // The same for a task whose child has ended on this worker.
    void schedule_joiner(task_header* task) noexcept;
    // The same for a task that this worker has spawned.
    [[gnu::always_inline]] inline void schedule_new(task_header* task) noexcept; // schedule.cc
    // Runs the newest task that it has spawned inside the turn of the one that joins it, if it is a
    // lone worker and this task is the next in turn. True: as scheduler_base::run_at_join.
    [[nodiscard]] bool run_at_join(task_header* task, detail::join_wait& wait) noexcept;
    // Puts a task that yielded behind the driver's next turn.
    void defer(task_header* task) noexcept;

    // Makes the worker look for work. Threads: any.
    void unpark() noexcept;

    // On this worker's thread, in a signal handler, while a task has been running for long: moves
    // private tasks to the ring and enters the kernel. See watchdog.h.
    void on_kick() noexcept;

    // For shutdown. Runs what is in reach without waiting; true: something was run.
    bool run_some() noexcept;
    // Runs each of the worker's bound tasks that are ready once, for the leader.
    void run_bound() noexcept;
    // Waits for a wake-up or `deadline_ns`.
    void wait_until(std::int64_t deadline_ns) noexcept;
    // Moves the tasks queued on `other`, whose thread must be at rest, to this worker, but for
    // those that are bound.
    void take_over(worker& other) noexcept;

    // For rt::block_in_place, see in_place.cc; on the thread, in a turn. `outer` is what the thread
    // was.
    void go_away(detail::context& outer) noexcept;
    void come_back(const detail::context& outer) noexcept;
    // Puts all tasks that are queued here into the node's injection queue. Threads: its own.
    void give_away() noexcept;
    // It came back when the shutdown had a leader already, and has the baton until end_late_turn.
    [[nodiscard]] bool is_late() const noexcept { return is_late_; }
    void end_late_turn() noexcept;
    // The life of a stand-in, until the pool has ended.
    void stand_in() noexcept;

    // The pool has no other worker, and no stand-in counts: nobody to steal from or to wake.
    [[nodiscard]] bool is_lone() const noexcept { return is_lone_; }
    void be_lone() noexcept { is_lone_ = true; }

    [[nodiscard]] bool has_local_work() const noexcept {
        return depth() != 0 || private_depth() != 0 || bound.depth() != 0;
    }

    local_queue queue;
    bound_tasks& bound;             // what only this worker runs
    atomic<bool> is_at_rest{false}; // it waits in drain() for the leader
    metrics::worker_counters counters;
    // Sets what the choice of victims comes from, before it starts.
    void choose_from(base::random_source source) noexcept { random_ = source; }

    const std::uint32_t index;
    const std::uint32_t node;
    std::vector<steal_group> victims; // constant once the pool has started
    driver::timer_wheel wheel;

    // Published for observers, written by the worker's thread.
    atomic<int> tid{0};
    atomic<worker_state> state{worker_state::starting};
    atomic<task_header*> current{nullptr};
    atomic<std::uint64_t> turn{0};

    // Whether tasks wait in places that only this worker can reach. A moment old.
    [[nodiscard]] bool has_private() const noexcept {
        return private_depth() != 0 || held_.size() != 0;
    }
    // Tasks in the ring and behind it. A moment old.
    [[nodiscard]] std::uint32_t depth() const noexcept { return queue.size() + held_.size(); }
    // Tasks in the LIFO slot, on the fresh stack, and such as have yielded. A moment old.
    [[nodiscard]] std::uint32_t private_depth() const noexcept {
        return fresh_.size_seen() + deferred_.size() + (has_lifo() ? 1U : 0U);
    }
    [[nodiscard]] driver::driver* driver() const noexcept { return driver_.get(); }
    [[nodiscard]] pool_state& pool() const noexcept { return pool_; }

private:
    // One if it is wanted, for the counters of a worker, which point to it from `place`.
    static std::unique_ptr<metrics::histogram>
    make_histogram(bool is_wanted, metrics::histogram*& place);
    // Always inlined: a call and its saved registers are a tenth of a short turn.
    [[gnu::always_inline]] inline void run_task(task_header* task) noexcept;
    void begin_turn(task_header* task) noexcept;
    [[nodiscard, gnu::always_inline]] inline task_header* next_local() noexcept;
    [[nodiscard]] task_header* next_injected(std::size_t most) noexcept;
    [[nodiscard, gnu::noinline]] task_header* next_from_others() noexcept;
    [[nodiscard]] task_header* next() noexcept;
    [[nodiscard]] bool has_deferred() const noexcept {
        return !deferred_.is_empty() || bound.has_deferred();
    }
    [[nodiscard]] bool is_only_yielding() noexcept;
    [[nodiscard]] task_header* search() noexcept;
    [[nodiscard]] task_header* steal() noexcept;
    [[nodiscard]] task_header* steal_from(worker& victim) noexcept;
    [[nodiscard]] task_header* look_around() noexcept;
    void push(task_header* task) noexcept;
    void push_all(const task_chain& chain) noexcept;
    void push_woken(task_header* task) noexcept;
    [[nodiscard]] bool may_hold() noexcept;
    void let_go_of_held() noexcept;
    // From the ring, or of those behind it.
    [[nodiscard]] task_header* next_queued() noexcept {
        task_header* const task = queue.pop();
        return task != nullptr ? task : held_.pop();
    }
    [[nodiscard]] bool has_lifo() const noexcept { return lifo_.load_relaxed() != nullptr; }
    [[nodiscard]] task_header* exchange_lifo(task_header* task) noexcept {
        task_header* const former = lifo_.load_relaxed();
        lifo_.store_relaxed(task);
        return former;
    }
    [[nodiscard]] task_header* take_private() noexcept;
    // From the ring and the bound tasks, of which there are some, in turns.
    [[nodiscard, gnu::noinline, gnu::cold]] task_header* next_bound_or_queued() noexcept;
    // Lets others have some of the spawned tasks, if there are enough of them, and all that is
    // held.
    void share() noexcept {
        if (is_share_due()) {
            share_fresh();
        }
    }
    [[nodiscard]] bool is_share_due() noexcept {
        return !is_lone() && rest_looks_.is_due() && (fresh_.size() >= 2 || !held_.is_empty());
    }
    [[gnu::noinline]] void schedule_new_slow(task_header* task) noexcept;
    [[gnu::noinline]] void share_new() noexcept;
    [[nodiscard]] bool is_still_resting() noexcept;
    void share_fresh() noexcept;
    [[nodiscard]] bool take_next_in_turn(task_header* task) noexcept;
    void notify_soon() noexcept;
    // A batch is in the ring: another worker may have some of it, if there is one.
    void wake_another() noexcept;
    [[nodiscard]] bool is_private_work_about() const noexcept;
    void report_steal() noexcept;
    void stop_searching() noexcept;
    void maintain() noexcept;
    void adapt_streaks() noexcept;
    void take_deferred() noexcept;
    void park() noexcept;
    void sleep(std::int64_t deadline_ns) noexcept;
    void sleep_paused(std::int64_t deadline_ns) noexcept;
    void after_driver() noexcept;
    void note_wake_up(std::uint64_t begin_ns) noexcept;
    [[nodiscard]] bool rest() noexcept;
    void leave_loneliness() noexcept;
    bool become_lone() noexcept;
    [[nodiscard]] bool ends_tasks() const noexcept;

    bound_tasks unbound_; // a stand-in's, always empty
    pool_state& pool_;
    const std::unique_ptr<metrics::histogram> poll_times_;
    const std::unique_ptr<metrics::histogram> schedule_latency_;
    std::unique_ptr<driver::driver> driver_;
    // What the thread was before enter(): the worker of another runtime, if one dies in its task.
    detail::context former_;
    metrics::worker_counters* former_counters_ = nullptr;
    std::uint64_t left_at_ns_ = 0; // coarse time of the last leave()
    // The owner's only; others see how many there are.
    atomic<task_header*> lifo_{nullptr}; // the task that was woken last
    fresh_stack fresh_;                  // tasks that have not run yet
    held_tasks held_;                    // tasks for nobody else, behind the ring
    held_tasks deferred_;                // tasks that have yielded
    base::random_source random_;
    std::uint32_t until_maintain_ = 1; // turns left before the driver is looked at
    std::uint32_t until_inject_ = 1;   // turns left before the injection queue is
    inject_pace pace_;
    std::uint32_t private_streak_ = private_streak_max; // by what a turn takes
    std::uint32_t private_left_ = private_streak_max;   // turns until the ring has some
    std::uint32_t lifo_left_ = lifo_streak_max;         // of these, from the LIFO slot in a row
    std::uint32_t ring_left_ = ring_streak_max;         // turns that the ring has then
    oldest_pace oldest_;
    park_spin spin_;
    std::uint64_t idle_since_ns_ = 0; // when it began to spin before this sleep; 0: it did not
    worker* robbed_ = nullptr;        // whom the last steal was from, until it is reported
    std::uint32_t robbed_tasks_ = 0;
    std::uint64_t robbed_at_ns_ = 0;
    rest_looks rest_looks_;
    std::uint32_t yields_ = 0; // of is_only_yielding, and so is the next
    std::uint64_t yields_asked_ns_ = 0;
    std::uint64_t polls_unparked_ = UINT64_MAX; // turns when it came back from sleep; none yet
    std::uint32_t nested_ = 0;                  // turns inside turns
    bool is_searching_ = false;
    bool is_turn_of_ring_ = false;
    bool has_unfenced_push_ = false; // a sleeper may have missed what this turn pushed
    bool is_lone_ = false;           // written by the owner, in its signal handler too
    bool is_late_ = false;           // see is_late()
    bool is_called_ = false;         // in run_bound()
    const bool has_lifo_slot_;       // config::lifo_slot
    bool is_delivering_ = false;     // inside the driver: ready tasks go to the ring
    turn_age age_;
    steal_profit profit_;                  // written by thieves, seldom
    alignas(128) parker parker_;           // written by every thread, and so is the next
    atomic<std::uint64_t> woken_at_ns_{0}; // when it was woken last, while it slept
};

// In the turn of a task that gives it up.
inline void count_yield() noexcept {
    metrics::count(&metrics::worker_counters::yields);
    detail::context& self = detail::this_thread;
    if (std::exchange(self.is_starved, false) || self.budget == 0) [[unlikely]] {
        metrics::count(&metrics::worker_counters::budget_yields);
    }
}

} // namespace rt::scheduler

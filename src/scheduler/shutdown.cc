// SPDX-License-Identifier: MIT
//
// The end of a pool, in numbered steps.
//
//  1. The phase becomes draining and every worker is woken. Each leaves its loop after the turn it
//     is in; a task that never suspends holds the shutdown up.
//  2. Workers meet in drain(). The last to arrive has the pool to itself, the others are at rest.
//  3. It takes over all queues and asks every live task to abort. Tasks that wait are unwound,
//     ready ones run to their next suspension first (nothing that was delivered is lost), new ones
//     are destroyed. Destructors run in the task's context, on a worker, with a working runtime.
//  4. Tasks whose closures are still on the blocking pool are waited for.
//  5. When no task is left but such as were spawned during the shutdown, of which there may be
//     more and more, the injection queues are closed, looked through once more, and the phase
//     becomes done. A spawn that comes later is cancelled by the spawner.
//     A task that is bound to another worker is run there all the same: the leader calls that
//     worker, waits while it runs such tasks, and takes over what they have queued.
//  6. Workers end; the owner joins them, waits for threads from outside that are still waking
//     somebody, and destroys the drivers.
//
// No walk goes on during a turn of this pool: a turn may change the state word of a task that only
// it can reach by a store (join_handle_base::detach_newest, and end() of a task inside of a join).
// Only the leader can end a task of this pool after step 2, so a header that is live, ours and not
// complete stays so while it is looked at: that is what makes the walk over type-stable headers
// safe. The exception is a task that was spawned too late (step 5): its spawner ends it, and the
// header may become another runtime's task at once. So the spawner marks it first, and the walk
// looks and asks, each under a lock: what is marked is not asked, what was asked is still the same.
// The walk reads fields that other runtimes may be recycling; it checks the id, which is
// never used twice, before and after, and is exempt from the race detector.
#include "base/clock.h"
#include "base/lock.h"
#include "memory/frame_pool.h"
#include "scheduler/pool_state.h"
#include "scheduler/tuning.h"
#include "task/label.h"
#include "task/task.h"

#include <rt/detail/context.h>

#include <bit>
#include <new>
#include <source_location>
#include <utility>
#include <vector>

#include <sched.h>
#include <unistd.h>

namespace rt::scheduler {
namespace {

struct abort_walk {
    explicit abort_walk(pool_state& pool)
        : ours(pool.addresses())
        , lock(pool.walk_lock) {}

    const scheduler_addresses ours;
    base::spin_lock& lock;
    std::uint32_t live = 0;
};

[[clang::no_sanitize("thread")]] bool
is_live_and_ours(const task_header* task, const scheduler_addresses& ours) noexcept {
    // acquire: pairs with create_task's release of the id.
    const std::uint64_t id = task->id.load_acquire();
    if (id == 0 || !ours.include(reinterpret_cast<std::uintptr_t>(task->scheduler))) {
        return false;
    }
    const std::uint64_t state = task->state.load_acquire();
    // Aborted before its first turn: it was spawned during the shutdown (pool::schedule_new) and is
    // in a queue, or the spawner is about to cancel it; it needs no request. Threads from outside
    // may make such tasks faster than a walk can count them.
    const bool is_refused = (state & detail::state_aborted) != 0 && task->polls == 0;
    const bool is_complete = (state & detail::state_complete) != 0;
    return !is_complete && !is_refused && task->id.load_acquire() == id;
}

void abort_one(void* block, void* context) noexcept {
    auto* const walk = static_cast<abort_walk*>(context);
    auto* const task = static_cast<task_header*>(block);
    if (!is_live_and_ours(task, walk->ours)) {
        return;
    }
    bool is_claimed = false;
    {
        const base::guard hold(walk->lock); // see pool_state::refuse
        if (!is_live_and_ours(task, walk->ours)) {
            return;
        }
        is_claimed = detail::request_cancel(task, detail::state_aborted);
    }
    ++walk->live;
    if (is_claimed) {
        task->scheduler->schedule(task);
    }
}

struct list_walk {
    scheduler_addresses ours;
    std::vector<unfinished_task> found;
};

// The walk's caller does not hold the pool still: a task may end meanwhile, and its header may
// become another's. All that is read are words whose targets are never freed.
[[clang::no_sanitize("thread")]] void list_one(void* block, void* context) noexcept {
    auto* const walk = static_cast<list_walk*>(context);
    const auto* const task = static_cast<const task_header*>(block);
    const std::uint64_t id = task->id.load_acquire(); // acquire: as in is_live_and_ours
    if (!is_live_and_ours(task, walk->ours)) {
        return;
    }
    unfinished_task one;
    one.id = id;
    one.name = task->name;
    one.label = tasks::label_of(task);
    // Read here: bit_cast takes a reference, and is not exempt.
    const std::source_location* const spawn_site = task->spawn_site;
    one.spawned_at = std::bit_cast<std::source_location>(spawn_site);
    one.is_in_blocking_closure = task->waits_for == detail::wait_kind::blocking;
    if (task->id.load_acquire() != id) {
        return;
    }
    try {
        walk->found.push_back(one);
    } catch (const std::bad_alloc&) {
        return; // a shorter list is better than none
    }
}

} // namespace

std::vector<unfinished_task> pool::unfinished() const {
    list_walk walk{addresses(), {}};
    memory::for_each_header(&list_one, &walk);
    return std::move(walk.found);
}

void pool_state::drain(worker& self) noexcept {
    if (self.is_late()) {
        self.end_late_turn();
    } else {
        self.wait_until(0); // the watches of its last turns reach the kernel
        if (self.index >= workers.size()) {
            self.give_away(); // the leader looks into the queues of workers only
        }
        // Under a lock: the leader sees what every worker did before it arrived.
        if (sleepers.arrive(1)) {
            leader.store_relaxed(&self);
            cancel_all(self);
            // release: pairs with the acquire below and in rest().
            phase.store_release(phase_done);
            called_.store_release(everybody); // release: pairs with the acquire below
            futex_wake_all(called_);
            wake_stand_ins();
            return;
        }
    }
    self.is_at_rest.store_release(true); // release: pairs with run_bound_of_others
    for (;;) {
        const std::uint32_t called = called_.load_acquire(); // acquire: pairs with the leader
        if (called == everybody) {
            return;
        }
        if (called == self.index) {
            self.run_bound();
            called_.store_release(nobody); // release: the leader goes on with what these have done
            futex_wake_all(called_);
        } else {
            futex_wait_for(called_, called, shutdown_look_ns);
            // Only its own thread can make a ring post what the leader is to find; see help_others.
            if (self.driver()->needs_kick()) {
                self.driver()->kick();
            }
        }
    }
}

// One worker at a time, and the leader rests: there is only ever one thread that ends tasks.
bool pool_state::run_bound_of_others(worker& self) noexcept {
    bool any = false;
    for (const std::unique_ptr<worker>& other : workers) {
        // acquire: pairs with drain. One that blocks in place comes late, and holds its tasks up.
        if (other.get() == &self || other->bound.depth() == 0 ||
            !other->is_at_rest.load_acquire()) {
            continue;
        }
        called_.store_release(other->index); // release: pairs with drain's acquire
        futex_wake_all(called_);
        while (called_.load_acquire() != nobody) { // acquire: pairs with drain's release
            futex_wait(called_, other->index);
        }
        self.take_over(*other);
        any = true;
    }
    return any;
}

bool pool_state::run_some(worker& self) noexcept {
    const bool has_run = self.run_some();
    return run_bound_of_others(self) || has_run;
}

void pool_state::see_guests_off() noexcept {
    for (const std::unique_ptr<inject_queue>& queue : injected) {
        while (queue->has_guests()) {
            ::sched_yield();
        }
    }
    for (const std::unique_ptr<worker>& each : workers) {
        while (each->bound.has_guests()) {
            ::sched_yield();
        }
    }
}

void pool_state::abandon_start(std::uint32_t started) noexcept {
    // Those without a driver are gone already and will not arrive.
    std::uint32_t running = 0;
    for (std::uint32_t i = 0; i < started; ++i) {
        running += start_errors[i] == 0 ? 1 : 0;
    }
    static_cast<void>(sleepers.arrive(static_cast<std::uint32_t>(workers.size()) - running));
    phase.store_release(phase_draining); // release: pairs with worker::run's acquire
    for (std::uint32_t i = 0; i < started; ++i) {
        if (start_errors[i] == 0) {
            workers[i]->unpark();
        }
    }
    is_down = true;
}

// The leader walks over all headers until it finds no live one: threads that spawn faster than it
// cancels would make each walk longer than the last. Not for longer than a moment: the caller may
// hold what the leader waits for.
void pool_state::hold_up(const inject_queue& queue) noexcept {
    if (queue.size() > shutdown_backlog_max) {
        futex_wait_for(phase, phase_draining, shutdown_pause_ns);
    }
}

// A flavor::current_thread that an unhandled exception has shut down has nobody to run what is
// queued, until its owner ends it: whoever waits for such a task would wait for that. Nor has a
// pool whose leader may be waiting for it.
bool pool_state::refuse_from_outside(task_header* task, const inject_queue& queue) noexcept {
    // relaxed: what queues a task that is refused a moment later waits for the function to return.
    if (settings.flavor == flavor::current_thread || is_ending_away.load_relaxed()) {
        return refuse_late(task);
    }
    hold_up(queue);
    return false;
}

bool pool_state::refuse_late(task_header* task) noexcept {
    // acquire: pairs with on_unhandled and with the end; what waits for the task, which may be
    // block_on's, sees the reason.
    if (phase.load_acquire() == phase_running) {
        return false;
    }
    refuse(task);
    return true;
}

// A task may wait for a timer or a completion of a worker that has arrived already (one that is
// shielded is not claimed): nobody else looks after these now.
void pool_state::help_others(worker& self) noexcept {
    for (std::uint32_t i = 0; i < index_end(); ++i) {
        worker* const other = find(i);
        if (other != nullptr && other != &self && other->driver() != nullptr) {
            other->wheel.advance(clock.now_ns());
            other->driver()->rescue();
        }
    }
}

void pool_state::let_late_ones_run() noexcept {
    // acquire: pairs with end_late_turn.
    for (std::uint32_t left = late.load_acquire(); left != 0; left = late.load_acquire()) {
        pass_baton();
        futex_wait(late, left);
        take_baton();
    }
}

void pool_state::cancel_all(worker& self) noexcept {
    take_baton();
    for (const std::unique_ptr<worker>& other : workers) {
        if (other.get() != &self) {
            self.take_over(*other);
        }
    }
    for (std::uint32_t live_before = 0;;) {
        let_late_ones_run();
        abort_walk walk(*this);
        memory::for_each_header(&abort_one, &walk);
        // Between two walks, which cost as much as there are headers, many turns.
        bool any = false;
        for (int round = 0; round < shutdown_rounds && run_some(self); ++round) {
            any = true;
        }
        if (walk.live == 0) {
            for (const std::unique_ptr<inject_queue>& queue : injected) {
                queue->close();
            }
            for (const std::unique_ptr<worker>& each : workers) {
                each->bound.close();
            }
            // A spawn that slipped in before the close is in a queue now; nothing comes after it.
            memory::for_each_header(&abort_one, &walk);
            while (run_some(self)) {
            }
            if (walk.live == 0) {
                pass_baton();
                return;
            }
        }
        help_others(self);
        // A task that waits for a shielded one is woken by each walk and waits again: no progress.
        const bool is_stuck = !any || walk.live == live_before;
        live_before = walk.live;
        if (is_stuck && !self.has_local_work()) {
            pass_baton();
            self.wait_until(static_cast<std::int64_t>(base::monotonic_ns()) + shutdown_look_ns);
            take_baton();
        }
    }
}

void pool_state::enter_draining() noexcept {
    // release: pairs with worker::run's acquire, and with refuse_late's: the reason comes with it.
    std::uint32_t expected = phase_running;
    static_cast<void>(phase.cas_strong_acq_rel(expected, phase_draining));
}

void pool_state::begin_end() noexcept {
    enter_draining();
    unpark_all();
    sleepers.stop_stand_ins();
    wake_stand_ins();
}

bool pool_state::on_unhandled(const std::exception_ptr& exception) noexcept {
    if (settings.unhandled == unhandled_exception::ignore) {
        return false;
    }
    // acq_rel: one exception is the reason, whoever else fails at the same time.
    if (settings.unhandled == unhandled_exception::shut_down &&
        !has_unhandled.exchange_acq_rel(true)) {
        unhandled = exception;
        if (settings.flavor == flavor::current_thread) {
            // The loop goes on until block_on's own task has ended.
            enter_draining();
            abort_walk walk(*this);
            memory::for_each_header(&abort_one, &walk);
        } else {
            begin_end();
        }
    }
    return true;
}

void pool_state::refuse(task_header* task) noexcept {
    {
        const base::guard hold(walk_lock);
        task->polls = 0; // a closure that is spawned begins with 1
        task->state.or_relaxed(detail::state_aborted);
    }
    // The caller may be at its queues, and a destructor of the task that spawns, or lets go of a
    // task, would end that for on_kick.
    const bool is_using_queues = detail::this_thread.is_using_queues;
    tasks::cancel_unstarted(task);
    detail::this_thread.is_using_queues = is_using_queues;
}

void pool_state::inject(std::uint32_t node, const task_chain& chain) noexcept {
    metrics::add(&metrics::worker_counters::remote_schedules, chain.count);
    inject_queue& to = inject_of(node);
    if (!to.push_chain(chain)) {
        // Only a spawn after shutdown comes here: no task is left that could be woken.
        task_header* task = chain.first;
        for (std::uint32_t left = chain.count; left != 0; --left) {
            task_header* const following = task->queue_next;
            refuse(task);
            task = following;
        }
        return;
    }
    if (phase.load_relaxed() != phase_running) { // relaxed: the leader looks again by itself
        unpark_all();
        wake_stand_ins();
    } else {
        notify(no_preference);
    }
    to.leave();
}

} // namespace rt::scheduler

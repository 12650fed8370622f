// SPDX-License-Identifier: MIT
//
// rt::block_in_place: a worker goes away in the middle of a turn, and a stand-in takes its place.
//
// What is handed over is the right to run tasks, not the worker. A worker's ring belongs to the
// thread that made it (DEFER_TASKRUN), and with it every descriptor that is watched there; so the
// worker stays with its thread, and a stand-in, which is a further worker with a thread, a ring and
// a wheel of its own, counts in its place. In steps:
//
//  1. Everything that is queued on the worker goes to injection. The thread is no worker now: what
//     it wakes or spawns goes there too.
//  2. The worker leaves the counts of idle.h and a stand-in that rests becomes a sleeper there. It
//     is woken only if something is queued that nobody looks for: a call that is short, or with
//     nothing else to do, costs two locks. If no stand-in rests, a thread is made, and takes over
//     the count when it has started. Not before 1: from here on all others may meet at the end of
//     the pool, and whoever leads there takes over the worker's queues.
//  3. The function is called. Timers of this worker, and completions of its ring, are served by the
//     watchdog like those of any worker in a long turn, within two of its periods. A stand-in's own
//     are served by itself.
//  4. The worker comes back at once, whatever the others do: it counts again, and one stand-in is
//     one too many. One that sleeps is put to rest; else the first that is between two turns gives
//     its queue away and rests. Until then one thread more than there are workers runs tasks.
//
// The watchdog calls stand-ins too, while all workers are in long turns (watchdog.h).
// The worker loop knows nothing of this. A stand-in runs the same loop with another stop word.
//
// At rest a stand-in sleeps on its ring, for descriptors that its tasks began to watch while it
// stood in and for their timers: what becomes ready goes to injection, one wake-up later than
// elsewhere. Stand-ins live as long as the pool (stand_ins.cc); there are as many as calls were at
// once, at most stand_ins_max. Beyond that, or without memory for a thread, a call is a long turn.
//
// Shutdown does not wait for those that are away before it cancels tasks, for they may wait for a
// task. Their stand-ins meet in drain() in their place. A worker that comes back when there is a
// leader already is late: it takes the baton from the leader, ends its turn, and passes it back.
// The leader itself, in the destructor of a task that it cancels, has nobody to stand in, nor has
// the worker that it has called to run its bound tasks. For them a call is a long turn, in which
// they are no workers all the same, so that the function may block: late ones have their turns
// meanwhile, and what is spawned from outside is cancelled by the spawner, because the function may
// wait for it. For what was queued before nothing can be done.
//
// Rejected: to hand the worker over and keep only the ring, and to end the turn without a worker.
// Every operation would have to know a thread without wheel and queue, the rest of the turn could
// spawn only through injection, and afterwards there are two rings that must be served all the
// same. Rejected: to wake or make the stand-in only when the watchdog finds the worker stuck: up to
// 4 ms, in which nothing runs if there is one worker.
#include "base/assert.h"
#include "scheduler/pool_state.h"
#include "scheduler/worker.h"
#include "task/task.h"

#include <rt/block_in_place.h>

#include <utility>

namespace rt::scheduler {

using detail::this_thread;
using metrics::worker_counters;

void pool_state::take_baton() noexcept {
    std::uint32_t expected = 0;
    while (!baton_.cas_strong_acq_rel(expected, 1)) { // acquire: pairs with pass_baton
        futex_wait(baton_, 1);
        expected = 0;
    }
}

void pool_state::pass_baton() noexcept {
    baton_.store_release(0);
    futex_wake_all(baton_);
}

void worker::go_away(detail::context& outer) noexcept {
    if (pool_.settings.flavor == flavor::current_thread) {
        base::fatal("rt::block_in_place on a flavor::current_thread runtime: no other thread can "
                    "take over; "
                    "use co_await rt::blocking(...), or flavor::multi_thread");
    }
    task_header* const task = this_thread.task;
    metrics::count(&worker_counters::in_place);
    task->waits_for = detail::wait_kind::in_place;
    state.store_relaxed(worker_state::in_place);
    tasks::let_joiners_wait();    // others may want them
    this_thread.newest = nullptr; // nor when it comes back
    outer = this_thread;
    this_thread.worker = nullptr; // from here on a kick only enters the kernel
    this_thread.task = nullptr;
    this_thread.in_place = task;
    compiler_barrier();
    if (ends_tasks()) {
        // relaxed: this thread shall see it, and it is no matter when others do.
        pool_.is_ending_away.store_relaxed(true);
        pool_.pass_baton();
        return; // everybody else is at rest, or late
    }
    if (is_late_) {
        end_late_turn();
        is_late_ = true; // comes back as such
        return;
    }
    leave_loneliness();
    give_away(); // before anybody counts in its place, and might lead a shutdown
    const idle::relief relief = pool_.sleepers.go_away();
    if (relief == idle::relief::wanted) {
        pool_.make_stand_in(*this);
    }
    if (relief == idle::relief::found) {
        if (pool_.has_work()) { // rule D
            pool_.notify(no_preference);
        }
        // The stand-in may have been told of the shutdown while it was at rest.
        if (pool_.phase.load_relaxed() != phase_running) { // relaxed: go_away has fenced
            pool_.wake_stand_ins();
        }
    }
}

// In a shutdown: it is the leader, or runs its bound tasks for the leader.
bool worker::ends_tasks() const noexcept {
    return is_called_ || pool_.leader.load_relaxed() == this; // relaxed: written by its own thread
}

// From here on it counts in idle.h like any other, in a turn and so unparked, as it was counted all
// the time. The caller fences (go_away, on_kick) before anybody relies on it; pairs with notify.
void worker::leave_loneliness() noexcept {
    if (is_lone_) {
        is_lone_ = false;
        pool_.sleepers.leave_loneliness();
    }
}

// Between two turns. True: the only worker of its pool is lone again; it shall look at the queues
// before it sleeps, for who made work visible before the fence may have seen that it was not.
bool worker::become_lone() noexcept {
    if (is_lone_ || pool_.workers.size() != 1 || index != 0 ||
        !pool_.sleepers.be_alone(is_searching_)) {
        return false;
    }
    is_searching_ = false;
    rest_looks_.forget(); // it counts no events for as long
    state.store_relaxed(worker_state::running);
    is_lone_ = true;
    fence_seq_cst(); // store-load; pairs with notify's
    return true;
}

void worker::come_back(const detail::context& outer) noexcept {
    if (ends_tasks()) {
        pool_.take_baton();
        pool_.is_ending_away.store_relaxed(false);
    } else if (is_late_ || !pool_.sleepers.come_back()) {
        is_late_ = true;
        pool_.late.add_acq_rel(1);
        pool_.take_baton();
    }
    task_header* const task = outer.task;
    detail::context now = outer;
    now.next_task_id = this_thread.next_task_id; // ids are used up for good
    now.last_task_id = this_thread.last_task_id;
    now.coarse_ns = pool_.clock.now_ns();
    compiler_barrier();
    this_thread = now;
    task->waits_for = detail::wait_kind::none;
    state.store_relaxed(worker_state::running);
}

void worker::end_late_turn() noexcept {
    is_late_ = false;
    give_away();
    pool_.pass_baton();
    pool_.late.sub_acq_rel(1); // release: the leader sees what the turn did
    futex_wake_all(pool_.late);
    if (worker* const leader = pool_.leader.load_relaxed()) { // else it is about to look anyway
        leader->unpark();
    }
}

void worker::give_away() noexcept {
    this_thread.newest = nullptr;
    task_chain all;
    while (task_header* const task = next_queued()) {
        all.push(task);
    }
    while (task_header* const task = fresh_.pop_oldest()) {
        all.push(task);
    }
    if (task_header* const task = exchange_lifo(nullptr)) {
        all.push(task);
    }
    all.append(deferred_.take());
    if (!all.is_empty()) {
        pool_.inject(node, all);
    }
}

// Sleeps until it has to stand in. False: the pool has ended.
bool worker::rest() noexcept {
    for (;;) {
        give_away();
        if (pool_.phase.load_acquire() == phase_done) { // acquire: as in drain
            return false;
        }
        state.store_relaxed(worker_state::parked);
        sleep(pool_.clock.to_monotonic(wheel.next_deadline_ns()));
        const idle::role role = pool_.sleepers.wake_from_rest(index);
        if (role != idle::role::at_rest) {
            is_searching_ = role == idle::role::searching;
            state.store_relaxed(worker_state::running);
            pool_.dog.stir();
        }
        after_driver();
        if (role != idle::role::at_rest) {
            until_maintain_ = pool_.settings.event_interval;
            pace_.begin(counters.polls.load_relaxed(), this_thread.coarse_ns);
            return true;
        }
    }
}

void worker::stand_in() noexcept {
    if (pool_.sleepers.join(index)) {
        state.store_relaxed(worker_state::running);
        pool_.dog.stir();
    } else if (!rest()) {
        return;
    }
    for (;;) {
        run(pool_.sleepers.stand_in_stop());
        if (pool_.phase.load_acquire() != phase_running) { // acquire: as in run
            pool_.drain(*this);
            return;
        }
        if (pool_.sleepers.retire(index)) {
            give_away();
            if (pool_.has_work()) { // rule D
                pool_.notify(no_preference);
            }
            if (!rest()) {
                return;
            }
        }
    }
}

} // namespace rt::scheduler

namespace rt::detail {

in_place::in_place() noexcept
    : worker_(this_thread.task == nullptr ? nullptr : this_thread.worker) {
    if (worker_ != nullptr) {
        worker_->go_away(outer_);
    }
}

in_place::~in_place() {
    if (worker_ != nullptr) {
        worker_->come_back(outer_);
    }
}

} // namespace rt::detail

// SPDX-License-Identifier: MIT
//
// The tasks that only one worker may run: rt::spawn_on and rt::spawn_local.
//
// A bound task's header names, as its scheduler, not the pool but its worker's bound_tasks. So a
// wake-up of any other task does not even ask whether it is bound, every wake-up of a bound one
// comes here, whoever makes it, and nothing here is ever offered to a thief, to the watchdog's
// rescue or to the leader of a shutdown.
//
// Places. What the worker itself makes ready goes to the end of a list that only it touches. What
// other threads make ready goes to the inbound queue, under its lock, and the worker is unparked if
// it sleeps; it looks there as often as at the injection queues. Both are first in, first out, and
// the list takes turns with the ring, so that neither starves the other. A task that yields waits
// behind the driver's next turn, like any other.
//
// Sleep. Nobody else can run these tasks, so idle.h's rules (wake one, unless somebody searches) do
// not apply: the pusher unparks this worker, after its push. The worker's step to parked and
// unpark's exchange are on one word, so that either the push is seen or the sleep does not begin.
//
// Shutdown. A task is destroyed on its worker, too: the leader calls each worker that has any for a
// round of them, and rests meanwhile (pool_state::run_bound_of_others).
//
// Rejected: a bit in the state word, tested by every schedule, which the ring, the LIFO slot, the
// fresh stack and each place that moves tasks would all have to respect.
#pragma once

#include "scheduler/inject_queue.h"
#include "scheduler/local_queue.h"

#include <rt/detail/atomic.h>
#include <rt/detail/header.h>

#include <cstddef>
#include <cstdint>

namespace rt::scheduler {

class worker;

class alignas(128) bound_tasks final : public detail::scheduler_base {
public:
    bound_tasks() noexcept = default;
    bound_tasks(const bound_tasks&) = delete;
    bound_tasks& operator=(const bound_tasks&) = delete;
    ~bound_tasks();

    // Called once, before there are tasks.
    void bind(worker& owner) noexcept { owner_ = &owner; }

    // Threads: any.
    void schedule(task_header* task) noexcept override;
    void schedule_joiner(task_header* task) noexcept override { schedule(task); }
    void schedule_new(task_header* task) noexcept override;

    // The rest up to depth() is for the worker's thread, or for the leader while that is at rest.

    // Takes the next one, or null.
    [[nodiscard]] task_header* pop() noexcept;
    [[nodiscard]] bool has_ready() const noexcept { return !ready_.is_empty(); }

    // Moves what other threads have queued to the end of the list.
    void take_inbound() noexcept;

    // Puts a task that yielded behind the driver's next turn, and those to the end of the list.
    void defer(task_header* task) noexcept;
    void take_deferred() noexcept;
    [[nodiscard]] bool has_deferred() const noexcept { return !deferred_.is_empty(); }

    // Refuses further tasks, which can only be new ones: whoever spawns one cancels it.
    void close() noexcept { inbound_.close(); }
    // Whether a thread from outside is still about to wake the worker: see inject_queue.h.
    [[nodiscard]] bool has_guests() noexcept { return inbound_.has_guests(); }

    // Tasks that are ready, wherever they are. Threads: any; a moment old.
    [[nodiscard]] std::size_t depth() const noexcept {
        return inbound_.size() + depth_.load_relaxed();
    }

private:
    void push_inbound(task_header* task) noexcept;

    worker* owner_ = nullptr;           // constant while there are tasks
    task_chain ready_;                  // owner only
    task_chain deferred_;               // owner only
    atomic<std::uint32_t> depth_{0};    // owner writes: the sum of both
    alignas(128) inject_queue inbound_; // written by every thread
};

} // namespace rt::scheduler

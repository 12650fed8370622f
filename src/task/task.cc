// SPDX-License-Identifier: MIT
//
// The life of one task between a worker's hands: create, run, unwind, complete, free.
//
// Ids come from the process in blocks of id_block per thread, so that a spawn touches no shared
// line. A free header has id 0; create_task writes the id last (release) and free_header clears it
// first, which is all that an observer of type-stable headers needs to tell a live one.
#include "task/task.h"

#include "base/assert.h"
#include "metrics/worker_counters.h"
#include "task/cancel.h"
#include "task/label.h"

#include <rt/detail/frame.h>
#include <rt/detail/label.h>
#include <rt/detail/promise.h>
#include <rt/detail/result_slot.h>
#include <rt/detail/wait_queue.h>
#include <rt/hooks.h>
#include <rt/spawn.h>

#include <coroutine>
#include <utility>

namespace rt::tasks {
namespace {

using detail::context;
using detail::outcome;
using detail::sync_wait;
using detail::this_thread;
using detail::wait_kind;
using detail::wait_node;

constexpr std::uint64_t id_block = 1024;
constinit atomic<std::uint64_t> next_id{1};
constinit defer_function defer = nullptr;

std::uint64_t take_id() noexcept {
    context& self = this_thread;
    if (self.next_task_id == self.last_task_id) [[unlikely]] {
        self.next_task_id = next_id.add_relaxed(id_block);
        self.last_task_id = self.next_task_id + id_block;
    }
    return self.next_task_id++;
}

// Rule 6 of the state word, for a branch that has been woken: whether nothing was given to it that
// would be lost, or all of it has been given back.
bool give_back(const task_header* task) noexcept {
    switch (task->waits_for) {
    case wait_kind::join:
    case wait_kind::join_any:
    case wait_kind::sleep:
    case wait_kind::readable:
    case wait_kind::writable:
        return true;
    case wait_kind::mutex:
    case wait_kind::semaphore:
    case wait_kind::notify:
    case wait_kind::channel_send:
    case wait_kind::channel_receive:
    case wait_kind::oneshot:
    case wait_kind::barrier:
        sync_wait::give_back(static_cast<sync_wait*>(task->leaf));
        return true;
    default:
        return false;
    }
}

// Where a task goes on that was woken at `leaf` and is being cancelled.
void* go_on(task_header* task, std::uint64_t state, void* leaf) noexcept {
    return (state & detail::state_lost) != 0 && give_back(task) ? unwind(task) : leaf;
}

// Rule 4 of the state word. Returns the coroutine to go on with, or null.
void* settle_claim(task_header* task) noexcept {
    wait_node* const node = task->leaf;
    if (node->cancel(node) == wait_node::cancel_result::detached) {
        task->state.and_acq_rel(~std::uint64_t{detail::state_claimed});
        return unwind(task);
    }
    std::uint64_t state = task->state.load_relaxed();
    for (;;) {
        const bool woken = (state & detail::state_woken) != 0;
        std::uint64_t next = state & ~std::uint64_t{detail::state_claimed | detail::state_woken};
        if (!woken) {
            next |= detail::state_waiting;
        }
        // Once waiting is published again the task may be anyone's.
        void* const leaf = task->resume;
        // acq_rel: acquire pairs with try_wake's release of woken; release publishes waiting again.
        if (task->state.cas_weak_acq_rel(state, next)) {
            return woken ? go_on(task, state, leaf) : nullptr;
        }
    }
}

// Counts a spawn whose runtime has hooks, or on a thread that has counted nothing yet. Out of line:
// see end_unheard.
[[gnu::noinline, gnu::cold]] task_header* announce(task_header* task) noexcept {
    metrics::count_spawn();
    if (is_hooked(task)) {
        detail::call_spawn_hook(task);
        note_ready(task);
    }
    return task;
}

// The task has no frames left.
void end_cancelled(task_header* task) noexcept {
    task->ended = outcome::cancelled;
    detail::complete(task, nullptr);
}

} // namespace

void* start_cancelled(task_header* task, std::uint64_t state) noexcept {
    if ((state & detail::state_claimed) != 0) {
        return settle_claim(task);
    }
    // Neither a task that has not begun nor one that has yielded has anything delivered to it.
    if (task->polls == 1 || task->waits_for == wait_kind::yield) {
        return unwind(task);
    }
    return go_on(task, state, task->resume);
}

void* unwind(task_header* task) noexcept {
    // acquire: pairs with request_cancel; `requested` of the boundary is visible with the bit.
    const std::uint64_t state = task->state.load_acquire();
    if ((state & detail::state_aborted) == 0) {
        if (void* const next = unwind_to_boundary(task)) {
            return next;
        }
    }
    destroy_frames(task, task->live.frame);
    end_cancelled(task);
    return nullptr;
}

void* after_yield(task_header* task) noexcept {
    const std::uint64_t state = task->state.load_acquire(); // acquire: pairs with request_cancel
    if ((state & (detail::state_aborted | detail::state_scoped)) != 0) {
        return unwind(task);
    }
    return put_back(task);
}

void* put_back(task_header* task) noexcept {
    note_ready(task);
    defer(task);
    return nullptr;
}

void cancel_unstarted(task_header* task) noexcept {
    task_header* const outer = std::exchange(this_thread.task, task);
    destroy_frames(task, task->live.frame);
    end_cancelled(task);
    this_thread.task = outer;
}

void set_defer(defer_function function) noexcept {
    defer = function;
}

} // namespace rt::tasks

namespace rt::detail {

namespace {

// The id of the task that is spawning.
[[gnu::always_inline]] inline std::uint64_t spawner_id() noexcept {
    const context& self = this_thread;
    if (self.task != nullptr) [[likely]] {
        return self.task->id.load_relaxed();
    }
    return self.in_place != nullptr ? self.in_place->id.load_relaxed() : 0;
}

// `parent` is that id or leads to a label, in which case `state` says so.
[[gnu::always_inline]] inline task_header* make_task(
    void* block,
    void* frame,
    scheduler_base* scheduler,
    titled how,
    std::uint64_t parent,
    std::uint64_t state = state_spawned
) noexcept {
    auto* const task = static_cast<task_header*>(block);
    context& self = this_thread;
    // relaxed: the queue publishes the header to the worker that will run it.
    task->state.store_relaxed(state);
    task->queue_next = nullptr;
    task->resume = frame;
    task->scheduler = scheduler;
    task->leaf = nullptr;
    task->boundary = nullptr;
    task->listener = nullptr;
    task->polls = 0;
    task->home = UINT16_MAX;
    task->waits_for = wait_kind::none;
    task->ended = outcome::pending;
    task->name = how.name;
    task->spawn_site = std::bit_cast<const std::source_location*>(how.at);
    task->parent.store_relaxed(parent); // relaxed: published with the id
    task->live = {nullptr, self.coarse_ns, frame, self.coarse_ns};
    // release: an observer that reads the id reads the fields of this life, or a later one.
    task->id.store_release(rt::tasks::take_id());
    if (metrics::this_worker == nullptr || rt::tasks::is_hooked(task)) [[unlikely]] {
        return rt::tasks::announce(task);
    }
    metrics::count_spawn();
    return task;
}

[[gnu::noinline, gnu::cold]] task_header*
create_task_slow(void* frame, scheduler_base* scheduler, titled how) noexcept {
    void* const block = allocate_header();
    return block == nullptr ? nullptr : make_task(block, frame, scheduler, how, spawner_id());
}

} // namespace

task_header* create_task(void* frame, scheduler_base* scheduler, titled how) noexcept {
    void* const block = try_allocate_header();
    if (block == nullptr) [[unlikely]] {
        return create_task_slow(frame, scheduler, how);
    }
    return make_task(block, frame, scheduler, how, spawner_id());
}

task_header*
create_task(void* frame, scheduler_base* scheduler, const spawn_options* how) noexcept {
    const titled title(how->at, how->name.text());
    label_block* const label = rt::tasks::make_label(how->label.text(), spawner_id());
    if (label == nullptr) {
        return create_task(frame, scheduler, title);
    }
    void* const block = allocate_header();
    if (block == nullptr) {
        deallocate_label(label);
        return nullptr;
    }
    constexpr std::uint64_t state = state_spawned | state_labelled;
    return make_task(block, frame, scheduler, title, parent_word_of(label), state);
}

namespace {

// The rest of complete(), for a task that has been counted. Out of line: what they call would make
// the frequent way save registers.
[[gnu::noinline]] void
end_unheard(task_header* task, std::uint64_t state, drop_function drop) noexcept {
    // Only abort handles are left; they look at nothing but the state word. Without any, nobody
    // else can reach the task.
    if (drop != nullptr) {
        drop(task);
    }
    if (state / state_ref != 1) {
        task->state.or_acq_rel(state_complete);
    }
    release(task);
}

// The same for a task that nobody holds and that has left nothing. Not in end(), whose other ways
// would save registers for it: spawn_join_from_worker took 1.04 of the time.
[[gnu::noinline]] void end_alone(task_header* task) noexcept {
    rt::tasks::free_header(task);
}

[[gnu::always_inline]] inline void end(task_header* task, drop_function drop) noexcept {
    std::uint64_t state = task->state.load_acquire(); // acquire: pairs with detach_with's release
    if (task == this_thread.nested && state == state_spawned) {
        // The join handle is the only other reference, and it is in the frame of the parent that
        // waits for this very call to return; a shutdown's walk waits for the parent's turn to end.
        // Nobody else can reach the word: no read-modify-write is needed.
        task->state.store_relaxed(state_ref | state_interest | state_complete);
        return;
    }
    do {
        if ((state & state_interest) == 0) {
            return state == state_ref && drop == nullptr ? end_alone(task)
                                                         : end_unheard(task, state, drop);
        }
        // acq_rel: release pairs with the join handle's acquire of complete; acquire pairs with
        // listen()'s release of the listener.
    } while (!task->state.cas_weak_acq_rel(state, state + state_complete - state_ref));
    if ((state & state_listener) != 0) {
        task->listener->on_complete(task->listener, task);
    }
}

// The end of a task whose runtime has hooks, or on a thread that has counted nothing yet.
[[gnu::noinline, gnu::cold]] void announce_and_end(task_header* task, drop_function drop) noexcept {
    metrics::count_end(task->ended == outcome::cancelled);
    if (rt::tasks::is_hooked(task)) {
        call_terminate_hook(task);
    }
    end(task, drop);
}

} // namespace

void complete(task_header* task, drop_function drop) noexcept {
    if (metrics::this_worker == nullptr || rt::tasks::is_hooked(task)) [[unlikely]] {
        return announce_and_end(task, drop);
    }
    metrics::count_end(task->ended == outcome::cancelled);
    end(task, drop);
}

} // namespace rt::detail

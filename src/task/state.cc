// SPDX-License-Identifier: MIT
//
// The transitions of the task state word. The bits and the six rules are in rt/detail/header.h.
//
// All changes are read-modify-writes of one word, so they have one order; every one that hands the
// task from one thread to another is acquire-release: the party that takes the task out of its leaf
// sees everything that its worker wrote before commit_suspend, and the worker that resumes it sees
// what the waker wrote before wake (through the queue as well, but a woken bit has no queue).
#include "base/assert.h"
#include "task/label.h"
#include "task/task.h"

#include <rt/detail/context.h>
#include <rt/detail/frame.h>
#include <rt/detail/header.h>
#include <rt/detail/promise.h>
#include <rt/detail/suspend.h>

namespace rt::detail {

bool try_wake(task_header* task) noexcept {
    std::uint64_t state = task->state.load_relaxed();
    for (;;) {
        const bool waiting = (state & state_waiting) != 0;
        const std::uint64_t next =
            waiting ? state & ~std::uint64_t{state_waiting} : state | state_woken;
        RT_DEBUG_ASSERT((state & (state_woken | state_complete)) == 0); // rule 5
        // acq_rel: acquire pairs with the release in commit_suspend; release pairs with the
        // acquire of commit_suspend or settle_claim that finds woken.
        if (task->state.cas_weak_acq_rel(state, next)) {
            if (waiting) {
                rt::tasks::note_ready(task);
            }
            return waiting;
        }
    }
}

void wake(task_header* task) noexcept {
    if (try_wake(task)) {
        task->scheduler->schedule(task);
    }
}

bool commit_suspend(
    task_header* task, void* leaf_address, wait_node* node, wait_kind kind, const void* object
) noexcept {
    RT_DEBUG_ASSERT(task == this_thread.task);
    task->resume = leaf_address;
    task->leaf = node;
    task->waits_for = kind;
    task->live.wait_object = object;
    task->live.since_ns = this_thread.coarse_ns;
    bool asked = false;
    std::uint64_t state = task->state.load_relaxed();
    for (;;) {
        RT_DEBUG_ASSERT((state & (state_waiting | state_claimed | state_complete)) == 0);
        if ((state & state_woken) != 0) {
            // acq_rel: acquire pairs with try_wake's release.
            if (task->state.cas_weak_acq_rel(state, state & ~std::uint64_t{state_woken})) {
                task->waits_for = wait_kind::none;
                return false;
            }
            continue;
        }
        if ((state & (state_aborted | state_scoped)) != 0 && !asked) {
            if (task == this_thread.unwinding) [[unlikely]] {
                forbid_going_on();
            }
            asked = true;
            if (node->cancel(node) == wait_node::cancel_result::detached) {
                this_thread.after = &rt::tasks::unwind;
                return true;
            }
            state = task->state.load_relaxed();
            continue;
        }
        // release: pairs with the acquire in try_wake and request_cancel.
        if (task->state.cas_weak_acq_rel(state, state | state_waiting)) {
            return true;
        }
    }
}

bool request_cancel(task_header* task, state_bits bit) noexcept {
    std::uint64_t state = task->state.load_relaxed();
    for (;;) {
        if ((state & state_complete) != 0) {
            return false;
        }
        const bool waiting = (state & state_waiting) != 0;
        std::uint64_t next = state | bit;
        if (waiting) {
            next = (next & ~std::uint64_t{state_waiting}) | state_claimed;
        }
        // acq_rel: acquire pairs with commit_suspend; release pairs with the worker's acquire of
        // the bit (boundary.requested is written before state_scoped).
        if (task->state.cas_weak_acq_rel(state, next)) {
            if (waiting) {
                rt::tasks::note_ready(task);
            }
            return waiting;
        }
    }
}

void release(task_header* task) noexcept {
    const std::uint64_t state = task->state.load_acquire(); // acquire: pairs with the sub below
    RT_DEBUG_ASSERT((state & ~state_labelled) >= state_ref);
    // With one reference left nobody else can reach the word: no operation is needed.
    if (state / state_ref == 1) {
        rt::tasks::free_header(task);
        return;
    }
    // A labelled task comes here always: its count is not 1 together with the bit above it.
    const std::uint64_t before = task->state.sub_acq_rel(state_ref);
    if (before / state_ref == 1) {
        rt::tasks::free_header(task);
    } else if ((before & ~state_labelled) / state_ref == 1) {
        rt::tasks::free_labelled(task);
    }
}

bool yield_current(void* leaf_address) noexcept {
    task_header* const task = current_task_or_fatal("rt::yield");
    task->resume = leaf_address;
    task->waits_for = wait_kind::yield;
    this_thread.after = &rt::tasks::after_yield;
    return true;
}

} // namespace rt::detail

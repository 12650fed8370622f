// SPDX-License-Identifier: MIT
//
// How a leaf suspends the running task: register with the waker first, publish last.
//
// A leaf awaiter derives from wait_node and its await_suspend does, in this order: set `task`, hand
// the node to its waker (a list, a wheel, a pool), return commit_suspend(...). From the moment the
// node is handed over the waker may call wake(); from the moment commit_suspend has published
// state_waiting the frame may be resumed or destroyed elsewhere, so nothing may follow it.
//
// The kind says what dumps show and, by rule 6 of rt/detail/header.h, what a wake-up brings. It is
// wait_kind::user for a leaf that the library does not know: one that was woken is resumed then.
#pragma once

#include <rt/detail/config.h>
#include <rt/detail/context.h>
#include <rt/detail/header.h>

#include <cstdint>

namespace rt::detail {

// Marks `node` as belonging to the running task.
inline task_header* attach_to_current(wait_node& node, const char* what) noexcept {
    task_header* const task = this_thread.task;
    if (task == nullptr) [[unlikely]] {
        return node.task = current_task_or_fatal(what);
    }
    node.task = task;
    return task;
}

// Takes one unit of the task's cooperative budget. False: it is used up and the task shall yield
// although it could go on, so that one always-ready task cannot starve its worker.
[[nodiscard]] inline bool consume_budget() noexcept {
    if (this_thread.budget == 0) [[unlikely]] {
        return false;
    }
    --this_thread.budget;
    return true;
}

// Called by a leaf instead of registering: puts the running task at the back of its worker's queue,
// behind the next look at the driver. Returns true for await_suspend.
RT_API bool yield_current(void* leaf_address) noexcept;

} // namespace rt::detail

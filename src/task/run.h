// SPDX-License-Identifier: MIT
//
// One turn of a task: see task.h. In a header, because the worker loop is its only caller and a
// call and its saved registers are a tenth of a short turn.
//
// Threads: a worker, for a task that it owns.
#pragma once

#include "metrics/probes.h"
#include "task/task.h"

#include <rt/detail/context.h>
#include <rt/detail/header.h>

#include <coroutine>
#include <cstdint>

namespace rt::tasks {

// Runs one turn: from the leaf on, and what the frames leave to be done, until the task is not ours
// any more. A loop, because unwinding to a boundary goes on with another coroutine of the task.
inline void run(task_header* task) noexcept {
    detail::context& self = detail::this_thread;
    const std::uint64_t id = task->id.load_relaxed();
    self.task = task;
    ++task->polls;
    metrics::probe_poll_start(task, id);
    void* address = task->resume;
    const std::uint64_t state = task->state.load_relaxed(); // the queue ordered it
    if ((state & (detail::state_claimed | detail::state_aborted)) != 0) [[unlikely]] {
        address = start_cancelled(task, state);
    }
    if (address != nullptr) [[likely]] {
        task->waits_for = detail::wait_kind::none;
        self.budget = detail::poll_budget;
        do {
            self.after = nullptr;
            std::coroutine_handle<>::from_address(address).resume();
            const detail::after_function after = self.after;
            address = after != nullptr ? after(task) : nullptr;
        } while (address != nullptr);
    }
    metrics::probe_poll_end(task, id);
    self.task = nullptr;
}

// The same inside the turn of another task, whose frames are all suspended and in which nothing is
// left to be done.
inline void run_nested(task_header* task) noexcept {
    detail::context& self = detail::this_thread;
    task_header* const outer = self.task;
    const std::uint32_t budget = self.budget;
    const std::uint64_t id = outer->id.load_relaxed();
    metrics::probe_poll_end(outer, id);
    run(task);
    metrics::probe_poll_start(outer, id);
    self.task = outer;
    self.budget = budget;
    self.after = nullptr;
}

} // namespace rt::tasks

// SPDX-License-Identifier: MIT
//
// One turn of a task: see task.h. In a header, because a call and its saved registers are a tenth
// of a short turn, and always inlined, because it has more callers than the worker loop.
//
// Threads: a worker, for a task that it owns.
#pragma once

#include "metrics/probes.h"
#include "task/task.h"

#include <rt/detail/context.h>
#include <rt/detail/header.h>

#include <coroutine>
#include <cstdint>
#include <utility>

namespace rt::tasks {

// run() and the inner part of run_nested(), for tasks that are hooked.
[[gnu::cold, gnu::noinline]] void run_hooked(task_header* task) noexcept;
[[gnu::cold, gnu::noinline]] void run_nested_hooked(task_header* outer, task_header* task) noexcept;

// Runs one turn: from the leaf on, and what the frames leave to be done, until the task is not ours
// any more. A loop, because unwinding to a boundary goes on with another coroutine of the task.
[[gnu::always_inline]] inline void run_turn(task_header* task) noexcept {
    detail::context& self = detail::this_thread;
    const std::uint64_t id = task->id.load_relaxed();
    self.task = task;
    self.newest = nullptr; // a hook may have spawned this very task
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
    self.newest = nullptr; // others may have that one from now on
}

// The same between the program's hooks, which the branches of a join or select do not have.
[[gnu::always_inline]] inline void run(task_header* task) noexcept {
    if (is_hooked(task)) [[unlikely]] {
        run_hooked(task);
        return;
    }
    run_turn(task);
}

} // namespace rt::tasks

namespace rt::detail {

// A task that is inside of a join while its worker runs the other one.
struct nested_join {
    join_wait* wait;
    nested_join* outer;
};

} // namespace rt::detail

namespace rt::tasks {

// The same inside the turn of another task that is about to wait for its end, whose frames are all
// suspended and in which nothing is left to be done. A dump sees it wait. False: that other task
// waits by itself now (let_joiners_wait), and its turn is over.
[[nodiscard]] inline bool run_nested(task_header* task, detail::join_wait& wait) noexcept {
    detail::context& self = detail::this_thread;
    detail::nested_join join{&wait, self.joins};
    self.joins = &join;
    task_header* const outer = self.task;
    const std::uint32_t budget = self.budget;
    task_header* const outer_nested = std::exchange(self.nested, task);
    const std::uint64_t id = outer->id.load_relaxed();
    metrics::probe_poll_end(outer, id);
    outer->live.wait_object = task;
    outer->live.since_ns = self.coarse_ns;
    outer->waits_for = detail::wait_kind::join_inside;
    if (is_hooked(outer)) [[unlikely]] {
        run_nested_hooked(outer, task);
    } else {
        run(task);
    }
    self.after = nullptr;
    if (self.joins != &join) [[unlikely]] {
        return false; // and so did all that are outside of it; it may be anywhere
    }
    metrics::probe_poll_start(outer, id);
    self.joins = join.outer;
    outer->waits_for = detail::wait_kind::none;
    self.task = outer;
    self.budget = budget;
    self.nested = outer_nested;
    return true;
}

} // namespace rt::tasks

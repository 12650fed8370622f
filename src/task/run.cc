// SPDX-License-Identifier: MIT
//
// Turns between the program's hooks (rt/hooks.h), out of line and cold.
//
// The hooks are called with no task running, as those of threads are: what they spawn has no
// parent. They stand outside of the probes' interval.
#include "task/run.h"

#include <rt/hooks.h>

namespace rt::tasks {
namespace {

void call_before(const rt::hooks& hooks, const task_info& info) noexcept {
    detail::call_hook(hooks.on_before_task_poll, info, "on_before_task_poll");
}

void call_after(const rt::hooks& hooks, const task_info& info) noexcept {
    detail::call_hook(hooks.on_after_task_poll, info, "on_after_task_poll");
}

} // namespace

void run_hooked(task_header* task) noexcept {
    // After the turn the task may be elsewhere, or its header that of another one.
    const rt::hooks& hooks = *task->scheduler->hooks;
    const task_info info = detail::info_of(task);
    call_before(hooks, info);
    run_turn(task);
    call_after(hooks, info);
}

void run_nested_hooked(task_header* outer, task_header* task) noexcept {
    const rt::hooks& hooks = *outer->scheduler->hooks;
    const task_info info = detail::info_of(outer);
    detail::this_thread.task = nullptr;
    call_after(hooks, info);
    run(task);
    call_before(hooks, info);
}

} // namespace rt::tasks

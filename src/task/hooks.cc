// SPDX-License-Identifier: MIT
//
// Calling the program's hooks (rt/hooks.h).
//
// Out of line and cold: whoever comes here has found a hook that is set. A hook may spawn, which
// calls a hook; one that does so without end is the program's own doing.
#include "base/log.h"

#include <rt/detail/header.h>
#include <rt/hooks.h>

#include <bit>
#include <exception>
#include <source_location>

namespace rt::detail {
namespace {

template<typename Call>
void guarded(const char* name, Call call) noexcept {
    try {
        call();
    } catch (const std::exception& error) {
        base::log(base::log_level::warning, "hook %s has thrown: %s", name, error.what());
    } catch (...) {
        base::log(base::log_level::warning, "hook %s has thrown", name);
    }
}

} // namespace

void call_hook(const std::function<void()>& hook, const char* name) noexcept {
    if (hook) {
        guarded(name, [&] { hook(); });
    }
}

task_info info_of(const task_header* task) noexcept {
    return {
        task->id.load_relaxed(), // the caller owns the task
        task->name,
        std::bit_cast<std::source_location>(task->spawn_site),
        std::nullopt};
}

void call_hook(
    const std::function<void(const task_info&)>& hook, const task_info& info, const char* name
) noexcept {
    if (hook) {
        guarded(name, [&] { hook(info); });
    }
}

void call_spawn_hook(const task_header* task) noexcept {
    call_hook(task->scheduler->hooks->on_task_spawn, info_of(task), "on_task_spawn");
}

void call_terminate_hook(const task_header* task) noexcept {
    call_hook(task->scheduler->hooks->on_task_terminate, info_of(task), "on_task_terminate");
}

} // namespace rt::detail

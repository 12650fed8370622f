// SPDX-License-Identifier: MIT
//
// Calling the program's hooks (rt/hooks.h).
//
// Out of line and cold: whoever comes here has found a hook that is set. A hook may spawn, which
// calls a hook; one that does so without end is the program's own doing.
#include "base/assert.h"
#include "base/log.h"
#include "task/label.h"

#include <rt/detail/header.h>
#include <rt/hooks.h>

#include <bit>
#include <cstddef>
#include <exception>
#include <iterator>
#include <source_location>

namespace rt::detail {
namespace {

constexpr auto hook_count = static_cast<std::size_t>(hook_kind::kind_count);

constexpr const char* names[] = {
    "on_thread_start",
    "on_thread_stop",
    "on_thread_park",
    "on_thread_unpark",
    "on_task_spawn",
    "on_before_task_poll",
    "on_after_task_poll",
    "on_task_terminate",
};
static_assert(std::size(names) == hook_count);

// A hook that throws may do so for each task: of each hook only some reports are shown.
constinit base::log_limit limits[hook_count];

void report(hook_kind kind, const char* separator, const char* what) noexcept {
    const auto index = static_cast<std::size_t>(kind);
    RT_ASSERT(index < hook_count);
    constexpr auto level = base::log_level::warning;
    base::log_seldom(limits[index], level, "hook %s has thrown%s%s", names[index], separator, what);
}

template<typename Call>
void guarded(hook_kind kind, Call call) noexcept {
    try {
        call();
    } catch (const std::exception& error) {
        report(kind, ": ", error.what());
    } catch (...) {
        report(kind, "", "");
    }
}

} // namespace

void call_hook(const std::function<void()>& hook, hook_kind kind) noexcept {
    if (hook) {
        guarded(kind, [&] { hook(); });
    }
}

task_info info_of(const task_header* task) noexcept {
    return {
        task->id.load_relaxed(), // the caller owns the task
        task->name,
        rt::tasks::label_of(task),
        std::bit_cast<std::source_location>(task->spawn_site),
        std::nullopt};
}

void call_hook(
    const std::function<void(const task_info&)>& hook, const task_info& info, hook_kind kind
) noexcept {
    if (hook) {
        guarded(kind, [&] { hook(info); });
    }
}

void call_spawn_hook(const task_header* task) noexcept {
    call_hook(task->scheduler->hooks->on_task_spawn, info_of(task), hook_kind::task_spawn);
}

void call_terminate_hook(const task_header* task) noexcept {
    call_hook(task->scheduler->hooks->on_task_terminate, info_of(task), hook_kind::task_terminate);
}

} // namespace rt::detail

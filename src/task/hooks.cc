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

#include <algorithm>
#include <bit>
#include <exception>
#include <iterator>
#include <source_location>
#include <string_view>

namespace rt::detail {
namespace {

// A hook that throws may do so for each task: of each hook only some reports are shown.
struct reports {
    std::string_view hook;
    base::log_limit limit{};
};

constinit reports all_reports[] = {
    {"on_thread_start"},
    {"on_thread_stop"},
    {"on_thread_park"},
    {"on_thread_unpark"},
    {"on_task_spawn"},
    {"on_before_task_poll"},
    {"on_after_task_poll"},
    {"on_task_terminate"},
};

base::log_limit& limit_of(std::string_view hook) noexcept {
    const auto found =
        std::find_if(std::begin(all_reports), std::end(all_reports), [hook](const reports& each) {
            return each.hook == hook;
        });
    RT_ASSERT(found != std::end(all_reports));
    return found->limit;
}

template<typename Call>
void guarded(const char* name, Call call) noexcept {
    base::log_limit& limit = limit_of(name);
    constexpr auto level = base::log_level::warning;
    try {
        call();
    } catch (const std::exception& error) {
        base::log_seldom(limit, level, "hook %s has thrown: %s", name, error.what());
    } catch (...) {
        base::log_seldom(limit, level, "hook %s has thrown", name);
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
        rt::tasks::label_of(task),
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

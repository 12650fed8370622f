// SPDX-License-Identifier: MIT
//
// Turns between the program's hooks (rt/hooks.h), and turns that are measured, out of line and
// cold: a runtime that wants either has hooks, all of which may be empty.
//
// How long the task was ready is read from its header, where whoever made it ready has left the
// time (note_ready). It is known before the turn, as the label is, so both hooks around it are told
// the same. What is left of a turn after one inside of it has no latency, and the label of then.
//
// The hooks are called with no task running, as those of threads are: what they spawn has no
// parent. They stand outside of the probes' interval, and of what is measured. A turn is one sample
// however often turns inside of it interrupt it, and their time is not its own.
#include "task/run.h"

#include "base/clock.h"
#include "metrics/worker_counters.h"
#include "task/label.h"

#include <rt/hooks.h>
#include <rt/join.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <utility>

namespace rt::tasks {
namespace {

void call_before(const rt::hooks& hooks, const task_info& info) noexcept {
    detail::call_hook(hooks.on_before_task_poll, info, detail::hook_kind::before_task_poll);
}

void call_after(const rt::hooks& hooks, const task_info& info) noexcept {
    detail::call_hook(hooks.on_after_task_poll, info, detail::hook_kind::after_task_poll);
}

using latency = std::optional<std::chrono::nanoseconds>;

// What the hooks around the current turn are told.
constinit thread_local task_info* current_info = nullptr;

// For a task whose turn begins.
latency measure_latency(const task_header* task) noexcept {
    if (!task->scheduler->measures_latency) {
        return std::nullopt;
    }
    const std::uint64_t now_ns = base::monotonic_ns();
    const std::uint64_t ready_ns = task->live.since_ns; // perhaps by another CPU's clock
    const std::uint64_t latency_ns = now_ns > ready_ns ? now_ns - ready_ns : 0;
    metrics::worker_counters* const mine = metrics::this_worker;
    if (mine != nullptr && mine->schedule_latency != nullptr) {
        mine->schedule_latency->record(latency_ns);
    }
    return std::chrono::nanoseconds(latency_ns);
}

std::uint64_t ticks_since(std::uint64_t begin) noexcept {
    return base::ticks_between(begin, base::ticks());
}

// The counters of the calling worker, if it measures turns; else null.
metrics::worker_counters* measured() noexcept {
    metrics::worker_counters* const mine = metrics::this_worker;
    return mine != nullptr && mine->poll_times != nullptr ? mine : nullptr;
}

} // namespace

void write_ready_time(task_header* task) noexcept {
    task->live.since_ns = base::monotonic_ns();
}

void run_hooked(task_header* task) noexcept {
    // After the turn the task may be elsewhere, or its header that of another one.
    const rt::hooks& hooks = *task->scheduler->hooks;
    task_info info = detail::info_of(task);
    info.schedule_latency = measure_latency(task);
    // The outer one: of the turn inside of which this is, or of one of another runtime.
    task_info* const outer = std::exchange(current_info, &info);
    call_before(hooks, info);
    metrics::worker_counters* const mine = measured();
    if (mine != nullptr) {
        mine->poll_started = base::ticks();
    }
    run_turn(task);
    if (mine != nullptr) {
        mine->poll_times->record(base::ticks_to_ns(ticks_since(mine->poll_started)));
    }
    current_info = outer;
    call_after(hooks, info);
}

void run_nested_hooked(task_header* outer, task_header* task) noexcept {
    const rt::hooks& hooks = *outer->scheduler->hooks;
    task_info& info = *current_info;
    detail::this_thread.task = nullptr;
    metrics::worker_counters* const mine = measured();
    const std::uint64_t spent = mine != nullptr ? ticks_since(mine->poll_started) : 0;
    call_after(hooks, info);
    info.label = label_of(outer); // the turn may have changed it; afterwards it may be elsewhere
    info.schedule_latency = std::nullopt;
    run(task);
    call_before(hooks, info);
    if (mine != nullptr) {
        mine->poll_started = base::ticks() - spent;
    }
}

void let_joiners_wait() noexcept {
    detail::context& self = detail::this_thread;
    self.nested = nullptr;
    for (detail::nested_join* each = std::exchange(self.joins, nullptr); each != nullptr;) {
        detail::join_wait* const wait = each->wait;
        each = each->outer;
        wait->wait_alone();
    }
}

} // namespace rt::tasks

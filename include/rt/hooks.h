// SPDX-License-Identifier: MIT
//
// Functions of the program that a runtime calls at certain moments: config::hooks.
//
//     rt::runtime runtime({.hooks = {.on_thread_start = [] { register_thread(); }}});
//
// For profilers, allocators and loggers that want to know of every thread, and for counting tasks.
// A hook that is not set costs one predicted branch. Hooks are called by many threads at once. One
// that throws is reported and has no other effect.
#pragma once

#include <rt/detail/config.h>
#include <rt/task_label.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <source_location>

namespace rt {

/// What a task's hooks are told. The name is null if the task has none; it and the place outlive
/// the task. The label is a copy; around a turn it is the one that the task had before.
struct task_info {
    std::uint64_t id = 0;
    const char* name = nullptr;
    task_label label;
    std::source_location spawned_at;
    /// Around a turn, with config::schedule_latency: how long the task was ready before it, from
    /// its spawn, wake-up, cancellation or yield on. Around a turn that goes on after one inside of
    /// it, none.
    std::optional<std::chrono::nanoseconds> schedule_latency = std::nullopt;
};

struct hooks {
    /// In each worker and each thread of the blocking pool, first and last. Not in the thread that
    /// is the worker of a flavor::current_thread.
    std::function<void()> on_thread_start;
    std::function<void()> on_thread_stop;
    /// In a worker that has found nothing to do, before it sleeps; what it spawns or wakes keeps
    /// the worker awake.
    std::function<void()> on_thread_park;
    /// In a worker that has slept.
    std::function<void()> on_thread_unpark;
    /// When a task has been made, on the thread that spawns it, before it can run.
    std::function<void(const task_info&)> on_task_spawn;
    /// In a worker, around each turn of a task; not around those of the branches of a join or
    /// select, which are parts of their task's turn. On a thread the two alternate: a turn that is
    /// interrupted by another one ends before it and begins anew after it. After the last turn, the
    /// task is gone and its join handle knows.
    std::function<void(const task_info&)> on_before_task_poll;
    std::function<void(const task_info&)> on_after_task_poll;
    /// When a task ends or is cancelled, before its join handle learns it, on the worker; its
    /// frames are gone.
    std::function<void(const task_info&)> on_task_terminate;
};

namespace detail {

struct task_header;

// In the order of the above.
enum class hook_kind : std::uint8_t {
    thread_start,
    thread_stop,
    thread_park,
    thread_unpark,
    task_spawn,
    before_task_poll,
    after_task_poll,
    task_terminate,
    kind_count,
};

// Calls one that is set. An exception is reported, not passed on.
RT_API void call_hook(const std::function<void()>& hook, hook_kind kind) noexcept;
void call_hook(
    const std::function<void(const task_info&)>& hook, const task_info& info, hook_kind kind
) noexcept;
// The caller owns the task.
task_info info_of(const task_header* task) noexcept;
// The task's scheduler has hooks.
void call_spawn_hook(const task_header* task) noexcept;
void call_terminate_hook(const task_header* task) noexcept;

} // namespace detail
} // namespace rt

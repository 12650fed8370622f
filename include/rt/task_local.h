// SPDX-License-Identifier: MIT
//
// rt::task_local<T>: a value that belongs to a task, or to a part of one.
//
//     const rt::task_local<std::string> request_id;                  // static, in one source file
//
//     co_await request_id.scope("r-17", handle(request));            // set for what handle does
//     if (const std::string* id = request_id.get()) { ... }          // anywhere inside
//
// Scopes nest; the innermost wins. A spawned task inherits nothing: to hand a value on, wrap the
// task that is spawned in a scope of its own. The parts of a join or select, and the body of an
// rt::scope, are the same task and see its values; the children of an rt::scope are not.
//
// The value is in the frame of the scope, and the task finds it through the list of its
// cancellation boundaries, which it has anyway: a task without values pays nothing, get() costs a
// walk over the scopes and timeouts around it. Rejected: a table per task (a word in the header),
// and setting a thread-local around each turn, as Tokio does (a cost for every turn of a task that
// has values).
//
// Threads: an rt::task_local is constant, any thread may use it. Values belong to their task.
#pragma once

#include <rt/detail/cancel.h>
#include <rt/detail/config.h>
#include <rt/detail/frame.h>
#include <rt/task.h>

#include <functional>
#include <optional>
#include <type_traits>
#include <utility>

namespace rt {

namespace detail {

// A boundary that nobody ever asks for: a place in the task's list. Its continuation is the key.
struct RT_API local_scope : cancel_boundary {
    // Makes `value` what the task finds under `key`. Requires: a task.
    local_scope(const void* key, void* value) noexcept;
    local_scope(const local_scope&) = delete;
    local_scope& operator=(const local_scope&) = delete;
    ~local_scope();

    void* value;
};

// The innermost value under `key` of the running task; null if there is none, or no task.
RT_API void* find_local(const void* key) noexcept;

} // namespace detail

template<typename T>
class task_local {
    static_assert(!std::is_reference_v<T> && !std::is_void_v<T>);
    static_assert(
        detail::fits_frame<T>, "coroutine frames are not aligned to more than 16: hold a pointer"
    );

public:
    constexpr task_local() noexcept = default;
    task_local(const task_local&) = delete;
    task_local& operator=(const task_local&) = delete;

    /// Runs `body` with this value and yields what it yields. The value is destroyed after the
    /// frames of `body`, whose destructors can still see it.
    /// Cancel: as `body`.
    template<typename U>
    [[nodiscard]] task<U> scope(T value, task<U> body) const {
        std::optional<T> held(std::move(value));
        const detail::local_scope here(this, &held);
        task<U> inner = std::move(body); // dies before the scope does
        co_return co_await std::move(inner);
    }

    /// Calls `function()` with this value and returns what it returns. Requires: a task.
    template<typename F>
    decltype(auto) sync_scope(T value, F&& function) const {
        std::optional<T> held(std::move(value));
        const detail::local_scope here(this, &held);
        return std::invoke(std::forward<F>(function));
    }

    /// The value of the running task; null outside of every scope, outside of tasks, and after
    /// take(). Valid until the scope ends.
    [[nodiscard]] T* get() const noexcept {
        auto* const held = static_cast<std::optional<T>*>(detail::find_local(this));
        return held == nullptr || !held->has_value() ? nullptr : &**held;
    }

    /// Moves the value out of its scope. Empty where get() is null.
    [[nodiscard]] std::optional<T> take() const {
        auto* const held = static_cast<std::optional<T>*>(detail::find_local(this));
        return held == nullptr ? std::nullopt : std::exchange(*held, std::nullopt);
    }

private:
    // Keys are told apart by their addresses; constants that look alike could share one.
    [[maybe_unused]] char identity_ = 0;
};

} // namespace rt

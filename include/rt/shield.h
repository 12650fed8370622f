// SPDX-License-Identifier: MIT
//
// rt::shield keeps cancellation away from a piece of work, rt::unconstrained the budget.
//
//     co_await rt::shield(commit(transaction));
//
// A shielded task always runs to its end; a cancellation of the task around it takes effect at the
// next suspension after that. A deadline around a shield is therefore late by as much as the shield
// takes, and so is the end of a runtime.
#pragma once

#include <rt/detail/branches.h>
#include <rt/detail/promise.h>
#include <rt/join.h>
#include <rt/task.h>

#include <new>
#include <utility>

namespace rt {

/// Runs `body` to its end whatever happens to the task that awaits it, and yields its value or
/// rethrows what it threw.
/// Cancel: waits for the body, and delivers what it returned.
template<typename T>
[[nodiscard]] task<T> shield(task<T> body, detail::site at = detail::site::current()) {
    detail::task_header* slot = nullptr;
    detail::branch_group group(detail::group_policy::shielded, &slot);
    join_handle<T> handle = group.add(std::move(body), at);
    while (!group.is_done()) {
        co_await group;
    }
    co_return handle.take();
}

/// Runs `body` without the budget of 128 operations per turn: operations that can go on at once
/// never make it give way to other tasks. An rt::yield in it still does. For work that is bounded
/// by itself: a body that always finds more to do stops its worker.
/// Cancel: safe.
template<typename T>
[[nodiscard]] task<T> unconstrained(task<T> body, detail::site at = detail::site::current()) {
    detail::task_header* slot = nullptr;
    detail::branch_group group(detail::group_policy::first_failure, &slot);
    group.set_unconstrained();
    join_handle<T> handle = group.add(std::move(body), at);
    while (!group.is_done()) {
        co_await group;
    }
    co_return handle.take();
}

} // namespace rt

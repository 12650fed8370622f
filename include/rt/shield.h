// SPDX-License-Identifier: MIT
//
// rt::shield keeps cancellation away from a piece of work, rt::unconstrained the budget.
//
//     co_await rt::shield(commit(transaction));
//     rt::result<job> next = co_await rt::unconstrained(jobs.recv());
//
// The work is an rt::task, or anything else that can be awaited: see rt/detail/part.h.
//
// What is shielded always runs to its end; a cancellation of the task around it takes effect at the
// next suspension after that. A deadline around a shield is therefore late by as much as the shield
// takes, and so is the end of a runtime.
#pragma once

#include <rt/detail/branches.h>
#include <rt/detail/part.h>
#include <rt/detail/promise.h>
#include <rt/join.h>
#include <rt/task.h>

#include <utility>

namespace rt {

namespace detail {

// Runs `body` as the only branch of a group.
template<group_policy policy, typename T>
task<T> run_alone(site at, task<T> body) {
    constexpr bool is_shield = policy == group_policy::shielded;
    task_header* slot = nullptr;
    branch_group group(policy, &slot);
    if constexpr (!is_shield) {
        group.set_unconstrained();
    }
    join_handle<T> handle = group.add(std::move(body), at);
    while (!group.is_done()) {
        co_await group;
    }
    if (group.has_failed()) {
        throw_for_empty(is_shield ? "rt::shield of a task" : "rt::unconstrained of a task", at);
    }
    co_return handle.take();
}

} // namespace detail

/// Runs `body` to its end whatever happens to the task that awaits it, and yields its value or
/// rethrows what it threw.
/// Cancel: waits for the body, and delivers what it returned. A part that has lost a select takes
/// what it gets all the same, and drops it.
/// Errors: std::bad_alloc when there is no memory for the body.
template<detail::part A>
[[nodiscard]] task<detail::part_value<A>>
shield(A&& body, detail::site at = detail::site::current()) {
    return detail::run_alone<detail::group_policy::shielded>(
        at, detail::as_task(std::forward<A>(body))
    );
}

/// Runs `body` without the budget of 128 operations per turn: operations that can go on at once
/// never make it give way to other tasks. An rt::yield in it still does. For work that is bounded
/// by itself: a body that always finds more to do stops its worker.
/// Cancel: safe. Errors: std::bad_alloc when there is no memory for the body.
template<detail::part A>
[[nodiscard]] task<detail::part_value<A>>
unconstrained(A&& body, detail::site at = detail::site::current()) {
    return detail::run_alone<detail::group_policy::first_failure>(
        at, detail::as_task(std::forward<A>(body))
    );
}

} // namespace rt

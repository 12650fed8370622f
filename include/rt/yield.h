// SPDX-License-Identifier: MIT
//
// rt::yield: let the other tasks of this worker run.
//
// A long computation awaits it now and then. Sockets, sleeps and the other operations of librt need
// no help: each takes a unit of the task's budget (128 per turn) when it can go on at once, and
// yields by itself when the budget is used up; rt::consume_budget does that for other loops.
#pragma once

#include <rt/detail/config.h>
#include <rt/detail/suspend.h>

#include <coroutine>

namespace rt {

class yield_awaiter {
public:
    bool await_ready() const noexcept { return false; }
    template<typename Promise>
    bool await_suspend(std::coroutine_handle<Promise> self) const noexcept {
        return detail::yield_current(self.address());
    }
    void await_resume() const noexcept {}
};

/// Puts the task at the back of its worker's queue, behind the next look at the driver.
/// Requires: awaited in a task; elsewhere it aborts with advice.
/// Cancel: a point of cancellation; nothing is lost.
[[nodiscard]] inline yield_awaiter yield() noexcept {
    return {};
}

class budget_awaiter {
public:
    bool await_ready() const noexcept { return detail::consume_budget(); }
    template<typename Promise>
    bool await_suspend(std::coroutine_handle<Promise> self) const noexcept {
        return detail::yield_current(self.address());
    }
    void await_resume() const noexcept {}
};

/// Takes a unit of the task's budget, as the operations of librt do, and yields when it is used up:
/// for loops over something that is always ready and is none of these operations.
/// Requires, Cancel: as yield.
[[nodiscard]] inline budget_awaiter consume_budget() noexcept {
    return {};
}

/// Whether the next operation that can go on at once will do so without yielding.
[[nodiscard]] inline bool has_budget() noexcept {
    return detail::this_thread.budget != 0;
}

} // namespace rt

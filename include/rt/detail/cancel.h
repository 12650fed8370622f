// SPDX-License-Identifier: MIT
//
// Boundaries of scoped cancellation, for awaiters that can be unwound to. See src/task/cancel.h.
#pragma once

#include <rt/detail/config.h>
#include <rt/detail/header.h>

namespace rt::detail {

// Makes `boundary` the running task's innermost. Threads: the task's worker.
RT_API void push_boundary(cancel_boundary& boundary) noexcept;

// Removes it again; it must be the innermost. Nobody may ask for it any more when this is called.
RT_API void pop_boundary(cancel_boundary& boundary) noexcept;

// Asks for the frames inside `boundary` to be unwound. True: the caller must schedule the task.
// Requires: the caller keeps the boundary and the task alive. Threads: any.
[[nodiscard]] RT_API bool request_scoped(task_header* task, cancel_boundary& boundary) noexcept;

} // namespace rt::detail

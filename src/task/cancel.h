// SPDX-License-Identifier: MIT
//
// Scoped cancellation: unwinding part of a task, up to a boundary such as a timeout.
//
// A boundary lives in the frame that set it and is linked in task->boundary, innermost first; only
// the worker that runs the task touches the list. Anyone who keeps the boundary alive (a timer,
// under its wheel's lock) may ask for the unwinding: `requested`, then state_scoped. The bit says
// that some boundary has asked; which one is found by walking the list, and the outermost wins.
#pragma once

#include <rt/detail/header.h>

namespace rt::tasks {

// Destroys the coroutine `frame` of the running task, and with it all that it awaits, from the
// inside outwards. Whatever a destructor throws on the way ends the program.
void destroy_frames(detail::task_header* task, void* frame) noexcept;

// Destroys the inner frames of the outermost boundary that asked for it and returns the coroutine
// to go on with, or null when none has asked. Requires: the caller owns the task, which is
// suspended, and its leaf has let go.
void* unwind_to_boundary(detail::task_header* task) noexcept;

} // namespace rt::tasks

// SPDX-License-Identifier: MIT
//
// What a worker does with a task: run it, unwind it, end it.
//
// run(), in run.h, resumes the leaf and returns when the chain of frames has suspended, yielded or
// ended. What is left to do then must happen outside the coroutine, because it may destroy frames
// or hand the task to another thread; the leaf leaves it as a function in this_thread.after. After
// a plain suspension there is nothing, and the task may already be running elsewhere.
//
// Threads: a worker, for a task that it owns.
#pragma once

#include "base/random.h"

#include <rt/detail/context.h>
#include <rt/detail/frame.h>
#include <rt/detail/header.h>

#include <cstdint>
#include <exception>

namespace rt::tasks {

using detail::task_header;

// Where the turn of a task begins that finds itself claimed or aborted: a coroutine, or null when
// the turn is over. `state` is its state word. For run(), in run.h.
void* start_cancelled(task_header* task, std::uint64_t state) noexcept;

// Destroys the frames up to the outermost boundary that asked for it and goes on from there; with
// state_aborted that is the whole task. Set as this_thread.after by a leaf that let go.
void* unwind(task_header* task) noexcept;

// Puts a task that called yield behind the driver's next turn. Set as this_thread.after.
void* after_yield(task_header* task) noexcept;

// The same without looking for a cancellation, for a task that has something registered and must be
// resumed to take it back. Set as this_thread.after.
void* put_back(task_header* task) noexcept;

// Ends a task that has never run or cannot run: frames destroyed, outcome cancelled.
void cancel_unstarted(task_header* task) noexcept;

// Makes all tasks wait by themselves inside of whose turns the running one has its own. Others may
// run them from now on; what is left of their turns on this thread does nothing.
void let_joiners_wait() noexcept;

// Its runtime has hooks for tasks, or measures something of their turns.
[[nodiscard]] inline bool is_hooked(const task_header* task) noexcept {
    return task->scheduler->hooks != nullptr;
}

[[gnu::cold, gnu::noinline]] void write_ready_time(task_header* task) noexcept;

// For whoever has made a task ready that he owns, before he queues it.
[[gnu::always_inline]] inline void note_ready(task_header* task) noexcept {
    if (task->scheduler->measures_latency) [[unlikely]] {
        write_ready_time(task);
    }
}

// Returns the block of a header without references.
inline void free_header(task_header* task) noexcept {
    task->id.store_relaxed(0);
    detail::deallocate_header(task);
}

// Sets what the random choices of this thread's tasks (rt::select) come from; returns what it was.
base::random_source exchange_order(base::random_source next) noexcept;

// Called for a yielded task by the scheduler layer: set once at start-up, because the deferred list
// belongs to the worker, which is above this layer.
using defer_function = void (*)(task_header*) noexcept;
void set_defer(defer_function function) noexcept;

// Asked about an exception that no join handle will see, on the thread that drops it: whether it
// shall be reported. Set once at start-up, for the same reason.
using unhandled_function = bool (*)(const std::exception_ptr&) noexcept;
void set_unhandled(unhandled_function function) noexcept;

} // namespace rt::tasks

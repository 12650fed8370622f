// SPDX-License-Identifier: MIT
//
// Who am I: the calling thread's place in a runtime. One thread-local object, read by every spawn
// and every suspension, written by the worker that owns the thread and by enter guards.
//
// It lives below the scheduler and holds opaque pointers, so that task, driver and scheduler can
// all ask it without knowing one another. Code that runs inside a coroutine must read it again
// after each co_await: the thread may have changed.
#pragma once

#include <rt/detail/config.h>
#include <rt/detail/header.h>

#include <cstdint>

namespace rt::driver {
class driver;
}
namespace rt::scheduler {
class worker;
}
namespace rt::engine {
class core;
}

namespace rt::detail {

inline constexpr std::uint32_t poll_budget = 128; // Tokio's figure; see man librt-tuning(7)

// Left by a leaf or a root for the worker to do outside the coroutine, once resume() has returned.
// Returns the coroutine to go on with, or null when the task is not the worker's any more.
using after_function = void* (*)(task_header*) noexcept;

struct nested_join; // src/task/run.h

struct context {
    task_header* task = nullptr;         // the task being run, null between tasks
    after_function after = nullptr;      // what the worker does once resume() returns
    scheduler::worker* worker = nullptr; // null on threads that are not workers
    driver::driver* driver = nullptr;    // the worker's driver
    scheduler_base* scheduler = nullptr; // where spawn goes
    engine::core* runtime = nullptr;     // the ambient runtime
    std::uint32_t budget = 0;            // polls left for this task in this turn
    bool is_starved = false;             // it yields because a branch of its own has none left
    // The thread is at its worker's queues or at `newest`, inside a turn: its own signal handler,
    // which would move tasks from there to where others have them, leaves them alone then.
    volatile bool is_using_queues = false;
    std::uint32_t permit_streak = 0; // permits of rt::notify taken at once, one after another
    std::uint32_t permit_budget = 0; // the budget that the last of them has left
    std::uint64_t coarse_ns = 0;     // monotonic time of the worker's last tick
    std::uint64_t next_task_id = 0;  // ids are taken from the process in blocks
    std::uint64_t last_task_id = 0;
    task_header* newest = nullptr;    // spawned last in this turn, while no thread else can have it
    task_header* nested = nullptr;    // the task that runs inside its parent's turn
    nested_join* joins = nullptr;     // of the tasks whose turns that is inside of, innermost first
    task_header* in_place = nullptr;  // the task in whose rt::block_in_place the thread is
    task_header* unwinding = nullptr; // the task whose frames are being destroyed on this thread
};
// With flavor::current_thread each block_on saves and restores it. Compilers do so in registers up
// to this size, and call memcpy beyond it: a fifteenth of a short block_on.
static_assert(sizeof(context) <= 128);

extern RT_API constinit thread_local context this_thread __attribute__((tls_model("initial-exec")));

// The running task. Aborts with advice when the calling thread runs none.
RT_API task_header* current_task_or_fatal(const char* what) noexcept;

} // namespace rt::detail

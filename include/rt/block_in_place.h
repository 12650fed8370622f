// SPDX-License-Identifier: MIT
//
// rt::block_in_place: call a function that may block, here, while others do the worker's work.
//
//     std::size_t n = rt::block_in_place([&] { return ::read(fd, buffer, size); });
//
// rt::blocking(f) is the primary way to block: it costs no thread per worker and keeps the worker's
// caches. This is for what must stay on the stack where it is: a callback out of a library that
// knows no coroutines, a function that is deep below the task's last co_await.
#pragma once

#include <rt/detail/config.h>
#include <rt/detail/context.h>

#include <functional>
#include <type_traits>
#include <utility>

namespace rt::detail {

// While it lives the calling thread is no worker. How: src/scheduler/in_place.cc.
class RT_API in_place {
public:
    in_place() noexcept;
    in_place(const in_place&) = delete;
    in_place& operator=(const in_place&) = delete;
    ~in_place();

private:
    scheduler::worker* worker_; // null: there was nothing to leave
    context outer_;
};

} // namespace rt::detail

namespace rt {

/// Calls `function()` on the calling thread, which may block in it: another thread runs the other
/// tasks of the worker meanwhile. Gives what it returns and throws what it throws. In it, as on any
/// thread of the program's own, nothing can be awaited, and block_on and blocking locks may be
/// used. Requires: on a worker, that it is none of flavor::current_thread, which ends the program
/// with advice: there is nobody to take over. On other threads, and in itself, it is a plain call.
/// Cancel: a call in progress is waited for; the task unwinds at its next suspension.
template<typename F>
requires std::is_invocable_v<F> std::invoke_result_t<F> block_in_place(F&& function) {
    const detail::in_place away;
    return std::invoke(std::forward<F>(function));
}

} // namespace rt

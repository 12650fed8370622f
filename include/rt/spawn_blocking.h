// SPDX-License-Identifier: MIT
//
// rt::spawn_blocking: run a closure that may block as a task of its own, on a thread made for that.
//
//     rt::join_handle<std::string> text = rt::spawn_blocking([path] { return read_file(path); });
//     ...
//     use(co_await std::move(text));
//
// rt::blocking(f) is for a task that wants the value at once; this is for work that goes on beside
// its spawner, is joined or aborted later, or is started where nothing can be awaited: in another
// such closure or, through a handle, on any thread. It costs one block of memory and a task header.
#pragma once

#include <rt/detail/spawned_blocking.h>
#include <rt/spawn.h>

#include <type_traits>
#include <utility>

namespace rt {

/// Calls `function()` on a thread of the calling thread's blocking pool. The handle gives its value
/// or rethrows what it threw. The closure is copied or moved; it may spawn and may use the handle
/// of its runtime. Requires: a task or a closure of a runtime's blocking pool; elsewhere it aborts
/// with advice. Threads: the closure is queued before this returns, even if every worker is busy.
/// Cancel: aborting withdraws a closure that still waits for a thread: it is destroyed uncalled.
/// One that has started runs to its end, and its handle gets the value. Errors: the handle throws
/// rt::system_error with EAGAIN or ENOMEM when the pool has no thread and cannot make one,
/// rt::join_error when the runtime has ended, std::bad_alloc if memory is exhausted; the closure
/// has not run then.
template<typename F>
requires detail::blocking_function<std::decay_t<F>>
auto spawn_blocking(F&& function, detail::site at = detail::site::current()) {
    return detail::launch_blocking(
        detail::current_blocking_target_or_fatal("rt::spawn_blocking", at),
        std::forward<F>(function),
        detail::titled(at)
    );
}

/// The same with a name, a label: rt::spawn_blocking({.name = "compress", .label = path}, f).
template<typename F>
requires detail::blocking_function<std::decay_t<F>>
[[gnu::always_inline]] inline auto spawn_blocking(const spawn_options& options, F&& function) {
    return detail::with_options(options, [&](auto how) {
        return detail::launch_blocking(
            detail::current_blocking_target_or_fatal("rt::spawn_blocking", detail::site_of(how)),
            std::forward<F>(function),
            how
        );
    });
}

} // namespace rt

// SPDX-License-Identifier: MIT
//
// rt::blocking: run a closure that may block on a thread made for that.
//
//     std::string text = co_await rt::blocking([path] { return read_whole_file(path); });
//
// The closure is moved into the awaiting coroutine's frame and called once, on a thread of the
// runtime's blocking pool (config::blocking_threads_max); the task waits meanwhile and its worker
// goes on with others. Its value is the value of the co_await, its exception is rethrown there.
// The closure may refer to the coroutine's locals: the frame stays until it has returned.
//
// Nothing is allocated per call. The awaiter is the wait node and the pool's job at once, which is
// why cancelling a task waits for a closure that has started: the thread is still using the frame.
// Rejected: to let such a closure run on by itself, as Tokio does. It would need a heap block per
// call, and its captures would outlive what they refer to.
#pragma once

#include <rt/detail/blocking.h>
#include <rt/detail/config.h>
#include <rt/detail/context.h>
#include <rt/detail/result_slot.h>
#include <rt/detail/suspend.h>
#include <rt/result.h>

#include <coroutine>
#include <type_traits>
#include <utility>

namespace rt::offload {
class pool;
}

namespace rt::detail {

// What the awaiter can do whatever the closure's type.
// Protocol: the pool's thread owns slot and closure from the moment it has taken the job off its
// queue until leave(), which wakes the task and is the last thing that touches the awaiter. A
// canceller that finds the job still queued takes it back under its queue's lock: nobody will wake.
class RT_API blocking_wait : public wait_node, public blocking_job {
protected:
    explicit blocking_wait(run_function run) noexcept
        : wait_node(&on_cancel)
        , blocking_job(run) {}

    // Hands the job to the pool and suspends. False: it was refused, and refusal_ says why.
    bool suspend(void* self) noexcept;

    // Before the closure, on the pool's thread: lends it the runtime, so that it may spawn.
    void enter() const noexcept;
    // After it.
    void leave() noexcept;

    result<void> refusal_{};

private:
    static cancel_result on_cancel(wait_node* node) noexcept;

    offload::pool* pool_ = nullptr;
    engine::core* runtime_ = nullptr;
    scheduler_base* scheduler_ = nullptr; // where the task's own spawns go
};

template<typename F>
concept blocking_function =
    std::is_invocable_v<F&> && !std::is_reference_v<std::invoke_result_t<F&>>;

template<blocking_function F>
class blocking_awaiter : blocking_wait {
public:
    using value_type = std::invoke_result_t<F&>;

    explicit blocking_awaiter(F&& function)
        : blocking_wait(&call)
        , function_(std::move(function)) {}
    // As long as it has not been awaited.
    blocking_awaiter(blocking_awaiter&& other) noexcept(std::is_nothrow_move_constructible_v<F>)
        : blocking_awaiter(std::move(other.function_)) {}

    bool await_ready() const noexcept { return false; }

    template<typename Promise>
    bool await_suspend(std::coroutine_handle<Promise> self) noexcept {
        return suspend(self.address());
    }

    value_type await_resume() {
        if (!refusal_) [[unlikely]] {
            throw_error(refusal_.error());
        }
        return slot_.take();
    }

private:
    static void call(blocking_job* job) noexcept {
        auto* const self = static_cast<blocking_awaiter*>(static_cast<blocking_wait*>(job));
        self->enter();
        self->slot_.set_result_of(self->function_);
        self->leave();
    }

    F function_;
    result_slot<value_type> slot_;
};

} // namespace rt::detail

namespace rt {

/// Calls `function()` on a thread of the blocking pool; awaiting yields its value or rethrows what
/// it threw. The function returns no reference.
/// Requires: awaited in a task; elsewhere it aborts with advice.
/// Threads: the task resumes on a worker, not necessarily the same.
/// Cancel: a closure that still waits for a thread is never called; one that has started is waited
/// for, its value is delivered, and the task unwinds at its next suspension.
/// Errors: throws rt::system_error with errc::shut_down, EAGAIN or ENOMEM when the pool has no
/// thread for it and cannot make one; the closure has not run then.
template<typename F>
[[nodiscard]] detail::blocking_awaiter<std::decay_t<F>> blocking(F&& function) {
    return detail::blocking_awaiter<std::decay_t<F>>(std::decay_t<F>(std::forward<F>(function)));
}

} // namespace rt

// SPDX-License-Identifier: MIT
//
// Sleeping and deadlines.
//
//     co_await rt::sleep(10ms);
//     rt::result<std::size_t> got = co_await rt::timeout(30s, peer.read(buffer));
//
// Resolution is 1 ms, rounded up: never early. Timers live on the worker that armed them and cost
// no system call. Requires a task (rt::block_on, rt::spawn); aborts with advice elsewhere.
#pragma once

#include <rt/detail/cancel.h>
#include <rt/detail/config.h>
#include <rt/detail/context.h>
#include <rt/detail/duration.h>
#include <rt/detail/part.h>
#include <rt/detail/suspend.h>
#include <rt/detail/timer.h>
#include <rt/result.h>
#include <rt/task.h>

#include <chrono>
#include <coroutine>
#include <cstdint>
#include <expected>
#include <type_traits>
#include <utility>

namespace rt {

// The clock of all deadlines: CLOCK_MONOTONIC, with the time points of std::chrono::steady_clock.
// In tests it can be paused (rt/paused_clock.h).
struct clock {
    using duration = std::chrono::steady_clock::duration;
    using rep = duration::rep;
    using period = duration::period;
    using time_point = std::chrono::steady_clock::time_point;
    static constexpr bool is_steady = true;

    [[nodiscard]] static time_point now() noexcept {
        return time_point(std::chrono::nanoseconds(detail::now_ns()));
    }
};

// The time when the running worker last looked at the clock: no call, and as old as the tasks that
// it has run since (config::event_interval of them at most); in the first turns of a block_on on
// flavor::current_thread, the time of the kernel's last tick, up to 10 ms ago. For deadlines of
// seconds. On other threads the same as clock::now().
[[nodiscard]] inline clock::time_point coarse_now() noexcept {
    const std::uint64_t ns = detail::this_thread.coarse_ns;
    return ns == 0 ? clock::now() : clock::time_point(std::chrono::nanoseconds(ns));
}

namespace detail {

inline std::uint64_t deadline_after(std::uint64_t ns) noexcept {
    return ns_after(now_ns(), ns);
}

} // namespace detail

// Awaitable returned by sleep. Cancel: safe.
class RT_API sleep_awaiter : public detail::wait_node, public detail::timer_node {
public:
    explicit sleep_awaiter(std::uint64_t deadline_ns) noexcept
        : wait_node(&on_cancel)
        , timer_node(&on_fire)
        , deadline_ns_(deadline_ns) {}
    // As long as it has not been awaited.
    sleep_awaiter(sleep_awaiter&& other) noexcept
        : sleep_awaiter(other.deadline_ns_) {}

    bool await_ready() const noexcept { return deadline_ns_ == 0; }
    template<typename Promise>
    bool await_suspend(std::coroutine_handle<Promise> self) noexcept {
        return suspend(self.address());
    }
    void await_resume() const noexcept {}

protected:
    // A deadline that does not come: there is no timer, and it waits until it is cancelled.
    static constexpr std::uint64_t never_ns = UINT64_MAX;
    // For one that learns its deadline when it is awaited.
    void set_deadline(std::uint64_t deadline_ns) noexcept { deadline_ns_ = deadline_ns; }

private:
    bool suspend(void* self) noexcept;
    static cancel_result on_cancel(wait_node* node) noexcept;
    static detail::task_header* on_fire(timer_node* node) noexcept;

    std::uint64_t deadline_ns_;
};

// Suspends the task for at least `duration`. Zero and negative durations do not suspend.
template<typename Rep, typename Period>
[[nodiscard]] sleep_awaiter sleep(std::chrono::duration<Rep, Period> duration) noexcept {
    const std::uint64_t ns = detail::to_ns(duration);
    return sleep_awaiter(ns == 0 ? 0 : detail::deadline_after(ns));
}

// Suspends the task until `deadline` has passed.
[[nodiscard]] inline sleep_awaiter sleep_until(clock::time_point deadline) noexcept {
    return sleep_awaiter(detail::to_ns(deadline.time_since_epoch()));
}

namespace detail {

template<typename T>
struct is_result : std::false_type {};
template<typename T>
struct is_result<std::expected<T, error>> : std::true_type {};

// What a timeout around task<T> yields: T itself when T is a result, else result<T>.
template<typename T>
using timeout_result = std::conditional_t<is_result<T>::value, T, result<T>>;

// The boundary and timer of a timeout, whatever it is around.
class RT_API timeout_base : public cancel_boundary, public timer_node {
public:
    timeout_base() noexcept
        : timer_node(&on_fire) {}
    ~timeout_base() { disarm(); }

protected:
    // Makes the inner coroutine cancellable and arms the timer. False: the deadline has passed.
    void arm(std::uint64_t deadline_ns, void* inner_frame, void* outer_frame) noexcept;
    void disarm() noexcept;

private:
    static task_header* on_fire(timer_node* node) noexcept;

    task_header* task_ = nullptr;
    bool armed_ = false;
};

template<typename T>
class timeout_awaiter : timeout_base {
public:
    using consumed_by_await = void;

    timeout_awaiter(std::uint64_t deadline_ns, task<T>&& body) noexcept
        : deadline_ns_(deadline_ns)
        , body_(std::move(body)) {}
    // As long as it has not been awaited.
    timeout_awaiter(timeout_awaiter&& other) noexcept
        : deadline_ns_(other.deadline_ns_)
        , body_(std::move(other.body_)) {}

    bool await_ready() const noexcept { return false; }

    template<typename Promise>
    std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> self) noexcept {
        if (!body_) [[unlikely]] {
            refuse_empty("rt::timeout around a task", await_site_of(self));
            return self;
        }
        set_continuation(body_.handle().promise(), self);
        const std::coroutine_handle<> first = body_.handle();
        arm(deadline_ns_, first.address(), self.address());
        return first;
    }

    timeout_result<T> await_resume() {
        disarm();
        if (unwound) {
            refuse_going_on(); // the frame has resumed this one, in the middle of its end
            static_cast<void>(body_.release()); // its frame is gone
            return std::unexpected(error(errc::timed_out, "timeout"));
        }
        if constexpr (std::is_void_v<T>) {
            body_.await_resume();
            return {};
        } else {
            return body_.await_resume();
        }
    }

private:
    std::uint64_t deadline_ns_;
    task<T> body_;
};

} // namespace detail

// Runs `body`, which is what a part of rt::select may be, for at most `duration`. When the time is
// up, the task's innermost operation inside `body` is asked to stop, the frames of `body` are
// destroyed and the result is errc::timed_out. A body that finishes first wins, even if the
// deadline has passed. An operation that completes while it is being cancelled delivers its result.
// A join handle that is passed by name keeps its task when the time is up.
template<typename Rep, typename Period, detail::part A>
[[nodiscard]] detail::timeout_awaiter<detail::part_value<A>>
timeout(std::chrono::duration<Rep, Period> duration, A&& body) {
    return {
        detail::deadline_after(detail::to_ns(duration)), detail::as_task(std::forward<A>(body))};
}

template<detail::part A>
[[nodiscard]] detail::timeout_awaiter<detail::part_value<A>>
timeout_at(clock::time_point deadline, A&& body) {
    return {detail::to_ns(deadline.time_since_epoch()), detail::as_task(std::forward<A>(body))};
}

} // namespace rt

// SPDX-License-Identifier: MIT
//
// Tasks that stay on one worker: rt::spawn_on and rt::spawn_local.
//
//     rt::spawn_on(shard % workers, run_shard, shard).detach();
//     rt::spawn_local(refresh, &cache_of_this_worker).detach();
//
// Such a task is polled, cancelled and destroyed on its worker and nowhere else: it is never
// stolen, it stays when its worker is held up by a long turn, and a wake-up from another thread
// goes to that worker's own inbound queue. So tasks of one worker may share what is not protected
// by a lock, as long as they do not suspend in the middle of it. What a bound task spawns with
// rt::spawn is not bound.
#pragma once

#include <rt/detail/config.h>
#include <rt/detail/header.h>
#include <rt/join.h>
#include <rt/spawn.h>
#include <rt/task.h>
#include <rt/task_name.h>

#include <cstdint>
#include <optional>
#include <utility>

namespace rt {

namespace detail {

// The scheduler of the tasks that only one worker runs: of worker `worker` of the calling thread's
// runtime; of the calling worker. They abort with advice when there is none.
RT_API scheduler_base* scheduler_of_worker_or_fatal(std::uint32_t worker, site at) noexcept;
RT_API scheduler_base* scheduler_of_this_worker_or_fatal(site at) noexcept;

} // namespace detail

/// The index of the worker that the calling thread is at the moment; nothing on other threads,
/// stand-ins among them (config::relief_threads). A task that is not bound may be on another worker
/// after each co_await.
[[nodiscard]] RT_API std::optional<std::uint32_t> worker_index() noexcept;

/// Starts `body` as a task of worker `worker` of the calling thread's runtime.
/// Requires: the thread belongs to a runtime that has such a worker; else it aborts with advice.
/// Threads: workers, and closures of rt::blocking; elsewhere use rt::handle::spawn_on.
template<typename T>
join_handle<T>
spawn_on(std::uint32_t worker, task<T> body, detail::site at = detail::site::current()) {
    return detail::launch(
        detail::scheduler_of_worker_or_fatal(worker, at), std::move(body), detail::titled(at)
    );
}
template<typename T>
[[gnu::always_inline]] inline join_handle<T>
spawn_on(std::uint32_t worker, const spawn_options& options, task<T> body) {
    return detail::with_options(options, [&](auto how) {
        return detail::launch(
            detail::scheduler_of_worker_or_fatal(worker, detail::site_of(how)), std::move(body), how
        );
    });
}

/// Starts f(args...) as such a task. Up to three arguments; for more, use the form with options.
template<typename F>
requires detail::task_function<F>
auto spawn_on(std::uint32_t worker, F&& f, detail::site at = detail::site::current()) {
    return spawn_on(worker, detail::make_owned(std::forward<F>(f)), at);
}
template<typename F, typename A>
requires detail::task_function<F, A>
auto spawn_on(std::uint32_t worker, F&& f, A&& a, detail::site at = detail::site::current()) {
    return spawn_on(worker, detail::make_owned(std::forward<F>(f), std::forward<A>(a)), at);
}
template<typename F, typename A, typename B>
requires detail::task_function<F, A, B>
auto spawn_on(
    std::uint32_t worker, F&& f, A&& a, B&& b, detail::site at = detail::site::current()
) {
    return spawn_on(
        worker, detail::make_owned(std::forward<F>(f), std::forward<A>(a), std::forward<B>(b)), at
    );
}
template<typename F, typename A, typename B, typename C>
requires detail::task_function<F, A, B, C>
auto spawn_on(
    std::uint32_t worker, F&& f, A&& a, B&& b, C&& c, detail::site at = detail::site::current()
) {
    return spawn_on(
        worker,
        detail::make_owned(
            std::forward<F>(f), std::forward<A>(a), std::forward<B>(b), std::forward<C>(c)
        ),
        at
    );
}
template<typename F, typename... Args>
requires detail::task_function<F, Args...>
[[gnu::always_inline]] inline auto
spawn_on(std::uint32_t worker, const spawn_options& options, F&& f, Args&&... args) {
    return detail::with_options(options, [&](auto how) {
        return detail::launch(
            detail::scheduler_of_worker_or_fatal(worker, detail::site_of(how)),
            detail::make_owned(std::forward<F>(f), std::forward<Args>(args)...),
            how
        );
    });
}

/// Starts `body` as a task of the calling worker.
/// Requires: the calling thread is a worker; elsewhere, in closures of rt::blocking too, it aborts
/// with advice.
template<typename T>
join_handle<T> spawn_local(task<T> body, detail::site at = detail::site::current()) {
    return detail::launch(
        detail::scheduler_of_this_worker_or_fatal(at), std::move(body), detail::titled(at)
    );
}
template<typename T>
[[gnu::always_inline]] inline join_handle<T>
spawn_local(const spawn_options& options, task<T> body) {
    return detail::with_options(options, [&](auto how) {
        return detail::launch(
            detail::scheduler_of_this_worker_or_fatal(detail::site_of(how)), std::move(body), how
        );
    });
}

/// Starts f(args...) as such a task. Up to three arguments; for more, use the form with options.
template<typename F>
requires detail::task_function<F>
auto spawn_local(F&& f, detail::site at = detail::site::current()) {
    return spawn_local(detail::make_owned(std::forward<F>(f)), at);
}
template<typename F, typename A>
requires detail::task_function<F, A>
auto spawn_local(F&& f, A&& a, detail::site at = detail::site::current()) {
    return spawn_local(detail::make_owned(std::forward<F>(f), std::forward<A>(a)), at);
}
template<typename F, typename A, typename B>
requires detail::task_function<F, A, B>
auto spawn_local(F&& f, A&& a, B&& b, detail::site at = detail::site::current()) {
    return spawn_local(
        detail::make_owned(std::forward<F>(f), std::forward<A>(a), std::forward<B>(b)), at
    );
}
template<typename F, typename A, typename B, typename C>
requires detail::task_function<F, A, B, C>
auto spawn_local(F&& f, A&& a, B&& b, C&& c, detail::site at = detail::site::current()) {
    return spawn_local(
        detail::make_owned(
            std::forward<F>(f), std::forward<A>(a), std::forward<B>(b), std::forward<C>(c)
        ),
        at
    );
}
template<typename F, typename... Args>
requires detail::task_function<F, Args...>
[[gnu::always_inline]] inline auto
spawn_local(const spawn_options& options, F&& f, Args&&... args) {
    return detail::with_options(options, [&](auto how) {
        return detail::launch(
            detail::scheduler_of_this_worker_or_fatal(detail::site_of(how)),
            detail::make_owned(std::forward<F>(f), std::forward<Args>(args)...),
            how
        );
    });
}

} // namespace rt

// SPDX-License-Identifier: MIT
//
// rt::spawn: start a coroutine as a scheduled task.
//
//     rt::join_handle<int> child = rt::spawn(compute, 42);
//     int value = co_await std::move(child);
//
// spawn(f, args...) copies or moves the callable and its arguments into the task, so that a
// capturing lambda or a temporary cannot dangle. A callable without state whose parameters are all
// taken by value is called directly and costs one frame; any other is wrapped in a second, small
// frame that owns it.
//
// Threads: spawn may be called on any worker, and elsewhere through rt::handle. The task may run
// before spawn returns. If memory is exhausted the handle is empty and awaiting it throws
// std::bad_alloc.
#pragma once

#include <rt/detail/config.h>
#include <rt/detail/context.h>
#include <rt/detail/frame.h>
#include <rt/detail/header.h>
#include <rt/join.h>
#include <rt/task.h>
#include <rt/task_name.h>

#include <concepts>
#include <cstdint>
#include <functional>
#include <optional>
#include <type_traits>
#include <utility>

namespace rt {

namespace detail {

// How a task without a label is spawned, in two registers. A site is one.
struct titled {
    titled(site place, const char* text = nullptr) noexcept
        : at(place)
        , name(text) {}

    site at;
    const char* name;
};

// Creates the header of a task whose root frame is `frame`, with the references and the interest of
// one join handle. Null when memory is exhausted. Does not schedule it. With options the task has a
// label, unless there is no memory for it. So in all functions of the library: `How how` is one of
// the two.
RT_API task_header* create_task(void* frame, scheduler_base* scheduler, titled how) noexcept;
RT_API task_header*
create_task(void* frame, scheduler_base* scheduler, const spawn_options* how) noexcept;

inline site site_of(titled how) noexcept {
    return how.at;
}
inline site site_of(const spawn_options* how) noexcept {
    return how->at;
}

// start(how). Always inlined, and so are its callers, which do nothing before: options are written
// in the call, so there the compiler sees that they have no label, and drops them and the way that
// a label takes. Otherwise a name alone would cost 40 instructions and, in a coroutine that awaits
// the handle at once, room for a label in its frame (callgrind, clang 19).
template<typename Start>
[[gnu::always_inline]] inline auto with_options(const spawn_options& options, Start start) {
    return options.label.is_empty() ? start(titled(options.at, options.name.text()))
                                    : start(&options);
}

[[noreturn, gnu::cold]] RT_API void forbid_outside(const char* what, site at) noexcept;

// The scheduler that rt::spawn uses on this thread. Aborts with advice when there is none.
inline scheduler_base* current_scheduler_or_fatal(const char* what, site at) noexcept {
    scheduler_base* const scheduler = this_thread.scheduler;
    if (scheduler == nullptr) [[unlikely]] {
        forbid_outside(what, at);
    }
    return scheduler;
}

// A task that nobody has scheduled. Empty when memory is exhausted or `body` is.
template<typename T, typename How>
join_handle<T> create(
    scheduler_base* scheduler, task<T>&& body, How how, const char* what = "a spawn of a task"
) noexcept {
    if (!body) [[unlikely]] {
        refuse_empty(what, site_of(how));
        return {};
    }
    task_header* const header = create_task(body.handle().address(), scheduler, how);
    if (header == nullptr) {
        return {};
    }
    static_cast<void>(body.release());
    return join_handle<T>(header);
}

template<typename T, typename How>
join_handle<T> launch(scheduler_base* scheduler, task<T>&& body, How how) noexcept {
    join_handle<T> handle = create(scheduler, std::move(body), how);
    if (handle) {
        scheduler->schedule_new(handle.header());
    }
    return handle;
}

// Whether every parameter of a function is taken by value, so that a direct call moves everything
// that it needs into the coroutine's frame.
template<typename F>
struct takes_values : std::false_type {};
template<typename R, typename... P>
struct takes_values<R (*)(P...)> : std::bool_constant<(!std::is_reference_v<P> && ...)> {};
template<typename R, typename... P>
struct takes_values<R (*)(P...) noexcept> : std::bool_constant<(!std::is_reference_v<P> && ...)> {};
template<typename C, typename R, typename... P>
struct takes_values<R (C::*)(P...) const> : std::bool_constant<(!std::is_reference_v<P> && ...)> {};
template<typename C, typename R, typename... P>
struct takes_values<R (C::*)(P...) const noexcept>
    : std::bool_constant<(!std::is_reference_v<P> && ...)> {};

template<typename F>
consteval bool is_direct() {
    if constexpr (std::is_pointer_v<F>) {
        return takes_values<F>::value;
    } else if constexpr (std::is_empty_v<F> && requires { &F::operator(); }) {
        return takes_values<decltype(&F::operator())>::value;
    } else {
        return false;
    }
}

template<typename T, typename F, typename... Args>
task<T> invoke_owned(F f, Args... args) {
    co_return co_await std::invoke(std::move(f), std::move(args)...);
}

template<typename F, typename... Args>
using spawn_value =
    typename std::invoke_result_t<std::decay_t<F>, std::decay_t<Args>...>::value_type;

template<typename F, typename... Args>
concept task_function = std::invocable<std::decay_t<F>, std::decay_t<Args>...> &&
    is_task<std::invoke_result_t<std::decay_t<F>, std::decay_t<Args>...>>::value;

// The task<T> that runs f(args...) and owns all of them.
template<typename F, typename... Args>
requires task_function<F, Args...> task<spawn_value<F, Args...>> make_owned(F&& f, Args&&... args) {
    static_assert(
        fits_frame<std::decay_t<F>, std::decay_t<Args>...>,
        "coroutine frames are not aligned to more than 16: pass a std::unique_ptr to it"
    );
    if constexpr (is_direct<std::decay_t<F>>()) {
        return std::invoke(std::forward<F>(f), std::forward<Args>(args)...);
    } else {
        return invoke_owned<spawn_value<F, Args...>, std::decay_t<F>, std::decay_t<Args>...>(
            std::forward<F>(f), std::forward<Args>(args)...
        );
    }
}

template<typename F, typename... Args>
join_handle<spawn_value<F, Args...>> spawn_at(site at, F&& f, Args&&... args) {
    scheduler_base* const scheduler = current_scheduler_or_fatal("rt::spawn", at);
    return launch(
        scheduler, make_owned(std::forward<F>(f), std::forward<Args>(args)...), titled(at)
    );
}

} // namespace detail

/// The id of the task that the calling code belongs to, that of its join handle; nothing outside of
/// a task. Destructors of a task's frames, a function in rt::block_in_place and branches of a join,
/// select or scope belong to it, a closure of rt::blocking does not.
[[nodiscard]] RT_API std::optional<std::uint64_t> current_task_id() noexcept;

// Starts `body` as a task of the calling thread's runtime.
template<typename T>
join_handle<T> spawn(task<T> body, detail::site at = detail::site::current()) {
    return detail::launch(
        detail::current_scheduler_or_fatal("rt::spawn", at), std::move(body), detail::titled(at)
    );
}

// Starts f(args...) as a task. One overload per number of arguments, because a default argument
// cannot follow a pack and the spawn site must be the caller's line. More than six: pass a struct.
template<typename F>
requires detail::task_function<F>
auto spawn(F&& f, detail::site at = detail::site::current()) {
    return detail::spawn_at(at, std::forward<F>(f));
}
template<typename F, typename A>
requires detail::task_function<F, A>
auto spawn(F&& f, A&& a, detail::site at = detail::site::current()) {
    return detail::spawn_at(at, std::forward<F>(f), std::forward<A>(a));
}
template<typename F, typename A, typename B>
requires detail::task_function<F, A, B>
auto spawn(F&& f, A&& a, B&& b, detail::site at = detail::site::current()) {
    return detail::spawn_at(at, std::forward<F>(f), std::forward<A>(a), std::forward<B>(b));
}
template<typename F, typename A, typename B, typename C>
requires detail::task_function<F, A, B, C>
auto spawn(F&& f, A&& a, B&& b, C&& c, detail::site at = detail::site::current()) {
    return detail::spawn_at(
        at, std::forward<F>(f), std::forward<A>(a), std::forward<B>(b), std::forward<C>(c)
    );
}
template<typename F, typename A, typename B, typename C, typename D>
requires detail::task_function<F, A, B, C, D>
auto spawn(F&& f, A&& a, B&& b, C&& c, D&& d, detail::site at = detail::site::current()) {
    return detail::spawn_at(
        at,
        std::forward<F>(f),
        std::forward<A>(a),
        std::forward<B>(b),
        std::forward<C>(c),
        std::forward<D>(d)
    );
}
template<typename F, typename A, typename B, typename C, typename D, typename E>
requires detail::task_function<F, A, B, C, D, E>
auto spawn(F&& f, A&& a, B&& b, C&& c, D&& d, E&& e, detail::site at = detail::site::current()) {
    return detail::spawn_at(
        at,
        std::forward<F>(f),
        std::forward<A>(a),
        std::forward<B>(b),
        std::forward<C>(c),
        std::forward<D>(d),
        std::forward<E>(e)
    );
}

// The same with options: rt::spawn({.name = "reader", .label = peer}, f, args...).
template<typename T>
[[gnu::always_inline]] inline join_handle<T> spawn(const spawn_options& options, task<T> body) {
    return detail::with_options(options, [&](auto how) {
        return detail::launch(
            detail::current_scheduler_or_fatal("rt::spawn", detail::site_of(how)),
            std::move(body),
            how
        );
    });
}
template<typename F, typename... Args>
requires detail::task_function<F, Args...>
[[gnu::always_inline]] inline auto spawn(const spawn_options& options, F&& f, Args&&... args) {
    return detail::with_options(options, [&](auto how) {
        return detail::launch(
            detail::current_scheduler_or_fatal("rt::spawn", detail::site_of(how)),
            detail::make_owned(std::forward<F>(f), std::forward<Args>(args)...),
            how
        );
    });
}

} // namespace rt

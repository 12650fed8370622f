// SPDX-License-Identifier: MIT
//
// Parts: what rt::join, rt::try_join, rt::select, rt::timeout, rt::shield and rt::unconstrained are
// given, and how it becomes the coroutine that they run.
//
// A part is an rt::task, which is that coroutine already, or anything else that can be awaited and
// moved: the operations of locks, channels, sockets and timers, join handles, rt::blocking, and
// awaitables of the user's own. It is moved into the frame of a coroutine that awaits it and does
// nothing else. So a part may be made in one expression and awaited in a later one, what it has
// noted down when it was made comes along (the round of rt::notify, the value of a send), and it
// costs one frame, whose leaf is the operation itself: what a dump says of the wait is the same as
// without the part around it. What the operation refers to stays where it is: the lock, the
// channel, the interval.
//
// That is why the awaiters of the library can be moved: before they are awaited, and not after.
//
// One thing is a part by reference, too: a join handle. It is the right to a result, and a part
// that loses, or whose time is up, would let go of it with its frame. So the coroutine waits until
// the task has ended, which leaves the handle as it is, and takes the result as its last step; a
// part that has lost never comes to that.
//
// Rejected: a conversion to a task in each awaiter, which would be the same three lines twenty
// times, with the arguments of the operation written down once more; and to refer to the awaiter
// where it is, which would save the move, but dies with the expression that made it.
#pragma once

#include <rt/detail/frame.h>
#include <rt/detail/promise.h>
#include <rt/join.h>
#include <rt/task.h>

#include <concepts>
#include <coroutine>
#include <functional>
#include <type_traits>
#include <utility>

namespace rt::detail {

// What co_await makes of `awaitable`. Only its type is of interest.
template<typename A>
decltype(auto) awaiter_of(A&& awaitable) {
    if constexpr (requires { std::forward<A>(awaitable).operator co_await(); }) {
        return std::forward<A>(awaitable).operator co_await();
    } else if constexpr (requires { operator co_await(std::forward<A>(awaitable)); }) {
        return operator co_await(std::forward<A>(awaitable));
    } else {
        return std::forward<A>(awaitable);
    }
}

template<typename A>
concept awaiter = requires(A& one, std::coroutine_handle<task_promise<void>> self) {
    static_cast<bool>(one.await_ready());
    one.await_suspend(self);
    one.await_resume();
};

template<typename A>
concept moved_part =
    !std::is_lvalue_reference_v<A> && std::move_constructible<A> && requires(A && one) {
    requires awaiter<std::remove_reference_t<decltype(awaiter_of(std::move(one)))>>;
};

template<typename A>
inline constexpr bool is_named_handle = false;
template<typename T>
inline constexpr bool is_named_handle<join_handle<T>&> = true;

template<typename A>
concept part = moved_part<A> || is_named_handle<A>;

// What a part yields, as a task can: a std::reference_wrapper in place of a reference.
template<typename T>
struct owned_value {
    using type = std::remove_cv_t<T>;
};
template<typename T>
struct owned_value<T&> {
    using type = std::reference_wrapper<T>;
};
template<typename T>
struct owned_value<T&&> {
    using type = std::remove_cv_t<T>;
};
template<typename A>
struct value_of_part {};
template<moved_part A>
struct value_of_part<A> {
    using type =
        typename owned_value<decltype(awaiter_of(std::declval<A&&>()).await_resume())>::type;
};
template<typename T>
struct value_of_part<task<T>> {
    using type = T;
};
template<typename T>
struct value_of_part<join_handle<T>&> {
    using type = T;
};
template<typename A>
using part_value = typename value_of_part<std::remove_cv_t<A>>::type;

inline constexpr char empty_handle_as_part[] = "a part that is a join handle";

template<moved_part A>
task<part_value<A>> run_part(A operation) {
    static_assert(
        fits_frame<A>, "coroutine frames are not aligned to more than 16: make it a task"
    );
    if constexpr (is_named_handle<A&>) {
        if (!operation) [[unlikely]] {
            throw_for_empty(empty_handle_as_part, co_await caller_site{});
        }
    }
    co_return co_await std::move(operation);
}

// Waits until the task of a handle has ended; the result stays. An empty handle has nothing to wait
// for. Cancel: safe.
class ended_awaiter {
public:
    explicit ended_awaiter(const join_handle_base& handle) noexcept
        : handle_(handle)
        , wait_(handle) {}

    bool await_ready() const noexcept { return handle_.is_finished(); }
    template<typename Promise>
    bool await_suspend(std::coroutine_handle<Promise> self) noexcept {
        return wait_.await_suspend(self);
    }
    void await_resume() const noexcept {}

private:
    const join_handle_base& handle_;
    join_wait wait_;
};

// Borrows the handle, which is the caller's until the result is taken.
template<typename T>
task<T> run_join(join_handle<T>* handle) {
    co_await ended_awaiter(*handle);
    if (!*handle) [[unlikely]] {
        throw_for_empty(empty_handle_as_part, co_await caller_site{});
    }
    co_return handle->take();
}

template<typename T>
task<T> as_task(task<T>&& body) noexcept {
    return std::move(body);
}
template<typename T>
task<T> as_task(join_handle<T>& handle) {
    return run_join(&handle);
}
template<moved_part A>
task<part_value<A>> as_task(A&& operation) {
    return run_part<std::remove_cvref_t<A>>(std::move(operation));
}

} // namespace rt::detail

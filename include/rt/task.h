// SPDX-License-Identifier: MIT
//
// rt::task<T>: a lazy coroutine.
//
// A task does nothing until it is awaited (it then runs on the awaiter's worker, by symmetric
// transfer) or handed to rt::spawn or rt::block_on (it then becomes a scheduled task of its own).
// Awaiting consumes it: one that has a name is awaited by co_await std::move(name). Dropping a task
// that was never started destroys its arguments and nothing else; the compiler warns about it.
//
//     rt::task<int> twice(int x) { co_return 2 * x; }
//     rt::task<int> user()       { co_return co_await twice(21); }
//
// Threads: a task object belongs to one thread at a time. Cancellation: see rt_cancel(3); a task
// that is cancelled while suspended is destroyed from the leaf upwards, without an exception.
// Exceptions thrown by the coroutine are rethrown in the awaiter.
// Frames come from per-worker free lists; if memory is exhausted the coroutine call returns a task
// that throws std::bad_alloc when awaited.
#pragma once

#include <rt/detail/promise.h>
#include <rt/detail/result_slot.h>

#include <coroutine>
#include <exception>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

namespace rt {

template<typename T>
class task;

namespace detail {

template<typename T>
struct task_promise;

// Moves a finished root's result into the header, frees its frame and ends the task. A result that
// nobody can ask for any more is destroyed here, before the task counts as ended.
template<typename T>
void* finish_root(task_header* header) noexcept {
    using promise = task_promise<T>;
    auto* const left = static_cast<promise*>(frame_of(header->live.frame));
    drop_function drop = nullptr;
    {
        result_slot<T> slot = std::move(left->slot);
        std::coroutine_handle<promise>::from_promise(*left).destroy();
        drop = keep_result(header, std::move(slot));
    }
    complete(header, drop);
    return nullptr;
}

// The same for a root without a value, which has nothing to move unless it threw.
inline void* finish_void(task_header* header) noexcept;

template<typename T>
struct task_promise_base : promise_base {
    result_slot<T> slot;

    task<T> get_return_object() noexcept;
    static task<T> get_return_object_on_allocation_failure() noexcept;
    final_awaiter final_suspend() const noexcept {
        return {std::is_void_v<T> ? &finish_void : &finish_root<T>};
    }
    void unhandled_exception() noexcept {
        refuse_while_unwinding();
        slot.set_exception(std::current_exception());
    }
};

template<typename T>
struct task_promise : task_promise_base<T> {
    template<typename Value>
    requires std::is_convertible_v<Value&&, T>
    void return_value(Value&& value) noexcept(std::is_nothrow_constructible_v<T, Value&&>) {
        this->slot.set_value(std::forward<Value>(value));
    }
};

template<>
struct task_promise<void> : task_promise_base<void> {
    void return_void() noexcept { slot.set_value(); }
};

static_assert(sizeof(task_promise<void>) <= 32);

inline void* finish_void(task_header* header) noexcept {
    using promise = task_promise<void>;
    auto* const left = static_cast<promise*>(frame_of(header->live.frame));
    if (left->slot.kind() != outcome::value) [[unlikely]] {
        return finish_root<void>(header);
    }
    std::coroutine_handle<promise>::from_promise(*left).destroy();
    header->ended = outcome::value;
    complete(header, nullptr);
    return nullptr;
}

} // namespace detail

template<typename T>
class [[nodiscard("a task does nothing until it is awaited or spawned")]] task {
    static_assert(!std::is_reference_v<T>, "rt::task cannot return a reference; return a pointer");
    static_assert(
        alignof(detail::slot_value<T>) <= alignof(std::max_align_t),
        "coroutine frames are not aligned to more than 16: return a std::unique_ptr to it"
    );

public:
    using value_type = T;
    using consumed_by_await = void;
    using promise_type = detail::task_promise<T>;
    using handle_type = std::coroutine_handle<promise_type>;

    task() noexcept
        : handle_() {
    }
    explicit task(handle_type handle) noexcept
        : handle_(handle) {
    }
    task(task && other) noexcept
        : handle_(std::exchange(other.handle_, {})) {
    }
    task& operator=(task&& other) noexcept {
        if (this != &other) {
            reset();
            handle_ = std::exchange(other.handle_, {});
        }
        return *this;
    }
    task(const task&) = delete;
    task& operator=(const task&) = delete;
    ~task() {
        reset();
    }

    // Whether there is a coroutine to run: false after it was moved from, or when its frame could
    // not be allocated.
    explicit operator bool() const noexcept {
        return static_cast<bool>(handle_);
    }

    // With the test here, and no way back from await_suspend, an await costs as much as one that
    // does not tell why a task is empty.
    bool await_ready() const noexcept {
        return !handle_ && detail::has_run_out_of_memory();
    }

    template<typename Promise>
    std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> parent) noexcept {
        if (!handle_) [[unlikely]] {
            detail::forbid_empty("co_await of a task", detail::await_site_of(parent));
        }
        detail::set_continuation(handle_.promise(), parent);
        return handle_;
    }

    T await_resume() {
        if (!handle_) [[unlikely]] {
            detail::throw_for_no_frame();
        }
        return handle_.promise().slot.take();
    }

    // Gives up ownership of the coroutine. For the library.
    [[nodiscard]] handle_type release() noexcept {
        return std::exchange(handle_, {});
    }
    [[nodiscard]] handle_type handle() const noexcept {
        return handle_;
    }

private:
    void reset() noexcept {
        if (handle_) {
            std::exchange(handle_, {}).destroy();
        }
    }

    handle_type handle_;
};

namespace detail {

template<typename T>
task<T> task_promise_base<T>::get_return_object() noexcept {
    auto& self = static_cast<task_promise<T>&>(*this);
    return task<T>(std::coroutine_handle<task_promise<T>>::from_promise(self));
}

template<typename T>
task<T> task_promise_base<T>::get_return_object_on_allocation_failure() noexcept {
    return task<T>();
}

template<typename T>
struct is_task : std::false_type {};
template<typename T>
struct is_task<task<T>> : std::true_type {};

} // namespace detail
} // namespace rt

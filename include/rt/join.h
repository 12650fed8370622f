// SPDX-License-Identifier: MIT
//
// rt::join_handle: wait for a task, abort it, let it go; rt::abort_handle: abort it from anywhere.
//
//     rt::join_handle<int> child = rt::spawn(compute, 42);
//     int value = co_await std::move(child);
//
// Awaiting gives the task's value, or throws what it threw, or rt::join_error if it was cancelled.
// Threads: a join handle belongs to one thread at a time; an abort handle is a value, any thread
// may use a copy. Dropping a join handle detaches the task: it goes on, and its result is
// destroyed.
#pragma once

#include <rt/detail/atomic.h>
#include <rt/detail/config.h>
#include <rt/detail/context.h>
#include <rt/detail/header.h>
#include <rt/detail/promise.h>
#include <rt/detail/result_slot.h>
#include <rt/detail/suspend.h>

#include <coroutine>
#include <cstdint>
#include <exception>
#include <new>
#include <type_traits>
#include <utility>

namespace rt {

// Thrown by awaiting a join handle whose task was cancelled.
class RT_API join_error : public std::exception {
public:
    explicit join_error(std::uint64_t task_id) noexcept;
    ~join_error() override;

    [[nodiscard]] const char* what() const noexcept override;
    [[nodiscard]] std::uint64_t task_id() const noexcept { return task_id_; }

private:
    std::uint64_t task_id_;
    char text_[48]; // "task ID was cancelled"
};

// A right to abort a task that does not keep its result. Copyable; any thread.
class RT_API abort_handle {
public:
    abort_handle() noexcept = default;
    explicit abort_handle(detail::task_header* task) noexcept;
    abort_handle(const abort_handle& other) noexcept;
    abort_handle(abort_handle&& other) noexcept
        : task_(std::exchange(other.task_, nullptr)) {}
    abort_handle& operator=(abort_handle other) noexcept {
        std::swap(task_, other.task_);
        return *this;
    }
    ~abort_handle();

    // Asks the task to unwind at its present or next suspension. No effect on a finished task.
    void abort() const noexcept;
    [[nodiscard]] bool is_finished() const noexcept;
    [[nodiscard]] std::uint64_t id() const noexcept;

private:
    detail::task_header* task_ = nullptr;
};

namespace detail {

// What every join handle can do whatever its type. Owns one reference and state_interest.
class RT_API join_handle_base {
public:
    join_handle_base() noexcept = default;
    join_handle_base(join_handle_base&& other) noexcept
        : task_(std::exchange(other.task_, nullptr)) {}

    // Asks the task to unwind at its present or next suspension; await the handle to learn when it
    // has. A task that ends first keeps its result.
    void abort() const noexcept;
    [[nodiscard]] bool is_finished() const noexcept {
        // acquire: pairs with complete()'s release; the result is visible with the bit.
        return task_ == nullptr || (task_->state.load_acquire() & state_complete) != 0;
    }
    [[nodiscard]] std::uint64_t id() const noexcept;
    [[nodiscard]] rt::abort_handle abort_handle() const noexcept;
    explicit operator bool() const noexcept { return task_ != nullptr; }

    // Installs a listener. False: the task had ended already. For the library.
    [[nodiscard]] bool listen(completion_listener* listener) const noexcept;
    // Removes it again. False: it has been or is being called.
    [[nodiscard]] bool unlisten() const noexcept;
    [[nodiscard]] task_header* header() const noexcept { return task_; }

protected:
    ~join_handle_base() = default;

    void detach_with(drop_function drop) noexcept;
    // take() of a task that has not ended.
    [[noreturn]] void forbid_take() const noexcept;

    // The same by a store, for the task that was spawned last in this turn: the spawn and the
    // letting go are one then, before any other thread can have the task. False: another may.
    bool detach_newest() noexcept {
        context& self = this_thread;
        self.is_using_queues = true;
        compiler_barrier();
        // acquire: what an abort handle's thread did with the header before it let go of it.
        const bool is_ours = task_ == self.newest && task_->state.load_acquire() == state_spawned;
        if (is_ours) {
            task_->state.store_relaxed(state_ref); // relaxed: the queue publishes the header
        }
        compiler_barrier();
        self.is_using_queues = false;
        return is_ours;
    }

    task_header* task_ = nullptr;
};

// Waits for a task from within another.
struct join_wait : wait_node, completion_listener {
    explicit join_wait(const join_handle_base& handle) noexcept
        : wait_node(&on_cancel)
        , completion_listener(&on_ended)
        , handle_(handle) {}

    template<typename Promise>
    bool await_suspend(std::coroutine_handle<Promise> self) noexcept {
        return suspend(self.address());
    }

    // Makes the task, inside of whose turn another one runs, wait for that one by itself. It is not
    // the caller's any more then. For the library.
    void wait_alone() noexcept;

private:
    RT_API bool suspend(void* self) noexcept;
    RT_API static cancel_result on_cancel(wait_node* node) noexcept;
    RT_API static void on_ended(completion_listener* listener, task_header* task) noexcept;

    const join_handle_base& handle_;
};

} // namespace detail

template<typename T>
class [[nodiscard("dropping the handle detaches the task; call detach() to say so")]] join_handle
    : public detail::join_handle_base {
public:
    using value_type = T;

    join_handle() noexcept = default;
    explicit join_handle(detail::task_header * task) noexcept {
        task_ = task;
    }
    join_handle(join_handle &&) noexcept = default;
    join_handle& operator=(join_handle&& other) noexcept {
        if (this != &other) {
            detach();
            task_ = std::exchange(other.task_, nullptr);
        }
        return *this;
    }
    ~join_handle() {
        detach();
    }

    // Lets the task go on by itself.
    void detach() noexcept {
        if (task_ == nullptr) {
            return;
        }
        if (detach_newest()) {
            task_ = nullptr;
        } else {
            detach_with(&detail::drop_result<T>);
        }
    }

    // The result of a finished task, or throws what it threw, or join_error if it was cancelled.
    // Requires: is_finished(), and that it was not consumed; else it aborts with advice. Consumes
    // the handle's task.
    T take(detail::site at = detail::site::current()) {
        if (task_ == nullptr) [[unlikely]] {
            detail::throw_for_empty("take() of a join handle", at);
        }
        if (!is_finished()) [[unlikely]] {
            forbid_take();
        }
        return take_finished();
    }

    // Waits until the task has ended. Cancel: leaves the task running, detached.
    auto operator co_await()&& noexcept {
        return awaiter(std::move(*this));
    }
    auto operator co_await()& noexcept {
        return awaiter(std::move(*this));
    }

private:
    struct awaiter {
        explicit awaiter(join_handle&& handle) noexcept
            : handle_(std::move(handle))
            , wait_(handle_) {}

        bool await_ready() const noexcept { return handle_ && handle_.is_finished(); }
        template<typename Promise>
        bool await_suspend(std::coroutine_handle<Promise> self) noexcept {
            if (!handle_) [[unlikely]] {
                detail::refuse_empty("co_await of a join handle", detail::await_site_of(self));
                return false;
            }
            return wait_.await_suspend(self);
        }
        T await_resume() { return handle_.take_finished(); }

        join_handle handle_;
        detail::join_wait wait_;
    };

    // take() of a task that has ended.
    T take_finished() {
        if (task_ == nullptr) [[unlikely]] {
            throw std::bad_alloc();
        }
        if (task_->ended == detail::outcome::value) [[likely]] {
            if constexpr (std::is_void_v<T>) {
                discard();
                return;
            } else {
                T value = std::move(*detail::stored_value<T>(task_));
                discard();
                return value;
            }
        }
        rethrow();
    }

    // What is left of a finished task.
    void discard() noexcept {
        detail::task_header* const task = std::exchange(task_, nullptr);
        detail::drop_result<T>(task);
        detail::release(task);
    }

    [[noreturn]] void rethrow() {
        if (task_->ended == detail::outcome::exception) {
            std::exception_ptr exception = std::move(*detail::stored_exception(task_));
            std::destroy_at(detail::stored_exception(task_));
            task_->ended = detail::outcome::pending;
            detach();
            std::rethrow_exception(std::move(exception));
        }
        const std::uint64_t id = task_->id.load_relaxed();
        detach();
        throw join_error(id);
    }
};

} // namespace rt

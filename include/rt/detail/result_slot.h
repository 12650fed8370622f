// SPDX-License-Identifier: MIT
//
// Where a coroutine leaves its value or exception, and how a root's result travels through the
// task header to the join handle.
//
// The header has 32 bytes for a result; a larger one is moved to a block of the frame lists. If the
// move on the way there throws, that exception is the task's result instead.
// `outcome` in the header says which of value, exception, cancelled it is. Written by the worker
// before state_complete, read by the join handle after it, by nobody else.
#pragma once

#include <rt/detail/frame.h>
#include <rt/detail/header.h>

#include <cstddef>
#include <exception>
#include <functional>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

namespace rt::detail {

struct unit {};

template<typename T>
using slot_value = std::conditional_t<std::is_void_v<T>, unit, T>;

template<typename T>
class result_slot {
public:
    using value_type = slot_value<T>;

    result_slot() noexcept {}
    result_slot(result_slot&& other) noexcept {
        if (other.kind_ == outcome::exception) {
            set_exception(std::move(other.exception_));
        } else if (other.kind_ == outcome::value) {
            if constexpr (std::is_nothrow_move_constructible_v<value_type>) {
                set_value(std::move(other.value_));
            } else {
                try {
                    set_value(std::move(other.value_));
                } catch (...) {
                    set_exception(std::current_exception());
                }
            }
        }
    }
    result_slot& operator=(result_slot&&) = delete;
    ~result_slot() { clear(); }

    template<typename... Args>
    void set_value(Args&&... args) {
        std::construct_at(std::addressof(value_), std::forward<Args>(args)...);
        kind_ = outcome::value;
    }

    // A coroutine whose return value was stored may still throw from a destructor of a local.
    void set_exception(std::exception_ptr exception) noexcept {
        clear();
        std::construct_at(std::addressof(exception_), std::move(exception));
        kind_ = outcome::exception;
    }

    // Calls the function, and keeps what it returns or throws.
    template<typename F>
    void set_result_of(F& function) noexcept {
        try {
            if constexpr (std::is_void_v<T>) {
                std::invoke(function);
                set_value();
            } else {
                set_value(std::invoke(function));
            }
        } catch (...) {
            set_exception(std::current_exception());
        }
    }

    [[nodiscard]] outcome kind() const noexcept { return kind_; }
    [[nodiscard]] value_type& value() noexcept { return value_; }
    [[nodiscard]] const std::exception_ptr& exception() const noexcept { return exception_; }

    // The value, or throws what the coroutine threw.
    T take() {
        if (kind_ == outcome::exception) [[unlikely]] {
            std::rethrow_exception(std::move(exception_));
        }
        if constexpr (!std::is_void_v<T>) {
            return std::move(value_);
        }
    }

private:
    void clear() noexcept {
        if (kind_ == outcome::value) {
            std::destroy_at(std::addressof(value_));
        } else if (kind_ == outcome::exception) {
            std::destroy_at(std::addressof(exception_));
        }
        kind_ = outcome::pending;
    }

    union {
        [[no_unique_address]] value_type value_;
        std::exception_ptr exception_;
    };
    outcome kind_ = outcome::pending;
};

template<typename T>
inline constexpr bool result_fits = sizeof(slot_value<T>) <= inline_result_bytes &&
    alignof(slot_value<T>) <= 16;

// Destroys what a finished task left in its header.
using drop_function = void (*)(task_header*) noexcept;

// Ends the task: publishes complete, tells the listener or, if nobody is interested any more, calls
// `drop`, which is null if there is nothing to; gives up the task's own reference.
RT_API void complete(task_header* task, drop_function drop) noexcept;

// The policy for an exception that no join handle will see: src/task/unobserved.cc.
RT_API void report_unobserved_exception(task_header* task, std::exception_ptr exception) noexcept;

// Reports an allocation failure for a result that does not fit into the header and aborts.
[[noreturn]] RT_API void out_of_memory_for_result() noexcept;

// Memory for a result that does not fit.
template<typename Value>
void* allocate_box() noexcept {
    void* const block = allocate_frame(sizeof(Value));
    if (block == nullptr) {
        out_of_memory_for_result();
    }
    return block;
}

template<typename T>
void report_unobserved(task_header* task, const result_slot<T>& slot) noexcept {
    if (slot.kind() == outcome::exception) [[unlikely]] {
        report_unobserved_exception(task, slot.exception());
    }
}

inline void store_exception(task_header* task, std::exception_ptr exception) noexcept {
    task->ended = outcome::exception;
    ::new (static_cast<void*>(task->result)) std::exception_ptr(std::move(exception));
}

// Moves a value into the header. Throws what its move does.
template<typename Value>
void store_value(
    task_header* task, Value&& value
) noexcept(std::is_nothrow_move_constructible_v<Value>) {
    if constexpr (result_fits<Value>) {
        ::new (static_cast<void*>(task->result)) Value(std::move(value));
    } else {
        struct box {
            void* memory = allocate_box<Value>();
            ~box() {
                if (memory != nullptr) {
                    deallocate_frame(memory, sizeof(Value));
                }
            }
        } made;
        ::new (made.memory) Value(std::move(value));
        task->boxed = std::exchange(made.memory, nullptr);
    }
    task->ended = outcome::value;
}

// Moves `slot` into the header.
template<typename T>
void store_result(task_header* task, result_slot<T>&& slot) noexcept {
    using value_type = slot_value<T>;
    if (slot.kind() == outcome::exception) [[unlikely]] {
        store_exception(task, slot.exception());
    } else if constexpr (std::is_nothrow_move_constructible_v<value_type>) {
        store_value(task, std::move(slot.value()));
    } else {
        try {
            store_value(task, std::move(slot.value()));
        } catch (...) {
            store_exception(task, std::current_exception());
        }
    }
}

template<typename T>
slot_value<T>* stored_value(task_header* task) noexcept {
    if constexpr (result_fits<T>) {
        return std::launder(reinterpret_cast<slot_value<T>*>(task->result));
    } else {
        return static_cast<slot_value<T>*>(task->boxed);
    }
}

inline std::exception_ptr* stored_exception(task_header* task) noexcept {
    return std::launder(reinterpret_cast<std::exception_ptr*>(task->result));
}

template<typename T>
void drop_result(task_header* task) noexcept {
    using value_type = slot_value<T>;
    if (task->ended == outcome::exception) [[unlikely]] {
        std::exception_ptr exception = std::move(*stored_exception(task));
        std::destroy_at(stored_exception(task));
        report_unobserved_exception(task, std::move(exception));
    } else if (task->ended == outcome::value) {
        value_type* const value = stored_value<T>(task);
        std::destroy_at(value);
        if constexpr (!result_fits<T>) {
            deallocate_frame(value, sizeof(value_type));
        }
    }
    task->ended = outcome::pending;
}

// Moves `slot` into the header if somebody can still ask for it; else it is reported if it is an
// exception, and stays. What complete() then has to drop.
template<typename T>
[[nodiscard]] drop_function keep_result(task_header* task, result_slot<T>&& slot) noexcept {
    if ((task->state.load_relaxed() & state_interest) == 0) {
        report_unobserved(task, slot);
        return nullptr;
    }
    store_result(task, std::move(slot));
    return &drop_result<T>;
}

} // namespace rt::detail

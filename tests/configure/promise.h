// SPDX-License-Identifier: MIT
//
// The smallest honest task type, shared by the coroutine probes: lazy, awaited by symmetric
// transfer, destroyed by its owner. It stands on its own, because a probe runs before anything of
// librt is compiled and must fail because of the compiler and of nothing else.
#pragma once

#include <coroutine>
#include <exception>
#include <utility>

namespace probe {

template<typename T>
class task {
public:
    struct promise_type {
        T value{};
        std::coroutine_handle<> awaiter = std::noop_coroutine();

        task get_return_object() noexcept {
            return task(std::coroutine_handle<promise_type>::from_promise(*this));
        }

        std::suspend_always initial_suspend() noexcept { return {}; }

        auto final_suspend() noexcept {
            struct transfer {
                bool await_ready() noexcept { return false; }
                std::coroutine_handle<> await_suspend(std::coroutine_handle<promise_type> self
                ) noexcept {
                    return self.promise().awaiter;
                }
                void await_resume() noexcept {}
            };
            return transfer{};
        }

        void return_value(T result) noexcept { value = std::move(result); }
        void unhandled_exception() noexcept { std::terminate(); }
    };

    explicit task(std::coroutine_handle<promise_type> handle) noexcept
        : handle_(handle) {}
    task(task&& other) noexcept
        : handle_(std::exchange(other.handle_, nullptr)) {}
    task& operator=(task&&) = delete;
    ~task() {
        if (handle_) {
            handle_.destroy();
        }
    }

    bool await_ready() const noexcept { return false; }
    std::coroutine_handle<> await_suspend(std::coroutine_handle<> awaiter) noexcept {
        handle_.promise().awaiter = awaiter;
        return handle_;
    }
    T await_resume() noexcept { return std::move(handle_.promise().value); }

    T run() {
        handle_.resume();
        return std::move(handle_.promise().value);
    }

private:
    std::coroutine_handle<promise_type> handle_;
};

} // namespace probe

// SPDX-License-Identifier: MIT
//
// A thread with a stack of a chosen size, which std::thread cannot have; and whose refusal is a
// result instead of an exception.
//
// For the workers of a runtime and their stand-ins. The threads of the blocking pool are detached
// from any object and have code of their own (blocking/pool.cc). Owned by one thread at a time.
#pragma once

#include "base/assert.h"

#include <rt/result.h>

#include <cerrno>
#include <cstddef>
#include <memory>
#include <new>
#include <utility>

#include <pthread.h>

namespace rt::base {

class thread {
public:
    thread(thread&& other) noexcept
        : handle_(other.handle_)
        , is_joinable_(std::exchange(other.is_joinable_, false)) {}
    thread& operator=(thread&&) = delete;
    ~thread() { RT_ASSERT(!is_joinable_); }

    /// Runs `body` on a new thread. `stack_bytes` 0 stands for what the C library takes (ulimit
    /// -s); else no less than PTHREAD_STACK_MIN.
    template<typename F>
    [[nodiscard]] static result<thread> start(std::size_t stack_bytes, F body) noexcept {
        std::unique_ptr<F> owned(new (std::nothrow) F(std::move(body)));
        if (owned == nullptr) {
            return failure(ENOMEM, "thread");
        }
        pthread_t handle{};
        if (const int code = create(handle, stack_bytes, &enter<F>, owned.get()); code != 0) {
            return failure(code, "thread");
        }
        static_cast<void>(owned.release());
        return thread(handle);
    }

    void join() noexcept {
        RT_ASSERT(is_joinable_);
        const int code = ::pthread_join(handle_, nullptr);
        RT_ASSERT(code == 0);
        is_joinable_ = false;
    }

private:
    explicit thread(pthread_t handle) noexcept
        : handle_(handle)
        , is_joinable_(true) {}

    template<typename F>
    static void* enter(void* argument) {
        const std::unique_ptr<F> body(static_cast<F*>(argument));
        (*body)();
        return nullptr;
    }

    static int create(
        pthread_t& handle, std::size_t stack_bytes, void* (*function)(void*), void* argument
    ) noexcept {
        pthread_attr_t attributes;
        if (const int code = ::pthread_attr_init(&attributes); code != 0) {
            return code;
        }
        int code = 0;
        if (stack_bytes != 0) {
            code = ::pthread_attr_setstacksize(&attributes, stack_bytes);
        }
        if (code == 0) {
            code = ::pthread_create(&handle, &attributes, function, argument);
        }
        ::pthread_attr_destroy(&attributes);
        return code;
    }

    pthread_t handle_;
    bool is_joinable_;
};

} // namespace rt::base

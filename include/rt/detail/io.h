// SPDX-License-Identifier: MIT
//
// The owned, watched file descriptor under every socket, and the awaiter for its readiness.
//
// The descriptor is watched by the driver of the worker that first had to wait for it; events wake
// the task on that worker. Watching starts lazily, so a connection that never waits costs nothing.
#pragma once

#include <rt/detail/config.h>
#include <rt/detail/context.h>
#include <rt/detail/header.h>
#include <rt/detail/suspend.h>
#include <rt/result.h>

#include <coroutine>
#include <cstdint>
#include <utility>

namespace rt::driver {
class io_source;
}

namespace rt {
class deadline;
}

namespace rt::detail {

enum class direction : std::uint8_t { read = 1, write = 2 };

// Waits until a direction may be ready. Resumes with an error when the descriptor cannot be
// watched, `limit` has passed, or there is no descriptor (a null source). Cancel: safe; nothing is
// consumed.
class RT_API ready_awaiter : public wait_node {
public:
    ready_awaiter(driver::io_source* source, direction which, deadline* limit = nullptr) noexcept
        : wait_node(&on_cancel)
        , source_(source)
        , limit_(limit)
        , which_(which) {}
    // As long as it has not been awaited.
    ready_awaiter(ready_awaiter&& other) noexcept
        : ready_awaiter(other.source_, other.which_, other.limit_) {}
    ready_awaiter& operator=(ready_awaiter&&) = delete;
    ~ready_awaiter() {
        if (is_limited_) {
            end_limit();
        }
    }

    bool await_ready() const noexcept { return false; }

    template<typename Promise>
    bool await_suspend(std::coroutine_handle<Promise> self) noexcept {
        return suspend(self.address());
    }

    result<void> await_resume() const noexcept { return outcome_; }

private:
    friend class rt::deadline;

    bool suspend(void* self) noexcept;
    static cancel_result on_cancel(wait_node* node) noexcept;
    // The deadline has passed. Returns the task if the caller must schedule it, or null.
    task_header* expire() noexcept;
    void end_limit() noexcept;

    driver::io_source* source_; // may be null
    deadline* limit_;
    direction which_;
    bool is_limited_ = false; // between limit_->begin and end
    result<void> outcome_{};
};

// Whether a task may make one more call in this turn; always outside a task. For calls that do not
// wait.
[[nodiscard]] inline bool may_try() noexcept {
    return this_thread.task == nullptr || consume_budget();
}

// Owns a descriptor and its registration. Movable; not shared between threads.
class RT_API io_handle {
public:
    io_handle() noexcept = default;
    io_handle(io_handle&& other) noexcept
        : source_(std::exchange(other.source_, nullptr)) {}
    io_handle& operator=(io_handle&& other) noexcept {
        if (this != &other) {
            close();
            source_ = std::exchange(other.source_, nullptr);
        }
        return *this;
    }
    ~io_handle() { close(); }

    // Takes ownership of a non-blocking descriptor; closes it on failure (ENOMEM).
    static result<io_handle> adopt(int fd) noexcept;

    [[nodiscard]] int fd() const noexcept;
    explicit operator bool() const noexcept { return source_ != nullptr; }

    // What the library's sockets work with. Requires: not empty.
    [[nodiscard]] driver::io_source& source() const noexcept { return *source_; }

    [[nodiscard]] ready_awaiter ready(direction which, deadline* limit = nullptr) const noexcept {
        return {source_, which, limit};
    }

    // For a system call of the program's: a token if the call may succeed, else 0; and what is to
    // be said after one that got EAGAIN. Requires: not empty. Threads: the direction's task.
    [[nodiscard]] std::uint64_t look(direction which) const noexcept;
    void spend(direction which, std::uint64_t seen) const noexcept;

    // Closes the descriptor. Requires: no task waits on it.
    void close() noexcept;
    // Gives it back, open and not watched any more; -1 if there is none. Requires the same.
    [[nodiscard]] int release() noexcept;

private:
    driver::io_source* source_ = nullptr;
};

} // namespace rt::detail

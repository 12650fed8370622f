// SPDX-License-Identifier: MIT
//
// Is this still the process that made the object, or a child of fork()?
//
// fork() copies the memory but only the calling thread: a runtime in the child has no workers, and
// its rings and epoll instances are the parent's. Objects that would do harm there remember the
// generation of the process that made them (a process_mark) and compare it where they enter the
// kernel or wait: one relaxed load. The number is raised in the child by a fork handler. vfork and
// posix_spawn do not run fork handlers and do not matter: their children only exec.
//
// Threads: any.
#pragma once

#include <rt/detail/atomic.h>

#include <cstdint>

#include <sys/types.h>

namespace rt::base {

namespace process_state {
// Written in a fork handler, before the child has a second thread; read by everyone.
extern constinit atomic<std::uint32_t> generation;
} // namespace process_state

class process_mark {
public:
    // Marks the calling process. The first one installs the fork handler.
    process_mark() noexcept;

    // Whether this is a child of the process that was marked.
    [[nodiscard]] bool is_foreign() const noexcept {
        // relaxed: changed while there is only one thread.
        return made_in_ != process_state::generation.load_relaxed();
    }

    // Aborts with advice in such a child.
    void check() const noexcept {
        if (is_foreign()) [[unlikely]] {
            refuse();
        }
    }

private:
    [[noreturn]] static void refuse() noexcept;

    std::uint32_t made_in_;
};

// The kernel's number of the calling thread, without a system call but for the first time, here and
// in a child of fork().
[[nodiscard]] pid_t thread_id() noexcept;

} // namespace rt::base

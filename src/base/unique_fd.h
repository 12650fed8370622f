// SPDX-License-Identifier: MIT
//
// unique_fd: owns a file descriptor and closes it. Closing never reports an error, since on Linux
// the descriptor is gone whatever close(2) says; where a write-back error matters, the owner calls
// fsync first. Not shared between threads without the caller's own protection.
#pragma once

#include "base/assert.h"

#include <utility>

#include <unistd.h>

namespace rt::base {

class unique_fd {
public:
    constexpr unique_fd() noexcept = default;

    /// Takes what open(2) and its kin return: -1 makes an empty one, so the caller tests the
    /// object.
    constexpr explicit unique_fd(int fd) noexcept
        : fd_(fd) {}

    unique_fd(unique_fd&& other) noexcept
        : fd_(other.release()) {}
    unique_fd& operator=(unique_fd&& other) noexcept {
        reset(other.release());
        return *this;
    }
    ~unique_fd() { reset(); }

    explicit operator bool() const noexcept { return fd_ >= 0; }
    [[nodiscard]] int get() const noexcept { return fd_; }

    /// Gives the descriptor away, unclosed.
    [[nodiscard]] int release() noexcept { return std::exchange(fd_, -1); }

    /// Closes what is held and takes `fd`. Self-reset would close the descriptor just taken.
    void reset(int fd = -1) noexcept {
        RT_ASSERT(fd < 0 || fd != fd_);
        const int old = std::exchange(fd_, fd);
        if (old >= 0) {
            ::close(old);
        }
    }

private:
    int fd_ = -1;
};

} // namespace rt::base

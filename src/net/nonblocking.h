// SPDX-License-Identifier: MIT
//
// Descriptors from elsewhere, which are to be waited for and must not block then.
#pragma once

#include <rt/result.h>

#include <cerrno>

#include <fcntl.h>

namespace rt {

// Makes the open file behind `fd` non-blocking; no system call more if it is. Errors, of `name`:
// EBADF.
inline result<void> make_nonblocking(int fd, const char* name) noexcept {
    const int flags = ::fcntl(fd, F_GETFL);
    if (flags < 0 || ((flags & O_NONBLOCK) == 0 && ::fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0)) {
        return failure(errno, name);
    }
    return {};
}

} // namespace rt

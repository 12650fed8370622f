// SPDX-License-Identifier: MIT
//
// The system calls of the hot paths, inline, with errors as -errno.
//
// Not through glibc, for two reasons. Its recv and send switch pthread cancellation on and off
// around the call in every program with more than one thread: 116 instructions per HTTP request,
// and no thread of the runtime is ever cancelled. And on the way back from the kernel the CPU's
// return predictor is empty (it is flushed against Spectre attacks), so that every function between
// the system call and its caller costs a mispredicted return, about 8 ns each. Callers are written
// so that few are left.
// The sanitizers must see the calls, so their builds take the wrappers.
#pragma once

#include "base/arch.h"

#include <cerrno>
#include <cstddef>

#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

namespace rt::base {

[[nodiscard, gnu::always_inline]] inline ssize_t
receive(int fd, void* into, std::size_t size, int flags) noexcept {
#if defined(RT_SANITIZED) || !defined(SYS_recvfrom)
    const ssize_t count = ::recv(fd, into, size, flags);
    return count < 0 ? -errno : count;
#else
    return kernel::call(
        SYS_recvfrom, fd, reinterpret_cast<long>(into), static_cast<long>(size), flags, 0, 0
    );
#endif
}

[[nodiscard, gnu::always_inline]] inline ssize_t
send(int fd, const void* from, std::size_t size, int flags) noexcept {
#if defined(RT_SANITIZED) || !defined(SYS_sendto)
    const ssize_t count = ::send(fd, from, size, flags);
    return count < 0 ? -errno : count;
#else
    return kernel::call(
        SYS_sendto, fd, reinterpret_cast<long>(from), static_cast<long>(size), flags, 0, 0
    );
#endif
}

// io_uring_enter(2), with nothing to submit.
[[nodiscard, gnu::always_inline]] inline int enter_ring(
    int fd, unsigned count, unsigned flags, const void* argument, std::size_t size
) noexcept {
#if defined(RT_SANITIZED)
    const long status = ::syscall(SYS_io_uring_enter, fd, 0, count, flags, argument, size);
    return status < 0 ? -errno : 0;
#else
    return static_cast<int>(kernel::call(
        SYS_io_uring_enter,
        fd,
        0,
        count,
        flags,
        reinterpret_cast<long>(argument),
        static_cast<long>(size)
    ));
#endif
}

} // namespace rt::base

// SPDX-License-Identifier: MIT
//
// recv(2) and send(2) that are no cancellation points.
//
// glibc's wrappers switch pthread cancellation on and off around the call in every program with
// more than one thread; for a request of HTTP that was 116 instructions and 3 % of the CPU time.
// No thread of the runtime is ever cancelled. The sanitizers must see the calls, so their builds
// take the wrappers.
#pragma once

#include <cstddef>

#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

namespace rt::base {

[[nodiscard]] inline ssize_t receive(int fd, void* into, std::size_t size, int flags) noexcept {
#if defined(RT_SANITIZED) || !defined(SYS_recvfrom)
    return ::recv(fd, into, size, flags);
#else
    return ::syscall(SYS_recvfrom, fd, into, size, flags, nullptr, nullptr);
#endif
}

[[nodiscard]] inline ssize_t send(int fd, const void* from, std::size_t size, int flags) noexcept {
#if defined(RT_SANITIZED) || !defined(SYS_sendto)
    return ::send(fd, from, size, flags);
#else
    return ::syscall(SYS_sendto, fd, from, size, flags, nullptr, 0);
#endif
}

} // namespace rt::base

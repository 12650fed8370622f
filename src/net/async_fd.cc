// SPDX-License-Identifier: MIT
//
// Taking over a descriptor of which nothing is known.
//
// What epoll refuses and a ring calls always ready, files and directories, is refused here, so that
// it is the same on both drivers and is said at once. All else that can be opened can be polled, or
// is refused by the driver at the first wait.
#include "base/unique_fd.h"
#include "net/nonblocking.h"

#include <rt/net/async_fd.h>

#include <cerrno>

#include <sys/stat.h>

namespace rt {

result<async_fd> async_fd::adopt(int fd) noexcept {
    constexpr const char* name = "async fd adopt";
    base::unique_fd owned(fd);
    struct stat about {};
    if (::fstat(fd, &about) != 0) {
        return failure(errno, name); // EBADF
    }
    if (S_ISREG(about.st_mode) || S_ISDIR(about.st_mode) || S_ISBLK(about.st_mode)) {
        return failure(EPERM, name);
    }
    if (const result<void> set = make_nonblocking(fd, name); !set) {
        return failure(set.error());
    }
    result<detail::io_handle> io = detail::io_handle::adopt(owned.release());
    if (!io) {
        return failure(io.error().as(name));
    }
    return async_fd(std::move(*io));
}

} // namespace rt

// SPDX-License-Identifier: MIT
//
// A socket pair of which one end is on the runtime's driver, in the library's own terms, for the
// tests of scheduler and runtime; rt::net has tests of its own.
#pragma once

#include "driver/io_source.h"
#include "support/test.h"

#include <rt/detail/io.h>
#include <rt/task.h>

#include <utility>

#include <sys/socket.h>
#include <unistd.h>

namespace rt::test {

struct sockets {
    sockets() {
        int ends[2];
        cr_assert_eq(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
        near = std::move(detail::io_handle::adopt(ends[0]).value());
        far = ends[1];
    }
    sockets(const sockets&) = delete;
    sockets& operator=(const sockets&) = delete;
    ~sockets() { ::close(far); }

    // Any thread, while the sockets exist.
    void write(char byte) const { cr_assert_eq(::write(far, &byte, 1), 1); }

    detail::io_handle near;
    int far = -1;
};

inline task<char> read_one(detail::io_handle* from) {
    for (;;) {
        const std::uint64_t seen = from->source().look(driver::ready_read);
        char byte = 0;
        if (::read(from->fd(), &byte, 1) == 1) {
            co_return byte;
        }
        from->source().spend(driver::ready_read, seen);
        cr_assert((co_await from->ready(detail::direction::read)).has_value());
    }
}

} // namespace rt::test

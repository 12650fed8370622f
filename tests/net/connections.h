// SPDX-License-Identifier: MIT
//
// Loopback connections for the tests of TCP: one end is the library's, the other a plain blocking
// socket of the test, so that its state does not depend on the code under test. Port 0 throughout.
#pragma once

#include "base/unique_fd.h"

#include <rt/net/tcp.h>

#include <chrono>
#include <utility>

#include <sys/socket.h>

namespace rt::test {

// Long enough for a loaded machine; only failures last that long.
inline constexpr std::chrono::seconds patience{20};

inline tcp_listener listen_anywhere(tcp_listen_options options = {}) {
    return or_throw(tcp_listener::bind("127.0.0.1:0", options));
}

inline socket_address address_of(const tcp_listener& listener) {
    return or_throw(listener.local_address());
}

// Empty when it fails.
inline base::unique_fd connect_raw(const socket_address& at) {
    base::unique_fd fd(::socket(at.family(), SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (fd && ::connect(fd.get(), at.native(), at.native_size()) != 0) {
        fd.reset();
    }
    return fd;
}

struct connection {
    tcp_stream ours;
    base::unique_fd theirs;
};

inline task<connection> make_connection() {
    tcp_listener listener = listen_anywhere();
    base::unique_fd theirs = connect_raw(address_of(listener));
    tcp_stream ours = or_throw(co_await listener.accept());
    co_return connection{std::move(ours), std::move(theirs)};
}

} // namespace rt::test

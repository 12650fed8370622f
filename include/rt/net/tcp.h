// SPDX-License-Identifier: MIT
//
// rt::tcp_listener and rt::tcp_stream.
//
//     rt::result<rt::tcp_listener> listener = rt::tcp_listener::bind("127.0.0.1:8080");
//     rt::result<rt::tcp_stream> peer = co_await listener->accept();
//     rt::result<std::size_t> got = co_await peer->read(buffer);
//
// Every operation first makes its system call, and waits for the driver only when the kernel says
// EAGAIN. No buffer ever belongs to the kernel, so a cancelled read or write has lost nothing.
// Long runs of calls that need not wait give other tasks their turn (see rt/yield.h).
//
// A stream may be used by one task that reads and one that writes at the same time; a listener by
// one task that accepts; a second one that waits aborts the process with advice. An operation
// refers to the object it was called on, which must neither be moved, closed nor destroyed before
// it has ended. A connection that is reset never raises SIGPIPE. Operations on a
// default-constructed, moved-from or closed object fail with EBADF.
#pragma once

#include <rt/detail/config.h>
#include <rt/detail/io.h>
#include <rt/net/address.h>
#include <rt/result.h>
#include <rt/task.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>

namespace rt {

struct tcp_connect_options {
    bool nodelay = true; // TCP_NODELAY: small writes are sent at once
};

struct tcp_listen_options {
    // Connections that wait to be accepted, at most; the kernel cuts it to net.core.somaxconn.
    int backlog = 4096;
    // SO_REUSEADDR: a restarted server may bind while old connections are in TIME_WAIT.
    bool reuse_address = true;
    // SO_REUSEPORT: several listeners on one port, between which the kernel shares connections out.
    bool reuse_port = false;
    // Whether "[::]" takes IPv6 connections only. Otherwise IPv4 as well.
    bool v6_only = false;
    // TCP_NODELAY, which accepted streams inherit without a system call of their own.
    bool nodelay = true;
};

/// A connection. Movable; closes itself.
class RT_API tcp_stream {
public:
    tcp_stream() noexcept = default;

    /// Cancel: safe; the attempt is given up.
    /// Errors: ECONNREFUSED, ENETUNREACH, ETIMEDOUT and the others of connect(2); of socket(2);
    /// those of socket_address::parse, which the text is given to before the task starts.
    static task<result<tcp_stream>> connect(socket_address peer, tcp_connect_options options = {});
    static task<result<tcp_stream>>
    connect(std::string_view peer, tcp_connect_options options = {});

    /// Takes ownership of a connected stream socket, TCP or of another kind, which becomes
    /// non-blocking. What is refused is closed. Errors: EBADF, ENOTSOCK; EINVAL: it listens, or is
    /// no stream socket; ENOMEM.
    static result<tcp_stream> adopt(int fd) noexcept;

    /// Waits for data and reads what is there, up to into.size(). 0: the peer has shut its side
    /// down (or `into` is empty).
    /// Cancel: safe; nothing has been read.
    /// Errors: ECONNRESET and the others of recv(2).
    task<result<std::size_t>> read(std::span<std::byte> into);

    /// Waits for room and writes what fits, at least one byte (none if `from` is empty).
    /// Cancel: safe; nothing has been written.
    /// Errors: EPIPE, ECONNRESET and the others of send(2).
    task<result<std::size_t>> write(std::span<const std::byte> from);

    /// Writes all of `from`. Cancel: an unknown part of it may have been written.
    task<result<void>> write_all(std::span<const std::byte> from);

    /// read and write without waiting, and without a coroutine: EAGAIN when there is nothing to be
    /// had, or when the task has had its share for this turn; await readable() or writable() then.
    [[nodiscard]] result<std::size_t> try_read(std::span<std::byte> into) noexcept;
    [[nodiscard]] result<std::size_t> try_write(std::span<const std::byte> from) noexcept;

    /// Wait until a try may succeed: `rt::result<void> ready = co_await peer.readable();`. It may
    /// still fail with EAGAIN. Both return at once until a try finds that there is no more.
    /// Cancel: safe. Errors: EBADF; ENOMEM and what else epoll_ctl(2) gives.
    [[nodiscard]] detail::ready_awaiter readable() const noexcept;
    [[nodiscard]] detail::ready_awaiter writable() const noexcept;
    /// The same until `limit` has passed: errc::timed_out then.
    [[nodiscard]] detail::ready_awaiter readable(deadline& limit) const noexcept;
    [[nodiscard]] detail::ready_awaiter writable(deadline& limit) const noexcept;

    /// Tells the peer that no more will be written. Errors: ENOTCONN.
    result<void> shutdown_write() noexcept;
    result<void> set_nodelay(bool wanted) noexcept;

    [[nodiscard]] result<socket_address> peer_address() const noexcept;
    [[nodiscard]] result<socket_address> local_address() const noexcept;

    /// Closes the socket; the kernel sends what was written. No effect on a closed stream.
    /// Requires: no operation in progress.
    void close() noexcept { io_.close(); }

    explicit operator bool() const noexcept { return static_cast<bool>(io_); }
    /// The descriptor, which remains the stream's; -1 when closed.
    [[nodiscard]] int fd() const noexcept { return io_.fd(); }

private:
    friend class tcp_listener;

    explicit tcp_stream(detail::io_handle io) noexcept
        : io_(std::move(io)) {}

    // One that the library has made, which is closed on failure.
    static result<tcp_stream> own(int fd, const char* name) noexcept;

    static task<result<tcp_stream>>
    connect_parsed(result<socket_address> peer, tcp_connect_options options);
    result<std::size_t> receive(std::span<std::byte> into) noexcept;
    result<std::size_t> send(std::span<const std::byte> from) noexcept;

    detail::io_handle io_;
};

/// A listening socket. Movable; closes itself.
class RT_API tcp_listener {
public:
    tcp_listener() noexcept = default;

    /// Makes a socket that listens on `at`; port 0 lets the kernel choose (see local_address()).
    /// Errors: EADDRINUSE, EACCES and the others of socket(2), bind(2) and listen(2); those of
    /// socket_address::parse.
    static result<tcp_listener>
    bind(const socket_address& at, const tcp_listen_options& options = {}) noexcept;
    static result<tcp_listener>
    bind(std::string_view at, const tcp_listen_options& options = {}) noexcept;

    /// Takes ownership of a listening stream socket, such as one that systemd passed, which becomes
    /// non-blocking. What is refused is closed. Errors: EBADF, ENOTSOCK; EINVAL: it does not
    /// listen, or is no stream socket; ENOMEM.
    static result<tcp_listener> adopt(int fd) noexcept;

    /// Waits for a connection. Connections that broke before they were accepted are skipped.
    /// Cancel: safe; no connection is lost.
    /// Errors: EMFILE, ENFILE, ENOBUFS, ENOMEM: the connection stays queued, unless memory runs out
    /// only after the kernel has handed it over: then it is closed. The next accept waits for
    /// accept_pause_ms before it tries again, so that a loop that ignores the error does not spin.
    /// Others of accept(2) mean that the listener is of no further use.
    task<result<tcp_stream>> accept();

    [[nodiscard]] result<socket_address> local_address() const noexcept;

    /// Requires: no accept in progress.
    void close() noexcept { io_.close(); }

    explicit operator bool() const noexcept { return static_cast<bool>(io_); }
    [[nodiscard]] int fd() const noexcept { return io_.fd(); }

    /// How long accept waits after it has reported that descriptors or memory ran out, in ms.
    static constexpr std::uint32_t accept_pause_ms = 10;

private:
    explicit tcp_listener(detail::io_handle io) noexcept
        : io_(std::move(io)) {}

    static result<tcp_listener> own(int fd, const char* name) noexcept; // as of tcp_stream

    detail::io_handle io_;
    bool is_starved_ = false; // the last accept found no descriptor or no memory
};

} // namespace rt

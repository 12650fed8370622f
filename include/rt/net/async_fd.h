// SPDX-License-Identifier: MIT
//
// rt::async_fd: tasks wait for a descriptor of the program's own, whatever it is.
//
//     rt::result<rt::async_fd> child = rt::async_fd::adopt(pidfd_open(pid, 0));
//     rt::result<void> ended = co_await child->readable();
//
//     rt::result<std::size_t> got = co_await udp->read_with([&](int fd) {
//         return ::recvfrom(fd, bytes, sizeof(bytes), 0, &from, &size);
//     });
//
// For what has no type of its own here: UDP and Unix sockets, pipes, terminals, eventfd, timerfd,
// inotify, pidfd, and libraries that show a descriptor. The system calls are the program's; the
// runtime waits between them. It is told of changes, not of states, so it has to know when a call
// has found nothing more: that is why calls go through the object.
//
// Used by one task that reads and one that writes at the same time, like rt::tcp_stream; a second
// one that waits aborts the process with advice. An operation refers to the object it was called
// on, which must neither be moved, closed nor destroyed before it has ended.
#pragma once

#include <rt/detail/config.h>
#include <rt/detail/io.h>
#include <rt/result.h>
#include <rt/task.h>
#include <rt/yield.h>

#include <cerrno>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <utility>

namespace rt {

namespace detail {

// A system call on a descriptor: negative when it has failed, with the reason in errno.
template<typename Call>
concept descriptor_call = requires(Call& call) {
    { call(0) } -> std::signed_integral;
};

} // namespace detail

/// Movable; closes the descriptor.
class RT_API async_fd {
public:
    async_fd() noexcept = default;

    /// Takes ownership of a descriptor. Its open file becomes non-blocking, for every process and
    /// descriptor that shares it. What is refused is closed. Errors: EBADF; EPERM: it cannot be
    /// waited for, being a file or directory on a disk, which rt::blocking is for; ENOMEM.
    static result<async_fd> adopt(int fd) noexcept;

    /// Wait until a call may succeed. It may still fail with EAGAIN. Both return at once until a
    /// call finds that there is no more.
    /// Cancel: safe. Errors: EBADF; ENOMEM and what else epoll_ctl(2) gives.
    [[nodiscard]] detail::ready_awaiter readable() const noexcept { return io_.ready(reads); }
    [[nodiscard]] detail::ready_awaiter writable() const noexcept { return io_.ready(writes); }
    /// The same until `limit` has passed: errc::timed_out then.
    [[nodiscard]] detail::ready_awaiter readable(deadline& limit) const noexcept {
        return io_.ready(reads, &limit);
    }
    [[nodiscard]] detail::ready_awaiter writable(deadline& limit) const noexcept {
        return io_.ready(writes, &limit);
    }

    /// call(fd()), which takes something from the descriptor or gives something to it and returns
    /// what system calls do: a negative number and errno, or how much it was. Repeated for EINTR.
    /// EAGAIN without a call when there is nothing to be had, or when the task has had its share
    /// for this turn; await readable() or writable() then. What the call throws is passed on.
    template<detail::descriptor_call Call>
    [[nodiscard]] result<std::size_t> try_read_with(Call&& call) {
        return try_now(reads, call);
    }
    template<detail::descriptor_call Call>
    [[nodiscard]] result<std::size_t> try_write_with(Call&& call) {
        return try_now(writes, call);
    }

    /// The same, and waits as long as the call says EAGAIN. The call is copied or moved into the
    /// task; what it refers to must outlive it.
    /// Cancel: safe between calls: nothing was taken or given by one that said EAGAIN.
    template<detail::descriptor_call Call>
    [[nodiscard]] task<result<std::size_t>> read_with(Call call) {
        return until_had(reads, std::move(call));
    }
    template<detail::descriptor_call Call>
    [[nodiscard]] task<result<std::size_t>> write_with(Call call) {
        return until_had(writes, std::move(call));
    }

    /// Closes the descriptor. No effect on a closed one. Requires: no operation in progress.
    void close() noexcept { io_.close(); }
    /// Gives the descriptor back, open and still non-blocking; -1 when closed. Requires the same.
    [[nodiscard]] int release() noexcept { return io_.release(); }

    explicit operator bool() const noexcept { return static_cast<bool>(io_); }
    /// The descriptor, which remains the object's; -1 when closed.
    [[nodiscard]] int fd() const noexcept { return io_.fd(); }

private:
    static constexpr detail::direction reads = detail::direction::read;
    static constexpr detail::direction writes = detail::direction::write;

    explicit async_fd(detail::io_handle io) noexcept
        : io_(std::move(io)) {}

    static const char* name_of(detail::direction which) noexcept {
        return which == reads ? "async fd read" : "async fd write";
    }

    template<typename Call>
    result<std::size_t> try_now(detail::direction which, Call& call) {
        if (!io_) {
            return failure(EBADF, name_of(which));
        }
        return detail::may_try() ? attempt(which, call) : failure(EAGAIN, name_of(which));
    }

    template<typename Call>
    result<std::size_t> attempt(detail::direction which, Call& call) {
        const std::uint64_t seen = io_.look(which);
        if (seen == 0) {
            return failure(EAGAIN, name_of(which));
        }
        for (;;) {
            const auto got = call(io_.fd());
            if (got >= 0) {
                return static_cast<std::size_t>(got);
            }
            const int code = errno;
            if (code == EINTR) {
                continue;
            }
            if (code == EAGAIN) {
                io_.spend(which, seen);
            }
            return failure(code, name_of(which));
        }
    }

    template<typename Call>
    task<result<std::size_t>> until_had(detail::direction which, Call call) {
        if (!io_) {
            co_return failure(EBADF, name_of(which));
        }
        for (;;) {
            if (!detail::consume_budget()) {
                co_await yield();
            }
            const result<std::size_t> got = attempt(which, call);
            if (got || !got.error().is(EAGAIN)) {
                co_return got;
            }
            const result<void> ready = co_await io_.ready(which);
            if (!ready) {
                co_return failure(ready.error().as(name_of(which)));
            }
        }
    }

    detail::io_handle io_;
};

} // namespace rt

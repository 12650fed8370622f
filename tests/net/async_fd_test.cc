// SPDX-License-Identifier: MIT
//
// Descriptors of which the library knows nothing, on both drivers and both flavours: what is woken
// by what, that no change is lost between the calls, and who owns the descriptor.
//
// Coroutines return what they saw and the test's own thread asserts it. A lost change shows as a
// time-out of `patience`.
#include "base/unique_fd.h"
#include "net/connections.h"
#include "support/runtimes.h"
#include "support/test.h"

#include <rt/deadline.h>
#include <rt/join.h>
#include <rt/net/async_fd.h>
#include <rt/runtime.h>
#include <rt/spawn.h>
#include <rt/time.h>
#include <rt/yield.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {

using namespace std::chrono_literals;
using namespace rt::test;
using rt::base::unique_fd;

struct pipe_ends {
    rt::async_fd out; // read from
    unique_fd in;     // written to; blocking
};

pipe_ends make_pipe() {
    int ends[2];
    cr_assert_eq(::pipe2(ends, O_CLOEXEC), 0);
    return {rt::or_throw(rt::async_fd::adopt(ends[0])), unique_fd(ends[1])};
}

// Reads into `into`, by one system call at a time.
auto reader(std::string* into, std::size_t most) {
    return [into, most](int fd) {
        char bytes[4096];
        const ssize_t count = ::read(fd, bytes, std::min(most, sizeof(bytes)));
        if (count > 0) {
            into->append(bytes, static_cast<std::size_t>(count));
        }
        return count;
    };
}

// ---- what is woken by what ----

rt::task<std::uint64_t> sum_of_events() {
    const int fd = ::eventfd(0, EFD_CLOEXEC);
    rt::async_fd events = rt::or_throw(rt::async_fd::adopt(fd));
    auto writes = rt::spawn(
        [](int to) -> rt::task<void> {
            for (int i = 0; i < 100; ++i) {
                static_cast<void>(::eventfd_write(to, 1));
                co_await rt::yield();
            }
        },
        fd
    );
    std::uint64_t sum = 0;
    while (sum < 100) {
        std::uint64_t value = 0;
        const auto got = co_await rt::timeout(patience, events.read_with([&value](int from) {
            return ::eventfd_read(from, &value);
        }));
        if (!got) {
            break;
        }
        sum += value;
    }
    co_await std::move(writes);
    co_return sum;
}

rt::task<std::string> read_a_pipe_to_its_end() {
    pipe_ends both = make_pipe();
    auto writes = rt::spawn(
        [](unique_fd to) -> rt::task<void> {
            for (int i = 0; i < 200; ++i) {
                const char digit = static_cast<char>('0' + i % 10);
                static_cast<void>(::write(to.get(), &digit, 1));
                if (i % 7 == 0) {
                    co_await rt::yield();
                }
            }
        },
        std::move(both.in)
    );
    std::string got;
    for (;;) {
        const auto count = co_await rt::timeout(patience, both.out.read_with(reader(&got, 3)));
        if (!count || *count == 0) {
            break;
        }
    }
    co_await std::move(writes);
    co_return got;
}

rt::async_fd udp_socket(sockaddr_in& at) {
    const int fd = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    at = {};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(at);
    cr_assert_eq(::bind(fd, reinterpret_cast<sockaddr*>(&at), size), 0);
    cr_assert_eq(::getsockname(fd, reinterpret_cast<sockaddr*>(&at), &size), 0);
    return rt::or_throw(rt::async_fd::adopt(fd));
}

// What came back, and from whom.
rt::task<std::pair<std::string, std::uint16_t>> asks_by_datagram() {
    sockaddr_in server_at;
    sockaddr_in client_at;
    rt::async_fd server = udp_socket(server_at);
    rt::async_fd client = udp_socket(client_at);
    auto serves = rt::spawn(
        [](rt::async_fd socket) -> rt::task<void> {
            char bytes[64];
            sockaddr_in from{};
            socklen_t size = sizeof(from);
            auto* const address = reinterpret_cast<sockaddr*>(&from);
            const auto got = co_await socket.read_with([&](int fd) {
                return ::recvfrom(fd, bytes, sizeof(bytes), 0, address, &size);
            });
            static_cast<void>(co_await socket.write_with([&](int fd) {
                return ::sendto(fd, bytes, got.value_or(0), 0, address, size);
            }));
        },
        std::move(server)
    );
    static_cast<void>(co_await client.write_with([&](int fd) {
        auto* const address = reinterpret_cast<const sockaddr*>(&server_at);
        return ::sendto(fd, "ping", 4, 0, address, sizeof(server_at));
    }));
    char bytes[64];
    sockaddr_in from{};
    socklen_t size = sizeof(from);
    const auto got = co_await rt::timeout(patience, client.read_with([&](int fd) {
        return ::recvfrom(fd, bytes, sizeof(bytes), 0, reinterpret_cast<sockaddr*>(&from), &size);
    }));
    co_await std::move(serves);
    const bool is_server = from.sin_port == server_at.sin_port;
    co_return std::pair(std::string(bytes, got.value_or(0)), std::uint16_t(is_server ? 1 : 0));
}

rt::task<bool> sees_a_child_end() {
    unique_fd go_read;
    unique_fd go_write;
    int ends[2];
    cr_assert_eq(::pipe2(ends, O_CLOEXEC), 0);
    const pid_t child = ::fork();
    if (child == 0) {
        ::close(ends[1]);
        char byte = 0;
        static_cast<void>(::read(ends[0], &byte, 1)); // until the other end is closed
        ::_exit(3);
    }
    ::close(ends[0]);
    const auto descriptor = static_cast<int>(::syscall(SYS_pidfd_open, child, 0));
    rt::async_fd watched = rt::or_throw(rt::async_fd::adopt(descriptor));
    const bool early = (co_await rt::timeout(5ms, watched.readable())).has_value();
    ::close(ends[1]);
    // A wait for something that nothing is taken from: the first return may be the hope that every
    // descriptor begins with.
    int status = 0;
    bool ended = false;
    while (!ended) {
        const auto ready = co_await rt::timeout(patience, watched.read_with([&](int /*fd*/) {
            const pid_t got = ::waitpid(child, &status, WNOHANG);
            if (got == 0) {
                errno = EAGAIN;
                return -1;
            }
            return static_cast<int>(got);
        }));
        ended = ready && *ready == static_cast<std::size_t>(child);
        if (!ready) {
            break;
        }
    }
    co_return !early && ended && WIFEXITED(status) && WEXITSTATUS(status) == 3;
}

// Fills a pipe, and writes the rest as it is read.
rt::task<std::size_t> writes_more_than_fits() {
    int ends[2];
    cr_assert_eq(::pipe2(ends, O_CLOEXEC), 0);
    rt::async_fd in = rt::or_throw(rt::async_fd::adopt(ends[1]));
    rt::async_fd out = rt::or_throw(rt::async_fd::adopt(ends[0]));
    constexpr std::size_t all = 1'000'000;
    auto reads = rt::spawn(
        [](rt::async_fd from) -> rt::task<std::size_t> {
            std::string got;
            for (;;) {
                const auto count =
                    co_await rt::timeout(patience, from.read_with(reader(&got, 4096)));
                if (!count || *count == 0) {
                    co_return got.size();
                }
            }
        },
        std::move(out)
    );
    const std::vector<char> bytes(all, 'x');
    std::size_t written = 0;
    while (written < all) {
        const auto count = co_await rt::timeout(patience, in.write_with([&](int fd) {
            return ::write(fd, bytes.data() + written, all - written);
        }));
        if (!count) {
            break;
        }
        written += *count;
    }
    in.close();
    co_return co_await std::move(reads);
}

Test(async_fd, no_write_to_an_eventfd_is_missed) {
    on_every_runtime([](const rt::config& config) {
        cr_assert_eq(rt::block_on(config, sum_of_events()), 100U);
    });
}

Test(async_fd, a_pipe_is_read_to_its_end) {
    on_every_runtime([](const rt::config& config) {
        std::string expected;
        for (int i = 0; i < 200; ++i) {
            expected += static_cast<char>('0' + i % 10);
        }
        cr_assert(rt::block_on(config, read_a_pipe_to_its_end()) == expected);
    });
}

Test(async_fd, datagrams_come_with_their_sender) {
    on_every_runtime([](const rt::config& config) {
        const auto [answer, is_server] = rt::block_on(config, asks_by_datagram());
        cr_assert(answer == "ping" && is_server == 1);
    });
}

Test(async_fd, the_end_of_a_process_is_waited_for) {
    on_every_runtime([](const rt::config& config) {
        cr_assert(rt::block_on(config, sees_a_child_end()));
    });
}

Test(async_fd, a_writer_waits_for_room) {
    on_every_runtime([](const rt::config& config) {
        cr_assert_eq(rt::block_on(config, writes_more_than_fits()), 1'000'000U);
    });
}

// ---- calls ----

// Calls while there is nothing, after the first has said so.
rt::task<int> calls_when_spent() {
    pipe_ends both = make_pipe();
    int calls = 0;
    const auto call = [&calls](int fd) {
        ++calls;
        char byte = 0;
        return ::read(fd, &byte, 1);
    };
    for (int i = 0; i < 10; ++i) {
        const rt::result<std::size_t> none = both.out.try_read_with(call);
        if (none || !none.error().is(EAGAIN)) {
            co_return -1;
        }
    }
    co_return calls;
}

rt::task<bool> an_interrupted_call_is_repeated() {
    pipe_ends both = make_pipe();
    int calls = 0;
    const rt::result<std::size_t> got = both.out.try_read_with([&calls](int /*fd*/) {
        errno = EINTR;
        return ++calls < 3 ? -1 : 7;
    });
    co_return calls == 3 && got == 7U;
}

rt::task<bool> an_exception_is_passed_on() {
    pipe_ends both = make_pipe();
    int caught = 0;
    try {
        static_cast<void>(co_await both.out.read_with([](int) -> int {
            throw std::logic_error("");
        }));
    } catch (const std::logic_error&) {
        ++caught;
    }
    static_cast<void>(::write(both.in.get(), "a", 1));
    std::string got;
    static_cast<void>(co_await rt::timeout(patience, both.out.read_with(reader(&got, 9))));
    co_return caught == 1 && got == "a";
}

rt::task<std::string> read_after_abort() {
    pipe_ends both = make_pipe();
    std::string lost;
    auto victim = rt::spawn(
        [](rt::async_fd* from, std::string* into) -> rt::task<void> {
            static_cast<void>(co_await from->read_with(reader(into, 9)));
        },
        &both.out,
        &lost
    );
    co_await rt::yield();
    victim.abort();
    try {
        co_await std::move(victim);
        co_return "not cancelled";
    } catch (const rt::join_error&) {
    }
    static_cast<void>(::write(both.in.get(), "abc", 3));
    std::string got;
    static_cast<void>(co_await rt::timeout(patience, both.out.read_with(reader(&got, 9))));
    co_return lost.empty() ? got : "taken by the victim";
}

rt::task<bool> a_deadline_ends_a_wait() {
    pipe_ends both = make_pipe();
    char byte = 0;
    static_cast<void>(both.out.try_read_with([&byte](int fd) { return ::read(fd, &byte, 1); }));
    rt::deadline limit;
    limit.set(rt::clock::now() + 2ms);
    const rt::result<void> ready = co_await both.out.readable(limit);
    co_return !ready && ready.error().is_timed_out();
}

Test(async_fd, what_is_spent_is_not_called_for) {
    on_every_runtime([](const rt::config& config) {
        cr_assert_eq(rt::block_on(config, calls_when_spent()), 1);
    });
}

Test(async_fd, an_interrupted_call_is_repeated) {
    cr_assert(run(an_interrupted_call_is_repeated()));
}

Test(async_fd, an_exception_of_the_call_is_passed_on) {
    cr_assert(run(an_exception_is_passed_on()));
}

Test(async_fd, an_aborted_read_has_taken_nothing) {
    on_every_runtime([](const rt::config& config) {
        cr_assert(rt::block_on(config, read_after_abort()) == "abc");
    });
}

Test(async_fd, a_deadline_ends_a_wait) {
    on_every_runtime([](const rt::config& config) {
        cr_assert(rt::block_on(config, a_deadline_ends_a_wait()));
    });
}

// ---- whose the descriptor is ----

rt::task<bool> released_and_adopted_again() {
    pipe_ends both = make_pipe();
    std::string got;
    // Watched, so that there is something to be let go of.
    static_cast<void>(co_await rt::timeout(1ms, both.out.read_with(reader(&got, 9))));
    for (int i = 0; i < 3; ++i) {
        const int fd = both.out.release();
        if (fd < 0 || both.out || ::fcntl(fd, F_GETFD) < 0) {
            co_return false;
        }
        both.out = rt::or_throw(rt::async_fd::adopt(fd));
        static_cast<void>(co_await rt::timeout(1ms, both.out.read_with(reader(&got, 9))));
        static_cast<void>(::write(both.in.get(), "x", 1));
        static_cast<void>(co_await rt::timeout(patience, both.out.read_with(reader(&got, 9))));
    }
    co_return got == "xxx" && rt::async_fd().release() == -1;
}

Test(async_fd, what_is_released_is_open_and_may_be_adopted_again) {
    on_every_runtime([](const rt::config& config) {
        cr_assert(rt::block_on(config, released_and_adopted_again()));
    });
}

Test(async_fd, what_cannot_be_waited_for_is_refused_and_closed) {
    const rt::result<rt::async_fd> none = rt::async_fd::adopt(-1);
    cr_assert(!none && none.error().is(EBADF));
    for (const char* path : {"/proc/self/exe", "/"}) {
        const int fd = ::open(path, O_RDONLY | O_CLOEXEC);
        cr_assert(fd >= 0);
        const rt::result<rt::async_fd> file = rt::async_fd::adopt(fd);
        cr_assert(!file && file.error().is(EPERM), "%s", path);
        cr_assert(::fcntl(fd, F_GETFD) == -1 && errno == EBADF);
    }
}

Test(async_fd, what_is_adopted_does_not_block) {
    pipe_ends both = make_pipe();
    cr_assert((::fcntl(both.out.fd(), F_GETFL) & O_NONBLOCK) != 0);
    cr_assert((::fcntl(both.in.get(), F_GETFL) & O_NONBLOCK) == 0);
    const int fd = both.out.fd();
    both.out.close();
    cr_assert(!both.out && both.out.fd() == -1);
    cr_assert(::fcntl(fd, F_GETFD) == -1);
}

rt::task<bool> all_fail_with_ebadf() {
    rt::async_fd none;
    const auto never = [](int) {
        return 1;
    };
    co_return (co_await none.readable()).error().is(EBADF) &&
        (co_await none.writable()).error().is(EBADF) &&
        (co_await none.read_with(never)).error().is(EBADF) &&
        (co_await none.write_with(never)).error().is(EBADF) &&
        none.try_read_with(never).error().is(EBADF) && none.try_write_with(never).error().is(EBADF);
}

Test(async_fd, one_that_is_not_open_fails_with_ebadf) {
    cr_assert(run(all_fail_with_ebadf()));
}

} // namespace

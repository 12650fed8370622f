// SPDX-License-Identifier: MIT
//
// What a program gets that uses a socket in a way in which it cannot be used: advice, or an error.
#include "base/captured.h"
#include "net/connections.h"
#include "support/runtimes.h"
#include "support/test.h"

#include <rt/buffer.h>
#include <rt/deadline.h>
#include <rt/join.h>
#include <rt/net/tcp.h>
#include <rt/runtime.h>
#include <rt/select.h>
#include <rt/spawn.h>
#include <rt/time.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <iterator>
#include <utility>

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

namespace {

using namespace std::chrono_literals;
using namespace rt::test;
using rt::base::unique_fd;

// ---- two wait where one can ----

rt::task<void> read_one(rt::tcp_stream* peer) {
    rt::buffer buffer(1);
    static_cast<void>(co_await peer->read(buffer));
}

rt::task<void> accept_one(rt::tcp_listener* listener) {
    static_cast<void>(co_await rt::timeout(10s, listener->accept()));
}

rt::task<void> two_tasks_read() {
    connection both = co_await make_connection();
    rt::join_handle<void> one = rt::spawn(read_one, &both.ours);
    rt::join_handle<void> other = rt::spawn(read_one, &both.ours);
    co_await std::move(one);
    co_await std::move(other);
}

rt::task<void> two_parts_read() {
    connection both = co_await make_connection();
    static_cast<void>(co_await rt::select(read_one(&both.ours), both.ours.readable()));
}

rt::task<void> two_tasks_accept() {
    rt::tcp_listener listener = listen_anywhere();
    rt::join_handle<void> one = rt::spawn(accept_one, &listener);
    rt::join_handle<void> other = rt::spawn(accept_one, &listener);
    co_await std::move(one);
    co_await std::move(other);
}

// A select in a loop, whose read has lost when the next one begins, is not a second reader.
rt::task<bool> one_part_reads_in_each_round() {
    connection both = co_await make_connection();
    for (int i = 0; i < 3; ++i) {
        static_cast<void>(co_await rt::select(read_one(&both.ours), rt::sleep(2ms)));
    }
    if (::send(both.theirs.get(), "x", 1, 0) != 1) {
        co_return false;
    }
    co_return (co_await rt::timeout(patience, read_one(&both.ours))).has_value();
}

// ---- waiting for nothing ----

rt::task<int> code_of(rt::detail::ready_awaiter waiting) {
    const rt::result<void> ready = co_await std::move(waiting);
    co_return ready ? 0 : ready.error().code();
}

rt::task<bool> waits_fail_with_ebadf(rt::tcp_stream* none) {
    rt::deadline limit;
    limit.set(rt::clock::now() + 1h);
    const int codes[] = {
        co_await code_of(none->readable()),
        co_await code_of(none->writable()),
        co_await code_of(none->readable(limit)),
        co_await code_of(none->writable(limit)),
    };
    co_return std::count(std::begin(codes), std::end(codes), EBADF) == 4;
}

rt::task<bool> wait_on_what_is_not_open() {
    rt::tcp_stream none;
    const bool default_made = co_await waits_fail_with_ebadf(&none);
    connection both = co_await make_connection();
    const rt::tcp_stream elsewhere = std::move(both.ours);
    const bool moved_from = co_await waits_fail_with_ebadf(&both.ours);
    connection another = co_await make_connection();
    another.ours.close();
    const bool closed = co_await waits_fail_with_ebadf(&another.ours);
    co_return default_made&& moved_from&& closed;
}

// ---- adopting ----

bool is_open(int fd) {
    return ::fcntl(fd, F_GETFD) != -1;
}

int blocking_listener() {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert(::listen(fd, 5) == 0); // at any port of any address
    return fd;
}

template<typename Adopter>
void expect_refusal(int fd, int code) {
    const auto made = Adopter::adopt(fd);
    cr_assert(!made);
    cr_assert_eq(made.error().code(), code, "%s", made.error().message().c_str());
    cr_assert_not(is_open(fd));
}

template<typename Adopter>
void refuse_what_is_no_stream_socket() {
    expect_refusal<Adopter>(-1, EBADF);
    expect_refusal<Adopter>(9999, EBADF);
    expect_refusal<Adopter>(::open("/dev/null", O_RDONLY | O_CLOEXEC), ENOTSOCK);
    expect_refusal<Adopter>(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), EINVAL);
}

rt::task<bool> gives_up_in_time(rt::tcp_listener* listener) {
    const rt::result<rt::tcp_stream> none = co_await rt::timeout(5ms, listener->accept());
    co_return !none && none.error().is_timed_out();
}

rt::task<bool> accepts(rt::tcp_listener* listener) {
    const unique_fd theirs =
        connect_raw(rt::socket_address::loopback_v4(address_of(*listener).port()));
    const rt::result<rt::tcp_stream> ours = co_await rt::timeout(patience, listener->accept());
    co_return theirs&& ours.has_value();
}

} // namespace

Test(tcp_misuse, adopt_refuses_and_closes_what_is_not_of_its_kind) {
    refuse_what_is_no_stream_socket<rt::tcp_stream>();
    refuse_what_is_no_stream_socket<rt::tcp_listener>();
    expect_refusal<rt::tcp_stream>(blocking_listener(), EINVAL);
    expect_refusal<rt::tcp_listener>(
        ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), EINVAL
    );
}

// One that blocks would block its worker in accept.
Test(tcp_misuse, adopt_makes_a_blocking_socket_non_blocking) {
    on_every_runtime([](const rt::config& config) {
        rt::tcp_listener listener = rt::or_throw(rt::tcp_listener::adopt(blocking_listener()));
        cr_assert((::fcntl(listener.fd(), F_GETFL) & O_NONBLOCK) != 0);
        cr_assert(rt::block_on(config, gives_up_in_time(&listener)));
        cr_assert(rt::block_on(config, accepts(&listener)));
    });
    int ends[2];
    cr_assert(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    const unique_fd theirs(ends[1]);
    const rt::tcp_stream ours = rt::or_throw(rt::tcp_stream::adopt(ends[0]));
    cr_assert((::fcntl(ours.fd(), F_GETFL) & O_NONBLOCK) != 0);
    cr_assert((::fcntl(theirs.get(), F_GETFL) & O_NONBLOCK) == 0);
}

Test(tcp_misuse, waits_for_a_stream_that_is_not_open_fail_with_ebadf) {
    on_every_runtime([](const rt::config& config) {
        cr_assert(rt::block_on(config, wait_on_what_is_not_open()));
    });
}

Test(tcp_misuse, a_second_waiter_in_one_direction_aborts_with_advice) {
    for (const auto body : {two_tasks_read, two_parts_read, two_tasks_accept}) {
        on_every_runtime([body](const rt::config& config) {
            const captured seen = capture([&] {
                ::alarm(20);
                rt::block_on(config, body());
            });
            cr_assert(seen.was_aborted());
            cr_assert(seen.says("the same descriptor"), "%s", seen.text.c_str());
        });
    }
}

Test(tcp_misuse, a_reader_that_has_lost_a_select_is_no_second_one) {
    on_every_runtime([](const rt::config& config) {
        cr_assert(rt::block_on(config, one_part_reads_in_each_round()));
    });
}

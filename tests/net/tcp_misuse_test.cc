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

namespace {

using namespace std::chrono_literals;
using namespace rt::test;

// ---- two wait where one can ----

rt::task<void> read_one(rt::tcp_stream* peer) {
    rt::buffer buffer(1);
    static_cast<void>(co_await peer->read(buffer));
}

rt::task<void> accept_one(rt::tcp_listener* listener) {
    static_cast<void>(co_await rt::timeout(100ms, listener->accept()));
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

} // namespace

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
            cr_assert(seen.says("the same socket"), "%s", seen.text.c_str());
        });
    }
}

Test(tcp_misuse, a_reader_that_has_lost_a_select_is_no_second_one) {
    on_every_runtime([](const rt::config& config) {
        cr_assert(rt::block_on(config, one_part_reads_in_each_round()));
    });
}

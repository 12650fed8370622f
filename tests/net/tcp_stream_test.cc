// SPDX-License-Identifier: MIT
//
// What reads and writes do, connection by connection, on both drivers and both flavours.
//
// Coroutines return what they saw and the test's own thread asserts it. A lost edge shows as a
// time-out of `patience`. See connections.h for the other end.
#include "net/connections.h"
#include "support/runtimes.h"
#include "support/test.h"

#include <rt/buffer.h>
#include <rt/net/tcp.h>
#include <rt/runtime.h>
#include <rt/spawn.h>
#include <rt/time.h>
#include <rt/yield.h>

#include <cerrno>
#include <chrono>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <sys/socket.h>

namespace {

using namespace std::chrono_literals;
using namespace rt::test;

struct seen_at_end {
    std::size_t first = 99;
    std::size_t second = 99;
    std::size_t third = 99;
};

rt::task<seen_at_end> read_to_end_and_again() {
    connection both = co_await make_connection();
    rt::buffer buffer(100);
    if (::send(both.theirs.get(), "last words", 10, 0) != 10) {
        co_return seen_at_end{};
    }
    both.theirs.reset();
    seen_at_end seen;
    seen.first = rt::or_throw(co_await rt::timeout(patience, both.ours.read(buffer)));
    seen.second = rt::or_throw(co_await rt::timeout(patience, both.ours.read(buffer)));
    seen.third = rt::or_throw(co_await rt::timeout(patience, both.ours.read(buffer)));
    co_return seen;
}

// Reads time out while there is nothing; what comes later is read whole.
rt::task<std::string> read_after_timeouts() {
    connection both = co_await make_connection();
    rt::buffer buffer(100);
    for (int i = 0; i < 3; ++i) {
        const rt::result<std::size_t> none = co_await rt::timeout(1ms, both.ours.read(buffer));
        if (none || !none.error().is_timed_out()) {
            co_return "not timed out";
        }
    }
    if (::send(both.theirs.get(), "abc", 3, 0) != 3) {
        co_return "not sent";
    }
    const rt::result<std::size_t> got = co_await rt::timeout(patience, both.ours.read(buffer));
    co_return got ? std::string(rt::as_text(buffer.first(*got))) : got.error().message();
}

rt::task<rt::result<std::size_t>> read_some(rt::tcp_stream* peer, rt::buffer* buffer) {
    co_return co_await peer->read(*buffer);
}

// A task that waits in read is aborted; another reads from the same stream afterwards.
rt::task<std::string> read_after_abort() {
    connection both = co_await make_connection();
    rt::buffer buffer(100);
    rt::join_handle<rt::result<std::size_t>> victim = rt::spawn(read_some, &both.ours, &buffer);
    co_await rt::sleep(2ms); // it most likely waits; if it does not, the abort comes even earlier
    victim.abort();
    bool cancelled = false;
    try {
        static_cast<void>(co_await std::move(victim));
    } catch (const rt::join_error&) {
        cancelled = true;
    }
    if (!cancelled || ::send(both.theirs.get(), "abc", 3, 0) != 3) {
        co_return "not cancelled";
    }
    const rt::result<std::size_t> got = co_await rt::timeout(patience, both.ours.read(buffer));
    co_return got ? std::string(rt::as_text(buffer.first(*got))) : got.error().message();
}

rt::task<rt::result<void>> write_for_ever(rt::tcp_stream* peer) {
    const std::vector<std::byte> bulk(1 << 20);
    for (;;) {
        const rt::result<void> sent = co_await peer->write_all(bulk);
        if (!sent) {
            co_return sent;
        }
    }
}

// The peer has sent and shut down, and does not read. A write that fills the socket must not make
// the reader forget that the end was announced.
rt::task<std::string> read_end_after_full_write() {
    connection both = co_await make_connection();
    if (::send(both.theirs.get(), "abc", 3, 0) != 3 ||
        ::shutdown(both.theirs.get(), SHUT_WR) != 0) {
        co_return "not sent";
    }
    // The wait makes the driver watch the socket and ends with its one edge.
    rt::or_throw(co_await both.ours.readable());
    const rt::result<void> filled = co_await rt::timeout(20ms, write_for_ever(&both.ours));
    if (filled || !filled.error().is_timed_out()) {
        co_return "not filled";
    }
    rt::buffer buffer(100);
    const rt::result<std::size_t> got = co_await rt::timeout(patience, both.ours.read(buffer));
    if (!got || *got != 3) {
        co_return "not read";
    }
    const rt::result<std::size_t> end = co_await rt::timeout(5s, both.ours.read(buffer));
    co_return end ? (*end == 0 ? "end" : "more") : end.error().message();
}

rt::task<rt::error> read_from_reset() {
    connection both = co_await make_connection();
    const linger at_once{1, 0};
    ::setsockopt(both.theirs.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    both.theirs.reset();
    rt::buffer buffer(100);
    const rt::result<std::size_t> got = co_await rt::timeout(patience, both.ours.read(buffer));
    co_return got ? rt::error(1, "read succeeded") : got.error();
}

rt::task<rt::error> write_to_reset() {
    connection both = co_await make_connection();
    const linger at_once{1, 0};
    ::setsockopt(both.theirs.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    both.theirs.reset();
    for (;;) {
        const rt::result<void> sent = co_await both.ours.write_all(rt::as_bytes("abc"));
        if (!sent && sent.error().is(EPIPE)) {
            co_return sent.error();
        }
        if (!sent && !sent.error().is(ECONNRESET)) {
            co_return sent.error();
        }
        co_await rt::yield();
    }
}

rt::task<bool> read_and_write_nothing() {
    connection both = co_await make_connection();
    const rt::result<std::size_t> read = co_await both.ours.read({});
    const rt::result<std::size_t> written = co_await both.ours.write({});
    const rt::result<void> all = co_await both.ours.write_all({});
    const rt::result<std::size_t> tried = both.ours.try_read({});
    co_return read&&* read == 0 && written&&* written == 0 && all&& tried&&* tried == 0;
}

} // namespace

namespace {

rt::task<connection> connection_that_has_waited() {
    connection both = co_await make_connection();
    rt::buffer buffer(100);
    const rt::result<std::size_t> none = co_await rt::timeout(1ms, both.ours.read(buffer));
    if (none || !none.error().is_timed_out()) {
        co_return connection{};
    }
    co_return both;
}

rt::task<std::string> answer_one(connection* both) {
    rt::buffer buffer(100);
    const std::size_t got = rt::or_throw(co_await rt::timeout(patience, both->ours.read(buffer)));
    rt::or_throw(co_await both->ours.write_all(std::as_bytes(std::span("answer", 6))));
    char answer[6] = {};
    const bool has_come = ::recv(both->theirs.get(), answer, 6, MSG_WAITALL) == 6;
    co_return std::to_string(got) + (has_come ? std::string(answer, 6) : "");
}

} // namespace

// A socket belongs to no runtime: what a driver knew of it goes with the driver.
Test(tcp_stream, b225_a_stream_of_a_runtime_that_has_ended_goes_on_in_the_next) {
    on_every_runtime([](const rt::config& config) {
        connection both = rt::block_on(config, connection_that_has_waited());
        cr_assert_eq(::send(both.theirs.get(), "ask", 3, 0), 3);
        cr_assert(rt::block_on(config, answer_one(&both)) == "3answer");
    });
}

Test(tcp_stream, read_gives_data_then_the_end_again_and_again) {
    on_every_runtime([](const rt::config& config) {
        const seen_at_end seen = rt::block_on(config, read_to_end_and_again());
        cr_assert_eq(seen.first, 10);
        cr_assert_eq(seen.second, 0);
        cr_assert_eq(seen.third, 0);
    });
}

Test(tcp_stream, timeout_around_read_loses_nothing) {
    on_every_runtime([](const rt::config& config) {
        cr_assert(rt::block_on(config, read_after_timeouts()) == "abc");
    });
}

Test(tcp_stream, abort_of_a_reader_leaves_the_stream_usable) {
    on_every_runtime([](const rt::config& config) {
        cr_assert(rt::block_on(config, read_after_abort()) == "abc");
    });
}

Test(tcp_stream, end_of_stream_survives_a_full_write) {
    on_every_runtime([](const rt::config& config) {
        cr_assert(rt::block_on(config, read_end_after_full_write()) == "end");
    });
}

Test(tcp_stream, read_from_a_reset_connection_names_operation_and_errno) {
    on_every_runtime([](const rt::config& config) {
        const std::string text = rt::block_on(config, read_from_reset()).message();
        cr_assert(text == "tcp read: connection reset by peer (ECONNRESET)");
    });
}

Test(tcp_stream, write_to_a_closed_connection_is_an_error_and_not_a_signal) {
    const std::string text = run(write_to_reset()).message();
    cr_assert(text == "tcp write: broken pipe (EPIPE)");
}

Test(tcp_stream, empty_spans_do_nothing) {
    cr_assert(run(read_and_write_nothing()));
}

// ---- trying ----

namespace {

rt::task<std::string> try_until_there() {
    connection both = co_await make_connection();
    rt::buffer buffer(100);
    const rt::result<std::size_t> none = both.ours.try_read(buffer);
    if (none || !none.error().is(EAGAIN)) {
        co_return "not EAGAIN";
    }
    if (::send(both.theirs.get(), "abc", 3, 0) != 3) {
        co_return "not sent";
    }
    for (;;) {
        const rt::result<void> ready = co_await both.ours.readable();
        if (!ready) {
            co_return ready.error().message();
        }
        const rt::result<std::size_t> got = both.ours.try_read(buffer);
        if (got) {
            co_return std::string(rt::as_text(buffer.first(*got)));
        }
        if (!got.error().is(EAGAIN)) {
            co_return got.error().message();
        }
    }
}

// The first thing that is done to a connection is to wait until it can be read.
rt::task<std::string> wait_before_any_try() {
    connection both = co_await make_connection();
    for (int i = 0; i < 3; ++i) {
        if (co_await rt::timeout(2ms, both.ours.readable())) {
            co_return "readable before anything was sent";
        }
    }
    if (!co_await rt::timeout(patience, both.ours.writable())) {
        co_return "not writable";
    }
    if (::send(both.theirs.get(), "abc", 3, 0) != 3) {
        co_return "not sent";
    }
    for (int i = 0; i < 2; ++i) {
        if (!co_await rt::timeout(patience, both.ours.readable())) {
            co_return "not readable";
        }
    }
    rt::buffer one(1);
    std::string text;
    for (int i = 0; i < 3; ++i) {
        const rt::result<std::size_t> got = both.ours.try_read(one);
        text += got ? std::string(rt::as_text(one.first(*got))) : got.error().message();
    }
    co_return text;
}

// What was sent before the first wait is found, though part of it has been read.
rt::task<std::string> wait_after_a_full_try() {
    connection both = co_await make_connection();
    if (::send(both.theirs.get(), "ab", 2, 0) != 2) {
        co_return "not sent";
    }
    rt::buffer one(1);
    if (!both.ours.try_read(one)) {
        co_return "not read";
    }
    if (!co_await rt::timeout(patience, both.ours.readable())) {
        co_return "not readable";
    }
    const rt::result<std::size_t> got = both.ours.try_read(one);
    co_return got ? std::string(rt::as_text(one.first(*got))) : got.error().message();
}

// Fills the socket with tries, drains it from the other side, waits until it can be written again.
rt::task<bool> try_write_until_full_and_on() {
    connection both = co_await make_connection();
    const std::vector<std::byte> bulk(1 << 16);
    std::size_t written = 0;
    for (int stalls = 0; stalls < 2;) {
        const rt::result<std::size_t> sent = both.ours.try_write(bulk);
        if (sent) {
            written += *sent;
            continue;
        }
        if (!sent.error().is(EAGAIN)) {
            co_return false;
        }
        // EAGAIN also means that the turn is used up: only when a yield does not help is it full.
        co_await rt::yield();
        const rt::result<std::size_t> again = both.ours.try_write(bulk);
        written += again ? *again : 0;
        stalls += again ? 0 : 1;
        if (!again && stalls == 1) {
            std::vector<std::byte> sink(written);
            std::size_t left = written;
            while (left != 0) {
                const ssize_t got = ::recv(both.theirs.get(), sink.data(), left, 0);
                if (got <= 0) {
                    co_return false;
                }
                left -= static_cast<std::size_t>(got);
            }
            const rt::result<void> ready = co_await both.ours.writable();
            if (!ready) {
                co_return false;
            }
        }
    }
    co_return true;
}

rt::task<void> set(bool* flag) {
    *flag = true;
    co_return;
}

// One worker; everything that is read is there already. Returns how many reads came before the
// other task had its turn.
rt::task<int> reads_before_others_run(bool trying) {
    connection both = co_await make_connection();
    const std::string bulk(2000, 'x');
    if (::send(both.theirs.get(), bulk.data(), bulk.size(), 0) != 2000) {
        co_return -1;
    }
    bool has_run = false;
    rt::join_handle<void> other = rt::spawn(set, &has_run);
    rt::buffer one(1);
    int reads = 0;
    while (!has_run && reads < 2000) {
        if (trying) {
            const rt::result<std::size_t> got = both.ours.try_read(one);
            if (got) {
                ++reads;
                continue;
            }
            static_cast<void>(co_await both.ours.readable());
        } else {
            const rt::result<std::size_t> got = co_await both.ours.read(one);
            reads += got ? 1 : 5000;
        }
    }
    co_await std::move(other);
    co_return reads;
}

} // namespace

Test(tcp_stream, readable_says_nothing_that_nobody_has_seen) {
    on_every_runtime([](const rt::config& config) {
        const std::string seen = rt::block_on(config, wait_before_any_try());
        cr_assert(seen == "abc", "%s", seen.c_str());
    });
}

Test(tcp_stream, readable_finds_what_came_before_it) {
    on_every_runtime([](const rt::config& config) {
        const std::string seen = rt::block_on(config, wait_after_a_full_try());
        cr_assert(seen == "b", "%s", seen.c_str());
    });
}

Test(tcp_stream, try_read_says_eagain_until_data_comes) {
    on_every_runtime([](const rt::config& config) {
        cr_assert(rt::block_on(config, try_until_there()) == "abc");
    });
}

Test(tcp_stream, try_write_fills_the_socket_and_goes_on_when_it_drains) {
    on_every_runtime([](const rt::config& config) {
        cr_assert(rt::block_on(config, try_write_until_full_and_on()));
    });
}

Test(tcp_stream, a_busy_connection_gives_others_their_turn) {
    for (const bool trying : {false, true}) {
        const int reads = rt::block_on(rt::test::single(), reads_before_others_run(trying));
        cr_assert(reads > 0 && reads <= 128, "%d reads (trying: %d)", reads, trying ? 1 : 0);
    }
}

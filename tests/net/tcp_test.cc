// SPDX-License-Identifier: MIT
//
// Listening, connecting and whole conversations on loopback, on both drivers and both flavours.
//
// Coroutines return what they saw and the test's own thread asserts it. Where one end must be in a
// certain state, it is a plain blocking socket of the test (see connections.h), so that the state
// does not depend on the code under test.
#include "net/connections.h"
#include "support/runtimes.h"
#include "support/test.h"

#include <rt/buffer.h>
#include <rt/net/tcp.h>
#include <rt/runtime.h>
#include <rt/spawn.h>
#include <rt/sync/mpsc.h>
#include <rt/time.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

namespace {

using namespace std::chrono_literals;
using namespace rt::test;
using rt::base::unique_fd;

std::byte pattern(std::size_t position) {
    return static_cast<std::byte>(position * 31 + (position >> 8U));
}

rt::task<void> echo_until_closed(rt::tcp_stream peer) {
    rt::buffer buffer(4096);
    for (;;) {
        const rt::result<std::size_t> got = co_await peer.read(buffer);
        if (!got || *got == 0) {
            co_return;
        }
        const rt::result<void> sent = co_await peer.write_all(buffer.first(*got));
        if (!sent) {
            co_return;
        }
    }
}

rt::task<void> serve_echo(rt::tcp_listener* listener, int connections) {
    for (int i = 0; i < connections; ++i) {
        rt::result<rt::tcp_stream> peer = co_await listener->accept();
        if (!peer) {
            co_return;
        }
        rt::spawn(echo_until_closed, std::move(*peer)).detach();
    }
}

// Sends `rounds` numbered messages and returns how many came back as they went.
rt::task<int> talk(rt::socket_address at, int rounds) {
    rt::tcp_stream peer = rt::or_throw(co_await rt::tcp_stream::connect(at));
    int good = 0;
    for (int i = 0; i < rounds; ++i) {
        const std::string text = "message " + std::to_string(i);
        rt::or_throw(co_await peer.write_all(rt::as_bytes(text)));
        std::string back(text.size(), '\0');
        std::size_t have = 0;
        while (have < back.size()) {
            const rt::result<std::size_t> got = co_await peer.read(
                std::as_writable_bytes(std::span(back.data() + have, back.size() - have))
            );
            if (!got || *got == 0) {
                co_return good;
            }
            have += *got;
        }
        good += back == text ? 1 : 0;
    }
    co_return good;
}

rt::task<int> echo_among_many(int connections, int rounds) {
    rt::tcp_listener listener = listen_anywhere();
    const rt::socket_address at = address_of(listener);
    rt::join_handle<void> server = rt::spawn(serve_echo, &listener, connections);
    std::vector<rt::join_handle<int>> clients;
    for (int i = 0; i < connections; ++i) {
        clients.push_back(rt::spawn(talk, at, rounds));
    }
    int good = 0;
    for (rt::join_handle<int>& client : clients) {
        good += co_await std::move(client);
    }
    co_await std::move(server);
    co_return good;
}

// ---- bulk ----

rt::task<rt::result<void>> send_pattern(rt::tcp_stream* peer, std::size_t size) {
    std::vector<std::byte> bytes(size);
    for (std::size_t i = 0; i < size; ++i) {
        bytes[i] = pattern(i);
    }
    co_return co_await peer->write_all(bytes);
}

// Reads to the end with an awkward buffer size. The length, or -1 when a byte is wrong.
rt::task<std::int64_t> check_pattern(rt::tcp_stream* peer) {
    rt::buffer buffer(10'007);
    std::size_t position = 0;
    for (;;) {
        const rt::result<std::size_t> got = co_await peer->read(buffer);
        if (!got) {
            co_return -2;
        }
        if (*got == 0) {
            co_return static_cast<std::int64_t>(position);
        }
        for (const std::byte one : buffer.first(*got)) {
            if (one != pattern(position++)) {
                co_return -1;
            }
        }
    }
}

rt::task<std::int64_t> send_then_shut(rt::tcp_stream* peer, std::size_t size) {
    const rt::result<void> sent = co_await send_pattern(peer, size);
    co_return sent && peer->shutdown_write() ? static_cast<std::int64_t>(size) : -3;
}

// Both ends send and receive `size` bytes at the same time, each direction in a task of its own.
rt::task<bool> exchange_both_ways(std::size_t size) {
    rt::tcp_listener listener = listen_anywhere();
    rt::join_handle<rt::result<rt::tcp_stream>> connecting =
        rt::spawn(rt::tcp_stream::connect(address_of(listener)));
    rt::tcp_stream a = rt::or_throw(co_await listener.accept());
    rt::tcp_stream b = rt::or_throw(co_await std::move(connecting));
    std::vector<rt::join_handle<std::int64_t>> children;
    children.push_back(rt::spawn(send_then_shut, &a, size));
    children.push_back(rt::spawn(send_then_shut, &b, size));
    children.push_back(rt::spawn(check_pattern, &a));
    children.push_back(rt::spawn(check_pattern, &b));
    bool good = true;
    for (rt::join_handle<std::int64_t>& child : children) {
        const std::int64_t length = co_await std::move(child);
        good = good && length == static_cast<std::int64_t>(size);
    }
    co_return good;
}

} // namespace

Test(tcp, echoes_among_many_connections) {
    constexpr int connections = 60;
    constexpr int rounds = 30;
    on_every_runtime([](const rt::config& config) {
        cr_assert_eq(
            rt::block_on(config, echo_among_many(connections, rounds)), connections * rounds
        );
    });
}

Test(tcp, moves_megabytes_both_ways_at_once) {
    on_every_runtime([](const rt::config& config) {
        cr_assert(rt::block_on(config, exchange_both_ways(6'000'000)));
    });
}

// ---- the end of a runtime ----

namespace {

using teller = rt::mpsc::unbounded_sender<int>;

rt::task<void> greet_all(rt::tcp_listener listener, teller /*held*/) {
    for (;;) {
        rt::tcp_stream peer = rt::or_throw(co_await listener.accept());
        rt::or_throw(co_await peer.write_all(rt::as_bytes("hello")));
    }
}

// Tells how much it got from a server of its own, which goes on and waits for the next client.
rt::task<void> serve_and_connect(teller to) {
    rt::tcp_listener listener = listen_anywhere();
    const rt::socket_address at = address_of(listener);
    rt::spawn(greet_all, std::move(listener), to).detach();
    rt::tcp_stream peer = rt::or_throw(co_await rt::tcp_stream::connect(at));
    rt::buffer buffer(100);
    int size = 0;
    while (const std::size_t got = rt::or_throw(co_await peer.read(buffer))) {
        size += static_cast<int>(got);
    }
    cr_assert(to.send(size).has_value());
}

} // namespace

Test(tcp, b086_servers_end_with_their_runtime_and_their_channel_closes) {
    on_every_runtime([](const rt::config& config) {
        auto [to, from] = rt::mpsc::unbounded_channel<int>();
        {
            rt::runtime runtime(config);
            runtime.get_handle().spawn(serve_and_connect(to)).detach();
            runtime.block_on(serve_and_connect(std::move(to)));
            runtime.block_on([](rt::mpsc::receiver<int>* of) -> rt::task<void> {
                cr_assert(co_await of->recv() == 5);
                cr_assert(co_await of->recv() == 5);
            }(&from));
            cr_assert(from.try_recv().error().is(EAGAIN), "two servers hold it");
        }
        cr_assert(from.try_recv().error() == rt::errc::closed);
    });
}

// ---- connecting and listening ----

namespace {

rt::task<rt::error> connect_error(rt::socket_address at) {
    const rt::result<rt::tcp_stream> peer = co_await rt::tcp_stream::connect(at);
    co_return peer ? rt::error(1, "connected") : peer.error();
}

rt::task<rt::error> connect_to_text(std::string_view at) {
    const rt::result<rt::tcp_stream> peer = co_await rt::tcp_stream::connect(at);
    co_return peer ? rt::error(1, "connected") : peer.error();
}

// The text that a lazy task was made from is gone when it runs.
rt::task<bool> connect_to_temporary_text() {
    rt::tcp_listener listener = listen_anywhere();
    std::string text = address_of(listener).to_string();
    rt::task<rt::result<rt::tcp_stream>> lazy = rt::tcp_stream::connect(text);
    std::fill(text.begin(), text.end(), '?');
    const rt::result<rt::tcp_stream> peer = co_await std::move(lazy);
    co_return peer.has_value();
}

rt::task<bool> addresses_agree(rt::tcp_listener listener) {
    const rt::socket_address at = address_of(listener);
    rt::tcp_stream client = rt::or_throw(co_await rt::tcp_stream::connect(at));
    rt::tcp_stream server = rt::or_throw(co_await listener.accept());
    co_return rt::or_throw(client.peer_address()) == at&& rt::or_throw(server.local_address()) ==
        at&& rt::or_throw(client.local_address()) == rt::or_throw(server.peer_address());
}

// Connections to a listener whose queue is full hang in SYN_SENT; the attempt is given up, and its
// descriptor with it.
rt::task<bool> connect_times_out() {
    rt::tcp_listen_options options;
    options.backlog = 0;
    rt::tcp_listener listener = listen_anywhere(options);
    std::vector<rt::tcp_stream> queued;
    for (int i = 0; i < 20; ++i) {
        rt::result<rt::tcp_stream> peer =
            co_await rt::timeout(100ms, rt::tcp_stream::connect(address_of(listener)));
        if (!peer) {
            const unique_fd probe(::dup(0));
            co_return peer.error() == rt::errc::timed_out&& probe.get() <= queued.back().fd() + 2;
        }
        queued.push_back(std::move(*peer));
    }
    co_return false;
}

rt::task<void> accept_for_ever(rt::tcp_listener* listener) {
    for (;;) {
        static_cast<void>(co_await listener->accept());
    }
}

rt::task<bool> accept_after_abort() {
    rt::tcp_listener listener = listen_anywhere();
    rt::join_handle<void> victim = rt::spawn(accept_for_ever, &listener);
    co_await rt::sleep(2ms);
    victim.abort();
    try {
        co_await std::move(victim);
    } catch (const rt::join_error&) {
    }
    const unique_fd theirs = connect_raw(address_of(listener));
    const rt::result<rt::tcp_stream> peer = co_await rt::timeout(patience, listener.accept());
    co_return peer.has_value();
}

struct starvation {
    int errors = 0;
    std::chrono::nanoseconds waited{};
    bool has_recovered = false;
};

// The process has no descriptor left while a connection is queued.
rt::task<starvation> accept_without_descriptors() {
    rt::tcp_listener listener = listen_anywhere();
    const unique_fd theirs = connect_raw(address_of(listener));
    rlimit before{};
    getrlimit(RLIMIT_NOFILE, &before);
    rlimit none = before;
    none.rlim_cur = 0;
    setrlimit(RLIMIT_NOFILE, &none);
    starvation seen;
    const auto start = rt::clock::now();
    for (int i = 0; i < 4; ++i) {
        const rt::result<rt::tcp_stream> peer = co_await listener.accept();
        seen.errors += !peer && peer.error().is(EMFILE) ? 1 : 0;
    }
    seen.waited = rt::clock::now() - start;
    setrlimit(RLIMIT_NOFILE, &before);
    const rt::result<rt::tcp_stream> peer = co_await rt::timeout(patience, listener.accept());
    seen.has_recovered = peer.has_value();
    co_return seen;
}

rt::task<bool> half_close() {
    connection both = co_await make_connection();
    if (!both.ours.shutdown_write()) {
        co_return false;
    }
    char byte = 0;
    const bool end_seen = ::recv(both.theirs.get(), &byte, 1, 0) == 0;
    if (!end_seen || ::send(both.theirs.get(), "still here", 10, 0) != 10) {
        co_return false;
    }
    rt::buffer buffer(100);
    const rt::result<std::size_t> got = co_await rt::timeout(patience, both.ours.read(buffer));
    const rt::result<void> sent = co_await both.ours.write_all(rt::as_bytes("x"));
    co_return got&&* got == 10 && !sent && sent.error().is(EPIPE);
}

rt::task<bool> nodelay_of_accepted(bool wanted) {
    rt::tcp_listen_options options;
    options.nodelay = wanted;
    rt::tcp_listener listener = listen_anywhere(options);
    const unique_fd theirs = connect_raw(address_of(listener));
    rt::tcp_stream ours = rt::or_throw(co_await listener.accept());
    int value = -1;
    socklen_t size = sizeof(value);
    ::getsockopt(ours.fd(), IPPROTO_TCP, TCP_NODELAY, &value, &size);
    const bool as_wanted = (value != 0) == wanted;
    const bool changed = ours.set_nodelay(!wanted).has_value();
    ::getsockopt(ours.fd(), IPPROTO_TCP, TCP_NODELAY, &value, &size);
    co_return as_wanted&& changed && (value != 0) == !wanted;
}

rt::task<bool> closed_ones_fail() {
    rt::tcp_stream stream;
    rt::tcp_listener listener;
    rt::buffer buffer(10);
    const rt::result<std::size_t> read = co_await stream.read(buffer);
    const rt::result<std::size_t> written = co_await stream.write(buffer);
    const rt::result<void> all = co_await stream.write_all(buffer);
    const rt::result<rt::tcp_stream> peer = co_await listener.accept();
    const bool good = read.error().is(EBADF) && written.error().is(EBADF) &&
        all.error().is(EBADF) && peer.error().is(EBADF) &&
        stream.try_read(buffer).error().is(EBADF) && stream.try_write(buffer).error().is(EBADF) &&
        stream.shutdown_write().error().is(EBADF) && stream.set_nodelay(true).error().is(EBADF) &&
        stream.peer_address().error().is(EBADF) && listener.local_address().error().is(EBADF);
    stream.close();
    listener.close();
    co_return good&& stream.fd() == -1 && !stream && !listener;
}

} // namespace

Test(tcp, refused_connection_names_operation_and_errno) {
    rt::tcp_listener listener = listen_anywhere();
    const rt::socket_address at = address_of(listener);
    listener.close();
    on_every_runtime([&](const rt::config& config) {
        const std::string text = rt::block_on(config, connect_error(at)).message();
        cr_assert(text == "tcp connect: connection refused (ECONNREFUSED)");
    });
}

Test(tcp, connect_to_no_address_is_an_error) {
    cr_assert(run(connect_error(rt::socket_address())).is(EAFNOSUPPORT));
    const std::string text = run(connect_to_text("127.0.0.1:http")).message();
    cr_assert(text.find("port is not a number") != std::string::npos, "%s", text.c_str());
}

Test(tcp, connect_does_not_keep_the_text) {
    cr_assert(run(connect_to_temporary_text()));
}

Test(tcp, addresses_of_both_ends_agree) {
    cr_assert(run(addresses_agree(listen_anywhere())));
    rt::result<rt::tcp_listener> v6 = rt::tcp_listener::bind("[::1]:0");
    if (v6) {
        cr_assert(run(addresses_agree(std::move(*v6))));
    } else {
        cr_assert(v6.error().is(EADDRNOTAVAIL) || v6.error().is(EAFNOSUPPORT));
    }
}

Test(tcp, timeout_around_connect_gives_the_attempt_up) {
    cr_assert(run(connect_times_out()));
}

Test(tcp, bind_reports_a_port_in_use) {
    rt::tcp_listener listener = listen_anywhere();
    const rt::result<rt::tcp_listener> again = rt::tcp_listener::bind(address_of(listener));
    cr_assert_not(again.has_value());
    const std::string text = again.error().message();
    cr_assert(text == "tcp bind: address already in use (EADDRINUSE)");
}

Test(tcp, reuse_port_lets_several_listen) {
    rt::tcp_listen_options options;
    options.reuse_port = true;
    rt::tcp_listener first = listen_anywhere(options);
    const rt::result<rt::tcp_listener> second = rt::tcp_listener::bind(address_of(first), options);
    cr_assert(second.has_value());
}

Test(tcp, abort_of_an_acceptor_leaves_the_listener_usable) {
    on_every_runtime([](const rt::config& config) {
        cr_assert(rt::block_on(config, accept_after_abort()));
    });
}

// Each error but the first comes after a pause, and sleeping is never early.
Test(tcp, accept_without_descriptors_does_not_spin) {
    const starvation seen = run(accept_without_descriptors());
    cr_assert_eq(seen.errors, 4);
    cr_assert(seen.waited >= 3 * std::chrono::milliseconds(rt::tcp_listener::accept_pause_ms));
    cr_assert(seen.has_recovered);
}

Test(tcp, half_closed_streams_still_read) {
    cr_assert(run(half_close()));
}

Test(tcp, accepted_streams_inherit_nodelay) {
    cr_assert(run(nodelay_of_accepted(true)));
    cr_assert(run(nodelay_of_accepted(false)));
}

Test(tcp, closed_objects_answer_ebadf) {
    cr_assert(run(closed_ones_fail()));
}

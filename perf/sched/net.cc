// SPDX-License-Identifier: MIT
//
// The row about one loopback TCP connection: the client in block_on, the server a spawned task,
// four bytes there and back a hundred times. One connection for the whole row, made before
// measuring. With more than one worker the two ends may share one or not: the runtime decides.
#include "sched/rows.h"

#include <array>
#include <cstddef>
#include <span>
#include <utility>

namespace sched {
namespace {

constexpr std::uint32_t round_trips = 100;
using message = std::array<std::byte, 4>;

// Reads until the message is whole. False: the peer is gone.
rt::task<bool> read_all(rt::tcp_stream& from, std::span<std::byte> into) {
    while (!into.empty()) {
        const rt::result<std::size_t> got = co_await from.read(into);
        if (!got || *got == 0) {
            co_return false;
        }
        into = into.subspan(*got);
    }
    co_return true;
}

rt::task<void> echo(rt::tcp_stream peer) {
    message buffer = {};
    while (co_await read_all(peer, buffer)) {
        if (!co_await peer.write_all(buffer)) {
            break;
        }
    }
}

// Connects, and starts the server on the other end.
rt::task<rt::tcp_stream> connect_to_echo() {
    auto listener = rt::or_throw(rt::tcp_listener::bind("127.0.0.1:0"));
    const rt::socket_address at = rt::or_throw(listener.local_address());
    rt::join_handle<rt::result<rt::tcp_stream>> client = rt::spawn(rt::tcp_stream::connect(at));
    auto server = rt::or_throw(co_await listener.accept());
    rt::spawn(echo(std::move(server))).detach();
    co_return rt::or_throw(co_await std::move(client));
}

rt::task<bool> call(rt::tcp_stream& server) {
    message buffer = {};
    for (std::uint32_t i = 0; i < round_trips; ++i) {
        const auto number = static_cast<std::byte>(i);
        buffer.fill(number);
        if (!co_await server.write_all(buffer) || !co_await read_all(server, buffer)) {
            co_return false;
        }
        if (buffer.back() != number) {
            co_return false;
        }
    }
    co_return true;
}

void tcp_pingpong(perf::bench& b) {
    rt::runtime runtime(config_for(b.workers()));
    rt::tcp_stream server = runtime.block_on(connect_to_echo());
    b.measure([&] {
        if (!runtime.block_on(call(server))) {
            b.fail("the connection broke, or the echo is wrong");
        }
    });
    // A stream is closed while its runtime lives.
    server.close();
}

constexpr perf::row rows[] = {
    {"tcp_pingpong_1conn_100rt", tcp_pingpong, perf::needs::any_runtime},
};
const perf::table table(rows);

} // namespace
} // namespace sched

// SPDX-License-Identifier: MIT
//
// A TCP server on the loopback interface that sends back what it gets.
#include "command_line.h"

#include <rt/rt.h>

#include <cstdio>

using namespace std::chrono_literals;

rt::task<void> session(rt::tcp_stream peer) {
    rt::buffer buffer(16 * 1024);
    while (auto got = co_await rt::timeout(30s, peer.read(buffer))) {
        if (*got == 0 || !co_await rt::timeout(30s, peer.write_all(buffer.first(*got)))) {
            co_return;
        }
    }
}

rt::task<void> accept_all(rt::tcp_listener listener) {
    for (;;) {
        if (auto peer = co_await listener.accept()) { // else: out of descriptors, for the moment
            rt::spawn(session, std::move(*peer)).detach();
        }
    }
}

rt::task<int> serve(std::string address) {
    auto stop = rt::signals({SIGINT, SIGTERM});
    auto listener = rt::tcp_listener::bind(address);
    if (!listener) {
        std::fprintf(stderr, "echo: %s: %s\n", address.c_str(), listener.error().message().c_str());
        co_return 1;
    }
    std::printf("listening on %s\n", listener->local_address()->to_string().c_str());
    std::printf("introspection socket %s\n", rt::introspection_path().c_str());
    std::fflush(stdout);
    rt::spawn(accept_all, std::move(*listener)).detach();
    co_await stop.recv();
    co_return 0; // the runtime ends the tasks that are left, each where it waits
}

int main(int argc, char** argv) {
    std::string port = "7000";
    rt::config config; // one worker per core, pinned; LIBRT_* variables may say otherwise
    read_flags(argc, argv, {{"port", &port}, {"workers", &config.workers}, {"cpus", &config.cpus}});
    return rt::block_on(config, serve("127.0.0.1:" + port));
}

// SPDX-License-Identifier: MIT
//
// httpd: a small, honest HTTP/1.1 server, and the program to read when writing one on librt.
//
//     main            options, limits, runtime
//     serve_all       listen, wait for a signal, end gracefully
//     accept_all      one task per connection (connection.h)
//
// The graceful end, in the order that loses nothing: stop accepting; take what the kernel had
// already accepted; let every connection close with its next answer; after drain_grace, end the
// input of those that are silent; wait for the last one, at most --drain-timeout. Exit status 0
// when all were finished, 1 when some had to be cut off, 2 for a command line or configuration at
// fault.

#include "connection.h"
#include "options.h"
#include "server.h"

#include <rt/net.h>
#include <rt/runtime.h>
#include <rt/signal.h>
#include <rt/spawn.h>
#include <rt/time.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <exception>
#include <stdexcept>
#include <string>
#include <utility>

#include <sys/resource.h>
#include <unistd.h>

namespace {

using namespace std::chrono_literals;

// A client in the middle of its conversation sends its next request within a round trip, and
// then learns from the answer that the connection ends. 200 ms is a round trip around the world.
constexpr auto drain_grace = 200ms;
constexpr auto drain_poll = 5ms;
constexpr unsigned backlog_max = 4096; // connections taken after the signal
constexpr auto shortage_report_interval = 10s;

bool is_shortage(const rt::error& why) {
    return why.is(EMFILE) || why.is(ENFILE) || why.is(ENOBUFS) || why.is(ENOMEM);
}

rt::task<void> accept_all(rt::tcp_listener* listener, httpd::server* shared) {
    rt::clock::time_point quiet_until{};
    for (;;) {
        rt::result<rt::tcp_stream> peer = co_await listener->accept();
        if (peer) {
            rt::spawn(httpd::serve, std::move(*peer), shared).detach();
            continue;
        }
        rt::clock::time_point now = rt::clock::now();
        bool is_passing = is_shortage(peer.error()); // accept waits it out by itself
        if (!is_passing || now >= quiet_until) {
            std::fprintf(stderr, "httpd: %s\n", peer.error().message().c_str());
            quiet_until = now + shortage_report_interval;
        }
        if (!is_passing) {
            std::raise(SIGTERM); // the listener is of no further use
            co_return;
        }
    }
}

/// Ends the accept loop, and serves what was queued in the kernel by then.
rt::task<void>
stop_accepting(rt::join_handle<void> acceptor, rt::tcp_listener* listener, httpd::server* shared) {
    acceptor.abort();
    try {
        co_await std::move(acceptor);
    } catch (const rt::join_error&) { // cancelled, as asked for
    }
    for (unsigned i = 0; i < backlog_max; ++i) {
        rt::result<rt::tcp_stream> peer = co_await rt::timeout(1ms, listener->accept());
        if (!peer) {
            break;
        }
        rt::spawn(httpd::serve, std::move(*peer), shared).detach();
    }
    listener->close();
}

/// Waits until all connections have ended. False: some have not within the time, or a second signal
/// said not to wait.
rt::task<bool> drain(httpd::server* shared, rt::signals* stop) {
    rt::clock::time_point begin = rt::clock::now();
    bool has_ended_input = false;
    while (shared->connections.size() != 0) {
        rt::clock::duration elapsed = rt::clock::now() - begin;
        if (elapsed > shared->settings.drain_timeout || stop->try_recv()) {
            co_return false;
        }
        if (!has_ended_input && elapsed > drain_grace) {
            shared->connections.end_input();
            has_ended_input = true;
        }
        co_await rt::sleep(drain_poll);
    }
    co_return true;
}

void announce(const rt::tcp_listener& listener, const httpd::options& settings) {
    rt::result<rt::socket_address> at = listener.local_address();
    std::string address = at ? at->to_string() : settings.address();
    std::string socket = rt::introspection_path();
    std::printf(
        "httpd: listening on http://%s/ (files: %s)\n", address.c_str(), settings.root.c_str()
    );
    std::printf("httpd: introspection socket %s\n", socket.empty() ? "is off" : socket.c_str());
    std::printf("httpd: try\n");
    std::printf("    curl -i http://%s/plaintext\n", address.c_str());
    std::printf("    build/bin/rtctl dump %ld\n", static_cast<long>(::getpid()));
    std::printf("    wrk -t1 -c64 -d10 http://%s/plaintext\n", address.c_str());
    std::fflush(stdout);
}

rt::task<int> serve_all(httpd::server* shared) {
    rt::result<rt::tcp_listener> listener = rt::tcp_listener::bind(shared->settings.address());
    if (!listener) {
        std::fprintf(
            stderr,
            "httpd: %s: %s\n",
            shared->settings.address().c_str(),
            listener.error().message().c_str()
        );
        co_return 1;
    }
    rt::signals stop({SIGINT, SIGTERM});
    rt::join_handle<void> acceptor = rt::spawn(accept_all, &*listener, shared);
    announce(*listener, shared->settings);
    int number = co_await stop.recv();
    std::printf(
        "httpd: %s, finishing %zu connections\n", strsignal(number), shared->connections.size()
    );
    std::fflush(stdout);
    shared->begin_drain();
    co_await stop_accepting(std::move(acceptor), &*listener, shared);
    bool is_drained = co_await drain(shared, &stop);
    if (!is_drained) {
        std::fprintf(stderr, "httpd: cut off %zu connections\n", shared->connections.size());
    }
    co_return is_drained ? 0 : 1;
}

/// As many descriptors as the administrator allows: one is a connection.
void raise_descriptor_limit() {
    rlimit limit{};
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

} // namespace

int main(int argc, char** argv) {
    auto settings = httpd::parse_options(argc, argv);
    if (!settings) {
        std::fprintf(stderr, "%s", settings.error().c_str());
        return 2;
    }
    if (settings->wants_help) {
        std::printf("%s", std::string(httpd::usage()).c_str());
        return 0;
    }
    auto root = httpd::static_root::open(settings->root);
    if (!root) {
        std::fprintf(
            stderr, "httpd: --root %s: %s\n", settings->root.c_str(), std::strerror(root.error())
        );
        return 1;
    }
    raise_descriptor_limit();
    httpd::server shared(*settings, std::move(*root));
    rt::config config;
    config.workers = settings->workers;
    config.cpus = settings->cpus;
    try {
        return rt::block_on(config, serve_all(&shared));
    } catch (const std::invalid_argument& fault) { // a field or LIBRT_* variable at fault
        std::fprintf(stderr, "httpd: %s\n", fault.what());
        return 2;
    } catch (const std::exception& failure) {
        std::fprintf(stderr, "httpd: %s\n", failure.what());
        return 1;
    }
}

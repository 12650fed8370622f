// SPDX-License-Identifier: MIT
//
// What all connections of one server share, and the set of connections that are open.
//
// The set serves the graceful end only. After SIGTERM a connection says `Connection: close` on its
// next answer and goes; one that is silent is told so by shutting down its receiving side, which
// wakes its read: what has arrived is still read and answered, then comes the end of file. So no
// request whose bytes are in is lost, and no read needs a second thing to wait for.
//
// Threads: every member may be used by all workers at once. A connection enters before its first
// read and leaves before its descriptor is closed, so that the set never touches a reused number.
#pragma once

#include "options.h"
#include "static_files.h"

#include <atomic>
#include <cstddef>
#include <mutex>
#include <vector>

namespace httpd {

class connection_set {
public:
    void enter(int fd);
    void leave(int fd);
    [[nodiscard]] std::size_t size() const;

    /// Shuts down the receiving side of every connection.
    void end_input();

private:
    mutable std::mutex mutex_;  // guards both; held for a few instructions or one shutdown(2) each
    std::vector<bool> is_open_; // by descriptor
    std::size_t count_ = 0;
};

struct server {
    server(const options& chosen, static_root files)
        : settings(chosen)
        , root(std::move(files)) {}

    const options settings;
    const static_root root;
    connection_set connections;

    void begin_drain() { draining_.store(true, std::memory_order_relaxed); }
    // Relaxed: no data hangs on it, and a connection that sees it late is woken by end_input().
    [[nodiscard]] bool is_draining() const { return draining_.load(std::memory_order_relaxed); }

private:
    std::atomic<bool> draining_ = false;
};

} // namespace httpd

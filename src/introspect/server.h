// SPDX-License-Identifier: MIT
//
// The sentinel's loop: accepts clients and serves them, on one epoll of its own.
//
// It waits without a timeout while there are no clients, so that an idle process stays idle. At
// most clients_max are served at a time; a few more are let in only to be told so, and further
// ones wait in the backlog. When the process is out of descriptors, one kept in reserve lets a
// client in all the same: that is when a look inside is needed most.
//
// Threads: run() on the sentinel; stop() from any. fork() may come at any moment from any thread:
// every descriptor is in a table of its own, changed under fork_lock_, which the fork handlers of
// observer.cc hold across the fork; the child closes what the table says and touches nothing else.
#pragma once

#include "base/unique_fd.h"
#include "introspect/connection.h"

#include <rt/detail/atomic.h>
#include <rt/result.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

namespace rt::introspect {

inline constexpr std::size_t clients_max = 16;
inline constexpr std::size_t connections_max = clients_max + 8; // with those that are refused

class server {
public:
    // Takes a listening socket. Errors: epoll or eventfd cannot be had.
    static result<std::unique_ptr<server>> make(base::unique_fd listener, std::string path);

    // Serves until stop().
    void run() noexcept;
    void stop() noexcept;

    // Around fork. In the child every descriptor is closed, without a word to the clients, and the
    // object must not be used or destroyed any more.
    void before_fork() { fork_lock_.lock(); }
    void after_fork_in_parent() { fork_lock_.unlock(); }
    void after_fork_in_child() noexcept;

private:
    server() noexcept { open_fds_.fill(-1); }

    void accept_all() noexcept;
    [[nodiscard]] bool accept_one() noexcept;
    void add_client(base::unique_fd fd);
    void serve(connection& client) noexcept;
    void update(connection& client) noexcept;
    void drop_done();
    void remember(int fd) noexcept;
    void forget(int fd) noexcept;
    void expire(std::uint64_t now_ns) noexcept;
    void set_listening(bool on) noexcept;
    void pause_listening(std::uint64_t duration_ns) noexcept;
    [[nodiscard]] int timeout_ms(std::uint64_t now_ns) const noexcept;
    [[nodiscard]] std::size_t answer_limit() const noexcept;
    [[nodiscard]] std::size_t count_served() const noexcept;

    static constexpr std::size_t own_fds = 4;

    std::mutex fork_lock_; // held for a few instructions and one accept4 or close
    std::array<int, own_fds + connections_max> open_fds_; // guarded by fork_lock_; or -1
    base::unique_fd listener_;
    base::unique_fd epoll_;
    base::unique_fd wake_;
    base::unique_fd reserve_;
    atomic<bool> is_stopping_{false};
    bool is_listening_ = true;
    std::uint64_t listen_again_ns_ = 0;
    std::vector<std::unique_ptr<connection>> clients_;
    service service_;
};

} // namespace rt::introspect

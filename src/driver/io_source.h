// SPDX-License-Identifier: MIT
//
// A watched file descriptor: cached readiness, the tasks that wait for it, and its registrations.
//
// The word holds readiness bits and a count of edges. A task that got EAGAIN clears a bit only if
// no edge came since it loaded the word (clear_if), so an edge between the system call and the
// clearing is never lost. At most one task waits per direction.
//
// Each direction is watched by the driver of the worker that first had to wait for it, which need
// not be the same for both: a ring takes submissions from its own thread only.
//
// Protocol. `lock_` guards the two waiter pointers and orders them against the word: the driver
// sets bits and takes the waiters under it; a waiter registers under it only while its bit is
// clear. A waiter that finds itself unlinked when it is cancelled has been taken: its wake-up is in
// flight. Life. The descriptor's owner holds the source once, each watch once; a driver gives its
// hold up when the kernel can report no more events for the watch. The last hold frees the source.
#pragma once

#include "base/lock.h"

#include <rt/detail/atomic.h>
#include <rt/detail/header.h>
#include <rt/detail/io.h>

#include <cstdint>

namespace rt::driver {

class driver;
class io_source;

enum ready_bits : std::uint32_t {
    ready_read = static_cast<std::uint32_t>(detail::direction::read),
    ready_write = static_cast<std::uint32_t>(detail::direction::write),
    ready_hangup = 1U << 2U, // the peer has closed or the socket has failed; comes with both, stays
    ready_edge = 1U << 8U,   // one unit of the edge count
};

// One direction's registration with a driver. Fields belong to the thread of `home` once it is set.
struct watch {
    io_source* source = nullptr;
    driver* home = nullptr;        // written once, by the task that first waits
    watch* next = nullptr;         // link of the list it is in after forget
    watch* sibling_next = nullptr; // links of the driver's list of all its watches
    watch* sibling_previous = nullptr;
    std::uint32_t bit = 0;      // ready_read or ready_write
    watch* left_next = nullptr; // link of the ring driver's list of ended polls
    bool armed = false;         // the kernel may still report events
    bool failed = false;        // the kernel refused to watch: nothing more will come
    bool dropping = false;      // forget was called
};

class io_source {
public:
    explicit io_source(int fd) noexcept
        : fd_(fd) {
        read_watch.source = this;
        read_watch.bit = ready_read;
        write_watch.source = this;
        write_watch.bit = ready_write;
    }
    io_source(const io_source&) = delete;
    io_source& operator=(const io_source&) = delete;

    // Allocates a source; null when memory is exhausted.
    static io_source* create(int fd) noexcept;

    [[nodiscard]] int fd() const noexcept { return fd_; }
    [[nodiscard]] watch& watch_of(std::uint32_t bit) noexcept {
        return bit == ready_read ? read_watch : write_watch;
    }

    // The word, for clear_if. Threads: any.
    // acquire: pairs with the release in deliver().
    [[nodiscard]] std::uint32_t load() const noexcept { return word_.load_acquire(); }

    // Clears `bits` unless an edge has come since `seen` was loaded.
    // acq_rel: an edge that follows in the word's order is seen by the next load.
    void clear_if(std::uint32_t seen, std::uint32_t bits) noexcept {
        static_cast<void>(word_.cas_strong_acq_rel(seen, seen & ~bits));
    }

    // Registers `node` to be woken by the next edge of `bit`. False: it is ready already.
    [[nodiscard]] bool register_waiter(detail::wait_node* node, std::uint32_t bit) noexcept;

    // Takes `node` back. False: it has been taken by the driver.
    [[nodiscard]] bool unregister_waiter(detail::wait_node* node) noexcept;

    // Records events and wakes who waits for them. Threads: a worker whose driver watches it.
    void deliver(std::uint32_t bits) noexcept;

    void hold() noexcept { holds_.add_relaxed(1); } // relaxed: the caller has a hold
    void unhold() noexcept;

    watch read_watch;
    watch write_watch;

private:
    const int fd_;
    atomic<std::uint32_t> word_{ready_read | ready_write}; // optimistic: the first call tries
    atomic<std::uint32_t> holds_{1};
    base::spin_lock lock_{base::lock_rank::driver_registration};
    detail::wait_node* reader_ = nullptr; // guarded by lock_
    detail::wait_node* writer_ = nullptr; // guarded by lock_
};

} // namespace rt::driver

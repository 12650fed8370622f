// SPDX-License-Identifier: MIT
//
// A watched file descriptor: its readiness, the tasks that wait for it, and its registrations.
//
// Readiness is a count. The driver counts the edges of a direction; the task of that direction
// remembers up to which count it has spent them: taken all that they announced. There may be
// something to do while the two differ. A task loads the count before its system call and spends
// what it loaded, so an edge between the call and the spending is never lost, and spending is a
// store of its own: a bit that both sides change would cost each a locked operation per request.
// At most one task uses a direction, so the spent count is that task's, wherever it runs. A second
// one that gets as far as waiting ends the process with advice: the first would never be woken.
//
// The count's low bits are a constant one, so that a token is never 0, and whether the peer has
// closed or the socket has failed. It has 64 bits because a task may spend none for long: one whose
// writes always succeed, while epoll announces with every read that it may write, too.
//
// Each direction is watched by the driver of the worker that first had to wait for it, which need
// not be the same for both: a ring takes submissions from its own thread only.
//
// Protocol. `lock_` guards the waiters and orders them against the counts: the driver counts an
// edge and takes the waiters under it; a waiter registers under it only while all edges are spent.
// A waiter that finds itself unlinked when it is cancelled has been taken: its wake-up is in
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
    ready_hangup = 1U << 2U, // the peer has closed or the socket has failed: comes with both
};

// What a count of edges consists of.
enum edge_bits : std::uint64_t {
    edge_hangup = 1ULL << 0U, // stays
    edge_always = 1ULL << 1U,
    edge_one = 1ULL << 2U,
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

    // A token for what the driver has announced in direction `bit`, or 0 when all of it is spent.
    // Threads: the direction's task.
    // acquire: pairs with the release in deliver().
    [[nodiscard]] std::uint64_t look(std::uint32_t bit) const noexcept {
        const side& at = side_of(bit);
        const std::uint64_t seen = at.edges.load_acquire();
        return seen == at.spent ? 0 : seen;
    }

    // There is no more of what `seen`, from look(), announced: nothing to do until the next edge.
    void spend(std::uint32_t bit, std::uint64_t seen) noexcept {
        if (seen != 0) {
            side_of(bit).spent = seen;
        }
    }

    // A read got less than it had room for: the next one would get EAGAIN, unless an edge came, or
    // the peer has closed, which an edge has said already and which the next read is to find.
    void spend_read(std::uint64_t seen) noexcept {
        if ((seen & edge_hangup) == 0) {
            spend(ready_read, seen);
        }
    }

    // A driver watches direction `bit` from now on, and announces what there is already. What a
    // source begins with is not waited for any more, unless the driver has been faster.
    void forget_hope(std::uint32_t bit) noexcept {
        side& at = side_of(bit);
        if (at.spent == 0) {
            at.spent = edges_at_first;
        }
    }

    // Registers `node` to be woken by the next edge of `bit`. False: one has come already. Fatal
    // if somebody waits for it.
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
    static constexpr std::uint64_t edges_at_first = edge_always | edge_one;

    // Begins with an edge: the first call tries. Nobody has seen it, so who waits before any call
    // has been made waits for the driver's word instead; see forget_hope().
    struct side {
        atomic<std::uint64_t> edges{edges_at_first}; // written under lock_
        std::uint64_t spent = 0;                     // the task's
        detail::wait_node* waiter = nullptr;         // guarded by lock_
    };

    [[nodiscard]] side& side_of(std::uint32_t bit) noexcept {
        return bit == ready_read ? read_ : write_;
    }
    [[nodiscard]] const side& side_of(std::uint32_t bit) const noexcept {
        return bit == ready_read ? read_ : write_;
    }
    static detail::wait_node* count_edge(side& at, std::uint64_t hangup) noexcept;

    const int fd_;
    atomic<std::uint32_t> holds_{1};
    base::spin_lock lock_{base::lock_rank::driver_registration};
    side read_;
    side write_;
};

} // namespace rt::driver

// SPDX-License-Identifier: MIT
//
// What both drivers share: the choice between them and the list of watches to forget.
//
// The forgotten list is a Treiber stack that is only ever taken whole, so it has no ABA problem:
// pushers release, the owner's exchange acquires. A push wakes the owner, who drops what it finds
// before its next park; a push that comes after that look is covered by the wake-up.
#include "driver/driver.h"

#include "base/assert.h"
#include "driver/epoll.h"
#include "driver/io_source.h"
#include "driver/ring.h"
#include "metrics/worker_counters.h"

#include <rt/detail/context.h>
#include <rt/detail/frame.h>

#include <new>
#include <system_error>
#include <thread>
#include <utility>

#include <sys/eventfd.h>
#include <unistd.h>

namespace rt::driver {

using metrics::worker_counters;

void driver::forget(watch& direction) noexcept {
    disarm(direction);
    if (detail::this_thread.driver == this) {
        drop(direction);
        return;
    }
    direction.next = forgotten_.load_relaxed();
    // release: pairs with the acquire in drop_forgotten.
    while (!forgotten_.cas_weak_release(direction.next, &direction)) {
    }
    wake();
}

void driver::drop_forgotten() noexcept {
    process_.check();
    if (forgotten_.load_relaxed() == nullptr) { // relaxed: a push that is missed sends a wake-up
        return;
    }
    watch* list = forgotten_.exchange_acquire(nullptr); // acquire: pairs with forget's release
    while (list != nullptr) {
        watch* const next = list->next;
        drop_locked(*list);
        list = next;
    }
}

void driver::adopt(watch& direction) noexcept {
    direction.source->hold();
    direction.home = this;
    direction.armed = true;
    direction.sibling_previous = nullptr;
    direction.sibling_next = watches_;
    if (watches_ != nullptr) {
        watches_->sibling_previous = &direction;
    }
    watches_ = &direction;
    metrics::count(&worker_counters::sources_opened);
}

void driver::let_go(watch& direction) noexcept {
    (direction.sibling_previous == nullptr ? watches_ : direction.sibling_previous->sibling_next) =
        direction.sibling_next;
    if (direction.sibling_next != nullptr) {
        direction.sibling_next->sibling_previous = direction.sibling_previous;
    }
    direction.home = nullptr;
    direction.armed = false;
    metrics::count(&worker_counters::sources_closed);
    direction.source->unhold();
}

void driver::orphan_all() noexcept {
    while (watches_ != nullptr) {
        let_go(*watches_);
    }
}

choice choose(kind wanted, std::uint32_t ring_entries) noexcept {
    if (wanted != kind::automatic) {
        return {wanted, {}};
    }
    // On a thread of its own: closing a ring leaves task work behind that makes the next blocking
    // call of its thread return EINTR, and this one is the user's.
    std::string reason;
    try {
        std::thread([&reason, ring_entries] { reason = ring_unusable(ring_entries); }).join();
    } catch (const std::system_error&) {
        reason = ring_unusable(ring_entries);
    }
    return {reason.empty() ? kind::uring : kind::epoll, std::move(reason)};
}

result<std::unique_ptr<driver>>
make_driver(kind which, std::uint32_t entries, bool roams) noexcept {
    return which == kind::uring ? make_ring(entries, roams) : make_epoll();
}

io_source* io_source::create(int fd) noexcept {
    void* const memory = detail::allocate_frame(sizeof(io_source));
    return memory == nullptr ? nullptr : ::new (memory) io_source(fd);
}

void io_source::unhold() noexcept {
    // acq_rel: whoever frees the source sees what every other holder did with it.
    if (holds_.sub_acq_rel(1) == 1) {
        this->~io_source();
        detail::deallocate_frame(this, sizeof(io_source));
    }
}

bool io_source::register_waiter(detail::wait_node* node, std::uint32_t bit) noexcept {
    side& at = side_of(bit);
    base::guard guard(lock_);
    if (at.edges.load_relaxed() != at.spent) { // relaxed: written under the lock
        return false;
    }
    if (at.waiter != nullptr) [[unlikely]] {
        base::fatal(
            "two tasks, or two parts of one, wait to %s the same descriptor (%d) at the same time: "
            "a stream takes one that reads and one that writes, a listener one that accepts, an "
            "rt::signals one that receives",
            bit == ready_read ? "read from or accept at" : "write to",
            fd_
        );
    }
    at.waiter = node;
    return true;
}

bool io_source::unregister_waiter(detail::wait_node* node) noexcept {
    base::guard guard(lock_);
    for (side* at : {&read_, &write_}) {
        if (at->waiter == node) {
            at->waiter = nullptr;
            return true;
        }
    }
    return false;
}

// Returns the waiter, which the caller wakes. REQUIRES: lock_ held.
detail::wait_node* io_source::count_edge(side& at, std::uint64_t hangup) noexcept {
    // release: pairs with look().
    at.edges.store_release((at.edges.load_relaxed() + edge_one) | hangup);
    return std::exchange(at.waiter, nullptr);
}

void io_source::deliver(std::uint32_t bits) noexcept {
    const std::uint64_t hangup = (bits & ready_hangup) != 0 ? edge_hangup : 0U;
    detail::wait_node* reader = nullptr;
    detail::wait_node* writer = nullptr;
    {
        base::guard guard(lock_);
        if ((bits & (ready_read | ready_hangup)) != 0) {
            reader = count_edge(read_, hangup);
        }
        if ((bits & (ready_write | ready_hangup)) != 0) {
            writer = count_edge(write_, hangup);
        }
    }
    if (reader != nullptr) {
        detail::wake(reader->task);
    }
    if (writer != nullptr) {
        detail::wake(writer->task);
    }
}

} // namespace rt::driver

// SPDX-License-Identifier: MIT
//
// Sleep until something happens: the contract of a worker's driver.
//
// Each worker owns one driver; it is made on the worker's pinned thread so that its memory is
// local. Two implementations stand behind it: an io_uring (ring.cc) and epoll (epoll.cc), chosen
// once per runtime by probe or LIBRT_DRIVER. Both speak readiness: a source is watched from its
// first wait to its close, edge by edge, and the transfer itself is a non-blocking system call made
// by the task. Measured on this design's raw servers, a multishot poll with inline receive and send
// costs the same as multishot receive into provided buffers (4.6 us per echo) and less than a send
// through the ring; and no buffer ever belongs to the kernel, so cancelling a read is unlinking a
// waiter. Operations that cannot be made non-blocking go to the blocking pool.
//
// Threads: `wake` and `forget` from any thread; everything else from the owning worker.
#pragma once

#include "base/process.h"

#include <rt/detail/atomic.h>
#include <rt/result.h>

#include <cstdint>
#include <memory>
#include <string>

namespace rt::driver {

struct watch;

// Which implementation a runtime uses, and why if it was not asked for.
enum class kind : std::uint8_t { automatic, uring, epoll };

inline constexpr std::int64_t no_deadline = INT64_MAX;

class driver {
public:
    virtual ~driver() = default;
    driver(const driver&) = delete;
    driver& operator=(const driver&) = delete;

    // Starts to watch a direction for readiness edges; takes a hold on its source.
    // Errors: what the kernel gives (ENOMEM, ENOSPC, EPERM for files that cannot be polled).
    [[nodiscard]] virtual result<void> start(watch& direction) noexcept = 0;

    // Stops watching; gives the hold up once the kernel has let go. Threads: any.
    void forget(watch& direction) noexcept;

    // Waits until an event, a wake-up or `deadline_ns` (monotonic), whichever comes first, and
    // delivers what happened. Returns the number of events delivered.
    virtual unsigned park(std::int64_t deadline_ns) noexcept = 0;

    // Delivers what has happened, without waiting. `flush` makes the kernel look; otherwise only
    // what it has already posted is delivered.
    virtual unsigned poll(bool flush) noexcept = 0;

    // Makes a park in progress, or the next one, return. Threads: any.
    virtual void wake() noexcept = 0;

    // For the watchdog, about an owner that has been in one turn for long.
    // Whether the kernel holds completions back until the owner enters it. May be a moment old.
    [[nodiscard]] virtual bool needs_kick() const noexcept { return false; }
    // Enters the kernel so that it posts what it holds back. On the owner's thread, in a signal
    // handler: async-signal-safe.
    virtual void kick() noexcept {}
    // Delivers what the kernel has posted, in the owner's place; does nothing if the owner is at
    // it. Returns the number of events delivered. A wake-up that is among them is kept for the
    // owner, who may be on its way into park. Threads: any but the owner.
    virtual unsigned rescue() noexcept = 0;

    [[nodiscard]] virtual kind which() const noexcept = 0;

protected:
    driver() = default;

    // First half of forget, in the caller's thread, while the descriptor is still open.
    virtual void disarm(watch& /*direction*/) noexcept {}

    // Second half, by the owner; the descriptor may be closed and its number in use again.
    virtual void drop(watch& direction) noexcept = 0;

    // The same from within park, poll or flush.
    virtual void drop_locked(watch& direction) noexcept = 0;

    // For implementations: the watch is this driver's from now on; takes a hold on its source.
    void adopt(watch& direction) noexcept;

    // For implementations: the kernel can report nothing more for the watch.
    void let_go(watch& direction) noexcept;

    // For destructors, on any thread once the owner has ended: cuts the ties of the watches that
    // are left, be they forgotten or of descriptors that outlive the runtime.
    void orphan_all() noexcept;

    // Drops what other threads have asked to forget. Called at each park and flush, before the
    // kernel is entered; aborts in a child of fork().
    void drop_forgotten() noexcept;

private:
    const base::process_mark process_;  // a child of fork() shares the kernel's side with it
    atomic<watch*> forgotten_{nullptr}; // pushed by any thread, taken by the owner
    watch* watches_ = nullptr;          // owner only
};

struct choice {
    kind chosen = kind::epoll;
    std::string reason; // why io_uring is not used, with advice; empty when it is or was not asked
};

// Finds out whether io_uring can be used here: set-up, probe, one round trip through it.
// `wanted` other than automatic is honoured without looking further.
choice choose(kind wanted, std::uint32_t ring_entries) noexcept;

// Makes a driver on the calling thread, which becomes its owner. `entries` is a power of two.
// `roams`: several threads will own it in turn (flavor::current_thread), which a ring must be told.
result<std::unique_ptr<driver>>
make_driver(kind which, std::uint32_t entries, bool roams = false) noexcept;

} // namespace rt::driver

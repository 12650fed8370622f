// SPDX-License-Identifier: MIT
//
// A worker's timers: a hierarchical wheel of 6 levels of 64 slots, 1 ms a tick (Varghese and Lauck
// 1987; the shape is Tokio's).
//
// Level 0 has one slot per tick, each further level 64 times coarser; 2^36 ms is 2.2 years, farther
// deadlines wait in the last slot and are put in again. Insert and remove are constant time on
// intrusive nodes; a bit mask per level finds the next occupied slot. Deadlines are rounded up to
// the next tick, so a timer never fires early.
//
// Threads: any thread may cancel or advance under the wheel's lock, so that a timer can be taken
// back after its task has moved to another worker, and a stuck worker's timers can be fired by
// another thread. fire() runs under the lock: it claims the task; the caller of advance schedules
// what was claimed after the lock is released. It may have the node armed again (rt::deadline). A
// node that cancel() finds unlinked has fired, and its fire() has returned.
#pragma once

#include "base/lock.h"

#include <rt/detail/header.h>
#include <rt/detail/timer.h>

#include <cstddef>
#include <cstdint>

namespace rt::driver {

class timer_wheel {
public:
    explicit timer_wheel(std::uint64_t now_ns) noexcept;
    timer_wheel(const timer_wheel&) = delete;
    timer_wheel& operator=(const timer_wheel&) = delete;

    // Arms a node that is not linked.
    void insert(detail::timer_node& node, std::uint64_t deadline_ns) noexcept;

    // The lock under which fire() runs, for a node whose other fields need it.
    [[nodiscard]] base::spin_lock& fire_lock() noexcept { return lock_; }

    // Whether a node that is armed here fires at `deadline_ns` or before. REQUIRES: fire_lock held.
    [[nodiscard]] bool
    fires_by(const detail::timer_node& node, std::uint64_t deadline_ns) const noexcept {
        return node.tick <= tick_of(deadline_ns);
    }

    // Whether `deadline_ns` has come, on the clock that the wheel is advanced by. REQUIRES:
    // fire_lock held.
    [[nodiscard]] bool has_passed(std::uint64_t deadline_ns) const noexcept {
        return tick_of(deadline_ns) <= elapsed_;
    }

    // Takes a node out. False: it has fired.
    [[nodiscard]] bool cancel(detail::timer_node& node) noexcept;

    // Fires everything due at `now_ns` and schedules the tasks that this makes ready. Returns the
    // number of timers fired.
    unsigned advance(std::uint64_t now_ns) noexcept;

    // When the wheel must next be advanced, in monotonic ns; INT64_MAX when it is empty. May be
    // early by a slot of a coarse level, never late.
    [[nodiscard]] std::int64_t next_deadline_ns() noexcept;

    // `now_ns`, or the first moment after it at which a timer may be due.
    [[nodiscard]] std::uint64_t next_tick_ns(std::uint64_t now_ns) const noexcept {
        const std::uint64_t since = now_ns > start_ns_ ? now_ns - start_ns_ : 0;
        return start_ns_ + (since + tick_ns - 1) / tick_ns * tick_ns;
    }

    // Armed timers. May be stale.
    [[nodiscard]] std::uint64_t size() const noexcept { return size_.load_relaxed(); }

private:
    static constexpr unsigned level_count = 6;
    static constexpr unsigned due_level = level_count; // the list of nodes that are due
    static constexpr unsigned slot_bits = 6;
    static constexpr unsigned slot_count = 1U << slot_bits;
    static constexpr std::uint64_t range_ticks = std::uint64_t{1} << (slot_bits * level_count);
    static constexpr std::uint64_t tick_ns = 1'000'000;
    static constexpr std::size_t batch_max = 64;

    struct expiry {
        unsigned level = 0;
        unsigned slot = 0;
        std::uint64_t tick = UINT64_MAX;
    };

    [[nodiscard]] std::uint64_t tick_of(std::uint64_t deadline_ns) const noexcept {
        const std::uint64_t since = deadline_ns > start_ns_ ? deadline_ns - start_ns_ : 0;
        return since / tick_ns + (since % tick_ns != 0 ? 1 : 0);
    }
    [[nodiscard]] detail::task_header* fire(detail::timer_node& node) noexcept;
    void link(detail::timer_node& node) noexcept;
    void push(detail::timer_node& node, unsigned level, unsigned slot) noexcept;
    [[nodiscard]] detail::timer_node* take_due(std::uint64_t now) noexcept;
    void unlink(detail::timer_node& node) noexcept;
    [[nodiscard]] expiry next_expiry() const noexcept;
    void cascade(const expiry& due) noexcept;

    base::spin_lock lock_{base::lock_rank::driver_timers}; // guards all below but size_
    const std::uint64_t start_ns_;
    std::uint64_t elapsed_ = 0; // ticks handled
    std::uint64_t occupied_[level_count] = {};
    detail::timer_node* slots_[level_count][slot_count] = {};
    detail::timer_node* due_ = nullptr; // due, not fired yet
    atomic<std::uint64_t> size_{0};
};

} // namespace rt::driver

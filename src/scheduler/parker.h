// SPDX-License-Identifier: MIT
//
// How a worker falls asleep on its driver, and how others wake it with as few system calls as can
// be.
//
// The word: running -> parked by the owner, before it enters the driver; any -> notified by a
// waker; any -> running by the owner when it is back. A waker that finds the word parked wakes the
// driver; one that finds it running leaves it notified, and the owner does not fall asleep; one
// that finds it notified has nothing to do. So work that was published before unpark() is seen
// after the sleep() that it ended or prevented. One unpark may end two sleeps: the driver keeps a
// wake-up that comes too late for the first.
//
// Threads: sleep by the owner of the driver, unpark by any.
#pragma once

#include "driver/driver.h"

#include <rt/detail/atomic.h>

#include <cstdint>

namespace rt::scheduler {

class parker {
public:
    // Waits for an event, an unpark or `deadline_ns`; not at all if an unpark came since the last
    // sleep. True: there was an unpark.
    bool sleep(driver::driver& on, std::int64_t deadline_ns) noexcept {
        park_state expected = park_state::running;
        // seq_cst: pairs with unpark's exchange: either it sees parked, or this sees notified.
        if (state_.cas_strong_seq_cst(expected, park_state::parked)) {
            on.park(deadline_ns);
        } else {
            on.poll(true);
        }
        // acquire: pairs with unpark.
        return state_.exchange_acq_rel(park_state::running) == park_state::notified;
    }

    // True: it took a system call.
    bool unpark(driver::driver& of) noexcept {
        // seq_cst: pairs with sleep's compare-and-swap; release: what the caller published is
        // visible.
        if (state_.exchange_seq_cst(park_state::notified) != park_state::parked) {
            return false;
        }
        of.wake();
        return true;
    }

    // Whether unpark() is likely to take a system call: a hint.
    [[nodiscard]] bool is_parked() const noexcept {
        return state_.load_relaxed() == park_state::parked;
    }
    // Whether the next sleep will not be one: a hint.
    [[nodiscard]] bool is_notified() const noexcept {
        return state_.load_relaxed() == park_state::notified;
    }

private:
    enum class park_state : std::uint32_t { running, parked, notified };

    atomic<park_state> state_{park_state::running};
};

} // namespace rt::scheduler

// SPDX-License-Identifier: MIT
//
// Whether a thread that has nothing to do looks around for a moment before it sleeps.
//
// If the next work comes from another thread before a sleep and its wake-up would be over, spinning
// is cheaper for everybody; if not, it is waste, and a server that waits for its sockets only must
// not spin at all. So a thread spins, for as long as wake_latency.h says, only after a sleep that
// another thread ended so early that a spin would have seen it, and goes on as long as spins find
// something, credit_max failures in a row excepted. Each spin that fails in a row doubles the
// number of such sleeps that the next one takes, up to 2^doublings_max, so that what comes just too
// late at regular intervals does not cost a spin each. One CPU: never, because the other thread
// cannot run meanwhile.
//
// Threads: any; relaxed, because it is a hint.
#pragma once

#include <rt/detail/atomic.h>

#include <algorithm>
#include <cstdint>

namespace rt::scheduler {

class park_spin {
public:
    [[nodiscard]] bool is_worth() const noexcept { return credit_.load_relaxed() != 0; }

    // A spin has found something, or nothing.
    void end(bool has_found) noexcept {
        const std::uint32_t credit = credit_.load_relaxed();
        if (has_found) {
            credit_.store_relaxed(credit_max);
            failures_.store_relaxed(0);
        } else if (credit != 0) {
            credit_.store_relaxed(credit - 1);
            failures_.store_relaxed(std::min(failures_.load_relaxed() + 1, doublings_max));
        }
    }

    // Another thread woke this one at most `idle_ns` after it had nothing to do, and a spin would
    // have lasted `spin_ns`.
    void woken_after(std::uint64_t idle_ns, std::uint64_t spin_ns) noexcept {
        if (idle_ns < spin_ns) {
            const std::uint32_t count = early_.load_relaxed() + 1;
            early_.store_relaxed(count);
            if (count % (1U << failures_.load_relaxed()) == 0) {
                credit_.store_relaxed(std::max(credit_.load_relaxed(), 1U));
            }
        }
    }

    static constexpr std::uint32_t credit_max = 4;
    static constexpr std::uint32_t doublings_max = 6;

private:
    atomic<std::uint32_t> credit_{0};
    atomic<std::uint32_t> failures_{0}; // spins in a row that have found nothing, as far as counted
    atomic<std::uint32_t> early_{0};    // wake-ups that a spin would have seen
};

} // namespace rt::scheduler

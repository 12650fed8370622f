// SPDX-License-Identifier: MIT
//
// Whether a thread that has nothing to do looks around for a moment before it sleeps.
//
// A sleep and its wake-up cost both sides some microseconds: 1 us for the waker's system call, 5 to
// 30 until the sleeper runs, more on a virtual CPU that has gone idle than on a real one. If the
// next work comes from another thread within that time, spinning for spin_ns is cheaper for
// everybody (Karlin et al., "Empirical studies of competitive spinning", 1991); if not, it is
// waste, and a server that waits for its sockets only must not spin at all. So a thread spins only
// after a sleep that another thread's wake-up ended early, and goes on as long as spins find
// something, credit_max failures in a row excepted.
//
// A sleep is short by its own length and that of its wake-up, so one that is called short may have
// been longer than a spin: then the spins find nothing. Each that fails in a row doubles the number
// of short sleeps that the next one takes, up to 2^doublings_max, so that wake-ups at regular
// intervals beyond spin_ns do not cost a spin each. One CPU: never, because the other thread cannot
// run meanwhile.
//
// On 2 virtual CPUs, spin_ns 10 us in place of 5 and short_ns 60 in place of 20, where waking takes
// 20 us and nobody began to spin: threaded_scheduler_spawn 0.9 us (was 2.6 to 40),
// wake_blockon_roundtrip 6.8 us (13.2), request_reply 0.83, notify_pingpong_1000rt 0.85, for the
// same CPU time. 15 us in place of 10: ping_pong 0.96 on two workers and 0.85 on one, chained_spawn
// 0.98 and 0.83, spawn_blocking_c1 as long with 9 % more CPU time. 20 us gain nothing more.
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

    // A sleep that another thread ended took at most `slept_ns`.
    void woken_after(std::uint64_t slept_ns) noexcept {
        if (slept_ns < short_ns) {
            const std::uint32_t count = short_sleeps_.load_relaxed() + 1;
            short_sleeps_.store_relaxed(count);
            if (count % (1U << failures_.load_relaxed()) == 0) {
                credit_.store_relaxed(std::max(credit_.load_relaxed(), 1U));
            }
        }
    }

    static constexpr std::uint64_t spin_ns = 15'000;
    static constexpr std::uint64_t short_ns = 60'000;
    static constexpr std::uint32_t credit_max = 4;
    static constexpr std::uint32_t doublings_max = 6;

private:
    atomic<std::uint32_t> credit_{0};
    atomic<std::uint32_t> failures_{0}; // spins in a row that have found nothing, as far as counted
    atomic<std::uint32_t> short_sleeps_{0};
};

} // namespace rt::scheduler

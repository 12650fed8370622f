// SPDX-License-Identifier: MIT
//
// Whether a thread that has nothing to do looks around for a moment before it sleeps.
//
// A sleep and its wake-up cost both sides some microseconds: 1 us for the waker's system call, 5 to
// 30 until the sleeper runs, more on a virtual CPU that has gone idle than on a real one. If the
// next work comes from another thread within that time, spinning
// for spin_ns is cheaper for everybody; if not, it is waste, and a server that waits for its
// sockets must not spin at all. So a thread spins only after a sleep that another thread's wake-up
// ended early, and stops after credit_max spins that found nothing with no such sleep in between.
// What is wasted is bounded by spin_ns per sleep that would have been too short, as in Karlin et
// al., "Empirical studies of competitive spinning" (1991). One CPU: never, because the other thread
// cannot run meanwhile.
//
// A sleep is short by its own length and that of its wake-up: with short_ns 20 us, a machine on
// which waking takes so long never began to spin, and each run of a row found itself in one of two
// ways to go on. On 2 virtual CPUs, spin_ns 15 us in place of 5 and short_ns 60 in place of 20:
// threaded_scheduler_spawn 0.9 us (was 2.6 to 40), wake_blockon_roundtrip 6.8 us (13.2),
// request_reply 0.83, notify_pingpong_1000rt 0.85, for the same CPU time; 20 us of spinning gain
// nothing more and cost spawn_blocking_c1 a sixth more CPU time.
//
// Threads: any; relaxed, because it is a hint.
#pragma once

#include <rt/detail/atomic.h>

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
        } else if (credit != 0) {
            credit_.store_relaxed(credit - 1);
        }
    }

    // A sleep that another thread ended took at most `slept_ns`.
    void woken_after(std::uint64_t slept_ns) noexcept {
        if (slept_ns < short_ns) {
            credit_.store_relaxed(credit_max);
        }
    }

    static constexpr std::uint64_t spin_ns = 15'000;
    static constexpr std::uint64_t short_ns = 60'000;
    static constexpr std::uint32_t credit_max = 4;

private:
    atomic<std::uint32_t> credit_{0};
};

} // namespace rt::scheduler

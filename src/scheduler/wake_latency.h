// SPDX-License-Identifier: MIT
//
// How long it takes on this machine until a thread that is woken runs, and how long a thread spins
// for what would wake it.
//
// From the waker's system call to the sleeper's next instruction it takes 2 us on the same CPU, 5
// on another core, 20 to 25 on a virtual CPU that has gone idle, and it changes with what the host
// does. The sleeper comes that late, and the waker's call takes a third of it. To spin for as long
// as a sleep delays is at most twice as bad as knowing beforehand when the work comes (Karlin et
// al., "Empirical studies of competitive spinning", 1991); half of it more, because what a worker
// waits for often is the answer of a thread that it has just woken itself, which takes that long to
// come and then some. What is won is latency, and it is paid with CPU time: a worker to which
// another thread gives work each 25 us is awake 40 % of the time on a virtual machine, not 10 %.
//
// Spins of a fixed length were tried. Where waking takes 20 us nobody began to spin for 5 us, and
// threaded_scheduler_spawn took 2.6 to 40 us in place of 0.9; 15 us are too short there
// (chained_spawn took 1.5 times as long on one worker), and four times too long where it takes 3.
//
// Threads: any; relaxed: two that note at once may lose a sample.
#pragma once

#include <rt/detail/atomic.h>

#include <algorithm>
#include <cstdint>

namespace rt::scheduler {

class wake_latency {
public:
    // A thread ran `ns` after it was woken. One that was not given a CPU at once says nothing about
    // what waking costs, and is not counted.
    void note(std::uint64_t ns) noexcept {
        if (ns <= sample_max_ns) {
            const std::uint64_t mean = mean_ns_.load_relaxed();
            mean_ns_.store_relaxed(mean + ns / weight - mean / weight);
        }
    }

    // The mean, in which the latest samples weigh most.
    [[nodiscard]] std::uint64_t mean_ns() const noexcept { return mean_ns_.load_relaxed(); }

    // How long a thread spins for something that would wake it.
    [[nodiscard]] std::uint64_t spin_ns() const noexcept {
        return std::clamp(mean_ns() + mean_ns() / 2, spin_min_ns, spin_max_ns);
    }

    static constexpr std::uint64_t sample_max_ns = 60'000;
    static constexpr std::uint64_t spin_min_ns = 5'000;
    static constexpr std::uint64_t spin_max_ns = 40'000;

private:
    static constexpr std::uint64_t weight = 16;

    atomic<std::uint64_t> mean_ns_{10'000};
};

} // namespace rt::scheduler

// SPDX-License-Identifier: MIT
//
// Whether it pays to let others have a worker's fresh tasks.
//
// A task that is run on another core costs some 0.5 us there and here, in cache lines of its header
// and frame that travel twice. One of the oldest may be the root of a tree that keeps the thief
// busy for milliseconds, or one of ten thousand that each take 30 ns; nobody can know before. So
// the thief finds out: when it has nothing left of what it took, it compares the time since with
// the number of tasks. Less than least_ns for each, and the victim rests from sharing for a while,
// twice as long each time up to rest_max_ns; otherwise the rest is forgotten. Ten thousand empty
// tasks, spawned and joined by one of two workers, took 1.8 ms without this rule and 0.8 ms with
// it; one worker alone takes 0.75 ms.
//
// Only fresh tasks rest. What has been woken, and what is in the ring, is never held back, and a
// worker in a long turn is relieved of its fresh tasks by the watchdog (on_kick).
//
// Tried and not kept: to wake nobody for woken tasks either while a worker rests. Five senders that
// wait for room in a full channel took 0.58 of the time; but a task that wakes two and computes on
// waited for the watchdog, 3.8 ms in place of 10 us (perf-sched wake_worker).
//
// Threads: thieves write, the victim reads; relaxed, because it is a hint. A rest that is lost when
// two thieves report at once is reported again.
#pragma once

#include <rt/detail/atomic.h>

#include <algorithm>
#include <cstdint>

namespace rt::scheduler {

class steal_profit {
public:
    // The victim, at this time, had better keep its tasks.
    [[nodiscard]] bool is_resting(std::uint64_t now_ns) const noexcept {
        return now_ns < until_ns_.load_relaxed();
    }

    // Whether the last report was good.
    [[nodiscard]] bool is_good() const noexcept { return rest_ns_.load_relaxed() == 0; }

    // A thief reports: `tasks` tasks kept it busy for `busy_ns`.
    void report(std::uint32_t tasks, std::uint64_t busy_ns, std::uint64_t now_ns) noexcept {
        if (busy_ns >= tasks * least_ns) {
            if (!is_good()) {
                rest_ns_.store_relaxed(0);
            }
            return;
        }
        const std::uint64_t rest =
            std::clamp(2 * rest_ns_.load_relaxed(), rest_min_ns, rest_max_ns);
        rest_ns_.store_relaxed(rest);
        until_ns_.store_relaxed(now_ns + rest);
    }

    static constexpr std::uint64_t least_ns = 1000;
    static constexpr std::uint64_t rest_min_ns = 50'000;
    static constexpr std::uint64_t rest_max_ns = 1'000'000;

private:
    atomic<std::uint64_t> until_ns_{0};
    atomic<std::uint64_t> rest_ns_{0}; // the last rest; 0: the last report was good
};

} // namespace rt::scheduler

// SPDX-License-Identifier: MIT
//
// Whether it pays to let others have a worker's tasks.
//
// A task that is run on another core costs some 0.5 us there and here, in cache lines of its header
// and frame that travel twice. One of the oldest may be the root of a tree that keeps the thief
// busy for milliseconds, or one of ten thousand that each take 30 ns; nobody can know before. So
// the thief finds out: when it has nothing left of what it took, it compares the time since with
// the number of tasks. Less than least_ns for each and steal_ns for the trouble, and the victim
// rests from sharing for a while, twice as long each time up to rest_max_ns; otherwise the next
// rest begins with the shortest again. One that is under way ends, without that, when the victim
// sees that its tasks have become longer (rest_looks.h). Ten thousand empty tasks, spawned and
// joined by one of two workers, took 1.8 ms without this rule and 0.8 ms with it; one worker alone
// takes 0.75 ms.
//
// While it rests a worker shares no fresh tasks and holds back what its turns wake (held_tasks.h).
// What is in the ring may be stolen by those who are awake, and somebody is woken for a batch from
// the driver as ever. Five senders that wait for room in a full channel, 5000 messages, two
// workers: 0.8 ms when each wake-up woke the other worker, 0.4 ms now, 0.24 ms on one worker.
//
// A turn that goes on for long must not keep what it has woken: a task that wakes two and computes
// on would make them wait for the watchdog, 4 ms (on_kick), where a wake-up takes 10 us (perf-sched
// wake_worker). So only a turn that has begun just now may hold them (turn_age.h). What is left to
// the watchdog is a turn that wakes somebody first, computes for long then, and follows short ones.
//
// Rests of 1 ms at most cost flat work a twentieth to a tenth, by thefts that only found out once
// more: ping_pong 125 us, with 4 ms 117, with 16 ms 113, where one worker takes 108. A tree of
// tasks after flat work waits for the end of the rest, which is why it is not longer. Twenty tasks
// of 500 us after 20 ms of flat work, two workers: 8.0 ms when only the clock ended a rest, 5.5 ms
// since the victim does (5.0 would be ideal).
//
// Tried and not kept: to take a theft that ended within one turn of the victim's for a good one.
// The receiver's turn of 10 us in the above is longer than most of what is stolen meanwhile. To
// offer fewer tasks after a bad theft and as many as take 100 us after a good one, with reports
// over 16 tasks: fib25_spawn_one 1.10, the others the same.
//
// Threads: thieves write, the victim reads; relaxed, because it is a hint. A rest that is lost when
// two thieves report at once is reported again.
#pragma once

#include "scheduler/rest_looks.h"

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
        if (busy_ns >= steal_ns + tasks * least_ns) {
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

    // The victim: its tasks have become longer, so the last report is out of date. If the next one
    // is bad as well, this was a mistake, and it rests as if it had never happened.
    void end_rest() noexcept { until_ns_.store_relaxed(0); }

    static constexpr std::uint64_t steal_ns = 5000;
    static constexpr std::uint64_t least_ns = 1000;
    static constexpr std::uint64_t rest_min_ns = 50'000;
    static constexpr std::uint64_t rest_max_ns = rest_looks::rest_max_ns;

private:
    atomic<std::uint64_t> until_ns_{0};
    atomic<std::uint64_t> rest_ns_{0}; // the last rest; 0: the last report was good
};

} // namespace rt::scheduler

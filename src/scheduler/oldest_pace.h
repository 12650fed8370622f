// SPDX-License-Identifier: MIT
//
// When the spawn that has waited longest has a turn before newer ones.
//
// Newest first keeps a tree of tasks depth-first, and would let a task that nobody has begun wait
// for as long as others spawn. So the oldest has a turn at the end of a streak of private turns
// (tuning.h). If that is the root of another tree, what it spawns is newest now and goes on in its
// place: the former tree waits with all that is alive of it. With one such turn per streak a tree
// of 1.1 million tasks (perf-sched skynet_1m) was opened everywhere: 17 MB were resident in place
// of 6, and it took 1.25 times as long on one worker, twice on two.
//
// So who spawned in such a turn makes the next one wait: twice as many streaks each time, up to
// wait_ns; who did not, half as many. Ten thousand small tasks below a chain that spawns itself
// have a turn at the end of each streak, as before; the roots of ten trees begin within wait_ns of
// one another, and meanwhile the worker is at work on what the first ones have spawned. The price:
// ten thousand tasks that spawn one each, below a chain without end, take ten seconds to begin.
//
// Threads: the worker.
#pragma once

#include <algorithm>
#include <cstdint>

namespace rt::scheduler {

class oldest_pace {
public:
    // At the end of a streak: whether the oldest has a turn now.
    [[nodiscard]] bool is_due() noexcept {
        if (left_ == 0) {
            return true;
        }
        --left_;
        return false;
    }

    // The oldest has been taken. `top`: of the fresh stack.
    void begin(std::uint32_t top) noexcept {
        top_ = top;
        is_in_turn_ = true;
    }

    // Whether such a turn has begun and not been ended yet. (An injected task may have had another
    // one since, and counts as a part of it.)
    [[nodiscard]] bool end(std::uint32_t top) noexcept {
        if (!is_in_turn_) {
            return false;
        }
        is_in_turn_ = false;
        skip_ = top != top_ ? std::min(2 * skip_ + 1, skip_max_) : skip_ / 2;
        left_ = skip_;
        return true;
    }

    // What a streak takes, with the turns of the ring after it.
    void set_streak_ns(double ns) noexcept {
        skip_max_ = static_cast<std::uint32_t>(wait_ns / std::max(ns, streak_ns_min));
        skip_ = std::min(skip_, skip_max_);
        left_ = std::min(left_, skip_max_);
    }

    // Out of thin air: long beside a turn, short beside what a person notices.
    static constexpr double wait_ns = 1'000'000;
    static constexpr double streak_ns_min = 1'000;

private:
    std::uint32_t skip_ = 0; // streaks between two such turns
    std::uint32_t left_ = 0; // of these, to go
    std::uint32_t skip_max_ = 0;
    std::uint32_t top_ = 0;
    bool is_in_turn_ = false;
};

} // namespace rt::scheduler

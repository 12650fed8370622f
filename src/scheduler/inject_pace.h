// SPDX-License-Identifier: MIT
//
// How often a busy worker looks at the injection queue: every so many turns that it is about
// target_ns, whatever a turn takes.
//
// A fixed number of turns is either a look per microsecond when turns are empty, or one per 10 ms
// when they compute. The rule is Tokio's (tokio-rs/tokio #5720): the mean time of a turn as an
// exponentially weighted average, 200 us divided by it, clamped. Where Tokio weighs a batch of n
// turns with 1 - 0.9^n, this takes n/64, at most 1: the batches here end at the driver's poll,
// where the clock is read anyway, and a full one replaces the average in both. A poll that found
// nothing is part of the batch. Small ones are put together, until there are batch_turns or
// batch_ns of them: the divisions were a tenth of a short block_on on a current_thread runtime.
//
// Threads: the worker.
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>

namespace rt::scheduler {

class inject_pace {
public:
    // `fixed`: the interval to keep to; 0: adapt.
    explicit inject_pace(std::uint32_t fixed) noexcept
        : fixed_(fixed)
        , interval_(fixed != 0 ? fixed : interval_first) {}

    // Turns between two looks.
    [[nodiscard]] std::uint32_t interval() const noexcept { return interval_; }

    // What a turn takes, on the average.
    [[nodiscard]] double mean_ns() const noexcept { return mean_ns_; }

    // A batch begins: at the turn with this number, now.
    void begin(std::uint64_t turn, std::uint64_t now_ns) noexcept {
        turn_ = turn;
        now_ns_ = now_ns;
    }

    // The next batch to end is not counted: when it began is not known.
    void pause() noexcept { now_ns_ = UINT64_MAX; }

    // It has ended, and the next one begins. True: the mean has changed.
    [[nodiscard]] bool end(std::uint64_t turn, std::uint64_t now_ns) noexcept {
        if (turn != turn_ && now_ns > now_ns_) {
            turns_ += turn - turn_;
            elapsed_ns_ += now_ns - now_ns_;
        }
        begin(turn, now_ns);
        if (turns_ < batch_turns && elapsed_ns_ < batch_ns) {
            return false;
        }
        take(std::exchange(turns_, 0), std::exchange(elapsed_ns_, 0));
        return true;
    }

    static constexpr std::uint64_t target_ns = 200'000;
    static constexpr std::uint32_t interval_first = 61;
    static constexpr std::uint32_t interval_min = 2;
    static constexpr std::uint32_t interval_max = 127;
    static constexpr std::uint64_t batch_turns = 32;
    static constexpr std::uint64_t batch_ns = 50'000;

private:
    void take(std::uint64_t turns, std::uint64_t elapsed_ns) noexcept {
        const double weight = static_cast<double>(std::min<std::uint64_t>(turns, 64)) / 64;
        mean_ns_ +=
            weight * (static_cast<double>(elapsed_ns) / static_cast<double>(turns) - mean_ns_);
        if (fixed_ == 0) {
            const double wanted = static_cast<double>(target_ns) / std::max(mean_ns_, 1.0);
            interval_ =
                static_cast<std::uint32_t>(std::clamp<double>(wanted, interval_min, interval_max));
        }
    }

    const std::uint32_t fixed_;
    std::uint32_t interval_;
    double mean_ns_ = static_cast<double>(target_ns) / interval_first; // of a turn
    std::uint64_t turn_ = 0;                                           // where the batch began
    std::uint64_t now_ns_ = 0;
    std::uint64_t turns_ = 0;      // that have ended, but are not in the mean yet
    std::uint64_t elapsed_ns_ = 0; // what they took
};

} // namespace rt::scheduler

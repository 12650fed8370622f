// SPDX-License-Identifier: MIT
//
// Whether the turn that is on has begun only a moment ago.
//
// Nobody reads the clock at the beginning of a turn: that would cost a quarter of an empty one. So
// its age is known only from below: it began after the last time that anybody looked at the clock
// in an earlier turn. While turns are short and the question comes up in most of them, that is
// close; after a long turn the answer is no, once.
//
// Threads: the worker.
#pragma once

#include <cstdint>

namespace rt::scheduler {

class turn_age {
public:
    // In turn number `turn`, now. `seen_ns`: an earlier look at the clock, in no later turn.
    [[nodiscard]] bool
    is_young(std::uint64_t turn, std::uint64_t now_ns, std::uint64_t seen_ns) noexcept {
        if (turn != turn_) {
            turn_ = turn;
            began_after_ns_ = looked_ns_ < seen_ns ? seen_ns : looked_ns_;
        }
        looked_ns_ = now_ns;
        return now_ns - began_after_ns_ < young_ns;
    }

    // About what a wake-up takes: until then there is nothing to win by one.
    static constexpr std::uint64_t young_ns = 10'000;

private:
    std::uint64_t turn_ = 0;
    std::uint64_t looked_ns_ = 0;      // the last look
    std::uint64_t began_after_ns_ = 0; // the last look in a turn before this one
};

} // namespace rt::scheduler

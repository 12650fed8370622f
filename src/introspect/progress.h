// SPDX-License-Identifier: MIT
//
// Which workers are stuck: in the same turn for longer than a healthy turn takes.
//
// Nothing ticks: a process that nobody asks stays idle. Workers are looked at when a request wants
// to know; if some are running, again 20 ms later, and if one of them is then still in the same
// turn, a last time when 100 ms have passed. What was seen is remembered, so that the next request
// knows of a longer time. A request on a healthy process therefore takes 20 ms at most, and one on
// a stuck process 100 ms.
//
// Threads: the sentinel.
#pragma once

#include "introspect/observed.h"

#include <cstdint>
#include <vector>

namespace rt::introspect {

inline constexpr std::uint64_t first_look_ns = 20'000'000;
inline constexpr std::uint64_t stuck_after_ns = 100'000'000; // tokio and Go agree on this order

class progress_log {
public:
    // Reads the runtimes, with same_turn_ns and is_stuck of every worker.
    [[nodiscard]] std::vector<runtime_facts> look();

    // Takes in one look at time `now_ns` and fills in same_turn_ns and is_stuck. For look() and its
    // test.
    void note(std::vector<runtime_facts>& runtimes, std::uint64_t now_ns);

private:
    struct turn {
        std::uintptr_t scheduler = 0;
        std::uint32_t worker = 0;
        int tid = 0;
        std::uint64_t number = 0;
        std::uint64_t seen_ns = 0; // when it was first seen
    };

    std::vector<turn> turns_; // of workers that were in one at the last look
};

} // namespace rt::introspect

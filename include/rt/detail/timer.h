// SPDX-License-Identifier: MIT
//
// The node of a timer, embedded in the awaiter that needs it, and the two operations on it.
#pragma once

#include <rt/detail/config.h>
#include <rt/detail/header.h>

#include <cstdint>

namespace rt::driver {
class timer_wheel;
}

namespace rt::detail {

struct timer_node {
    // Called once, under the wheel's lock, when the deadline has passed. Returns a task that the
    // wheel shall schedule, or null, or what fire_again_at returns. Must not touch the wheel. The
    // node is not touched after null or a task was returned.
    using fire_function = task_header* (*)(timer_node*) noexcept;

    explicit timer_node(fire_function f) noexcept
        : fire(f) {}
    timer_node(const timer_node&) = delete;
    timer_node& operator=(const timer_node&) = delete;

    fire_function fire;
    driver::timer_wheel* wheel = nullptr; // set when armed; guarded by nothing, constant then
    timer_node* next = nullptr;           // the rest is guarded by the wheel's lock
    timer_node* previous = nullptr;
    std::uint64_t tick = 0;
    std::uint8_t level = 0;
    std::uint8_t slot = 0;
    bool linked = false;
};

// For a fire function to return: the node is armed again, on the same wheel.
RT_API task_header* fire_again_at(timer_node& node, std::uint64_t deadline_ns) noexcept;

// Monotonic time in ns.
RT_API std::uint64_t now_ns() noexcept;

// Arms `node` on the running worker's wheel. Requires: a worker thread.
RT_API void arm_timer(timer_node& node, std::uint64_t deadline_ns) noexcept;

// Takes it back. False: it has fired or was never armed. Threads: any.
RT_API bool cancel_timer(timer_node& node) noexcept;

} // namespace rt::detail

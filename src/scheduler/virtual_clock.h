// SPDX-License-Identifier: MIT
//
// The clock of a pool's timers: CLOCK_MONOTONIC, or, for tests on flavor::current_thread, one that
// can be stopped and moved.
//
// Written by the only worker of such a pool, inside its tasks; constant in all other pools. While
// it is not paused it runs `offset_ns_` ahead of CLOCK_MONOTONIC (what was skipped while it was),
// so a deadline has to be translated before the driver sleeps until it.
#pragma once

#include "base/assert.h"
#include "base/clock.h"

#include <cstdint>

namespace rt::scheduler {

class virtual_clock {
public:
    [[nodiscard]] std::uint64_t now_ns() const noexcept {
        if (is_paused_) [[unlikely]] {
            return now_ns_;
        }
        return base::monotonic_ns() + offset_ns_;
    }

    // The same as of the kernel's last tick, some milliseconds ago, at an eighth of the price.
    [[nodiscard]] std::uint64_t coarse_ns() const noexcept {
        if (is_paused_) [[unlikely]] {
            return now_ns_;
        }
        return base::coarse_ns() + offset_ns_;
    }

    [[nodiscard]] bool is_paused() const noexcept { return is_paused_; }

    // Stops at `at_ns`, which is not before now.
    void pause(std::uint64_t at_ns) noexcept {
        RT_ASSERT(!is_paused_);
        is_paused_ = true;
        now_ns_ = at_ns;
    }

    void resume() noexcept {
        RT_ASSERT(is_paused_);
        is_paused_ = false;
        offset_ns_ = now_ns_ - base::monotonic_ns();
    }

    // Requires: paused. Never goes back.
    void jump_to(std::uint64_t at_ns) noexcept {
        RT_ASSERT(is_paused_);
        now_ns_ = at_ns > now_ns_ ? at_ns : now_ns_;
    }

    // A deadline of this clock as one of CLOCK_MONOTONIC. Requires: not paused.
    [[nodiscard]] std::int64_t to_monotonic(std::int64_t deadline_ns) const noexcept {
        const auto offset = static_cast<std::int64_t>(offset_ns_);
        return deadline_ns == INT64_MAX || deadline_ns == 0 ? deadline_ns : deadline_ns - offset;
    }

private:
    std::uint64_t now_ns_ = 0;    // while paused
    std::uint64_t offset_ns_ = 0; // while not; wraps when real time has overtaken it
    bool is_paused_ = false;
};

} // namespace rt::scheduler

// SPDX-License-Identifier: MIT
#include "base/assert.h"
#include "scheduler/scheduler.h"

#include <rt/paused_clock.h>

namespace rt {

void pause_clock() noexcept {
    if (!scheduler::pause_clock()) {
        base::fatal("rt::pause_clock(): the clock is paused already, or this is not a task of a "
                    "flavor::current_thread runtime");
    }
}

void resume_clock() noexcept {
    if (!scheduler::resume_clock()) {
        base::fatal("rt::resume_clock(): the clock is not paused here");
    }
}

bool is_clock_paused() noexcept {
    return scheduler::is_clock_paused();
}

void detail::advance_clock(std::uint64_t ns) noexcept {
    if (!scheduler::advance_clock(ns)) {
        base::fatal("rt::advance_clock(): the clock is not paused here");
    }
}

} // namespace rt

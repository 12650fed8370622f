// SPDX-License-Identifier: MIT
//
// When the next tick of an interval is due.
//
// A tick is at least a wheel's millisecond late, often more on a busy worker; what counts as missed
// begins at 5 ms, Tokio's figure, so that an interval keeps its phase in ordinary operation
// whatever its policy.
//
// A period may be as long as a duration can be, and the first tick at any point in time: sums
// saturate. A tick for which no timer can be set, because it is due farther away than one can be,
// does not come: the wait for it has no timer. To wait for the last timer there is would be to tick
// early, eight months, and once more at each attempt.
#include "base/assert.h"

#include <rt/detail/suspend.h>
#include <rt/detail/timer.h>
#include <rt/interval.h>

#include <cstdint>

namespace rt {
namespace {

using detail::saturating_sum;

constexpr clock::duration late_max = std::chrono::milliseconds(5);

// How long before `now` there was a multiple of `period` from `due`. Without a sign, because what
// is between the two may be more than a duration can be. REQUIRES: due <= now.
clock::duration
since_multiple(clock::time_point due, clock::time_point now, clock::duration period) noexcept {
    RT_ASSERT(due <= now);
    const std::uint64_t between = static_cast<std::uint64_t>(now.time_since_epoch().count()) -
        static_cast<std::uint64_t>(due.time_since_epoch().count());
    return clock::duration(
        static_cast<clock::rep>(between % static_cast<std::uint64_t>(period.count()))
    );
}

} // namespace

interval::interval(clock::time_point first, clock::duration period) noexcept
    : next_(first)
    , period_(period) {
    if (period <= clock::duration::zero()) {
        base::fatal("rt::interval with a period that is not positive: give it at least 1 ns");
    }
}

clock::time_point interval::advance(clock::time_point now) noexcept {
    const clock::time_point due = next_;
    if (now <= saturating_sum(due, late_max)) {
        next_ = saturating_sum(due, period_);
        return due;
    }
    switch (on_missed_) {
    case missed_ticks::burst:
        next_ = saturating_sum(due, period_);
        break;
    case missed_ticks::delay:
        next_ = saturating_sum(now, period_);
        break;
    case missed_ticks::skip:
        next_ = saturating_sum(now, period_ - since_multiple(due, now, period_));
        break;
    }
    return due;
}

// The interval may have been reset since tick() was called.
bool tick_awaiter::await_ready() noexcept {
    const std::uint64_t next_ns = detail::to_ns(owner_->next_.time_since_epoch());
    set_deadline(next_ns == detail::farthest_ns ? never_ns : next_ns);
    is_due_ = clock::now() >= owner_->next_;
    return is_due_ && detail::consume_budget();
}

clock::time_point tick_awaiter::await_resume() noexcept {
    return owner_->advance(clock::now());
}

} // namespace rt

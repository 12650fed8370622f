// SPDX-License-Identifier: MIT
//
// From an absolute deadline to what a waiting system call wants.
#pragma once

#include "base/clock.h"
#include "driver/driver.h"

#include <cstdint>

namespace rt::driver {

// Nanoseconds from now to `deadline_ns`, not negative. Requires: a deadline that is not
// no_deadline.
inline std::int64_t nanoseconds_until(std::int64_t deadline_ns) noexcept {
    if (deadline_ns <= 0) {
        return 0;
    }
    const auto now = static_cast<std::int64_t>(base::monotonic_ns());
    return deadline_ns > now ? deadline_ns - now : 0;
}

// The same in whole milliseconds, rounded up, as epoll_wait wants it; -1 for no_deadline.
inline int milliseconds_until(std::int64_t deadline_ns) noexcept {
    if (deadline_ns == no_deadline) {
        return -1;
    }
    constexpr std::int64_t most = 24LL * 3600 * 1000; // a day: the caller loops
    const std::int64_t ms = (nanoseconds_until(deadline_ns) + 999'999) / 1'000'000;
    return static_cast<int>(ms < most ? ms : most);
}

} // namespace rt::driver

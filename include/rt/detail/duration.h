// SPDX-License-Identifier: MIT
//
// Durations of std::chrono as nanoseconds.
#pragma once

#include <chrono>
#include <cstdint>

namespace rt::detail {

// Negative ones are none, and those beyond what fits saturate.
template<typename Rep, typename Period>
constexpr std::uint64_t to_ns(std::chrono::duration<Rep, Period> duration) noexcept {
    using limit = std::chrono::duration<double, std::nano>;
    const double ns = std::chrono::duration_cast<limit>(duration).count();
    if (ns <= 0) {
        return 0;
    }
    if (ns >= 4e18) {
        return 4'000'000'000'000'000'000ULL;
    }
    return static_cast<std::uint64_t>(std::chrono::ceil<std::chrono::nanoseconds>(duration).count()
    );
}

} // namespace rt::detail

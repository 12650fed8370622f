// SPDX-License-Identifier: MIT
//
// The fallback half of the clock contract in src/base/arch.h: no cycle counter, so that
// base/clock.h serves every time stamp from the vDSO. Included by base/arch.h only; the folder is
// chosen by -I.
#pragma once

#include <cstdint>

namespace rt::arch {

struct clock_arch {
    static constexpr bool has_cycle_counter = false;
    static constexpr const char* trusted_sources = "";

    static std::uint64_t cycles() noexcept { return 0; }
    static bool is_invariant() noexcept { return false; }
    static std::uint64_t frequency_hz() noexcept { return 0; }
};

} // namespace rt::arch

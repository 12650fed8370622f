// SPDX-License-Identifier: MIT
//
// The AArch64 half of the clock contract in src/base/arch.h: the generic timer's virtual counter,
// which is architecturally the same on all cores. Included by base/arch.h only; chosen by -I.
#pragma once

#include <cstdint>

namespace rt::arch {

struct clock_arch {
    static constexpr bool has_cycle_counter = true;
    static constexpr const char* trusted_sources = "arch_sys_counter";

    /// Not ordered against the instructions around it; an isb would cost more than the blur.
    static std::uint64_t cycles() noexcept {
        std::uint64_t count = 0;
        asm volatile("mrs %0, cntvct_el0" : "=r"(count));
        return count;
    }

    static bool is_invariant() noexcept { return true; }

    static std::uint64_t frequency_hz() noexcept {
        std::uint64_t hertz = 0;
        asm volatile("mrs %0, cntfrq_el0" : "=r"(hertz));
        return hertz;
    }
};

} // namespace rt::arch

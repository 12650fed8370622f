// SPDX-License-Identifier: MIT
//
// The x86-64 half of the USDT contract in src/base/arch.h. Included by base/arch.h, and through it
// before <sys/sdt.h>: every operand of a probe is asked for in a register, because perf(1) drops
// the arguments that the compiler turned into immediates.
#pragma once

#define STAP_SDT_ARG_CONSTRAINT r

namespace rt::arch {

struct probe_arch {
    static constexpr const char* operand_constraint = "r";

    /// Hides from the compiler that `value` is a constant, for probes without the constraint above.
    template<class T>
    [[gnu::always_inline]] static T opaque(T value) noexcept {
        asm volatile("" : "+r"(value));
        return value;
    }
};

} // namespace rt::arch

// SPDX-License-Identifier: MIT
//
// The AArch64 half of the contract in src/base/arch.h: pause, prefetch, and the two sizes that
// decide how shared data is laid out. Included by base/arch.h only; the folder is chosen by -I.
#pragma once

#include <cstddef>

namespace rt::arch {

struct cpu_arch {
    static constexpr const char* name = "aarch64";

    static constexpr std::size_t cache_line_bytes = 64;

    // Some cores (Apple's, Fujitsu's A64FX up to 256) have longer lines than the usual 64 bytes;
    // 128 covers those that servers are built from.
    static constexpr std::size_t destructive_interference_bytes = 128;

    /// isb, and not yield: yield is a no-op on most cores, whereas isb delays by tens of cycles,
    /// which is what pause does elsewhere.
    static void relax() noexcept { asm volatile("isb" ::: "memory"); }

    static void prefetch_read(const void* address) noexcept {
        asm volatile("prfm pldl1keep, [%0]" ::"r"(address));
    }

    static void prefetch_write(const void* address) noexcept {
        asm volatile("prfm pstl1keep, [%0]" ::"r"(address));
    }
};

} // namespace rt::arch

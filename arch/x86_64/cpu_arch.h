// SPDX-License-Identifier: MIT
//
// The x86-64 half of the contract in src/base/arch.h: pause, prefetch, and the two sizes that
// decide how shared data is laid out. Included by base/arch.h only; the folder is chosen by -I.
#pragma once

#include <cstddef>

namespace rt::arch {

struct cpu_arch {
    static constexpr const char* name = "x86_64";

    static constexpr std::size_t cache_line_bytes = 64;

    // Two lines, because the adjacent-line prefetcher of Intel's cores pulls them in pairs.
    static constexpr std::size_t destructive_interference_bytes = 128;

    /// Tells the core that it spins: frees the sibling hyperthread and saves power.
    static void relax() noexcept { asm volatile("pause" ::: "memory"); }

    static void prefetch_read(const void* address) noexcept {
        asm volatile("prefetcht0 %0" ::"m"(*static_cast<const char*>(address)));
    }

    /// Asks for the line in a state that can be written. A hint; a core without it ignores it.
    static void prefetch_write(const void* address) noexcept {
        asm volatile("prefetchw %0" ::"m"(*static_cast<const char*>(address)));
    }
};

} // namespace rt::arch

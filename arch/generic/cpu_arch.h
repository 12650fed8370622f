// SPDX-License-Identifier: MIT
//
// The fallback half of the contract in src/base/arch.h, in compiler builtins only: correct on every
// CPU that Linux runs on, without knowing it. Included by base/arch.h only; the folder is chosen by
// -I.
#pragma once

#include <cstddef>

namespace rt::arch {

struct cpu_arch {
    static constexpr const char* name = "generic";

    static constexpr std::size_t cache_line_bytes = 64;
    static constexpr std::size_t destructive_interference_bytes = 128;

    /// No portable pause exists; the barrier keeps the compiler from folding a spin loop.
    static void relax() noexcept { asm volatile("" ::: "memory"); }

    static void prefetch_read(const void* address) noexcept { __builtin_prefetch(address, 0, 3); }
    static void prefetch_write(const void* address) noexcept { __builtin_prefetch(address, 1, 3); }
};

} // namespace rt::arch

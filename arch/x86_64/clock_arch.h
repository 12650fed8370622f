// SPDX-License-Identifier: MIT
//
// The x86-64 half of the clock contract in src/base/arch.h: the time-stamp counter.
// Included by base/arch.h only; the folder is chosen by -I.
#pragma once

#include <cstdint>

#include <cpuid.h>

namespace rt::arch {

struct clock_arch {
    static constexpr bool has_cycle_counter = true;

    /// The kernel's clock source must be one of these before the counter is trusted: the kernel has
    /// then checked that the counters of all CPUs agree.
    static constexpr const char* trusted_sources = "tsc kvm-clock hyperv_clocksource_tsc_page";

    /// Not ordered against the instructions around it: a few nanoseconds of blur cost less than the
    /// fence of rdtscp (10 ns against 19 ns, where this was measured).
    static std::uint64_t cycles() noexcept { return __builtin_ia32_rdtsc(); }

    /// The rate neither changes with the core's frequency nor stops in deep sleep.
    static bool is_invariant() noexcept {
        unsigned eax = 0;
        unsigned ebx = 0;
        unsigned ecx = 0;
        unsigned edx = 0;
        constexpr unsigned invariant_bit = 1U << 8;
        return __get_cpuid(0x80000007U, &eax, &ebx, &ecx, &edx) != 0 && (edx & invariant_bit) != 0;
    }

    /// From CPUID leaf 0x15 (crystal times ratio); 0 when the CPU does not say, as under most
    /// hypervisors and on every AMD core.
    static std::uint64_t frequency_hz() noexcept {
        unsigned denominator = 0;
        unsigned numerator = 0;
        unsigned crystal_hz = 0;
        unsigned unused = 0;
        if (__get_cpuid(0x15U, &denominator, &numerator, &crystal_hz, &unused) == 0) {
            return 0;
        }
        if (denominator == 0 || numerator == 0 || crystal_hz == 0) {
            return 0;
        }
        return std::uint64_t{crystal_hz} * numerator / denominator;
    }
};

} // namespace rt::arch

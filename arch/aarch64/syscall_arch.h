// SPDX-License-Identifier: MIT
//
// The AArch64 half of the system call contract in src/base/arch.h: the instruction, inline.
// Included by base/arch.h only; the folder is chosen by -I.
#pragma once

namespace rt::arch {

struct syscall_arch {
    [[gnu::always_inline]] static long
    call(long number, long a, long b, long c, long d, long e, long f) noexcept {
        register long which asm("x8") = number;
        register long first asm("x0") = a;
        register long second asm("x1") = b;
        register long third asm("x2") = c;
        register long fourth asm("x3") = d;
        register long fifth asm("x4") = e;
        register long sixth asm("x5") = f;
        asm volatile("svc #0"
                     : "+r"(first)
                     : "r"(which), "r"(second), "r"(third), "r"(fourth), "r"(fifth), "r"(sixth)
                     : "memory", "cc");
        return first;
    }
};

} // namespace rt::arch

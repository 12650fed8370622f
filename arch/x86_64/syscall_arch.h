// SPDX-License-Identifier: MIT
//
// The x86-64 half of the system call contract in src/base/arch.h: the instruction, inline.
// Included by base/arch.h only; the folder is chosen by -I.
#pragma once

namespace rt::arch {

struct syscall_arch {
    [[gnu::always_inline]] static long
    call(long number, long a, long b, long c, long d, long e, long f) noexcept {
        register long fourth asm("r10") = d;
        register long fifth asm("r8") = e;
        register long sixth asm("r9") = f;
        long result = 0;
        asm volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(fourth), "r"(fifth), "r"(sixth)
                     : "rcx", "r11", "memory");
        return result;
    }
};

} // namespace rt::arch

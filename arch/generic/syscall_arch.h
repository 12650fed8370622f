// SPDX-License-Identifier: MIT
//
// The fallback half of the system call contract in src/base/arch.h: through the C library.
// Included by base/arch.h only; the folder is chosen by -I.
#pragma once

#include <cerrno>

#include <unistd.h>

namespace rt::arch {

struct syscall_arch {
    static long call(long number, long a, long b, long c, long d, long e, long f) noexcept {
        const long result = ::syscall(number, a, b, c, d, e, f);
        return result == -1 ? -errno : result;
    }
};

} // namespace rt::arch

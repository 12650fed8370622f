// SPDX-License-Identifier: MIT
//
// The fallback half of the USDT contract in src/base/arch.h: sys/sdt.h keeps its own default
// constraint, which is right where nobody has checked a better one. Included by base/arch.h only.
#pragma once

namespace rt::arch {

struct probe_arch {
    static constexpr const char* operand_constraint = "";

    template<class T>
    static T opaque(T value) noexcept {
        return value;
    }
};

} // namespace rt::arch

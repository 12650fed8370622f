// SPDX-License-Identifier: MIT
//
// The AArch64 half of the stack-walk contract in src/base/arch.h. A frame record is {x29, x30}; x30
// may carry a pointer-authentication code. Safe in a signal handler. Included by base/arch.h only.
#pragma once

#include <cstdint>

#include <ucontext.h>

namespace rt::arch {

struct frame_arch {
    static constexpr bool has_frame_pointers = true;
    static constexpr std::uintptr_t frame_bytes = 2 * sizeof(std::uintptr_t);

    [[gnu::always_inline]] static std::uintptr_t current_frame() noexcept {
        return reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
    }

    /// REQUIRES: [frame, frame + frame_bytes) is readable.
    static std::uintptr_t caller_frame(std::uintptr_t frame) noexcept {
        return *reinterpret_cast<const std::uintptr_t*>(frame);
    }
    static std::uintptr_t return_address(std::uintptr_t frame) noexcept {
        // "hint 7" is xpaclri: it strips the code from x30 and is a no-op on cores without the
        // feature.
        register std::uintptr_t link asm("x30") = reinterpret_cast<const std::uintptr_t*>(frame)[1];
        asm("hint 7" : "+r"(link));
        return link;
    }

    static std::uintptr_t program_counter(const ucontext_t& interrupted) noexcept {
        return static_cast<std::uintptr_t>(interrupted.uc_mcontext.pc);
    }
    static std::uintptr_t frame_pointer(const ucontext_t& interrupted) noexcept {
        return static_cast<std::uintptr_t>(interrupted.uc_mcontext.regs[29]);
    }
    static std::uintptr_t stack_pointer(const ucontext_t& interrupted) noexcept {
        return static_cast<std::uintptr_t>(interrupted.uc_mcontext.sp);
    }
};

} // namespace rt::arch

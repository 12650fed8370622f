// SPDX-License-Identifier: MIT
//
// The x86-64 half of the stack-walk contract in src/base/arch.h. A frame begins with the caller's
// rbp; the return address lies above it. Safe in a signal handler. Included by base/arch.h only.
#pragma once

#include <cstdint>

#include <ucontext.h>

namespace rt::arch {

struct frame_arch {
    static constexpr bool has_frame_pointers = true;

    /// Bytes a step reads, from the frame pointer upwards.
    static constexpr std::uintptr_t frame_bytes = 2 * sizeof(std::uintptr_t);

    [[gnu::always_inline]] static std::uintptr_t current_frame() noexcept {
        return reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
    }

    /// REQUIRES: [frame, frame + frame_bytes) is readable.
    static std::uintptr_t caller_frame(std::uintptr_t frame) noexcept {
        return *reinterpret_cast<const std::uintptr_t*>(frame);
    }
    static std::uintptr_t return_address(std::uintptr_t frame) noexcept {
        return reinterpret_cast<const std::uintptr_t*>(frame)[1];
    }

    static std::uintptr_t program_counter(const ucontext_t& interrupted) noexcept {
        return static_cast<std::uintptr_t>(interrupted.uc_mcontext.gregs[REG_RIP]);
    }
    static std::uintptr_t frame_pointer(const ucontext_t& interrupted) noexcept {
        return static_cast<std::uintptr_t>(interrupted.uc_mcontext.gregs[REG_RBP]);
    }
    static std::uintptr_t stack_pointer(const ucontext_t& interrupted) noexcept {
        return static_cast<std::uintptr_t>(interrupted.uc_mcontext.gregs[REG_RSP]);
    }
};

} // namespace rt::arch

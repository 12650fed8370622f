// SPDX-License-Identifier: MIT
//
// The fallback half of the stack-walk contract in src/base/arch.h: the frame layout is not known,
// so a dump shows async stacks only, and no native frames. Included by base/arch.h only.
#pragma once

#include <cstdint>

#include <ucontext.h>

namespace rt::arch {

struct frame_arch {
    static constexpr bool has_frame_pointers = false;
    static constexpr std::uintptr_t frame_bytes = 0;

    static std::uintptr_t current_frame() noexcept { return 0; }
    static std::uintptr_t caller_frame(std::uintptr_t) noexcept { return 0; }
    static std::uintptr_t return_address(std::uintptr_t) noexcept { return 0; }
    static std::uintptr_t program_counter(const ucontext_t&) noexcept { return 0; }
    static std::uintptr_t frame_pointer(const ucontext_t&) noexcept { return 0; }
    static std::uintptr_t stack_pointer(const ucontext_t&) noexcept { return 0; }
};

} // namespace rt::arch

// SPDX-License-Identifier: MIT
//
// Whether memory has ever run out in this process: what is empty for that reason throws
// std::bad_alloc when it is used, and what is empty for any other is misused (rt/detail/promise.h).
// Said by whoever has to return null to a program; asked by has_run_out_of_memory().
#pragma once

namespace rt::memory {

// Threads: any.
void note_exhaustion() noexcept;

// Returns `block`, and notes it if it is null.
template<typename T>
T* note_if_null(T* block) noexcept {
    if (block == nullptr) [[unlikely]] {
        note_exhaustion();
    }
    return block;
}

} // namespace rt::memory

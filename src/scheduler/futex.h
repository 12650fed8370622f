// SPDX-License-Identifier: MIT
//
// Sleeping on a word, for the few threads of the pool that are not on a driver.
#pragma once

#include <rt/detail/atomic.h>

#include <climits>
#include <cstdint>
#include <ctime>

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace rt::scheduler {

// Sleeps while the word is `value`. Spurious returns are possible.
inline void futex_wait(const atomic<std::uint32_t>& word, std::uint32_t value) noexcept {
    static_cast<void>(
        ::syscall(SYS_futex, word.address(), FUTEX_WAIT_PRIVATE, value, nullptr, nullptr, 0)
    );
}

// The same, but not for longer than `ns`, which is less than a second.
inline void
futex_wait_for(const atomic<std::uint32_t>& word, std::uint32_t value, long ns) noexcept {
    const timespec limit{0, ns};
    static_cast<void>(
        ::syscall(SYS_futex, word.address(), FUTEX_WAIT_PRIVATE, value, &limit, nullptr, 0)
    );
}

// Uses the address only as a number: the word may be gone.
inline void futex_wake_all(const atomic<std::uint32_t>& word) noexcept {
    static_cast<void>(
        ::syscall(SYS_futex, word.address(), FUTEX_WAKE_PRIVATE, INT_MAX, nullptr, nullptr, 0)
    );
}

} // namespace rt::scheduler

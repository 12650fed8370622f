// SPDX-License-Identifier: MIT
//
// What the threads of the blocking pool ask of the kernel: a name, sleep until a moment, a wake-up.
#pragma once

#include "base/clock.h"

#include <rt/detail/atomic.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <ctime>
#include <string>

#include <linux/futex.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace rt::offload {

inline constexpr std::size_t thread_name_bytes = 16; // the kernel's limit, with the terminator

// NAME-bN, where NAME gives way to the number.
inline void name_this_thread(const std::string& name, std::uint32_t number) noexcept {
    char suffix[thread_name_bytes];
    const int length = std::snprintf(suffix, sizeof(suffix), "-b%u", number);
    const int room = static_cast<int>(thread_name_bytes) - 1 - length;
    char text[2 * thread_name_bytes];
    static_cast<void>(std::snprintf(text, sizeof(text), "%.*s%s", room, name.c_str(), suffix));
    static_cast<void>(::pthread_setname_np(::pthread_self(), text));
}

// Sleeps while *word == value, until a moment of CLOCK_MONOTONIC. May return early.
inline void futex_wait_until(
    const atomic<std::uint32_t>& word, std::uint32_t value, std::uint64_t deadline_ns
) noexcept {
    const timespec until{
        static_cast<time_t>(deadline_ns / base::ns_per_second),
        static_cast<long>(deadline_ns % base::ns_per_second)};
    static_cast<void>(::syscall(
        SYS_futex, &word, FUTEX_WAIT_BITSET_PRIVATE, value, &until, nullptr, FUTEX_BITSET_MATCH_ANY
    ));
}

// The address is only a number here: a word that is gone meanwhile makes a spurious wake-up.
inline void futex_wake(const atomic<std::uint32_t>* word) noexcept {
    static_cast<void>(::syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0));
}

} // namespace rt::offload

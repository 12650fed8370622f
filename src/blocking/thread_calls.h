// SPDX-License-Identifier: MIT
//
// What the threads of the blocking pool ask of the kernel: a name, sleep until a moment, a wake-up.
// And what tells one submitter from another.
//
// Used by pool.cc and roster.cc, from any thread. An idle thread and its caller agree through one
// word, the thread's signal: the thread writes listening before it can be found, and asleep when it
// is about to sleep in the kernel; its caller writes called, and owes a wake-up only if it found
// asleep there. The model test has calls of its own in place of these.
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

// What an idle thread does. It writes asleep, others write called.
namespace call_word {
inline constexpr std::uint32_t listening = 0;
inline constexpr std::uint32_t asleep = 1;
inline constexpr std::uint32_t called = 2;
} // namespace call_word

// Sleeps until somebody writes called. False: so much time has passed without it.
inline bool wait_for_call(atomic<std::uint32_t>& signal, std::uint64_t keep_alive_ns) noexcept {
    const std::uint64_t deadline_ns = base::monotonic_ns() + keep_alive_ns;
    std::uint32_t seen = call_word::listening;
    // acquire, here and below: pairs with the release of who calls.
    static_cast<void>(signal.cas_strong_acq_rel(seen, call_word::asleep));
    for (;;) {
        if (signal.load_acquire() == call_word::called) {
            return true;
        }
        if (base::monotonic_ns() >= deadline_ns) {
            return false;
        }
        futex_wait_until(signal, call_word::asleep, deadline_ns);
    }
}

// A number of the calling thread, always the same; threads that first ask one after the other get
// neighbouring numbers, which are in shards of their own.
inline std::uint32_t submitter_number() noexcept {
    static constinit atomic<std::uint32_t> last{0};
    constinit thread_local std::uint32_t mine = 0;
    if (mine == 0) [[unlikely]] {
        mine =
            last.add_relaxed(1) + 1; // relaxed: a number; 0 again after 2^32 threads, and retried
    }
    return mine;
}

} // namespace rt::offload

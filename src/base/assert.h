// SPDX-License-Identifier: MIT
//
// Three levels of assertion, and fatal(): how the library says that the program, or the library
// itself, is wrong, and stops.
//
// RT_ASSERT is in every build and must cost nanoseconds. RT_DEBUG_ASSERT counts when RT_DEBUG or
// RT_CHECKS is set, RT_EXPENSIVE_ASSERT (which may walk whole structures) when RT_CHECKS is set;
// both are compiled, so that they cannot rot, in every build. Never for bad input, nor for a
// failing system call: those are rt::result.
//
// fatal() writes one line "librt: …" to descriptor 2 with write(2), then what the registered
// describer says about this thread (task, worker), then the last notes of this thread, then calls
// abort. It allocates nothing and takes no lock, so that it works in a signal handler and under any
// lock. Callable from every thread.
//
// Rejected: stderr (its lock may be held by the thread that crashed), and throwing (a broken
// invariant must not run more code).
#pragma once

#include "config.h"

#include <cstddef>
#include <cstdint>

namespace rt::base {

// configure's --enable-checks and --enable-debug.
inline constexpr bool expensive_checks = RT_CHECKS != 0;
inline constexpr bool debug_checks = RT_DEBUG != 0 || expensive_checks;

/// Prints `librt: ` and the formatted text, cut at 1024 bytes, and aborts. No floating point in the
/// arguments: printf may allocate for it.
[[noreturn, gnu::format(printf, 1, 2), gnu::cold]] void fatal(const char* format, ...) noexcept;

[[noreturn, gnu::cold]] void assert_failed(
    const char* condition, const char* file, unsigned line, const char* function
) noexcept;

/// Remembers an event of this thread for the context that fatal() prints: two stores, the sixteen
/// newest are kept. `what` is a string literal.
void context_note(const char* what, std::uint64_t value) noexcept;

/// Writes a line about the calling thread into `buffer`, without allocating or locking, and returns
/// its length; 0 when there is nothing to say.
using fatal_describer = std::size_t (*)(char* buffer, std::size_t capacity) noexcept;

/// One describer per process; the newest replaces the one before. nullptr removes it.
void set_fatal_describer(fatal_describer describer) noexcept;

} // namespace rt::base

#define RT_ASSERT(condition)                                                                       \
    (__builtin_expect(static_cast<bool>(condition), 1)                                             \
         ? static_cast<void>(0)                                                                    \
         : ::rt::base::assert_failed(#condition, __FILE__, __LINE__, __func__))

#define RT_DEBUG_ASSERT(condition)                                                                 \
    do {                                                                                           \
        if constexpr (::rt::base::debug_checks) {                                                  \
            RT_ASSERT(condition);                                                                  \
        }                                                                                          \
    } while (false)

#define RT_EXPENSIVE_ASSERT(condition)                                                             \
    do {                                                                                           \
        if constexpr (::rt::base::expensive_checks) {                                              \
            RT_ASSERT(condition);                                                                  \
        }                                                                                          \
    } while (false)

// SPDX-License-Identifier: MIT
//
// The seed and the size of stress tests, or the clock and what `make check` has time for; and the
// line that says how much was done.
//
//   RT_STRESS_SEED        repeats the decisions
//   RT_STRESS_SECONDS     each test lasts so long
//   RT_STRESS_OPERATIONS  each storm does so many operations, and ends before only if its seconds
//                         were given, too, and are over
//   RT_STRESS_ROOTS       so many trees of tasks grow at once: with many, no worker sleeps
#pragma once

#include <charconv>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include <unistd.h>

namespace rt::test {

inline std::uint64_t number_from_environment(const char* name, std::uint64_t otherwise) {
    const char* const text = std::getenv(name);
    std::uint64_t value = otherwise;
    if (text != nullptr) {
        std::from_chars(text, text + std::strlen(text), value);
    }
    return value;
}

// The seed of a test, printed so that a failure names the one to try again.
inline std::uint64_t stress_seed(const char* test) {
    const auto now = std::chrono::steady_clock::now().time_since_epoch().count();
    const std::uint64_t seed = number_from_environment(
        "RT_STRESS_SEED",
        static_cast<std::uint64_t>(now) ^ static_cast<std::uint64_t>(::getpid()) << 40U
    );
    std::fprintf(stderr, "%s: RT_STRESS_SEED=%llu\n", test, static_cast<unsigned long long>(seed));
    return seed;
}

// As many operations as the environment says, or no limit.
inline std::uint64_t stress_operations() {
    return number_from_environment("RT_STRESS_OPERATIONS", UINT64_MAX);
}

inline std::uint64_t stress_roots() {
    return number_from_environment("RT_STRESS_ROOTS", 8);
}

// `otherwise`, or as many seconds as the environment says.
inline std::chrono::nanoseconds stress_time(std::chrono::nanoseconds otherwise) {
    const std::uint64_t seconds = number_from_environment("RT_STRESS_SECONDS", 0);
    return seconds == 0 ? otherwise : std::chrono::seconds(seconds);
}

// The same for a test that counts operations: as long as they take, if nothing is said of seconds.
inline std::chrono::nanoseconds storm_time(std::chrono::nanoseconds otherwise) {
    return stress_time(stress_operations() == UINT64_MAX ? otherwise : std::chrono::hours(1000));
}

// The last line of a storm: what was done without a loss.
inline void
report_operations(const char* test, std::uint64_t operations, std::chrono::nanoseconds took) {
    std::fprintf(
        stderr,
        "%s: %llu operations in %.1f s\n",
        test,
        static_cast<unsigned long long>(operations),
        std::chrono::duration<double>(took).count()
    );
}

} // namespace rt::test

// SPDX-License-Identifier: MIT
//
// The chaos hook of rt::atomic, called before each atomic operation in builds with
// features::chaos or RT_CHAOS.
//
// Mostly it does nothing; sometimes it spins for a random while, rarely it gives up the CPU. With
// LIBRT_CHAOS_RARITY=N it does so N times more rarely, and spins the square root of N times longer,
// for runs of a thousand million operations. The stream of each thread is derived from one seed,
// LIBRT_CHAOS_SEED when set and otherwise the clock, and printed once to descriptor 2, so that a
// failing run names the seed to try again. That repeats the decisions of each thread, not the
// interleaving itself, which the kernel chooses; it is good at widening races, and the model tests
// are what proves protocols.
#include "base/arch.h"
#include "base/random.h"

#include <rt/detail/atomic.h>

#include <algorithm>
#include <atomic> // tidy:allow banned: the hook of rt::atomic must not call itself
#include <cstdio>
#include <cstdlib>

#include <sched.h>
#include <time.h>
#include <unistd.h>

namespace rt::detail {

namespace {

// Out of 1024 operations: numbers from nowhere, chosen so that a test slows down about threefold.
constexpr std::uint32_t period = 1024;
constexpr std::uint32_t yield_below = 4;
constexpr std::uint32_t spin_below = 64;
constexpr std::uint32_t spin_rounds_max = 200;
constexpr std::uint32_t rarity_max = 1024;

constinit std::atomic<std::uint64_t> thread_count{0}; // tidy:allow banned: as above

std::uint64_t choose_seed() noexcept {
    std::uint64_t seed = 0;
    if (const char* wanted = ::secure_getenv("LIBRT_CHAOS_SEED"); wanted != nullptr) {
        seed = std::strtoull(wanted, nullptr, 0);
    } else {
        timespec now{};
        ::clock_gettime(CLOCK_MONOTONIC, &now);
        seed =
            static_cast<std::uint64_t>(now.tv_nsec) ^ static_cast<std::uint64_t>(::getpid()) << 32;
    }
    char line[64];
    const int length = std::snprintf(
        line, sizeof(line), "librt: LIBRT_CHAOS_SEED=%llu\n", static_cast<unsigned long long>(seed)
    );
    const ssize_t written = ::write(STDERR_FILENO, line, static_cast<std::size_t>(length));
    (void)written; // a lost line costs the seed, not the run
    return seed;
}

struct delays {
    std::uint32_t period;
    std::uint32_t spin_rounds_max;
};

delays choose_delays() noexcept {
    unsigned long wanted = 1;
    if (const char* text = ::secure_getenv("LIBRT_CHAOS_RARITY"); text != nullptr) {
        wanted = std::strtoul(text, nullptr, 0);
    }
    const auto rarity =
        static_cast<std::uint32_t>(std::clamp<unsigned long>(wanted, 1, rarity_max));
    std::uint32_t longer = 1;
    while ((longer + 1) * (longer + 1) <= rarity) {
        ++longer;
    }
    return {period * rarity, spin_rounds_max * longer};
}

const delays& delays_of_this_process() noexcept {
    static const delays chosen = choose_delays();
    return chosen;
}

base::random_source& source_of_this_thread() noexcept {
    static const std::uint64_t seed = choose_seed();
    // Once per thread. relaxed: only uniqueness is needed. tidy:allow banned: as above
    thread_local base::random_source source(
        seed + thread_count.fetch_add(1, std::memory_order_relaxed) // tidy:allow banned: as above
    );
    return source;
}

} // namespace

void chaos_point() noexcept {
    base::random_source& source = source_of_this_thread();
    const delays& chosen = delays_of_this_process();
    const std::uint32_t dice = source.below(chosen.period);
    if (dice < yield_below) {
        ::sched_yield();
    } else if (dice < spin_below) {
        const std::uint32_t rounds = source.below(chosen.spin_rounds_max);
        for (std::uint32_t round = 0; round < rounds; ++round) {
            base::cpu::relax();
        }
    }
}

} // namespace rt::detail

// SPDX-License-Identifier: MIT
//
// The clocks: monotonic nanoseconds, a coarse reading of the same clock, and ticks.
//
// A tick is a cycle of the CPU's counter where that is trustworthy (invariant, and chosen by the
// kernel as its own clock source), and otherwise a nanosecond of the vDSO; the caller never needs
// to know which. Take ticks on hot paths (10 ns against 22 where this was measured), and turn
// differences into time when a human or a histogram wants them. Callable from every thread; ticks
// of different CPUs may differ by some tens of nanoseconds, so a difference between threads is
// clamped at zero (ticks_between).
//
// Deadlines use monotonic_ns, which is the clock that the kernel's timeouts use; ticks drift
// against it by up to some 30 parts in a million, the error of calibration.
//
// Rejected: std::chrono in the hot path (the same vDSO call, but its representation hides which
// clock a number belongs to).
#pragma once

#include "base/arch.h"

#include <rt/detail/atomic.h>

#include <cstdint>

#include <time.h>

namespace rt::base {

inline constexpr std::uint64_t ns_per_second = 1'000'000'000;
inline constexpr std::uint64_t ns_per_millisecond = 1'000'000;
inline constexpr std::uint64_t ns_per_microsecond = 1'000;

[[nodiscard]] inline std::uint64_t read_clock_ns(clockid_t clock) noexcept {
    timespec now{};
    ::clock_gettime(clock, &now);
    return static_cast<std::uint64_t>(now.tv_sec) * ns_per_second +
        static_cast<std::uint64_t>(now.tv_nsec);
}

/// CLOCK_MONOTONIC: what deadlines are made of.
[[nodiscard]] inline std::uint64_t monotonic_ns() noexcept {
    return read_clock_ns(CLOCK_MONOTONIC);
}

/// The same clock as of the last timer tick, 1 to 10 ms ago: eight times cheaper.
[[nodiscard]] inline std::uint64_t coarse_ns() noexcept {
    return read_clock_ns(CLOCK_MONOTONIC_COARSE);
}

/// Wall clock, for time stamps that people read; it jumps.
[[nodiscard]] inline std::uint64_t realtime_ns() noexcept {
    return read_clock_ns(CLOCK_REALTIME);
}

/// What ticks() counts, decided once by calibrate_ticks().
enum class tick_source : std::uint8_t { monotonic, cycle_counter };

namespace clock_state {
// Written once, by calibrate_ticks(), before the first worker starts; read by everyone. Nanoseconds
// per tick as a 32.32 fixed-point number, or 0 while ticks are nanoseconds of the vDSO.
extern atomic<std::uint64_t> ns_per_tick_q32;
} // namespace clock_state

/// Chooses the tick source and measures its rate. A runtime that measures turns calls it before its
/// workers run; further calls change nothing. Takes up to 2 ms, the first time only. Before it,
/// ticks are nanoseconds. A tick taken before the first call must not be compared with one taken
/// after it.
tick_source calibrate_ticks() noexcept;

[[nodiscard]] inline std::uint64_t ticks() noexcept {
    if constexpr (cycle_counter::has_cycle_counter) {
        // relaxed: the word is set before the threads that care are created.
        if (clock_state::ns_per_tick_q32.load_relaxed() != 0) [[likely]] {
            return cycle_counter::cycles();
        }
    }
    return monotonic_ns();
}

[[nodiscard]] inline std::uint64_t ticks_to_ns(std::uint64_t tick_count) noexcept {
    const std::uint64_t rate =
        clock_state::ns_per_tick_q32.load_relaxed(); // relaxed: as in ticks()
    if (rate == 0) {
        return tick_count;
    }
    __extension__ using wide = unsigned __int128;
    return static_cast<std::uint64_t>((static_cast<wide>(tick_count) * rate) >> 32);
}

/// How many ticks `nanoseconds` are, for thresholds that are compared on a hot path. Not a hot
/// call.
[[nodiscard]] std::uint64_t ns_to_ticks(std::uint64_t nanoseconds) noexcept;

/// later - earlier, or 0 when another CPU's counter makes "later" look earlier.
[[nodiscard]] inline std::uint64_t
ticks_between(std::uint64_t earlier, std::uint64_t later) noexcept {
    return later > earlier ? later - earlier : 0;
}

/// One moment on both clocks. Ticks near it convert to monotonic time without accumulated drift.
struct tick_anchor {
    std::uint64_t at_ticks;
    std::uint64_t at_ns;

    [[nodiscard]] static tick_anchor now() noexcept;
    [[nodiscard]] std::uint64_t to_monotonic_ns(std::uint64_t when_ticks) const noexcept;
};

/// "cycle counter" or "clock_gettime", with the reason: for `rtctl info`. Valid after
/// calibrate_ticks.
[[nodiscard]] const char* tick_source_reason() noexcept;

} // namespace rt::base

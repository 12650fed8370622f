// SPDX-License-Identifier: MIT
//
// Choosing and calibrating the tick source.
//
// The CPU's counter is used only when three things hold: the CPU calls it invariant, the kernel
// uses it (or a paravirtual clock built on it) as its own clock source, and the rate that was
// measured is plausible. The kernel's choice is what tells that the counters of all CPUs agree: it
// watches them and changes its source when they drift apart.
//
// The rate comes from CPUID where the CPU states it, and is otherwise measured: the counter and
// CLOCK_MONOTONIC are read as a pair, twice, 2 ms apart. A pair is the best of a few tries, so that
// an interrupt between its two reads does not count; the error is then some 30 ns in 2 ms.
#include "base/clock.h"

#include "base/unique_fd.h"

#include <cstring>
#include <mutex>
#include <string_view>

#include <fcntl.h>
#include <unistd.h>

namespace rt::base {

namespace clock_state {
constinit atomic<std::uint64_t> ns_per_tick_q32{0};
} // namespace clock_state

namespace {

constexpr const char* clock_source_path =
    "/sys/devices/system/clocksource/clocksource0/current_clocksource";

constexpr std::uint64_t calibration_ns = 2 * ns_per_millisecond;
constexpr int pair_tries = 8;

// A counter slower than 1 MHz could not time a poll, and none runs above 100 GHz.
constexpr std::uint64_t frequency_hz_min = 1'000'000;
constexpr std::uint64_t frequency_hz_max = 100'000'000'000;

std::once_flag calibrated; // guards the two below
constinit tick_source chosen_source = tick_source::monotonic;
constinit const char* chosen_reason = "clock_gettime: nothing asks for the cycle counter";

/// The counter and the clock at (nearly) the same moment: the try with the least time between.
tick_anchor read_pair() noexcept {
    tick_anchor best{};
    std::uint64_t best_gap = ~std::uint64_t{0};
    for (int attempt = 0; attempt < pair_tries; ++attempt) {
        const std::uint64_t before = cycle_counter::cycles();
        const std::uint64_t now_ns = monotonic_ns();
        const std::uint64_t gap = cycle_counter::cycles() - before;
        if (gap < best_gap) {
            best_gap = gap;
            best = tick_anchor{before + gap / 2, now_ns};
        }
    }
    return best;
}

std::uint64_t measure_frequency_hz() noexcept {
    const tick_anchor begin = read_pair();
    while (monotonic_ns() - begin.at_ns < calibration_ns) {
        cpu::relax();
    }
    const tick_anchor end = read_pair();
    const std::uint64_t elapsed_ns = end.at_ns - begin.at_ns;
    const std::uint64_t elapsed_ticks = end.at_ticks - begin.at_ticks;
    __extension__ using wide = unsigned __int128;
    return static_cast<std::uint64_t>(
        static_cast<wide>(elapsed_ticks) * ns_per_second / elapsed_ns
    );
}

bool is_trusted_by_kernel() noexcept {
    char text[64];
    const unique_fd file(::open(clock_source_path, O_RDONLY | O_CLOEXEC));
    if (!file) {
        return false;
    }
    const ssize_t length = ::read(file.get(), text, sizeof(text));
    if (length <= 0) {
        return false;
    }
    std::string_view source(text, static_cast<std::size_t>(length));
    source = source.substr(0, source.find('\n'));
    // The list is separated by blanks; a name in it must match as a whole.
    std::string_view trusted = cycle_counter::trusted_sources;
    while (!trusted.empty()) {
        const std::size_t end = trusted.find(' ');
        if (trusted.substr(0, end) == source) {
            return true;
        }
        trusted.remove_prefix(end == std::string_view::npos ? trusted.size() : end + 1);
    }
    return false;
}

void choose_source() noexcept {
    if (!cycle_counter::has_cycle_counter) {
        chosen_reason = "clock_gettime: this architecture has no cycle counter";
        return;
    }
    if (!cycle_counter::is_invariant()) {
        chosen_reason = "clock_gettime: the cycle counter is not invariant";
        return;
    }
    if (!is_trusted_by_kernel()) {
        chosen_reason =
            "clock_gettime: the kernel does not use the cycle counter as its clock source";
        return;
    }
    const std::uint64_t stated_hz = cycle_counter::frequency_hz();
    const std::uint64_t hertz = stated_hz != 0 ? stated_hz : measure_frequency_hz();
    if (hertz < frequency_hz_min || hertz > frequency_hz_max) {
        chosen_reason = "clock_gettime: the cycle counter's rate is implausible";
        return;
    }
    __extension__ using wide = unsigned __int128;
    const auto rate = static_cast<std::uint64_t>((static_cast<wide>(ns_per_second) << 32) / hertz);
    chosen_source = tick_source::cycle_counter;
    chosen_reason = stated_hz != 0 ? "cycle counter: rate stated by the CPU"
                                   : "cycle counter: rate measured against CLOCK_MONOTONIC";
    // relaxed: the caller creates the threads that read it afterwards, or synchronises by
    // call_once.
    clock_state::ns_per_tick_q32.store_relaxed(rate);
}

} // namespace

tick_source calibrate_ticks() noexcept {
    std::call_once(calibrated, choose_source);
    return chosen_source;
}

std::uint64_t ns_to_ticks(std::uint64_t nanoseconds) noexcept {
    const std::uint64_t rate =
        clock_state::ns_per_tick_q32.load_relaxed(); // relaxed: as in ticks()
    if (rate == 0) {
        return nanoseconds;
    }
    __extension__ using wide = unsigned __int128;
    return static_cast<std::uint64_t>((static_cast<wide>(nanoseconds) << 32) / rate);
}

tick_anchor tick_anchor::now() noexcept {
    if (clock_state::ns_per_tick_q32.load_relaxed() != 0) { // relaxed: as in ticks()
        return read_pair();
    }
    const std::uint64_t both = monotonic_ns();
    return tick_anchor{both, both};
}

std::uint64_t tick_anchor::to_monotonic_ns(std::uint64_t when_ticks) const noexcept {
    if (when_ticks >= at_ticks) {
        return at_ns + ticks_to_ns(when_ticks - at_ticks);
    }
    const std::uint64_t back_ns = ticks_to_ns(at_ticks - when_ticks);
    return back_ns < at_ns ? at_ns - back_ns : 0;
}

const char* tick_source_reason() noexcept {
    return chosen_reason;
}

} // namespace rt::base

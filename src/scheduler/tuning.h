// SPDX-License-Identifier: MIT
//
// The scheduler's constants that are not knobs, with their origins. The knobs are in rt::config.
#pragma once

#include <cstdint>

namespace rt::scheduler {

// Turns in a row from the LIFO slot and the fresh stack before the ring gets one. Tokio allows its
// LIFO slot 3; here the private places also hold a tree's children.
inline constexpr std::uint32_t private_streak_max = 7;

// Fresh tasks moved to the ring at once, at most: half a ring, which is what one thief takes.
inline constexpr std::uint32_t share_max = 128;

// Between two samples of the watchdog. A task behind a long turn waits twice this at most.
inline constexpr std::int64_t watchdog_period_ns = 3'000'000;

// Samples without a worker awake after which the watchdog sleeps too: short gaps between requests
// must not cost a thread wake-up each.
inline constexpr std::uint32_t watchdog_quiet_periods = 8;

// What a signal takes to be handled; 16 us measured, with slack for a busy machine.
inline constexpr std::int64_t watchdog_kick_ns = 50'000;

// Rounds of event_interval turns between two walks over all headers during shutdown.
inline constexpr int shutdown_rounds = 1024;

// How long shutdown waits between two looks for tasks whose blocking closures are still running.
inline constexpr std::int64_t shutdown_look_ns = 10'000'000;

} // namespace rt::scheduler

// SPDX-License-Identifier: MIT
//
// The scheduler's constants that are not knobs, with their origins. The knobs are in rt::config.
#pragma once

#include <cstdint>

namespace rt::scheduler {

// Turns in a row from the private places (LIFO slot and fresh stack) before the ring gets its own.
// Long, because each change takes a tree of tasks out of its depth-first order: with 7 : 1 fib(25)
// opened a new subtree at every eighth turn and kept thousands of frames alive. As many turns in a
// row as two of Go's looks at its global queue are apart; fewer when they take longer, so that a
// streak is private_streak_ns or private_streak_min turns.
inline constexpr std::uint32_t private_streak_max = 61;
inline constexpr std::uint32_t private_streak_min = 3;
inline constexpr double private_streak_ns = 10'000;

// Of these, from the LIFO slot alone: two tasks that wake each other. Tokio allows 3.
inline constexpr std::uint32_t lifo_streak_max = 7;

// Turns in a row that the ring has then: it keeps a fifth of the worker.
inline constexpr std::uint32_t ring_streak_max = 16;

// Stand-ins of a pool, at most (stand_ins.cc).
inline constexpr std::uint32_t stand_ins_max = 512;

// Turns inside turns, of tasks that a lone worker runs where they are joined: some 500 bytes of its
// stack each.
inline constexpr std::uint32_t nested_max = 32;

// Rounds over the victims that a searcher makes while one of them has private tasks, before it
// sleeps: about as long as a wake-up costs the victim that would have to wake it.
inline constexpr std::uint32_t search_rounds_max = 24;

// Turns between two searches of a worker that has only tasks that yield. A search without a find is
// two locked operations and a look at every queue, several times what such a turn takes; a task
// that waits elsewhere for this worker is found a microsecond later. When the turns are longer, as
// those of a computation that gives way now and then, the second number is the limit: otherwise a
// task waited for eight of them.
inline constexpr std::uint32_t yields_per_search = 8;
inline constexpr std::uint64_t yields_search_ns = 5'000;

// Between two looks at the queues while a worker spins before it sleeps. A look takes the line that
// producers write away from them, and finds one task at a time where a later one finds many: with a
// look every 50 ns, 1000 spawns from outside took 5.2 ms in place of 1.5.
inline constexpr std::uint64_t spin_look_ns = 500;

// Spawns and ends of turns that go by between two looks at the clock of a worker that rests from
// sharing, at least.
inline constexpr std::uint32_t rest_looks_min = 8;

// Fresh tasks moved to the ring at once, at most: half a ring, which is what one thief takes.
inline constexpr std::uint32_t share_max = 128;

// Between two samples of the watchdog. A task behind a long turn waits twice this at most.
inline constexpr std::int64_t watchdog_period_ns = 2'000'000;

// Samples that every worker must have been found in the same turn before a stand-in is called: a
// pool whose turns take 4 ms now and then shall not change threads for that.
inline constexpr std::uint32_t relief_samples = 2;

// Samples between two attempts to make a stand-in, when the last has not come: a second.
inline constexpr std::uint32_t relief_retry_samples = 500;

// Samples without a worker awake after which the watchdog sleeps too: short gaps between requests
// must not cost a thread wake-up each.
inline constexpr std::uint32_t watchdog_quiet_periods = 12;

// What a signal takes to be handled; 16 us measured where the thread sleeps. A thread that computes
// must be interrupted first, which takes longer on a virtual machine, so it may be this many times
// as long.
inline constexpr std::int64_t watchdog_kick_ns = 50'000;
inline constexpr int watchdog_kick_naps = 16;

// Signals to one worker in a sample, each for as many tasks as a ring has room for: all of 16384
// tasks behind it are run within some milliseconds, if they are short.
inline constexpr int watchdog_kicks_max = 64;

// Rounds of event_interval turns between two walks over all headers during shutdown.
inline constexpr int shutdown_rounds = 1024;

// How long shutdown waits between two looks for tasks whose blocking closures are still running.
inline constexpr long shutdown_look_ns = 10'000'000;

// Spawns from outside wait for this long each while the pool ends with that many tasks queued.
inline constexpr std::size_t shutdown_backlog_max = 4096;
inline constexpr long shutdown_pause_ns = 1'000'000;

} // namespace rt::scheduler

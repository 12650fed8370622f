// SPDX-License-Identifier: MIT
//
// The watchdog: no task that runs for long keeps others waiting.
//
// A worker in a long turn (a loop, a blocking call, a mutex) strands what only it can reach: its
// private tasks, its ring's completions, its timers. One thread per pool samples every worker's
// turn counter every period_ns while any of them is awake. A worker that is in the same turn as one
// sample ago is helped, again at each sample:
//   1. its wheel is advanced from here (the wheel has a lock);
//   2. if it has private tasks, or its ring holds completions back, it gets SIGURG; the handler,
//      on its thread, moves the tasks to the ring deque and enters the kernel once;
//   3. completions that are posted are reaped from here (driver::rescue), and a sleeping worker is
//      woken for what has become visible.
// A task that became ready behind a long turn so waits 2 * period_ns at most, and microseconds.
// The signal is sent only if there is something to gain, because it makes nanosleep, epoll_wait and
// a few other calls of the task return EINTR. SIGURG is ignored by default and tolerates strays.
//
// With every worker held there is nobody to give the tasks to: neither what is queued nor what
// these looks make ready. A stand-in then counts as one worker more (idle::reinforce), for as long
// as somebody is held: the pool has config::relief_threads of these at most, and makes them as
// rt::block_in_place does (in_place.cc). Every worker must have been in one turn for relief_samples
// samples and something must be queued that nobody looks for; so a task waits for less than
// (relief_samples + 2) * period_ns, and for a thread to be made if it is the first time. Where none
// can be made the watchdog tries again after relief_retry_samples. The worker of a pool of one
// stops being lone first, in the signal's handler, for only its own thread can; it is lone again
// when the stand-in has gone to rest. A thread that computes may take 4 ms to notice a signal on a
// virtual machine, so the first one asks for that already.
//
// A worker that is away in rt::block_in_place and has nobody in its place counts as held.
//
// Not helped: bound tasks, and what waits for a task whose child is held inside of its join (as a
// lone worker runs it): such a parent is unwound when the child's turn ends. A task that blocks
// SIGURG, or a hook around a sleep that takes long, is a turn that nobody sees.
//
// Rejected: to take the count of the worker that is held, as when it goes away by itself. Its turn
// may end at any moment, and then it would have to find out, with a look at a shared word at the
// end of each turn. Rejected: to reinforce while some worker is free: it will find the work.
//
// With every worker parked for quiet_periods samples the watchdog sleeps too, on a futex; the next
// worker to wake stirs it (vigil.h). An idle runtime makes no wake-ups.
// Without relief_threads a pool of one worker has no watchdog until a stand-in is made: there is
// nobody to give the tasks to. flavor::current_thread never has one.
#pragma once

#include "scheduler/vigil.h"

#include <cstdint>
#include <thread>
#include <vector>

namespace rt::scheduler {

class pool_state;

class watchdog {
public:
    watchdog() noexcept = default;
    ~watchdog() { stop(); }

    // Starts the thread, if there is none. False: no thread can be had; long
    // turns then delay others, which is reported once.
    bool start(pool_state& pool) noexcept;
    // Ends it. The workers' threads must still exist. Idempotent.
    void stop() noexcept;

    // A worker has come back from sleep, and has published it. Cheap unless the watchdog sleeps.
    void stir() noexcept { vigil_.stir(); }

private:
    void run(pool_state& pool) noexcept;
    [[nodiscard]] bool sample(pool_state& pool) noexcept;
    void help(pool_state& pool, std::uint32_t index) noexcept;
    void reinforce(pool_state& pool) noexcept;
    void count_reliefs(pool_state& pool) noexcept;

    // By worker or stand-in, at the last sample.
    struct seen_turn {
        std::uint64_t turn = 0;
        std::uint32_t samples = 0; // that it was in this turn, but for the first
    };

    alignas(128) vigil vigil_;
    std::vector<seen_turn> turns_;     // watchdog's thread, as are the next
    std::uint32_t reinforcements_ = 0; // that are counted already
    std::uint32_t until_made_ = 0;     // samples until another stand-in may be made
    std::thread thread_;
};

} // namespace rt::scheduler

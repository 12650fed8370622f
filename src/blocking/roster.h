// SPDX-License-Identifier: MIT
//
// The threads of the blocking pool as numbers: how many there are, who is idle, how many are on
// their way, and from these whether a job that has been queued needs one of them called, or one
// made.
//
// Who is called. A job that is queued needs a thread that will look at the queues: one that is
// coming (called or started, and not there yet), else an idle one, else a new one. But no more than
// coming_max are coming at once. A thread that arrives takes a job and, before it runs it, sends
// for another thread if more jobs wait than threads are coming. So a burst of short jobs is done by
// few threads, and each of a burst of long ones gets its thread by a chain of wake-ups. When nobody
// is between two steps:
//
//   R. queued <= coming, or coming == coming_max, or nobody is idle and no thread can be made, or
//      one is coming that was made while the rest was queued.
//
// Whoever changes these numbers so that R might fail sees to it: a submitter, a thread that
// arrives, one that becomes idle, one that could not be made. The caller takes the thread that it
// calls off the idle stack, so that no two jobs count on one sleeper (Tokio #8056), and the one
// that became idle last is called first, so that the others may leave.
//
// Threads are made one at a time, and while one is being made no other can be. What comes meanwhile
// is seen to by that thread when it arrives, or by its maker if it has arrived before he was done.
// So nobody waits for the making of a thread but who queues a job while the only one is being made,
// which may fail.
//
// The word. One lock guards the numbers. A submitter need not take it if R holds whatever it has
// queued, and is_call_possible_ says so: it is false exactly while coming == coming_max, or nobody
// is idle and no thread can be made, and the only thread is not one that may yet fail to be made.
// Many who see it true at once do not queue for the lock: it is false again once one of them has
// called somebody.
// The word is written under the lock, and rests on two orders, each with a full fence in between:
//
//   a submitter:              queues its job    fence   reads the word
//   who makes the word true:  writes the word   fence   looks at the queues
//
// One of the two sees the other. So whoever makes it true looks at the queues afterwards, and runs
// or sends for what is there: a thread that arrives or becomes idle, in its next look for jobs;
// end_start, itself. Nothing else makes it true: a thread that leaves was idle, so that it was true
// before unless coming_max are coming, and it counts as gone in the same step; or the pool is
// closed, and it has seen that nothing is queued nor will be. Where it was true
// already no fence is needed: who saw it false did so before it became true the last time, and is
// seen by the look that belongs to that.
//
// tests/model/roster_model_test.cc runs this file under every interleaving.
//
// Rejected: the word without the lock, with the numbers packed into it. Who is called must come off
// a list, and the lock is taken three times for a thread that is called, runs and becomes idle
// again, which is two or three system calls anyway.
// Rejected: one condition variable for all idle threads. It wakes them in an order of its own, and
// a thread that gives up at the moment of the notification takes it to the grave.
// Rejected: one wake-up per job, made under the lock. On 2 CPUs, per empty job, medians of 3 runs
// of perf-sched --workers 2: with 1 submitter of 16 jobs at a time (spawn_blocking_c1) 6.9 us, and
// 12.4 us of CPU time, against 1.8 and 2.7; with 64 submitters (spawn_blocking_c64) 8.3 and 13.2
// against 0.57 and 0.97.
#pragma once

#include "base/lock.h"
#include "base/padded.h"
#include "blocking/job_shards.h"

#include <rt/detail/atomic.h>

#include <cstdint>

namespace rt::offload {

// Read together.
struct headcount {
    std::uint32_t threads = 0; // those that are being made too
    std::uint32_t idle = 0;
};

class roster {
public:
    // Threads coming at once, at most (rule R). Two and not one, so that the chain of wake-ups goes
    // on if one of them waits for its CPU. More make short jobs dearer: 4.5 ms of CPU time for 1600
    // empty jobs in bursts of 16 with 1, 5.9 with 2, 9.9 with 4, 10.8 without a limit (perf-sched
    // spawn_blocking_c1, 2 CPUs). Not measured with more CPUs, where a burst of long jobs might
    // want more.
    static constexpr std::uint32_t coming_max = 2;

    // A thread's place. It must last until the thread has left and was joined.
    struct member {
        atomic<std::uint32_t> signal{0}; // futex word, see thread_calls.h; its own and its caller's
        bool is_claimed = false;         // guarded by the lock: it counts as coming
        member* below = nullptr;         // guarded by the lock: links of the idle stack
        member* above = nullptr;
    };

    // What is left to be done without a lock: a sleeper to wake, or a thread to make, or nothing.
    struct [[nodiscard]] errand {
        const atomic<std::uint32_t>* sleeper = nullptr;
        bool is_start = false;
    };

    roster(job_shards& jobs, std::uint32_t threads_max) noexcept
        : jobs_(jobs)
        , threads_max_(threads_max) {}

    // For a submitter, after its push to that shard. Threads: any.
    errand after_push(std::uint32_t shard) noexcept;

    // The making of a thread. One at a time: a failure that leaves no thread at all takes a job
    // back, and must know that no other attempt is half done. If begin_start asks for a start, the
    // caller tries and says in end_start how it went; the new thread counts as coming. True from
    // end_start: the job of that ticket has been taken back, because nobody could have run it. If
    // it leaves a start to be done, begin_start is to be called again.
    errand begin_start() noexcept;
    [[nodiscard]] bool
    end_start(bool is_made, const job_shards::ticket& job, errand& left) noexcept;

    // For a thread. It calls arrive when it is born, then takes jobs; after the first that it takes
    // since its arrival, and before it runs it, after_arrival. With no job left it calls rest, and
    // has arrived again if that returns true. False: it has left, after keep_alive_ns without a
    // call or because of close(); `before` is the one that left before it, to be joined, or null.
    void arrive() noexcept;
    errand after_arrival() noexcept;
    [[nodiscard]] bool rest(member& self, std::uint64_t keep_alive_ns, member*& before) noexcept;

    // Lets all threads leave, once there are no jobs. REQUIRES: jobs.close() has returned.
    void close() noexcept;

    // For who closes. Once there is neither a thread nor a job it stays so, and nobody will touch
    // what a thread touches; the last one to have left is to be joined. wait_for_leaver waits until
    // there is no thread, or some time.
    [[nodiscard]] bool is_over() const noexcept;
    [[nodiscard]] bool has_threads() const noexcept;
    void wait_for_leaver() const noexcept;
    [[nodiscard]] member* take_exited() noexcept;

    // Threads: any.
    [[nodiscard]] headcount read() const noexcept;

private:
    using guard = base::guard<base::futex_lock>;

    // REQUIRES: lock held.
    void push_idle(member& self) noexcept;
    void unlink_idle(member& self) noexcept;
    void publish() noexcept;
    errand summon(std::uint32_t shard) noexcept; // where a job is likely to be
    [[nodiscard]] bool can_start() const noexcept;
    [[nodiscard]] bool is_making_the_only_thread() const noexcept;
    static void call(member& one, errand& left) noexcept;

    job_shards& jobs_;
    const std::uint32_t threads_max_;
    // Written under the lock, read by submitters; see above. On a line that changes only if it
    // does.
    alignas(base::interference_bytes) atomic<bool> is_call_possible_{true};

    alignas(base::interference_bytes
    ) mutable base::futex_lock lock_{base::lock_rank::blocking_pool};
    // Guarded by lock_.
    member* idle_top_ = nullptr;
    std::uint32_t idle_ = 0;
    std::uint32_t coming_ = 0;
    atomic<std::uint32_t> threads_{0}; // wait_for_leaver sleeps on it
    bool is_starting_ = false;         // one of the threads is being made, which may fail
    bool is_closed_ = false;
    member* exited_ = nullptr; // the last one that has left, not joined yet
};

} // namespace rt::offload

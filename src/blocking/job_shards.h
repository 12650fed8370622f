// SPDX-License-Identifier: MIT
//
// The jobs that wait for a thread of the blocking pool: several queues, each with its own lock, so
// that those who submit on many CPUs do not wait for each other.
//
// A submitter always uses the same shard, so the jobs of one thread are begun in the order in which
// it submitted them. A thread of the pool takes one job and goes on with the next shard, so that no
// shard's jobs wait for the end of another's backlog. Submitters with shards of their own are
// treated more fairly than by one queue, in which a job waits for all of somebody else's; those who
// share one wait for each other as they would there.
//
// Nothing here says that a thread is needed; that is roster.h, whose protocol rests on size() and
// is_empty(): a submitter makes its push visible (a relaxed store, then a fence there) before it
// asks whether anybody must be called, and who has said that he must be called fences and then
// looks here.
//
// A job knows its shard (blocking_job::home), which is how it is found when it is withdrawn. It
// may be withdrawn while it is being submitted: whoever finds 0 there, or finds under the lock that
// it has changed, has come too early or too late, and the job will be run.
//
// Against one queue and one lock for all, on 2 CPUs, perf-sched --workers 2, medians of 7 runs:
// spawn_blocking_c1 1.00 of it, _c2 0.87, _c64 0.90. What more CPUs gain can only be counted here:
// with 64 submitters a job took the one lock twice, and takes the roster's 0.08 times now.
// shards_max is not measured, for want of a machine. With 64 submitters 4 share a lock, which is
// held for a list operation and, by who takes a job, an update of the histogram: some four cache
// lines. A thread that goes to sleep looks at 16. It is a lock that sleeps, because there are more
// threads than CPUs as a rule, and one that is put off its CPU must not keep workers spinning.
#pragma once

#include "base/lock.h"
#include "base/padded.h"
#include "blocking/job_queue.h"
#include "metrics/histogram.h"

#include <cstddef>
#include <cstdint>
#include <memory>

namespace rt::offload {

class job_shards {
public:
    static constexpr std::uint32_t shards_max = 16;

    // By which a submitter finds its job again without touching it.
    struct ticket {
        std::uint32_t shard = 0;
        std::uint64_t number = 0; // 0: no job has it
    };

    // `count` is rounded up to a power of two, up to shards_max. Throws std::bad_alloc.
    explicit job_shards(std::uint32_t count);

    // Queues a job in the shard of this submitter (any number, constant for a thread). The job may
    // have run when it returns. False: close() has been called. Threads: any.
    [[nodiscard]] bool
    push(detail::blocking_job& job, std::uint32_t submitter, ticket& where) noexcept;

    // A job that nobody else gets, or null if all shards were empty when it passed them. `cursor`
    // is the caller's: where it looks first. `now_ns` is when the job stopped waiting. Threads:
    // any.
    [[nodiscard]] detail::blocking_job* pop(std::uint32_t& cursor, std::uint64_t now_ns) noexcept;

    // Takes a job back. False: it is not queued. Threads: any.
    [[nodiscard]] bool withdraw(detail::blocking_job& job) noexcept;
    [[nodiscard]] bool take(const ticket& which) noexcept;

    // No push succeeds any more once it has returned. Threads: any.
    void close() noexcept;

    // Not of one moment. Threads: any.
    [[nodiscard]] std::size_t size() const noexcept;
    [[nodiscard]] bool is_empty() const noexcept { return !has_more_than(0, 0); }
    // More jobs than that. It looks at this shard first, and no further than it must.
    [[nodiscard]] bool has_more_than(std::uint32_t count, std::uint32_t shard) const noexcept;

    // How long jobs have waited, in nanoseconds. Threads: any.
    [[nodiscard]] metrics::histogram_data read_latency() const noexcept;

private:
    struct alignas(base::interference_bytes) shard {
        base::futex_lock lock{base::lock_rank::blocking_shard};
        bool is_closed = false; // guarded by lock, as what follows
        job_queue queue;
        metrics::histogram latency; // one writer at a time: who holds the lock
    };

    const std::uint32_t mask_; // the number of shards less 1; that is a power of two
    const std::unique_ptr<shard[]> shards_;
};

} // namespace rt::offload

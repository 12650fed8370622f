// SPDX-License-Identifier: MIT
//
// The blocking pool's threads: how they are made, what they run, how they end.
//
// Jobs wait in job_shards.h; who is called or made for them is decided in roster.h. No lock is held
// during a job, a system call or an allocation, but for the end of a pool, which wakes sleepers
// under the roster's, and but for `creation`: threads are made one at a time, because a creation
// that fails while there is no other thread takes the job back, and must know that no other
// creation is half done.
//
// A thread that leaves cannot join itself. It puts its record where shut_down finds it, and first
// joins the one that it finds there; so at most one exited thread is ever unjoined, and whoever
// joins the last one has waited for all. Joining, rather than detaching, is what lets a runtime be
// destroyed and its library unloaded: nothing of a pool runs after shut_down.
//
// Rejected: to spin before sleeping. 20 us of it, which every idle thread would pay, gain 20 %.
// Rejected, once: shards of the queue, since on 2 CPUs nobody waits for the lock. But one lock per
// job, and then one more per job that is taken, is what 64 CPUs would queue for; see job_shards.h.
#include "blocking/pool.h"

#include "base/arch.h"
#include "base/assert.h"
#include "base/clock.h"
#include "base/padded.h"
#include "base/process.h"
#include "blocking/job_shards.h"
#include "blocking/roster.h"
#include "blocking/thread_calls.h"
#include "metrics/worker_counters.h"

#include <rt/detail/atomic.h>
#include <rt/detail/context.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <mutex>
#include <new>
#include <utility>

#include <pthread.h>
#include <sched.h>

namespace rt::offload {
namespace {

using detail::blocking_job;

// A deadline further off could overflow the clock.
constexpr std::chrono::milliseconds keep_alive_limit = std::chrono::hours(24 * 365);

constinit thread_local pool* thread_pool = nullptr;

// So that few of as many submitters as there are CPUs share one.
constexpr std::uint32_t shards_per_cpu = 2;

// Where a thread may run. Machines with more CPUs than the set has room for: not known.
struct allowed_cpus {
    cpu_set_t set{};
    const bool is_known = ::sched_getaffinity(0, sizeof(set), &set) == 0;

    [[nodiscard]] std::uint32_t shards() const noexcept {
        return is_known ? shards_per_cpu * static_cast<std::uint32_t>(CPU_COUNT(&set))
                        : job_shards::shards_max;
    }
};

} // namespace

struct pool::state {
    // One thread. Made by who makes it, freed by whoever joins it.
    struct alignas(base::interference_bytes) thread_record : roster::member {
        thread_record(state* pool, std::uint32_t index) noexcept
            : owner(pool)
            , number(index) {}

        state* const owner;
        const std::uint32_t number;
        pthread_t thread{}; // written by itself, read by who joins it
    };

    state(std::uint32_t shards, std::uint32_t most_threads)
        : jobs(shards == 0 ? cpus.shards() : shards)
        , threads(jobs, most_threads) {}

    int run(const roster::errand& left, const job_shards::ticket& job) noexcept;
    int start_thread(const job_shards::ticket& job) noexcept;
    int create(std::uint32_t number) noexcept;
    static void* enter(void* argument) noexcept;
    void serve(thread_record& self) noexcept;
    void run_here(blocking_job& job) noexcept;
    static void join(roster::member* exited) noexcept;

    // Constant.
    const base::process_mark process;
    pool* facade = nullptr;
    const rt::hooks* hooks = nullptr;
    std::size_t stack_bytes = 0; // of its threads
    std::uint64_t keep_alive_ns = 0;
    std::string name;
    const allowed_cpus cpus; // of the thread that made the pool; else its threads inherit theirs

    job_shards jobs;
    roster threads;

    std::mutex creation;           // before the roster's lock; held while a thread is made
    std::uint32_t next_number = 0; // guarded by creation
};

// Does what the roster has left to do. Returns what start_thread does.
int pool::state::run(const roster::errand& left, const job_shards::ticket& job) noexcept {
    if (left.sleeper != nullptr) {
        futex_wake(left.sleeper);
        return 0;
    }
    return left.is_start ? start_thread(job) : 0;
}

void pool::state::serve(thread_record& self) noexcept {
    name_this_thread(name, self.number);
    self.thread = ::pthread_self();
    set_current_pool(facade);
    if (hooks != nullptr) {
        detail::call_hook(hooks->on_thread_start, detail::hook_kind::thread_start);
    }
    roster::member* before = nullptr;
    std::uint32_t cursor = self.number; // the shard where it looks first
    threads.arrive();
    do {
        bool has_arrived = true;
        while (blocking_job* const job = jobs.pop(cursor, base::monotonic_ns())) {
            if (std::exchange(has_arrived, false)) {
                // If no thread can be made this one does it in the end.
                static_cast<void>(run(threads.after_arrival(), {}));
            }
            job->run(job); // the job may be gone now
        }
    } while (threads.rest(self, keep_alive_ns, before));
    if (hooks != nullptr) {
        // Whoever joins this thread waits for it.
        detail::call_hook(hooks->on_thread_stop, detail::hook_kind::thread_stop);
    }
    join(before);
}

void pool::state::join(roster::member* exited) noexcept {
    if (exited != nullptr) {
        auto* const record = static_cast<thread_record*>(exited);
        RT_ASSERT(::pthread_join(record->thread, nullptr) == 0);
        delete record;
    }
}

void* pool::state::enter(void* argument) noexcept {
    auto* const self = static_cast<thread_record*>(argument);
    self->owner->serve(*self);
    return nullptr;
}

// A thread that blocks every signal from its first instruction on. 0 or an errno.
int pool::state::create(std::uint32_t number) noexcept {
    auto* const record = new (std::nothrow) thread_record(this, number);
    if (record == nullptr) {
        return ENOMEM;
    }
    pthread_attr_t attributes;
    int status = ::pthread_attr_init(&attributes);
    if (status == 0 && stack_bytes != 0) {
        status = ::pthread_attr_setstacksize(&attributes, stack_bytes);
    }
    if (status == 0) {
        if (cpus.is_known) {
            static_cast<void>(
                ::pthread_attr_setaffinity_np(&attributes, sizeof(cpus.set), &cpus.set)
            );
        }
        sigset_t every;
        sigset_t before;
        sigfillset(&every);
        ::pthread_sigmask(SIG_SETMASK, &every, &before);
        pthread_t thread{};
        status = ::pthread_create(&thread, &attributes, &enter, record);
        ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
        ::pthread_attr_destroy(&attributes);
    }
    if (status != 0) {
        delete record;
    }
    return status;
}

// Makes one more thread if the roster still asks for it. 0, or the errno for which this job has
// been taken back, because there is no thread at all that could run it.
int pool::state::start_thread(const job_shards::ticket& job) noexcept {
    const std::unique_lock one_at_a_time(creation);
    roster::errand left;
    do {
        left = threads.begin_start();
        if (std::exchange(left.is_start, false)) {
            const int status = create(next_number++);
            if (threads.end_start(status == 0, job, left)) {
                return status;
            }
        }
        if (left.sleeper != nullptr) {
            futex_wake(left.sleeper);
        }
    } while (left.is_start);
    return 0;
}

// On a thread of its own right, which a job must leave as it was: it may be a worker of another
// runtime, whose task ends this one.
void pool::state::run_here(blocking_job& job) noexcept {
    const detail::context outer = detail::this_thread;
    pool* const outer_pool = std::exchange(thread_pool, facade);
    job.run(&job);
    thread_pool = outer_pool;
    detail::this_thread.scheduler = outer.scheduler;
    detail::this_thread.runtime = outer.runtime;
}

pool::pool(
    std::uint32_t threads_max,
    std::chrono::milliseconds keep_alive,
    std::string name,
    const hooks* hooks,
    std::size_t stack_bytes,
    std::uint32_t shards
)
    : state_(std::make_unique<state>(shards, std::max(threads_max, std::uint32_t{1}))) {
    using std::chrono::milliseconds;
    using std::chrono::nanoseconds;
    state_->facade = this;
    state_->hooks = hooks;
    state_->stack_bytes = stack_bytes;
    const nanoseconds kept = std::clamp(keep_alive, milliseconds(0), keep_alive_limit);
    state_->keep_alive_ns = static_cast<std::uint64_t>(kept.count());
    state_->name = std::move(name);
}

pool::~pool() {
    shut_down();
}

result<void> pool::submit(detail::blocking_job& job) noexcept {
    state& self = *state_;
    self.process.check();
    job.queued_ns = base::monotonic_ns();
    job_shards::ticket where; // the job may be gone when it is needed
    if (!self.jobs.push(job, submitter_number(), where)) {
        return failure(errc::shut_down, "rt::blocking");
    }
    metrics::count(&metrics::worker_counters::blocking_jobs);
    const roster::errand left = self.threads.after_push(where.shard);
    if (const int status = self.run(left, where); status != 0) {
        return failure(status, "rt::blocking");
    }
    return {};
}

bool pool::withdraw(detail::blocking_job& job) noexcept {
    return state_->jobs.withdraw(job);
}

void pool::shut_down() noexcept {
    state& self = *state_;
    self.jobs.close();
    self.threads.close();
    std::uint32_t cursor = 0;
    // A submitter that was accepted may still be on its way to make a thread; that one is waited
    // for like the others.
    while (!self.threads.is_over()) {
        if (self.threads.has_threads()) {
            self.threads.wait_for_leaver();
            continue;
        }
        static_cast<void>(self.start_thread({})); // on a thread: jobs may need each other
        if (!self.threads.has_threads()) {        // without one, then
            if (blocking_job* const job = self.jobs.pop(cursor, base::monotonic_ns())) {
                self.run_here(*job);
            }
        }
    }
    state::join(self.threads.take_exited()); // which has joined the one before it, and so on
}

metrics::histogram_data pool::read_latency() const noexcept {
    return state_->jobs.read_latency();
}

counts pool::read() const noexcept {
    // In this order: if nothing was queued, and then everybody is idle, then whatever had been
    // submitted before this call has been done.
    const std::size_t queued = state_->jobs.size();
    const headcount now = state_->threads.read();
    return {now.threads, now.idle, queued};
}

pool* current_pool() noexcept {
    return thread_pool;
}

void set_current_pool(pool* mine) noexcept {
    thread_pool = mine;
}

} // namespace rt::offload

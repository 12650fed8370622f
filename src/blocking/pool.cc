// SPDX-License-Identifier: MIT
//
// The blocking pool's threads, its queue and its lock.
//
// One lock guards everything but what is constant; it is held for some tens of nanoseconds, never
// during a job, a system call or an allocation.
//
// Who is woken. A job that is queued needs a thread that will look at the queue: one that is on its
// way (woken or started, and not there yet), else an idle one, else a new one. But no more than
// coming_max are on their way at once. A thread that arrives takes a job and, before it runs it,
// sends for another thread if more jobs wait than threads are coming. So a burst of short jobs is
// done by few threads, and each of a burst of long ones gets its thread by a chain of wake-ups.
// Whenever the lock is free:
//
//   R. queued <= coming, or coming == coming_max, or nobody is idle and no thread can be made.
//
// It holds because a thread sleeps or leaves only with the queue empty, and because whoever changes
// the numbers otherwise (a submitter, a thread that arrives) calls summon. The submitter takes the
// thread that it wakes off the idle stack, so that nobody counts on a sleeper twice (Tokio #8056).
//
// Threads are made one at a time, under a lock of their own: a creation that fails while there is
// no other thread takes the job back, and must know that no other creation is half done.
//
// A thread that leaves cannot join itself. It puts its record where shut_down finds it, and first
// joins the one that it finds there; so at most one exited thread is ever unjoined, and whoever
// joins the last one has waited for all. Joining, rather than detaching, is what lets a runtime be
// destroyed and its library unloaded: nothing of a pool runs after shut_down.
//
// Rejected: one condition variable for all idle threads. It wakes them in an order of its own, and
// a thread that gives up at the moment of the notification takes it to the grave.
// Rejected: one wake-up per job, made under the lock. On 2 CPUs, per empty job, medians of 3 runs
// of perf-sched --workers 2: with 1 submitter of 16 jobs at a time (spawn_blocking_c1) 6.9 us, and
// 12.4 us of CPU time, against 1.8 and 2.7; with 64 submitters (spawn_blocking_c64) 8.3 and 13.2
// against 0.57 and 0.97.
// Rejected: shards of the queue. 64 submitters pay less for a job than one does, so on 2 CPUs the
// lock is not what they wait for; and the sharded queue is what made Tokio 1.52.0 hang.
// Rejected: to spin before sleeping. 20 us of it, which every idle thread would pay, gain 20 %.
#include "blocking/pool.h"

#include "base/arch.h"
#include "base/assert.h"
#include "base/clock.h"
#include "base/lock.h"
#include "base/process.h"
#include "blocking/job_queue.h"
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

// Threads on their way at once, at most (rule R). Two and not one, so that the chain of wake-ups
// goes on if one of them waits for its CPU. More make short jobs dearer: 4.5 ms of CPU time for
// 1600 empty jobs in bursts of 16 with 1, 5.9 with 2, 9.9 with 4, 10.8 without a limit (perf-sched
// spawn_blocking_c1, 2 CPUs).
constexpr std::uint32_t coming_max = 2;

// A deadline further off could overflow the clock.
constexpr std::chrono::milliseconds keep_alive_limit = std::chrono::hours(24 * 365);

constexpr std::uint64_t no_ticket = 0; // no job has it

constinit thread_local pool* thread_pool = nullptr;

} // namespace

struct pool::state {
    using guard = base::guard<base::futex_lock>;

    // What an idle thread does. Written by it and, under the lock, by whoever calls it.
    enum call : std::uint32_t { listening, asleep, called };

    // One thread. Made by the submitter, freed by whoever joins it.
    struct thread_record {
        thread_record(state* pool, std::uint32_t index) noexcept
            : owner(pool)
            , number(index) {}

        state* owner;
        std::uint32_t number;
        pthread_t thread{};                      // written by itself, read by who joins it
        atomic<std::uint32_t> signal{listening}; // futex word; see call
        bool claimed = false;                    // guarded by lock: it counts as coming
        thread_record* below = nullptr;          // guarded by lock: links of the idle stack
        thread_record* above = nullptr;
    };

    // What summon leaves to be done without the lock.
    struct errand {
        const atomic<std::uint32_t>* sleeper = nullptr; // to be woken
        bool is_start = false;                          // a thread is to be made
    };

    // REQUIRES of the first group: lock held.
    void push_idle(thread_record& self) noexcept;
    void unlink_idle(thread_record& self) noexcept;
    void call_thread(thread_record& one, errand& left) noexcept;
    [[nodiscard]] errand summon() noexcept;

    // REQUIRES: lock not held.
    int start_thread(std::uint64_t ticket) noexcept;
    void run_here(blocking_job& job) noexcept;
    int create(std::uint32_t number) noexcept;

    static void* enter(void* argument) noexcept;
    void serve(thread_record& self) noexcept;
    bool sleep(thread_record& self) noexcept;
    static void join(thread_record* exited_thread) noexcept;

    // Constant.
    const base::process_mark process;
    pool* facade = nullptr;
    const rt::hooks* hooks = nullptr;
    std::size_t stack_bytes = 0; // of its threads; constant
    std::uint32_t threads_max = 1;
    std::uint64_t keep_alive_ns = 0;
    std::string name;
    cpu_set_t cpus{};
    bool has_cpus = false;

    metrics::histogram latency; // one writer at a time: who holds the lock

    std::mutex creation; // before lock; held while a thread is made

    // Guarded by lock.
    base::futex_lock lock{base::lock_rank::blocking_pool};
    job_queue queue;
    thread_record* idle_top = nullptr;
    std::uint32_t idle = 0;
    std::uint32_t coming = 0;
    atomic<std::uint32_t> threads{0}; // shut_down sleeps on it
    bool is_starting = false;         // one of the threads is being made, which may fail
    std::uint32_t next_number = 0;
    thread_record* exited = nullptr; // has left serve() and waits to be joined
    bool is_down = false;
};

void pool::state::push_idle(thread_record& self) noexcept {
    RT_ASSERT(!self.claimed);
    self.above = nullptr;
    self.below = idle_top;
    if (idle_top != nullptr) {
        idle_top->above = &self;
    }
    idle_top = &self;
    ++idle;
}

void pool::state::unlink_idle(thread_record& self) noexcept {
    RT_ASSERT(idle != 0);
    (self.above == nullptr ? idle_top : self.above->below) = self.below;
    if (self.below != nullptr) {
        self.below->above = self.above;
    }
    --idle;
}

void pool::state::call_thread(thread_record& one, errand& left) noexcept {
    // release: pairs with sleep's loads. Under the lock, because without it the record may go.
    if (one.signal.exchange_acq_rel(called) == asleep) {
        left.sleeper = &one.signal;
    }
}

// Rule R.
pool::state::errand pool::state::summon() noexcept {
    errand left;
    if (queue.size() <= coming || coming == coming_max) {
        return left;
    }
    if (thread_record* const sleeper = idle_top) {
        unlink_idle(*sleeper);
        sleeper->claimed = true;
        ++coming;
        call_thread(*sleeper, left);
    } else {
        left.is_start = threads.load_relaxed() < threads_max; // relaxed: under the lock
    }
    return left;
}

// Waits until there may be a job. False: keep_alive has passed without one. REQUIRES: lock held; it
// is free meanwhile.
bool pool::state::sleep(thread_record& self) noexcept {
    self.signal.store_relaxed(listening); // relaxed: published by the lock
    push_idle(self);
    lock.unlock();
    const std::uint64_t deadline_ns = base::monotonic_ns() + keep_alive_ns;
    std::uint32_t seen = listening;
    // acq_rel: acquire pairs with call_thread.
    static_cast<void>(self.signal.cas_strong_acq_rel(seen, asleep));
    while (self.signal.load_acquire() != called && base::monotonic_ns() < deadline_ns) {
        futex_wait_until(self.signal, asleep, deadline_ns);
    }
    lock.lock();
    if (self.claimed) { // the submitter has unlinked this thread
        self.claimed = false;
        RT_ASSERT(coming != 0);
        --coming;
        return true;
    }
    unlink_idle(self);
    return is_down || queue.size() != 0;
}

void pool::state::serve(thread_record& self) noexcept {
    name_this_thread(name, self.number);
    self.thread = ::pthread_self();
    set_current_pool(facade);
    if (hooks != nullptr) {
        detail::call_hook(hooks->on_thread_start, "on_thread_start");
    }
    std::uint64_t now_ns = base::monotonic_ns();
    lock.lock();
    RT_ASSERT(coming != 0);
    --coming;
    bool has_arrived = true;
    for (;;) {
        if (blocking_job* const job = queue.pop()) {
            // A submitter that was held up may have a clock reading from before its push.
            latency.record(now_ns > job->queued_ns ? now_ns - job->queued_ns : 0);
            const errand left = std::exchange(has_arrived, false) ? summon() : errand{};
            lock.unlock();
            if (left.sleeper != nullptr) {
                futex_wake(left.sleeper);
            } else if (left.is_start) {
                static_cast<void>(start_thread(no_ticket)); // else this thread does it in the end
            }
            job->run(job); // the job may be gone now
            now_ns = base::monotonic_ns();
            lock.lock();
            continue;
        }
        if (is_down || !sleep(self)) {
            break;
        }
        has_arrived = true;
        now_ns = base::monotonic_ns();
    }
    thread_record* const before = std::exchange(exited, &self);
    const bool is_last = threads.sub_relaxed(1) == 1; // relaxed: under the lock
    lock.unlock();
    if (is_last) {
        futex_wake(&threads);
    }
    if (hooks != nullptr) {
        detail::call_hook(hooks->on_thread_stop, "on_thread_stop"); // whoever joins this waits
    }
    join(before);
}

void pool::state::join(thread_record* exited_thread) noexcept {
    if (exited_thread != nullptr) {
        RT_ASSERT(::pthread_join(exited_thread->thread, nullptr) == 0);
        delete exited_thread;
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
        if (has_cpus) {
            static_cast<void>(::pthread_attr_setaffinity_np(&attributes, sizeof(cpus), &cpus));
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

// Makes one more thread if rule R still asks for it. 0, or the errno for which the job with this
// ticket has been taken back, because there is no thread at all that could run it.
int pool::state::start_thread(std::uint64_t ticket) noexcept {
    const std::unique_lock one_at_a_time(creation);
    lock.lock();
    // Somebody may have become idle, and the job may have been run.
    const errand left = summon();
    const std::uint32_t number = next_number;
    if (left.is_start) {
        ++next_number;
        ++coming;
        threads.add_relaxed(1); // relaxed, here and below: under the lock
        is_starting = true;
    }
    lock.unlock();
    if (left.sleeper != nullptr) {
        futex_wake(left.sleeper);
    }
    if (!left.is_start) {
        return 0;
    }
    int status = create(number);
    bool is_last = false;
    errand instead; // what arrived meanwhile relied on this thread: one that sleeps does it
    {
        const guard hold(lock);
        is_starting = false;
        if (status == 0) {
            return 0;
        }
        --coming;
        is_last = threads.sub_relaxed(1) == 1;
        if (!is_last || !queue.take(ticket)) {
            status = 0;
        }
        if (!is_last) {
            instead = summon();
        }
    }
    if (instead.sleeper != nullptr) {
        futex_wake(instead.sleeper);
    }
    if (is_last) {
        futex_wake(&threads);
    }
    return status;
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
    std::size_t stack_bytes
)
    : state_(std::make_unique<state>()) {
    using std::chrono::milliseconds;
    using std::chrono::nanoseconds;
    state_->facade = this;
    state_->hooks = hooks;
    state_->stack_bytes = stack_bytes;
    state_->threads_max = std::max(threads_max, std::uint32_t{1});
    const nanoseconds kept = std::clamp(keep_alive, milliseconds(0), keep_alive_limit);
    state_->keep_alive_ns = static_cast<std::uint64_t>(kept.count());
    state_->name = std::move(name);
    // Machines with more CPUs than the set has room for: the threads then inherit.
    state_->has_cpus = ::sched_getaffinity(0, sizeof(state_->cpus), &state_->cpus) == 0;
}

pool::~pool() {
    shut_down();
}

result<void> pool::submit(detail::blocking_job& job) noexcept {
    state& self = *state_;
    self.process.check();
    job.queued_ns = base::monotonic_ns();
    std::uint64_t ticket = no_ticket; // the job may be gone when it is needed
    state::errand left;
    {
        const state::guard hold(self.lock);
        if (self.is_down) {
            return failure(errc::shut_down, "rt::blocking");
        }
        ticket = self.queue.push(job);
        left = self.summon();
        // The only thread is one that is being made: if that fails, nobody has this job.
        left.is_start = left.is_start ||
            (self.is_starting && self.threads.load_relaxed() == 1); // relaxed: under the lock
    }
    metrics::count(&metrics::worker_counters::blocking_jobs);
    if (left.sleeper != nullptr) {
        futex_wake(left.sleeper);
    } else if (left.is_start) {
        if (const int status = self.start_thread(ticket); status != 0) {
            return failure(status, "rt::blocking");
        }
    }
    return {};
}

bool pool::withdraw(detail::blocking_job& job) noexcept {
    const state::guard hold(state_->lock);
    if (!job.is_queued) {
        return false;
    }
    state_->queue.remove(job);
    return true;
}

void pool::shut_down() noexcept {
    state& self = *state_;
    self.lock.lock();
    self.is_down = true;
    for (state::thread_record* one = self.idle_top; one != nullptr; one = one->below) {
        state::errand left;
        self.call_thread(*one, left);
        if (left.sleeper != nullptr) {
            futex_wake(left.sleeper); // at the end of a runtime, under the lock: it keeps the list
        }
    }
    self.lock.unlock();
    // A submitter that was accepted may still be on its way to make a thread; that one is waited
    // for like the others. Once both numbers are 0 they stay so: nothing can be queued any more.
    self.lock.lock();
    for (;;) {
        const std::uint32_t left = self.threads.load_relaxed(); // relaxed: under the lock
        if (left == 0 && self.queue.size() == 0) {
            break;
        }
        self.lock.unlock();
        if (left != 0) {
            futex_wait_until(self.threads, left, base::monotonic_ns() + base::ns_per_second);
        } else {
            static_cast<void>(self.start_thread(no_ticket)
            ); // on a thread: jobs may need each other
        }
        self.lock.lock();
        if (left == 0 && self.threads.load_relaxed() == 0) {
            if (blocking_job* const job = self.queue.pop()) { // without one, then
                self.lock.unlock();
                self.run_here(*job);
                self.lock.lock();
            }
        }
    }
    state::thread_record* const last = std::exchange(self.exited, nullptr);
    self.lock.unlock();
    state::join(last); // which has joined the one before it, and so on
}

metrics::histogram_data pool::read_latency() const noexcept {
    return state_->latency.read();
}

counts pool::read() const noexcept {
    const state::guard hold(state_->lock);
    return {state_->threads.load_relaxed(), state_->idle, state_->queue.size()};
}

pool* current_pool() noexcept {
    return thread_pool;
}

void set_current_pool(pool* mine) noexcept {
    thread_pool = mine;
}

} // namespace rt::offload

// SPDX-License-Identifier: MIT
//
// The blocking pool's threads and its lock.
//
// One std::mutex guards everything but what is constant; a thread holds it between two jobs, never
// during one. It is also held while a thread is created: otherwise two submitters whose creations
// both fail could each believe that the other's thread will run its job.
//
// A thread that leaves cannot join itself. It puts its record where shut_down finds it, and first
// joins the one that it finds there; so at most one exited thread is ever unjoined, and whoever
// joins the last one has waited for all. Joining, rather than detaching, is what lets a runtime be
// destroyed and its library unloaded: nothing of a pool runs after shut_down.
//
// Rejected: one condition variable for all idle threads. It wakes them in an order of its own, and
// a thread that gives up at the moment of the notification takes it to the grave.
#include "blocking/pool.h"

#include "base/assert.h"
#include "base/clock.h"
#include "metrics/worker_counters.h"

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <csignal>
#include <cstdio>
#include <mutex>
#include <new>
#include <utility>

#include <pthread.h>
#include <sched.h>

namespace rt::offload {
namespace {

using detail::blocking_job;
using steady_clock = std::chrono::steady_clock;

constexpr std::size_t thread_name_bytes = 16; // the kernel's limit, with the terminator

// A deadline further off could overflow the clock.
constexpr std::chrono::milliseconds keep_alive_limit = std::chrono::hours(24 * 365);

constinit thread_local pool* thread_pool = nullptr;

// NAME-bN, where NAME gives way to the number.
void name_this_thread(const std::string& name, std::uint32_t number) noexcept {
    char suffix[thread_name_bytes];
    const int length = std::snprintf(suffix, sizeof(suffix), "-b%u", number);
    const int room = static_cast<int>(thread_name_bytes) - 1 - length;
    char text[2 * thread_name_bytes];
    static_cast<void>(std::snprintf(text, sizeof(text), "%.*s%s", room, name.c_str(), suffix));
    static_cast<void>(::pthread_setname_np(::pthread_self(), text));
}

} // namespace

struct pool::state {
    // One thread. Made by the submitter, freed by whoever joins it.
    struct thread_record {
        thread_record(state* pool, std::uint32_t index) noexcept
            : owner(pool)
            , number(index) {}

        state* owner;
        std::uint32_t number;
        pthread_t thread{}; // written under the lock, by the creator
        std::condition_variable claimed_signal;
        bool claimed = false;           // guarded by lock: a submitter counts on this thread
        thread_record* below = nullptr; // guarded by lock: links of the idle stack
        thread_record* above = nullptr;
    };

    // REQUIRES of all below but the loop and the entry: lock held.
    void push_job(blocking_job& job) noexcept;
    void unlink_job(blocking_job& job) noexcept;
    blocking_job* pop_job() noexcept;
    void push_idle(thread_record& self) noexcept;
    void unlink_idle(thread_record& self) noexcept;
    int start_thread() noexcept;

    static void* enter(void* argument) noexcept;
    void serve(thread_record& self) noexcept;
    bool wait_for_job(thread_record& self, std::unique_lock<std::mutex>& hold) noexcept;
    static void join(thread_record* exited_thread) noexcept;

    // Constant.
    std::uint32_t threads_max = 1;
    std::chrono::milliseconds keep_alive{};
    std::string name;
    cpu_set_t cpus{};
    bool has_cpus = false;

    // Guarded by lock.
    std::mutex lock;
    blocking_job* first = nullptr;
    blocking_job* last = nullptr;
    std::size_t queued = 0;
    thread_record* idle_top = nullptr;
    std::uint32_t idle = 0;
    std::uint32_t threads = 0;
    std::uint32_t next_number = 0;
    thread_record* exited = nullptr; // has left serve() and waits to be joined
    std::condition_variable all_gone;
    bool is_down = false;
};

void pool::state::push_job(blocking_job& job) noexcept {
    RT_ASSERT(!job.is_queued);
    job.is_queued = true;
    job.queued_ns = base::monotonic_ns();
    job.next = nullptr;
    job.previous = last;
    (last == nullptr ? first : last->next) = &job;
    last = &job;
    ++queued;
}

void pool::state::unlink_job(blocking_job& job) noexcept {
    RT_ASSERT(job.is_queued && queued != 0);
    (job.previous == nullptr ? first : job.previous->next) = job.next;
    (job.next == nullptr ? last : job.next->previous) = job.previous;
    job.is_queued = false;
    --queued;
}

blocking_job* pool::state::pop_job() noexcept {
    blocking_job* const job = first;
    if (job != nullptr) {
        unlink_job(*job);
    }
    return job;
}

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

// Waits until there may be a job. False: keep_alive has passed without one.
bool pool::state::wait_for_job(thread_record& self, std::unique_lock<std::mutex>& hold) noexcept {
    push_idle(self);
    const auto deadline = steady_clock::now() + keep_alive;
    self.claimed_signal.wait_until(hold, deadline, [&] { return self.claimed || is_down; });
    if (self.claimed) {
        self.claimed = false; // the submitter has unlinked this thread
        return true;
    }
    unlink_idle(self);
    return is_down;
}

void pool::state::serve(thread_record& self) noexcept {
    std::unique_lock hold(lock);
    name_this_thread(name, self.number);
    for (;;) {
        if (blocking_job* const job = pop_job()) {
            hold.unlock();
            job->run(job); // the job may be gone now
            hold.lock();
            continue;
        }
        if (is_down || !wait_for_job(self, hold)) {
            break;
        }
    }
    RT_ASSERT(threads != 0);
    if (--threads == 0) {
        all_gone.notify_all();
    }
    thread_record* const before = std::exchange(exited, &self);
    hold.unlock();
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

// Starts one more thread, which blocks every signal from its first instruction on. 0 or an errno.
int pool::state::start_thread() noexcept {
    auto* const record = new (std::nothrow) thread_record(this, next_number);
    if (record == nullptr) {
        return ENOMEM;
    }
    pthread_attr_t attributes;
    int status = ::pthread_attr_init(&attributes);
    if (status == 0) {
        if (has_cpus) {
            static_cast<void>(::pthread_attr_setaffinity_np(&attributes, sizeof(cpus), &cpus));
        }
        sigset_t every;
        sigset_t before;
        sigfillset(&every);
        ::pthread_sigmask(SIG_SETMASK, &every, &before);
        status = ::pthread_create(&record->thread, &attributes, &enter, record);
        ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
        ::pthread_attr_destroy(&attributes);
    }
    if (status != 0) {
        delete record;
        return status;
    }
    ++next_number;
    ++threads;
    return 0;
}

pool::pool(std::uint32_t threads_max, std::chrono::milliseconds keep_alive, std::string name)
    : state_(std::make_unique<state>()) {
    state_->threads_max = std::max(threads_max, std::uint32_t{1});
    state_->keep_alive = std::clamp(keep_alive, std::chrono::milliseconds(0), keep_alive_limit);
    state_->name = std::move(name);
    // Machines with more CPUs than the set has room for: the threads then inherit.
    state_->has_cpus = ::sched_getaffinity(0, sizeof(state_->cpus), &state_->cpus) == 0;
}

pool::~pool() {
    shut_down();
}

result<void> pool::submit(detail::blocking_job& job) noexcept {
    state& self = *state_;
    const std::unique_lock hold(self.lock);
    if (self.is_down) {
        return failure(errc::shut_down, "rt::blocking");
    }
    self.push_job(job);
    if (state::thread_record* const sleeper = self.idle_top) {
        self.unlink_idle(*sleeper);
        sleeper->claimed = true;
        sleeper->claimed_signal.notify_one();
    } else if (self.threads < self.threads_max) {
        if (const int status = self.start_thread(); status != 0 && self.threads == 0) {
            self.unlink_job(job);
            return failure(status, "rt::blocking");
        }
    }
    metrics::count(&metrics::worker_counters::blocking_jobs);
    return {};
}

bool pool::withdraw(detail::blocking_job& job) noexcept {
    const std::unique_lock hold(state_->lock);
    if (!job.is_queued) {
        return false;
    }
    state_->unlink_job(job);
    return true;
}

void pool::shut_down() noexcept {
    state& self = *state_;
    std::unique_lock hold(self.lock);
    self.is_down = true;
    for (state::thread_record* one = self.idle_top; one != nullptr; one = one->below) {
        one->claimed_signal.notify_one();
    }
    self.all_gone.wait(hold, [&] { return self.threads == 0; });
    RT_ASSERT(self.first == nullptr);
    state::thread_record* const last = std::exchange(self.exited, nullptr);
    hold.unlock();
    state::join(last); // which has joined the one before it, and so on
}

counts pool::read() const noexcept {
    const std::unique_lock hold(state_->lock);
    return {state_->threads, state_->idle, state_->queued};
}

pool* current_pool() noexcept {
    return thread_pool;
}

void set_current_pool(pool* mine) noexcept {
    thread_pool = mine;
}

} // namespace rt::offload

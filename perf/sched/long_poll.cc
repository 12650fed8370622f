// SPDX-License-Identifier: MIT
//
// Rows about what waits behind a task that does not give its worker up: how much later than it was
// ready it runs. Nine of them: what waits is a timer, a socket's completion or a queued task of
// that worker; the blocker computes, is in a system call, or waits for a mutex of pthreads. The
// goal is 10 ms for the 99th percentile on a machine that is otherwise idle. The blocker is
// released only when the victim has run, so a runtime that strands it makes the row hang. In three
// further rows (long_poll_all_*) every worker is in a system call; with one worker all rows are so.
//
// A sample: the victim is made to wait by the task that then blocks, on the same worker. A thread
// that is no worker makes it ready (the timer does so by itself) and lets the blocker go once the
// victim has run. Where the victim began to wait on another worker the sample is not taken.
#include "sched/rows.h"

#include <rt/detail/atomic.h>

#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <thread>
#include <utility>
#include <vector>

#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

using namespace std::chrono_literals;

namespace sched {
namespace {

enum class victim { timer, completion, queued };
enum class blocker { loop, call, mutex };

constexpr auto ready_after = 5ms; // the blocker is in its block by then

struct scene {
    rt::atomic<std::uint64_t> ready_ns{0};
    rt::atomic<std::uint64_t> ran_ns{0};
    rt::atomic<bool> is_waiting{false};
    rt::atomic<bool> is_blocking{false};
    rt::atomic<bool> is_elsewhere{false}; // the victim waits on another worker
    std::thread::id thread;               // of the victim
    rt::tcp_stream* socket = nullptr;
    pthread_mutex_t* lock = nullptr;
    std::uint32_t others = 0; // further blockers, one on each other worker
    rt::atomic<std::uint32_t> others_blocking{0};
    int ends[2] = {-1, -1}; // a pipe, for the system call
};

rt::task<void> wait_for_timer(scene* at) {
    at->thread = std::this_thread::get_id();
    at->is_waiting.store_release(true);
    const auto deadline = rt::clock::now() + ready_after;
    at->ready_ns.store_release(
        perf::now_ns() + static_cast<std::uint64_t>(std::chrono::nanoseconds(ready_after).count())
    );
    co_await rt::sleep_until(deadline);
    at->ran_ns.store_release(perf::now_ns());
}

rt::task<void> wait_for_completion(scene* at) {
    char byte = 0;
    at->thread = std::this_thread::get_id();
    at->is_waiting.store_release(true);
    perf::keep(co_await at->socket->read(std::as_writable_bytes(std::span(&byte, 1))));
    at->ran_ns.store_release(perf::now_ns());
}

rt::task<void> be_queued(scene* at) {
    at->ran_ns.store_release(perf::now_ns());
    co_return;
}

void block_in_a_call(const scene& at) {
    char byte = 0;
    while (::read(at.ends[0], &byte, 1) < 0 && errno == EINTR) {
    }
}

// Returns when the thread outside has seen the victim run.
void block(scene& at, blocker how) {
    at.is_blocking.store_release(true);
    switch (how) {
    case blocker::loop:
        while (at.is_blocking.load_acquire()) {
        }
        return;
    case blocker::call:
        block_in_a_call(at);
        return;
    case blocker::mutex:
        ::pthread_mutex_lock(at.lock);
        ::pthread_mutex_unlock(at.lock);
        return;
    }
}

rt::task<void> block_another(scene* at) {
    at->others_blocking.add_acq_rel(1);
    block_in_a_call(*at);
    co_return;
}

template<victim who, blocker how>
rt::task<void> act(scene* at) {
    rt::join_handle<void> waiting;
    std::vector<rt::join_handle<void>> others;
    while (others.size() != at->others) {
        others.push_back(rt::spawn(block_another, at));
    }
    while (at->others_blocking.load_acquire() != at->others) {
        co_await rt::yield();
    }
    if constexpr (who == victim::timer) {
        waiting = rt::spawn(wait_for_timer(at));
    } else if constexpr (who == victim::completion) {
        waiting = rt::spawn(wait_for_completion(at));
    }
    if constexpr (who != victim::queued) {
        while (!at->is_waiting.load_acquire()) {
            co_await rt::yield();
        }
        co_await rt::yield(); // what it waits for has reached wheel and kernel
    } else {
        waiting = rt::spawn(be_queued(at));
        at->ready_ns.store_release(perf::now_ns());
    }
    if (who == victim::queued || at->thread == std::this_thread::get_id()) {
        block(*at, how);
    } else {
        at->is_elsewhere.store_release(true);
        at->is_blocking.store_release(true);
    }
    co_await std::move(waiting);
    for (auto& each : others) {
        co_await std::move(each);
    }
}

// Makes the victim ready unless it is a timer, waits until it has run, lets the blocker go.
template<victim who, blocker how>
void take_sample(perf::bench& b, rt::runtime& runtime, const int (&ends)[2], std::uint32_t others) {
    int pair[2]; // a new one each time: it is watched by the worker where its first reader waits
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) != 0) {
        b.fail("no socket pair");
    }
    rt::tcp_stream near = rt::or_throw(rt::tcp_stream::adopt(pair[0]));
    pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    scene at;
    at.socket = &near;
    at.lock = &lock;
    at.ends[0] = ends[0];
    at.others = others;
    ::pthread_mutex_lock(&lock);
    rt::join_handle<void> all = runtime.get_handle().spawn(act<who, how>(&at));
    while (!at.is_blocking.load_acquire()) {
        std::this_thread::sleep_for(100us);
    }
    if constexpr (who == victim::completion) {
        std::this_thread::sleep_for(ready_after);
        at.ready_ns.store_release(perf::now_ns());
        perf::keep(::write(pair[1], "x", 1));
    }
    while (at.ran_ns.load_acquire() == 0) {
        std::this_thread::sleep_for(100us);
    }
    at.is_blocking.store_release(false);
    ::pthread_mutex_unlock(&lock);
    if (how == blocker::call) {
        for (std::uint32_t left = others + (at.is_elsewhere.load_acquire() ? 0 : 1); left != 0;
             --left) {
            perf::keep(::write(ends[1], "x", 1));
        }
    }
    runtime.block_on([](rt::join_handle<void> done) -> rt::task<void> {
        co_await std::move(done);
    }(std::move(all)));
    ::close(pair[1]);
    const std::uint64_t ready = at.ready_ns.load_relaxed();
    const std::uint64_t ran = at.ran_ns.load_relaxed();
    if (!at.is_elsewhere.load_relaxed()) {
        b.add_sample(ran > ready ? static_cast<double>(ran - ready) : 0);
    }
}

template<victim who, blocker how, bool are_all = false>
void measure(perf::bench& b) {
    rt::runtime runtime(config_for(b.workers()));
    const std::uint32_t others = are_all ? runtime.worker_count() - 1 : 0;
    int ends[2];
    if (::pipe(ends) != 0) {
        b.fail("no pipe");
    }
    b.start_samples();
    while (b.wants_sample()) {
        take_sample<who, how>(b, runtime, ends, others);
    }
    ::close(ends[0]);
    ::close(ends[1]);
}

constexpr perf::row rows[] = {
    {"long_poll_timer_loop", measure<victim::timer, blocker::loop>},
    {"long_poll_timer_call", measure<victim::timer, blocker::call>},
    {"long_poll_timer_mutex", measure<victim::timer, blocker::mutex>},
    {"long_poll_completion_loop", measure<victim::completion, blocker::loop>},
    {"long_poll_completion_call", measure<victim::completion, blocker::call>},
    {"long_poll_completion_mutex", measure<victim::completion, blocker::mutex>},
    {"long_poll_queued_loop", measure<victim::queued, blocker::loop>},
    {"long_poll_queued_call", measure<victim::queued, blocker::call>},
    {"long_poll_queued_mutex", measure<victim::queued, blocker::mutex>},
    {"long_poll_all_timer", measure<victim::timer, blocker::call, true>},
    {"long_poll_all_completion", measure<victim::completion, blocker::call, true>},
    {"long_poll_all_queued", measure<victim::queued, blocker::call, true>},
};
const perf::table table(rows);

} // namespace
} // namespace sched

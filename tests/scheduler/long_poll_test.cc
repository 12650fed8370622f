// SPDX-License-Identifier: MIT
//
// A task that holds its worker holds nobody else: a timer, a completion and a queued task of that
// worker each go on while it computes, is in a system call, or waits for a mutex. The blocker is
// released by what it must not hold up, so a runtime that strands it makes the test hang. How late
// it may be is measured by perf-sched (long_poll_*). One worker is held, and all of them are: then
// a stand-in goes on.
#include "scheduler/counted.h"
#include "scheduler/local_queue.h"
#include "support/test.h"
#include "task/gate.h"
#include "task/sockets.h"

#include <rt/detail/atomic.h>
#include <rt/runtime.h>
#include <rt/spawn.h>
#include <rt/spawn_on.h>
#include <rt/time.h>
#include <rt/yield.h>

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <thread>
#include <utility>
#include <vector>

#include <pthread.h>
#include <unistd.h>

namespace {

using namespace std::chrono_literals;
using rt::task;
using rt::test::read_one;
using rt::test::sockets;
using rt::test::with_workers;

constexpr std::uint32_t holders_max = 8;

enum class victim { timer, completion, queued };

// What holds a worker until release() is called by another thread.
struct computing {
    void hold() const {
        while (!is_over.load_acquire()) {
        }
    }
    void release() { is_over.store_release(true); }
    rt::atomic<bool> is_over{false};
};

struct in_a_system_call {
    in_a_system_call() { cr_assert_eq(::pipe(ends), 0); }
    ~in_a_system_call() {
        ::close(ends[0]);
        ::close(ends[1]);
    }
    in_a_system_call(const in_a_system_call&) = delete;
    in_a_system_call& operator=(const in_a_system_call&) = delete;
    void hold() const {
        char byte = 0;
        while (::read(ends[0], &byte, 1) < 0 && errno == EINTR) {
        }
    }
    // Of all that hold.
    void release() const {
        constexpr char bytes[holders_max] = {};
        cr_assert_eq(::write(ends[1], bytes, holders_max), holders_max);
    }
    int ends[2] = {-1, -1};
};

// A mutex may be unlocked only by the thread that has locked it, hence a thread for that.
struct at_a_mutex {
    at_a_mutex() {
        rt::atomic<bool> is_locked{false};
        owner = std::thread([this, &is_locked] {
            pthread_mutex_lock(&mutex);
            is_locked.store_release(true);
            is_over.hold();
            pthread_mutex_unlock(&mutex);
        });
        while (!is_locked.load_acquire()) {
            std::this_thread::yield();
        }
    }
    ~at_a_mutex() { owner.join(); }
    at_a_mutex(const at_a_mutex&) = delete;
    at_a_mutex& operator=(const at_a_mutex&) = delete;
    void hold() {
        pthread_mutex_lock(&mutex);
        pthread_mutex_unlock(&mutex);
    }
    void release() { is_over.release(); }
    pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    struct pause : computing {
        void hold() const {
            while (!is_over.load_acquire()) {
                std::this_thread::yield();
            }
        }
    } is_over;
    std::thread owner;
};

template<typename Blocker>
task<void> waits_and_releases(
    victim who, sockets* pair, rt::atomic<int>* begun, rt::atomic<int>* to_hold, Blocker* blocker
) {
    begun->store_release(1);
    if (who == victim::timer) {
        co_await rt::sleep(2ms);
    } else if (who == victim::completion) {
        static_cast<void>(co_await read_one(&pair->near));
    }
    while (to_hold->load_acquire() != 0) {
        co_await rt::yield(); // a timer may be faster than the blockers
    }
    blocker->release();
}

template<typename Blocker>
task<void> holds(rt::atomic<int>* to_hold, Blocker* blocker) {
    to_hold->sub_acq_rel(1);
    blocker->hold();
    co_return;
}

// `holders` turns at once.
template<typename Blocker>
task<void> holds_until_released(victim who, int holders) {
    sockets pair;
    Blocker blocker;
    rt::atomic<int> begun{0};
    rt::atomic<int> to_hold{holders};
    auto waiting = rt::spawn(waits_and_releases<Blocker>, who, &pair, &begun, &to_hold, &blocker);
    while (who != victim::queued && begun.load_acquire() == 0) {
        co_await rt::yield();
    }
    if (who == victim::completion) {
        co_await rt::yield(); // what it waits for has reached the kernel
        pair.write('x');
    }
    std::vector<rt::join_handle<void>> others;
    for (int i = 1; i < holders; ++i) {
        others.push_back(rt::spawn(holds<Blocker>, &to_hold, &blocker));
    }
    co_await holds<Blocker>(&to_hold, &blocker);
    co_await std::move(waiting);
    for (auto& each : others) {
        co_await std::move(each);
    }
}

template<typename Blocker>
void check(victim who) {
    for (const rt::driver_kind driver : {rt::driver_kind::automatic, rt::driver_kind::epoll}) {
        for (const std::uint32_t workers : {1U, 2U, 8U}) {
            rt::runtime runtime(with_workers(workers, driver));
            for (int round = 0; round < 10; ++round) {
                const bool are_all = round % 2 == 0;
                const int holders = are_all ? static_cast<int>(workers) : 1;
                runtime.block_on(holds_until_released<Blocker>(who, holders));
            }
        }
    }
}

} // namespace

Test(long_poll, a_computation_holds_no_timer) {
    check<computing>(victim::timer);
}
Test(long_poll, a_computation_holds_no_completion) {
#if defined(__has_feature)
#    if __has_feature(thread_sanitizer)
    cr_skip_test("the thread sanitizer holds the watchdog's signal back while a task spins");
#    endif
#endif
    check<computing>(victim::completion);
}
Test(long_poll, a_computation_holds_no_queued_task) {
#if defined(__has_feature)
#    if __has_feature(thread_sanitizer)
    cr_skip_test("the thread sanitizer holds the watchdog's signal back while a task spins");
#    endif
#endif
    check<computing>(victim::queued);
}
Test(long_poll, a_system_call_holds_no_timer) {
    check<in_a_system_call>(victim::timer);
}
Test(long_poll, a_system_call_holds_no_completion) {
    check<in_a_system_call>(victim::completion);
}
Test(long_poll, a_system_call_holds_no_queued_task) {
    check<in_a_system_call>(victim::queued);
}
Test(long_poll, a_mutex_holds_no_timer) {
    check<at_a_mutex>(victim::timer);
}
Test(long_poll, a_mutex_holds_no_completion) {
    check<at_a_mutex>(victim::completion);
}
Test(long_poll, a_mutex_holds_no_queued_task) {
    check<at_a_mutex>(victim::queued);
}

namespace {

task<void> yields_once(rt::test::gate* at, rt::atomic<int>* ran) {
    at->open();
    co_await rt::yield();
    ran->add_acq_rel(1);
}

task<void> nothing() {
    co_return;
}

// After a child has yielded on its worker: a turn that always has more new tasks than others have
// run and the ring has room for.
task<void> spawns_in_one_turn(const rt::scheduler::pool* pool) {
    rt::test::gate at;
    rt::atomic<int> ran{0};
    auto child = rt::spawn(yields_once, &at, &ran);
    co_await at.wait();
    const std::uint32_t self = *rt::worker_index();
    while (ran.load_acquire() == 0) {
        if (pool->view(self).private_depth < 2 * rt::scheduler::local_queue::capacity) {
            rt::spawn(nothing).detach();
        }
    }
    co_await std::move(child);
}

} // namespace

Test(long_poll, a_turn_that_spawns_holds_back_nobody_who_has_yielded) {
    rt::test::counted runtime(2);
    runtime.block_on(spawns_in_one_turn(&runtime.pool()));
}

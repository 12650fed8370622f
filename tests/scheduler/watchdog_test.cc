// SPDX-License-Identifier: MIT
//
// The watchdog beside the behaviours of worker_test.cc: it sleeps with its workers, it leaves the
// program's SIGURG handler alone, and a signal at a bad moment does no harm.
#include "memory/frame_pool.h"
#include "support/test.h"
#include "sync/waiting.h"
#include "task/gate.h"

#include <rt/detail/atomic.h>
#include <rt/detail/header.h>
#include <rt/runtime.h>
#include <rt/spawn.h>
#include <rt/time.h>
#include <rt/yield.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <sys/syscall.h>
#include <unistd.h>

namespace {

using namespace std::chrono_literals;
using rt::task;
using rt::test::gate;
using rt::test::with_workers;

rt::atomic<int> urgent_signals{0};

void on_urgent(int /*number*/) {
    urgent_signals.add_relaxed(1);
}

task<int> thread_of_worker() {
    co_return static_cast<int>(::syscall(SYS_gettid));
}

} // namespace

Test(watchdog, calls_the_handler_that_was_there_before) {
    std::signal(SIGURG, &on_urgent);
    rt::runtime runtime(with_workers(2));
    const int tid = runtime.block_on(thread_of_worker());
    cr_assert_eq(::syscall(SYS_tgkill, ::getpid(), tid, SIGURG), 0);
    while (urgent_signals.load_relaxed() == 0) {
        std::this_thread::yield();
    }
}

namespace {

rt::atomic<int> told_number{0};

void on_urgent_with_info(int number, siginfo_t* info, void* interrupted) {
    told_number.store_release(info != nullptr && interrupted != nullptr ? number : -1);
}

} // namespace

Test(watchdog, tells_the_handler_that_was_there_before_what_it_wants_to_know) {
    struct sigaction before = {};
    before.sa_sigaction = &on_urgent_with_info;
    before.sa_flags = SA_SIGINFO;
    sigaction(SIGURG, &before, nullptr);
    rt::runtime runtime(with_workers(2));
    runtime.block_on([]() -> task<void> {
        std::raise(SIGURG); // handled before it returns
        co_return;
    }());
    cr_assert_eq(told_number.load_acquire(), SIGURG);
}

namespace {

void spoils_errno(int /*number*/) {
    errno = EDOM;
    urgent_signals.add_relaxed(1);
}

} // namespace

// The signal comes in the middle of whatever a task does, such as between a system call that has
// failed and the look at why.
Test(watchdog, leaves_errno_alone) {
    std::signal(SIGURG, &spoils_errno);
    rt::runtime runtime(with_workers(2));
    const int code = runtime.block_on([]() -> task<int> {
        errno = ENOTTY;
        std::raise(SIGURG); // handled before it returns
        co_return errno;
    }());
    cr_assert_geq(urgent_signals.load_relaxed(), 1);
    cr_assert_eq(code, ENOTTY);
}

namespace {

task<void> waits_and_runs(gate* at, rt::atomic<int>* ran) {
    co_await at->wait();
    ran->add_acq_rel(1);
}

// What is woken here is nobody's but this worker's, unless the watchdog fetches it.
task<void> holds_what_it_has_woken() {
    gate at;
    rt::atomic<int> ran{0};
    auto child = rt::spawn(waits_and_runs, &at, &ran);
    co_await rt::test::until_waiting(child);
    at.open();
    rt::test::hold_until(ran, 1);
    co_await std::move(child);
}

} // namespace

// When all workers have slept for a while the watchdog sleeps too, until one of them wakes up.
Test(watchdog, wakes_up_with_the_workers) {
    rt::runtime runtime(rt::test::exactly(2));
    for (int round = 0; round < 3; ++round) {
        runtime.block_on([]() -> task<void> {
            co_await rt::sleep(100ms);
            co_await holds_what_it_has_woken();
        }());
    }
}

namespace {

// Spawns, wakes and yields as fast as it can: the signals land in every part of the queues' code.
task<void> churns(rt::atomic<bool>* is_over, rt::atomic<long>* done) {
    while (!is_over->load_acquire()) {
        gate at;
        auto first = rt::spawn([wait = &at]() -> task<void> { co_await wait->wait(); });
        auto second = rt::spawn([open = &at]() -> task<void> {
            open->open();
            co_return;
        });
        co_await std::move(first);
        co_await std::move(second);
        co_await rt::yield();
        done->add_relaxed(1);
    }
}

task<void> churns_many(rt::atomic<bool>* is_over, rt::atomic<long>* done) {
    std::vector<rt::join_handle<void>> children;
    for (int i = 0; i < 20; ++i) {
        children.push_back(rt::spawn(churns, is_over, done));
    }
    for (auto& each : children) {
        co_await std::move(each);
    }
}

} // namespace

Test(watchdog, a_signal_at_any_moment_loses_no_task) {
    for (const rt::driver_kind driver : {rt::driver_kind::automatic, rt::driver_kind::epoll}) {
        rt::runtime runtime(with_workers(2, driver));
        std::vector<int> tids;
        while (tids.size() < 2) { // both workers', whoever gets the root
            const int tid = runtime.block_on(thread_of_worker());
            if (std::find(tids.begin(), tids.end(), tid) == tids.end()) {
                tids.push_back(tid);
            }
            if (tids.size() == 1) {
                runtime.get_handle()
                    .spawn([]() -> task<void> {
                        std::this_thread::yield();
                        co_return;
                    }())
                    .detach();
            }
        }
        rt::atomic<bool> is_over{false};
        rt::atomic<long> done{0};
        std::thread signaller([&] {
            for (int i = 0; i < 20'000 || done.load_relaxed() == 0; ++i) {
                ::syscall(SYS_tgkill, ::getpid(), tids[static_cast<std::size_t>(i % 2)], SIGURG);
            }
            is_over.store_release(true);
        });
        runtime.block_on(churns_many(&is_over, &done));
        signaller.join();
        cr_assert(done.load_relaxed() > 0);
    }
}

namespace {

// Its children run inside of its turn.
task<void> joins_at_once(rt::atomic<bool>* is_over, rt::atomic<long>* done) {
    while (!is_over->load_acquire()) {
        auto first = rt::spawn([count = done]() -> task<void> {
            count->add_relaxed(1);
            co_return;
        });
        co_await std::move(first);
    }
}

} // namespace

// The worker of a flavor::current_thread may run on a worker's thread, in rt::block_in_place, and
// is interrupted for that one then.
Test(watchdog, a_signal_at_any_moment_leaves_a_lone_worker_its_tasks) {
    const rt::runtime has_handler(with_workers(2));
    for (const std::uint32_t workers : {0U, 1U}) {
        rt::runtime runtime(with_workers(workers));
        rt::atomic<int> tid{0};
        rt::atomic<bool> is_over{false};
        rt::atomic<long> done{0};
        std::thread signaller([&] {
            while (tid.load_acquire() == 0) {
                std::this_thread::yield();
            }
            for (int i = 0; i < 200'000 || done.load_relaxed() == 0; ++i) {
                ::syscall(SYS_tgkill, ::getpid(), tid.load_relaxed(), SIGURG);
            }
            is_over.store_release(true);
        });
        runtime.block_on(
            [](rt::atomic<int>* to, rt::atomic<bool>* over, rt::atomic<long>* count) -> task<void> {
                to->store_release(static_cast<int>(::syscall(SYS_gettid)));
                co_await joins_at_once(over, count);
            }(&tid, &is_over, &done)
        );
        signaller.join();
        cr_assert(done.load_relaxed() > 0);
    }
}

namespace {

// Spawns and lets go of each at once, in long turns: what a signal makes public is let go of by a
// thread that is no longer alone with it.
task<void> lets_go(rt::atomic<bool>* is_over, rt::atomic<long>* run, long* spawned) {
    while (!is_over->load_acquire()) {
        for (int i = 0; i < 100; ++i) {
            rt::spawn([count = run]() -> task<void> {
                count->add_relaxed(1);
                co_return;
            }).detach();
            ++*spawned;
        }
        co_await rt::yield();
    }
}

std::size_t live_headers() {
    std::size_t live = 0;
    rt::memory::for_each_header(
        [](void* block, void* count) noexcept {
            const auto* const header = static_cast<const rt::detail::task_header*>(block);
            *static_cast<std::size_t*>(count) += header->id.load_acquire() != 0 ? 1 : 0;
        },
        &live
    );
    return live;
}

} // namespace

Test(watchdog, a_signal_at_any_moment_lets_go_of_a_task_once) {
    const std::size_t before = live_headers();
    {
        rt::runtime runtime(with_workers(2));
        rt::atomic<int> tid{0};
        rt::atomic<bool> is_over{false};
        rt::atomic<long> run{0};
        long spawned = 0;
        std::thread signaller([&] {
            while (tid.load_acquire() == 0) {
                std::this_thread::yield();
            }
            for (int i = 0; i < 50'000; ++i) {
                ::syscall(SYS_tgkill, ::getpid(), tid.load_relaxed(), SIGURG);
            }
            is_over.store_release(true);
        });
        runtime.block_on([](rt::atomic<int>* to, task<void> rest) -> task<void> {
            to->store_release(static_cast<int>(::syscall(SYS_gettid)));
            co_await std::move(rest);
        }(&tid, lets_go(&is_over, &run, &spawned)));
        signaller.join();
        while (run.load_relaxed() != spawned) {
            std::this_thread::yield();
        }
    }
    cr_assert_eq(live_headers(), before, "a header is left: its last reference was not given up");
}

// As programs do that take their signals from a signalfd: threads inherit what is blocked.
Test(watchdog, helps_where_the_program_blocks_all_signals) {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, nullptr);
    rt::runtime runtime(with_workers(2));
    runtime.block_on([]() -> task<void> {
        rt::atomic<bool> is_over{false};
        auto queued = rt::spawn([over = &is_over]() -> task<void> {
            over->store_release(true);
            co_return;
        });
        while (!is_over.load_acquire()) {
        }
        co_await std::move(queued);
    }());
}

Test(watchdog, a_long_turn_behind_another_is_no_end) {
    // Both workers hold for a while, and hand over what they have each time.
    rt::runtime runtime(with_workers(2));
    runtime.block_on([]() -> task<void> {
        rt::atomic<int> turns{0};
        std::vector<rt::join_handle<void>> children;
        for (int i = 0; i < 8; ++i) {
            children.push_back(rt::spawn([count = &turns]() -> task<void> {
                auto inner = rt::spawn([counted = count]() -> task<void> {
                    counted->add_acq_rel(1);
                    co_return;
                });
                const auto until = rt::clock::now() + 10ms;
                while (rt::clock::now() < until) {
                }
                co_await std::move(inner);
            }));
        }
        for (auto& each : children) {
            co_await std::move(each);
        }
        cr_assert_eq(turns.load_acquire(), 8);
    }());
}

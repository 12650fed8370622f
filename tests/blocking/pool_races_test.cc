// SPDX-License-Identifier: MIT
//
// What a submitter and the blocking pool's end, or a thread that cannot be made, do to each other.
#include "blocking/pool.h"
#include "blocking/test_job.h"
#include "support/test.h"

#include <rt/detail/atomic.h>

#include <cerrno>
#include <chrono>
#include <functional>
#include <latch>
#include <memory>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include <dlfcn.h>
#include <pthread.h>

namespace {

using namespace std::chrono_literals;
using rt::offload::pool;
using job = test_job;

constexpr auto hours = std::chrono::milliseconds(1h);

#if !defined(RT_SANITIZED)
// Called instead of the next pthread_create of this process; its value is that call's.
std::function<int()> instead_of_creation;
#endif

} // namespace

#if !defined(RT_SANITIZED)
extern "C" int pthread_create(
    pthread_t* thread, const pthread_attr_t* attributes, void* (*entry)(void*), void* argument
) {
    if (instead_of_creation) {
        return std::exchange(instead_of_creation, nullptr)();
    }
    static auto* const real =
        reinterpret_cast<decltype(&pthread_create)>(dlsym(RTLD_NEXT, "pthread_create"));
    return real(thread, attributes, entry, argument);
}
#endif

// A submission that races with the end either is refused or is run before the end returns, and no
// thread is born later: a handle may outlive the runtime, and what the closure uses does not.
Test(pool_races, b153_no_thread_outlives_a_shutdown_that_races_with_a_submission) {
    constexpr int rounds = 4000;
    rt::atomic<int> round_of_submitter{0};
    rt::atomic<pool*> offered{nullptr};
    rt::atomic<int> ran{0};
    int accepted = 0;
    int alive = 0; // asserted at the end: the other thread must be joined
    std::thread submitter([&] {
        for (int round = 0; round < rounds; ++round) {
            pool* workers = nullptr;
            while ((workers = offered.exchange_acq_rel(nullptr)) == nullptr) {
                std::this_thread::yield();
            }
            round_of_submitter.store_release(round + 1); // the other side starts now
            job one([&] { ran.add_relaxed(1); });
            std::latch done(1);
            one.done = &done;
            if (workers->submit(one).has_value()) {
                ++accepted;
                done.wait();
            }
            round_of_submitter.store_release(-(round + 1));
        }
    });
    for (int round = 0; round < rounds; ++round) {
        pool workers(2, hours, "t");
        offered.store_release(&workers);
        while (round_of_submitter.load_acquire() == -round) {
        }
        for (int i = 0; i < round % 256; ++i) {
            rt::compiler_barrier();
        }
        workers.shut_down();
        alive += workers.read().threads != 0 ? 1 : 0;
        while (round_of_submitter.load_acquire() != -(round + 1)) {
            std::this_thread::yield();
        }
        alive += workers.read().threads != 0 ? 1 : 0;
    }
    submitter.join();
    cr_assert_eq(alive, 0);
    cr_assert_eq(ran.load_relaxed(), accepted);
}

// The thread that has been called is waking up when the pool ends: it counts as one that runs, and
// the job is run, once.
Test(pool_races, b154_a_thread_that_is_called_as_the_pool_ends_is_counted_once) {
    for (int round = 0; round < 2000; ++round) {
        pool workers(1, hours, "t");
        rt::atomic<int> ran{0};
        std::latch done(1);
        job first([&] { ran.add_relaxed(1); }, &done);
        job second([&] { ran.add_relaxed(1); });
        cr_assert(workers.submit(first).has_value());
        done.wait();
        while (workers.read().idle == 0) {
            std::this_thread::yield();
        }
        cr_assert(workers.submit(second).has_value());
        cr_assert_leq(workers.read().idle, 1U);
        for (int i = 0; i < round % 256; ++i) {
            rt::compiler_barrier();
        }
        workers.shut_down();
        const rt::offload::counts left = workers.read();
        cr_assert(left.threads == 0 && left.idle == 0 && left.queued == 0);
        cr_assert_eq(ran.load_relaxed(), 2);
    }
}

// The only thread is held until the pool has ended for submitters, so that nothing of what was
// accepted before has begun.
Test(pool_races, b155_what_was_accepted_is_run_whichever_thread_ends_the_pool) {
    for (const bool by_submitter : {true, false}) {
        pool workers(1, hours, "t");
        std::latch started(1);
        std::latch go_on(1);
        job holder([&] {
            started.count_down();
            go_on.wait();
        });
        cr_assert(workers.submit(holder).has_value());
        started.wait();
        rt::atomic<int> ran{0};
        std::vector<std::unique_ptr<job>> jobs;
        int accepted = 0;
        const auto submit_one = [&] {
            jobs.push_back(std::make_unique<job>([&] { ran.add_relaxed(1); }));
            const bool is_accepted = workers.submit(*jobs.back()).has_value();
            accepted += is_accepted ? 1 : 0;
            return is_accepted;
        };
        for (int i = 0; i < 50; ++i) {
            cr_assert(submit_one());
        }
        const auto let_go_once_refused = [&] {
            while (submit_one()) {
                std::this_thread::yield();
            }
            go_on.count_down();
        };
        const auto end = [&] {
            workers.shut_down();
        };
        std::thread other;
        if (by_submitter) {
            other = std::thread(let_go_once_refused);
            end();
        } else {
            other = std::thread(end);
            let_go_once_refused();
        }
        other.join();
        cr_assert_geq(accepted, 50);
        cr_assert_eq(ran.load_relaxed(), accepted);
    }
}

// While the only thread is being made, the job that it is for is withdrawn and ends, and another is
// queued that has its address. The thread then cannot be made: the other job must not be taken for
// the first one.
Test(pool_races, a_job_with_the_address_of_a_former_one_is_not_taken_back_for_it) {
#if defined(RT_SANITIZED)
    cr_skip_test("the sanitizer's own pthread_create is in the way");
#else
    pool workers(2, hours, "t");
    std::latch done(1);
    std::optional<job> place;
    std::thread second;
    rt::atomic<int> second_accepted{-1};
    place.emplace([] {});
    instead_of_creation = [&] {
        const bool is_withdrawn = workers.withdraw(*place);
        place.emplace([] {}, &done);
        second =
            std::thread([&] { second_accepted.store_release(workers.submit(*place) ? 1 : 0); });
        while (workers.read().queued == 0) {
            std::this_thread::yield();
        }
        return is_withdrawn ? EAGAIN : EINVAL;
    };
    const rt::result<void> first = workers.submit(*place);
    second.join();
    cr_assert(first.has_value()); // withdrawn is not refused: the canceller has it
    cr_assert_eq(second_accepted.load_acquire(), 1);
    done.wait();
#endif
}

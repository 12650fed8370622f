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
#include <optional>
#include <thread>
#include <utility>

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

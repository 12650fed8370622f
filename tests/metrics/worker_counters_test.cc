// SPDX-License-Identifier: MIT
//
// What threads that are no workers count: exact, whoever exits when, in few blocks.
#include "metrics/worker_counters.h"
#include "support/test.h"

#include <cstddef>
#include <cstdint>
#include <thread>
#include <vector>

namespace {

using rt::metrics::worker_counters;

std::uint64_t spawned_outside() {
    std::uint64_t sum = 0;
    for (auto* each = rt::metrics::first_outside(); each != nullptr; each = each->next) {
        sum += each->spawned.load_relaxed();
    }
    return sum;
}

std::size_t blocks() {
    std::size_t count = 0;
    for (auto* each = rt::metrics::first_outside(); each != nullptr; each = each->next) {
        ++count;
    }
    return count;
}

// Counts once more when the thread exits, after it has given its block back.
struct counts_late {
    ~counts_late() { rt::metrics::count(&worker_counters::spawned); }
};

} // namespace

Test(worker_counters, outside_threads_lose_no_count) {
    constexpr std::uint64_t each_count = 20'000;
    const std::uint64_t before = spawned_outside();
    for (int round = 0; round < 8; ++round) {
        std::vector<std::thread> threads;
        for (int i = 0; i < 4; ++i) {
            threads.emplace_back([] {
                for (std::uint64_t n = 0; n < each_count; ++n) {
                    rt::metrics::count(&worker_counters::spawned);
                }
            });
        }
        for (std::thread& each : threads) {
            each.join();
        }
    }
    cr_assert_eq(spawned_outside() - before, 8 * 4 * each_count);
    cr_assert_leq(blocks(), 1U + 4U, "threads that have exited leave their blocks to others");
}

Test(worker_counters, a_count_at_the_end_of_a_thread_is_kept) {
    const std::uint64_t before = spawned_outside();
    std::thread([] {
        thread_local const counts_late late; // destroyed after what is made below
        static_cast<void>(&late);
        rt::metrics::count(&worker_counters::spawned);
    }).join();
    cr_assert_eq(spawned_outside() - before, 2U);
}

// SPDX-License-Identifier: MIT
//
// A worker whose only tasks are such as give way in long turns: it still serves those that wait for
// it elsewhere.
#include "support/test.h"
#include "task/gate.h"

#include <rt/detail/atomic.h>
#include <rt/runtime.h>
#include <rt/spawn.h>
#include <rt/yield.h>

#include <algorithm>
#include <chrono>
#include <climits>
#include <thread>
#include <utility>

namespace {

using namespace std::chrono_literals;
using rt::task;
using rt::test::gate;
using rt::test::with_workers;

void spin_for(std::chrono::nanoseconds time) {
    const auto until = std::chrono::steady_clock::now() + time;
    while (std::chrono::steady_clock::now() < until) {
    }
}

// A computation that gives way now and then.
task<void> computes(rt::atomic<bool>* is_over, rt::atomic<int>* turns) {
    while (!is_over->load_acquire()) {
        spin_for(500us);
        turns->add_acq_rel(1);
        co_await rt::yield();
    }
}

task<void> waits_and_counts(gate* at, rt::atomic<int>* ran) {
    co_await at->wait();
    ran->add_acq_rel(1);
}

// Wakes two and holds its worker until one of them has run on the other. Returns how many turns
// that one has given to somebody else first.
task<int> turns_before_the_woken_one(const rt::atomic<int>* turns) {
    gate at;
    rt::atomic<int> ran{0};
    auto first = rt::spawn(waits_and_counts, &at, &ran);
    auto second = rt::spawn(waits_and_counts, &at, &ran);
    while (at.waiting() != 2) {
        co_await rt::yield();
    }
    spin_for(1ms); // until nothing that this turn wakes is held back
    const int before = turns->load_acquire();
    at.open();
    while (ran.load_acquire() == 0) {
        std::this_thread::yield();
    }
    const int given = turns->load_acquire() - before;
    co_await std::move(first);
    co_await std::move(second);
    co_return given;
}

task<int> turns_before_twenty() {
    rt::atomic<bool> is_over{false};
    rt::atomic<int> turns{0};
    auto other = rt::spawn(computes, &is_over, &turns);
    int sum = 0;
    for (int i = 0; i < 20; ++i) {
        sum += co_await turns_before_the_woken_one(&turns);
    }
    is_over.store_release(true);
    co_await std::move(other);
    co_return sum;
}

} // namespace

// Who looked for work at every eighth of its turns only gave four before, on average.
Test(worker, one_with_long_turns_that_yield_looks_for_work_between_them) {
    int fewest = INT_MAX; // of some tries: what else the machine does adds to it
    for (int tries = 0; tries < 40 && fewest > 50; ++tries) {
        rt::runtime runtime(with_workers(2));
        fewest = std::min(fewest, runtime.block_on(turns_before_twenty()));
    }
    cr_assert_leq(fewest, 50);
}

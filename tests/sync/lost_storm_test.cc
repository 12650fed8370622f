// SPDX-License-Identifier: MIT
//
// Selects over channels, locks and notifications that others use at the same time, so that every
// moment is met in which a part can lose: nothing may be lost with it.
//
// A message that is missing is seen by the next one of its channel; a lock, permit or notification
// that is missing, by the tasks that wait for it for ever.
#include "support/test.h"
#include "sync/waiting.h"
#include "task/gate.h"

#include <rt/result.h>
#include <rt/runtime.h>
#include <rt/select.h>
#include <rt/spawn.h>
#include <rt/sync.h>
#include <rt/yield.h>

#include <array>
#include <cstdint>
#include <utility>
#include <vector>

namespace {

using rt::task;
using rt::test::everywhere;
using rt::test::on_each_flavor_run;

constexpr int messages = 20'000;

task<void> sends(rt::mpsc::sender<int> to) {
    for (int i = 0; i < messages; ++i) {
        rt::or_throw(co_await to.send(i));
    }
}

// Counts up what comes; false at the end.
bool is_next(const rt::result<int>& got, int& expected) {
    if (!got) {
        return false;
    }
    cr_assert_eq(*got, expected, "%d instead of %d", *got, expected);
    ++expected;
    return true;
}

task<void> receives_all(std::uint64_t capacity) {
    auto [a_tx, a_rx] = rt::mpsc::channel<int>(capacity);
    auto [b_tx, b_rx] = rt::mpsc::channel<int>(capacity);
    auto from_a = rt::spawn(sends, std::move(a_tx));
    auto from_b = rt::spawn(sends, std::move(b_tx));
    std::array<int, 2> expected{};
    bool is_open = true;
    while (is_open) {
        auto won = co_await rt::select(a_rx.recv(), b_rx.recv());
        is_open = won.index() == 0 ? is_next(std::get<0>(won), expected[0])
                                   : is_next(std::get<1>(won), expected[1]);
    }
    while (is_next(co_await a_rx.recv(), expected[0])) {
    }
    while (is_next(co_await b_rx.recv(), expected[1])) {
    }
    cr_assert_eq(expected[0], messages);
    cr_assert_eq(expected[1], messages);
    co_await std::move(from_a);
    co_await std::move(from_b);
}

struct lock_ground {
    rt::mutex locks[2];
    rt::semaphore slots[2]{rt::semaphore(1), rt::semaphore(1)};
    long held[4] = {}; // guarded by the lock or slot of the same place
};

constexpr int rounds = 3'000;

// Takes whichever of the four is free first.
task<void> takes_any(lock_ground* of) {
    for (int i = 0; i < rounds; ++i) {
        const auto won = co_await rt::select(
            of->locks[0].lock(), of->locks[1].lock(), of->slots[0].acquire(), of->slots[1].acquire()
        );
        const long before = of->held[won.index()];
        if (i % 8 == 0) {
            co_await rt::yield();
        }
        of->held[won.index()] = before + 1;
    }
}

task<void> takes_all_locks() {
    constexpr int tasks = 6;
    lock_ground ground;
    std::vector<rt::join_handle<void>> takers;
    for (int i = 0; i < tasks; ++i) {
        takers.push_back(rt::spawn(takes_any, &ground));
    }
    co_await rt::test::join_all(takers);
    cr_assert(!ground.locks[0].is_locked() && !ground.locks[1].is_locked());
    cr_assert_eq(ground.slots[0].available(), 1);
    cr_assert_eq(ground.slots[1].available(), 1);
    cr_assert_eq(
        ground.held[0] + ground.held[1] + ground.held[2] + ground.held[3], long{tasks} * rounds
    );
}

struct bell {
    rt::notify rung;
    rt::notify answered;
};

// Waits for the answer to each: one that is lost ends it all.
task<void> rings(bell* at) {
    for (int i = 0; i < rounds; ++i) {
        at->rung.notify_one();
        co_await at->answered.notified();
    }
}

task<void> answers_all() {
    bell bells[2];
    auto first = rt::spawn(rings, &bells[0]);
    auto second = rt::spawn(rings, &bells[1]);
    for (int i = 0; i < 2 * rounds; ++i) {
        const auto won = co_await rt::select(bells[0].rung.notified(), bells[1].rung.notified());
        bells[won.index()].answered.notify_one();
    }
    co_await std::move(first);
    co_await std::move(second);
}

} // namespace

Test(lost_storm, no_message_of_two_channels_is_lost) {
    everywhere([](rt::runtime& runtime) {
        for (const std::uint64_t capacity : {1, 3, 64}) {
            runtime.block_on(receives_all(capacity));
        }
    });
}

Test(lost_storm, no_lock_or_permit_is_lost) {
    on_each_flavor_run(&takes_all_locks);
}

Test(lost_storm, no_notification_is_lost) {
    on_each_flavor_run(&answers_all);
}

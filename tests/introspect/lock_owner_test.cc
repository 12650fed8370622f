// SPDX-License-Identifier: MIT
//
// Whom a walk names as the holder of a lock that a part of a select or join has won: the task that
// has the guard. The part is a branch with a header of its own (rt/detail/branches.h), which is no
// task of a dump, ends with the select, and may be that of another task afterwards.
//
// Method: one task wins the lock in a part and sleeps with it; another one waits for the lock.
#include "introspect/observed_core.h"
#include "introspect/snapshot.h"
#include "support/test.h"
#include "sync/waiting.h"
#include "task/gate.h"

#include <rt/detail/atomic.h>
#include <rt/select.h>
#include <rt/shield.h>
#include <rt/sync/mutex.h>
#include <rt/sync/once.h>
#include <rt/sync/rwlock.h>
#include <rt/task.h>
#include <rt/time.h>
#include <rt/yield.h>

#include <chrono>
#include <cstdint>
#include <stdexcept>

using rt::introspect::no_deadline;
using rt::introspect::observed;
using rt::introspect::observed_core;
using rt::introspect::task_facts;
using rt::introspect::walk_tasks;
using rt::test::is_waiting;

namespace {

using namespace std::chrono_literals;
using rt::task;

// One kind of lock. Who finds it free is its owner when it has the guard, and says so.
struct of_mutex {
    auto wait() { return lock.lock(); }
    auto take() { return lock.try_lock(); }

    rt::mutex lock;
    rt::atomic<bool> is_won{false};
};

struct of_rwlock {
    auto wait() { return lock.write(); }
    auto take() { return lock.try_write(); }

    rt::rwlock lock;
    rt::atomic<bool> is_won{false};
};

template<typename Lock>
task<void> keeps(Lock* of) {
    of->is_won.store_release(true);
    co_await rt::sleep(24h);
}
template<typename Lock>
void until_won(const Lock& of) {
    while (!of.is_won.load_acquire()) {
    }
}

template<typename Lock>
task<void> wins_in_a_select(Lock* of) {
    const auto won = co_await rt::select(of->wait(), rt::sleep(24h));
    cr_assert_eq(won.index(), 0);
    co_await keeps(of);
}

template<typename Lock>
task<void> wins_in_a_join(Lock* of) {
    const auto won = co_await rt::join(of->wait(), rt::yield());
    static_cast<void>(won);
    co_await keeps(of);
}

// A group inside of a group inside of a group.
template<typename Lock>
task<void> wins_far_inside(Lock* of) {
    const auto won =
        co_await rt::select(rt::shield(rt::join(of->wait(), rt::yield())), rt::sleep(24h));
    cr_assert_eq(won.index(), 0);
    co_await keeps(of);
}

// The part has it still.
template<typename Lock>
task<void> holds(Lock* of) {
    const auto held = co_await of->wait();
    co_await keeps(of);
}
template<typename Lock>
task<void> holds_in_a_part(Lock* of) {
    co_await rt::join(holds(of), rt::yield());
}

template<typename Lock>
task<void> wants(Lock* of) {
    const auto held = co_await of->wait();
}

// Until the one that wants the lock is seen to wait, for `holder` or, wrongly, for another one.
void expect_holder(const void* lock, std::uint64_t holder) {
    bool is_seen = false;
    while (!is_seen) {
        walk_tasks(observed().read(), no_deadline, [&](const task_facts& one) {
            if (one.waits_for == rt::detail::wait_kind::mutex && one.is_consistent &&
                one.wait_object == reinterpret_cast<std::uintptr_t>(lock)) {
                is_seen = true;
                cr_assert_eq(one.waits_on, holder);
            }
        });
    }
}

template<typename Lock>
using winner = task<void> (*)(Lock*);

template<typename Lock>
void is_named(winner<Lock> wins) {
    {
        Lock free;
        observed_core core;
        const auto first = core.spawn_joinable(wins(&free));
        until_won(free);
        core.spawn(wants(&free));
        expect_holder(&free.lock, first.id());
    }
    Lock handed_over;
    observed_core core;
    auto held = handed_over.take();
    const auto first = core.spawn_joinable(wins(&handed_over));
    while (!is_waiting(first)) {
    }
    core.spawn(wants(&handed_over));
    expect_holder(&handed_over.lock, 0);
    held.unlock(); // and the next one is the owner, though it has not run yet
    expect_holder(&handed_over.lock, first.id());
}

template<typename Lock>
void is_named_however_it_won() {
    is_named<Lock>(&wins_in_a_select);
    is_named<Lock>(&wins_in_a_join);
    is_named<Lock>(&wins_far_inside);
    is_named<Lock>(&holds_in_a_part);
}

} // namespace

Test(lock_owner, of_a_mutex_is_the_task_whose_part_has_won) {
    is_named_however_it_won<of_mutex>();
}

Test(lock_owner, of_an_rwlock_is_the_task_whose_part_has_won) {
    is_named_however_it_won<of_rwlock>();
}

namespace {

task<void> sleeps() {
    co_await rt::sleep(24h);
}

task<void> initialises_in_a_part(rt::once* of) {
    static_cast<void>(co_await rt::select(of->call(sleeps), rt::sleep(24h)));
}
task<void> fails(rt::test::gate* at) {
    co_await at->wait();
    throw std::runtime_error("not today");
}
task<void> fails_inside(rt::once* of, rt::test::gate* at) {
    try {
        co_await of->call([at] { return fails(at); });
    } catch (const std::runtime_error&) {
        // The next one has its turn.
    }
}
task<void> waits_for(rt::once* of) {
    co_await of->call(sleeps);
}

} // namespace

Test(lock_owner, of_a_once_is_the_task_whose_part_is_inside) {
    rt::once once;
    observed_core core;
    const auto inside = core.spawn_joinable(initialises_in_a_part(&once));
    while (!is_waiting(inside)) {
    }
    core.spawn(waits_for(&once));
    expect_holder(&once, inside.id());
}

Test(lock_owner, of_a_once_is_the_task_whose_part_has_its_turn) {
    rt::once once;
    rt::test::gate at;
    observed_core core;
    const auto first = core.spawn_joinable(fails_inside(&once, &at));
    while (!is_waiting(first)) {
    }
    const auto second = core.spawn_joinable(initialises_in_a_part(&once));
    while (!is_waiting(second)) {
    }
    core.spawn(waits_for(&once));
    expect_holder(&once, first.id());
    at.open();
    while (!first.is_finished()) {
    }
    expect_holder(&once, second.id());
}

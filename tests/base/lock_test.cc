// SPDX-License-Identifier: MIT
//
// Both locks: mutual exclusion under contention, try and timed forms, guards; and the rank check,
// which is called directly so that it is tested in builds that do not use it.
#include "base/captured.h"
#include "base/clock.h"
#include "base/lock.h"
#include "support/test.h"

#include <cstdint>
#include <cstring>
#include <set>
#include <string>
#include <thread>
#include <vector>

using namespace rt::base;
using rt::test::capture;
using rt::test::captured;

// Goal: no two threads are inside at once, and what one writes the next one sees. Method: an
// unprotected counter, more threads than CPUs; a lost update shows as a wrong total, and TSan sees
// the race itself.
template<class Lock>
static void check_exclusion(std::uint32_t thread_count, std::uint32_t rounds) {
    Lock lock(lock_rank::leaf);
    std::uint64_t total = 0;
    std::vector<std::thread> threads;
    for (std::uint32_t index = 0; index < thread_count; ++index) {
        threads.emplace_back([&] {
            for (std::uint32_t round = 0; round < rounds; ++round) {
                guard hold(lock);
                ++total;
            }
        });
    }
    for (std::thread& thread : threads) {
        thread.join();
    }
    cr_assert(total == std::uint64_t{thread_count} * rounds);
}

Test(lock, spin_lock_excludes) {
    check_exclusion<spin_lock>(6, 20'000);
}

Test(lock, futex_lock_excludes) {
    check_exclusion<futex_lock>(6, 20'000);
}

// Goal: waiters that sleep in the kernel are all woken. Method: a holder that yields inside, so
// that everybody else gets past spinning; the test ends only if nobody is forgotten.
Test(lock, futex_lock_wakes_every_sleeper) {
    futex_lock lock(lock_rank::leaf);
    std::uint32_t inside = 0;
    std::vector<std::thread> threads;
    for (int index = 0; index < 8; ++index) {
        threads.emplace_back([&] {
            for (int round = 0; round < 200; ++round) {
                guard hold(lock);
                ++inside;
                std::this_thread::yield();
                cr_assert(inside == 1);
                --inside;
            }
        });
    }
    for (std::thread& thread : threads) {
        thread.join();
    }
}

template<class Lock>
static void check_try() {
    Lock lock(lock_rank::leaf);
    cr_assert(lock.try_lock());
    bool was_taken = true;
    std::thread([&] { was_taken = lock.try_lock(); }).join();
    cr_assert_not(was_taken);
    lock.unlock();
    std::thread([&] {
        was_taken = lock.try_lock();
        lock.unlock();
    }).join();
    cr_assert(was_taken);
}

Test(lock, try_lock_fails_while_held) {
    check_try<spin_lock>();
    check_try<futex_lock>();
}

Test(lock, try_lock_for_gives_up) {
    futex_lock lock(lock_rank::leaf);
    lock.lock();
    std::thread([&] {
        const std::uint64_t begin_ns = monotonic_ns();
        cr_assert_not(lock.try_lock_for(2 * ns_per_millisecond));
        cr_assert(monotonic_ns() - begin_ns >= 2 * ns_per_millisecond, "gave up too early");
        cr_assert_not(lock.try_lock_for(0));
    }).join();
    lock.unlock();
    // A waiter that gave up must leave a lock that still works.
    cr_assert(lock.try_lock_for(0));
    lock.unlock();
}

Test(lock, try_lock_for_gets_a_lock_that_is_freed_meanwhile) {
    futex_lock lock(lock_rank::leaf);
    lock.lock();
    rt::atomic<std::uint32_t> is_trying;
    std::thread waiter([&] {
        is_trying.store_release(1); // release: pairs with the acquire below
        cr_assert(lock.try_lock_for(60 * ns_per_second));
        lock.unlock();
    });
    while (is_trying.load_acquire() == 0) { // acquire: pairs with the release above
        std::this_thread::yield();
    }
    lock.unlock();
    waiter.join();
}

Test(lock, guards_release) {
    spin_lock lock(lock_rank::leaf);
    {
        guard hold(lock);
        cr_assert_not(lock.try_lock());
    }
    {
        guard hold(lock);
        hold.unlock();
        cr_assert(lock.try_lock());
        lock.unlock();
    }
    {
        try_guard first(lock);
        cr_assert(static_cast<bool>(first));
        try_guard second(lock);
        cr_assert_not(static_cast<bool>(second));
    }
    cr_assert(lock.try_lock());
    lock.unlock();
}

Test(lock, ranks_in_order_are_accepted) {
    const int outer = 0;
    const int inner = 0;
    lock_rank_acquired(&outer, lock_rank::inject_queue, false);
    lock_rank_acquired(&inner, lock_rank::leaf, false);
    lock_rank_released(&outer, lock_rank::inject_queue); // any order of release will do
    lock_rank_released(&inner, lock_rank::leaf);
    lock_rank_acquired(&outer, lock_rank::inject_queue, false);
    lock_rank_released(&outer, lock_rank::inject_queue);
}

Test(lock, ranks_out_of_order_are_fatal) {
    const captured child = capture([] {
        const int outer = 0;
        const int inner = 0;
        lock_rank_acquired(&inner, lock_rank::leaf, false);
        lock_rank_acquired(&outer, lock_rank::inject_queue, false);
    });
    cr_assert(child.was_aborted());
    cr_assert(
        child.says("\"inject queue\" taken while holding \"leaf\""), "%s", child.text.c_str()
    );
}

Test(lock, equal_ranks_are_fatal) {
    const captured child = capture([] {
        const int one = 0;
        const int other = 0;
        lock_rank_acquired(&one, lock_rank::wait_queue, false);
        lock_rank_acquired(&other, lock_rank::wait_queue, false);
    });
    cr_assert(child.was_aborted());
}

Test(lock, a_try_may_break_the_order_but_counts) {
    const captured allowed = capture([] {
        const int outer = 0;
        const int inner = 0;
        lock_rank_acquired(&inner, lock_rank::leaf, false);
        lock_rank_acquired(&outer, lock_rank::inject_queue, true);
    });
    cr_assert(allowed.has_exited(), "%s", allowed.text.c_str());
    const captured after = capture([] {
        const int outer = 0;
        const int inner = 0;
        lock_rank_acquired(&inner, lock_rank::leaf, true);
        lock_rank_acquired(&outer, lock_rank::inject_queue, false);
    });
    cr_assert(after.was_aborted());
}

Test(lock, recursion_and_foreign_release_are_fatal) {
    const captured twice = capture([] {
        const int one = 0;
        lock_rank_acquired(&one, lock_rank::unranked, false);
        lock_rank_acquired(&one, lock_rank::unranked, false);
    });
    cr_assert(twice.says("taken twice"), "%s", twice.text.c_str());
    const captured foreign = capture([] {
        const int one = 0;
        lock_rank_released(&one, lock_rank::unranked);
    });
    cr_assert(foreign.says("does not hold it"), "%s", foreign.text.c_str());
}

Test(lock, a_debug_build_checks_the_locks_themselves) {
    const captured child = capture([] {
        spin_lock outer(lock_rank::inject_queue);
        futex_lock inner(lock_rank::leaf);
        guard hold_inner(inner);
        guard hold_outer(outer);
    });
    cr_assert(child.was_aborted() == debug_checks);
    futex_lock lock(lock_rank::leaf);
    cr_assert(is_lock_held(&lock) == !debug_checks);
    guard hold(lock);
    cr_assert(is_lock_held(&lock));
}

Test(lock, every_rank_has_a_name_of_its_own) {
    std::set<std::string> names;
    for (int rank = 0; rank < static_cast<int>(lock_rank::rank_count); ++rank) {
        const char* name = lock_rank_name(static_cast<lock_rank>(rank));
        cr_assert(names.insert(name).second, "%s is there twice", name);
        cr_assert_str_neq(name, "unknown rank");
    }
    cr_assert_str_eq(lock_rank_name(lock_rank::wait_queue), "wait queue");
    cr_assert_str_eq(lock_rank_name(lock_rank::leaf), "leaf");
    cr_assert_str_eq(lock_rank_name(lock_rank::rank_count), "unknown rank");
}

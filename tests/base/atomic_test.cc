// SPDX-License-Identifier: MIT
//
// rt::atomic: that each operation does what its name says to the value, and that the orders hold
// where hardware lets it be seen (store-load through fence_seq_cst). The orders themselves are the
// compiler's and std::atomic's; the protocols built on them have their own model tests.
#include "base/random.h"
#include "support/test.h"

#include <rt/detail/atomic.h>

#include <cstdint>
#include <thread>
#include <vector>

#include <sched.h>

using rt::atomic;

Test(atomic, starts_at_zero_or_at_the_given_value) {
    const atomic<std::uint32_t> zero;
    const atomic<std::uint32_t> seven(7);
    cr_assert(zero.load_relaxed() == 0);
    cr_assert(seven.load_acquire() == 7);
    cr_assert(seven.load_seq_cst() == 7);
}

Test(atomic, stores_are_seen_by_loads) {
    atomic<std::uint64_t> word;
    word.store_relaxed(1);
    cr_assert(word.load_relaxed() == 1);
    word.store_release(2);
    cr_assert(word.load_relaxed() == 2);
    word.store_seq_cst(3);
    cr_assert(word.load_relaxed() == 3);
}

Test(atomic, exchange_returns_what_was_there) {
    atomic<std::uint32_t> word(1);
    cr_assert(word.exchange_relaxed(2) == 1);
    cr_assert(word.exchange_acquire(3) == 2);
    cr_assert(word.exchange_release(4) == 3);
    cr_assert(word.exchange_acq_rel(5) == 4);
    cr_assert(word.exchange_seq_cst(6) == 5);
    cr_assert(word.load_relaxed() == 6);
}

template<class Cas>
static void check_cas(Cas cas) {
    atomic<std::uint32_t> word(1);
    std::uint32_t expected = 9;
    cr_assert_not(cas(word, expected, 2));
    cr_assert(expected == 1, "a failure must report what it saw");
    cr_assert(word.load_relaxed() == 1);
    while (!cas(word, expected, 2)) { // the weak ones may fail without a reason
        cr_assert(expected == 1);
    }
    cr_assert(word.load_relaxed() == 2);
}

Test(atomic, compare_and_swap_in_every_order) {
    using word = atomic<std::uint32_t>;
    using value = std::uint32_t;
    check_cas([](word& w, value& e, value d) { return w.cas_weak_relaxed(e, d); });
    check_cas([](word& w, value& e, value d) { return w.cas_weak_acquire(e, d); });
    check_cas([](word& w, value& e, value d) { return w.cas_weak_release(e, d); });
    check_cas([](word& w, value& e, value d) { return w.cas_weak_acq_rel(e, d); });
    check_cas([](word& w, value& e, value d) { return w.cas_weak_seq_cst(e, d); });
    check_cas([](word& w, value& e, value d) { return w.cas_strong_relaxed(e, d); });
    check_cas([](word& w, value& e, value d) { return w.cas_strong_acquire(e, d); });
    check_cas([](word& w, value& e, value d) { return w.cas_strong_release(e, d); });
    check_cas([](word& w, value& e, value d) { return w.cas_strong_acq_rel(e, d); });
    check_cas([](word& w, value& e, value d) { return w.cas_strong_seq_cst(e, d); });
}

Test(atomic, arithmetic_returns_the_previous_value) {
    atomic<std::uint32_t> word(10);
    cr_assert(word.add_relaxed(1) == 10);
    cr_assert(word.add_acquire(1) == 11);
    cr_assert(word.add_release(1) == 12);
    cr_assert(word.add_acq_rel(1) == 13);
    cr_assert(word.add_seq_cst(1) == 14);
    cr_assert(word.sub_relaxed(1) == 15);
    cr_assert(word.sub_acquire(1) == 14);
    cr_assert(word.sub_release(1) == 13);
    cr_assert(word.sub_acq_rel(1) == 12);
    cr_assert(word.sub_seq_cst(1) == 11);
    cr_assert(word.load_relaxed() == 10);
}

Test(atomic, bit_operations_return_the_previous_value) {
    atomic<std::uint32_t> word(0);
    cr_assert(word.or_relaxed(1) == 0);
    cr_assert(word.or_acquire(2) == 1);
    cr_assert(word.or_release(4) == 3);
    cr_assert(word.or_acq_rel(8) == 7);
    cr_assert(word.or_seq_cst(16) == 15);
    cr_assert(word.and_relaxed(~1U) == 31);
    cr_assert(word.and_acquire(~2U) == 30);
    cr_assert(word.and_release(~4U) == 28);
    cr_assert(word.and_acq_rel(~8U) == 24);
    cr_assert(word.and_seq_cst(~16U) == 16);
    cr_assert(word.xor_relaxed(3) == 0);
    cr_assert(word.xor_acquire(1) == 3);
    cr_assert(word.xor_release(1) == 2);
    cr_assert(word.xor_acq_rel(1) == 3);
    cr_assert(word.xor_seq_cst(2) == 2);
    cr_assert(word.load_relaxed() == 0);
}

Test(atomic, pointers_move_by_elements) {
    int array[4] = {};
    atomic<int*> at(&array[0]);
    cr_assert(at.add_relaxed(2) == &array[0]);
    cr_assert(at.sub_relaxed(1) == &array[2]);
    cr_assert(at.load_relaxed() == &array[1]);
    cr_assert(*at.address() == &array[1]);
}

Test(atomic, narrow_words_wrap_on_bump) {
    atomic<std::uint8_t> word(255);
    word.bump_relaxed(2);
    cr_assert(word.load_relaxed() == 1);
    cr_assert(sizeof(word) == 1);
}

Test(atomic, address_is_the_word_itself) {
    atomic<std::uint32_t> word(5);
    cr_assert(static_cast<void*>(word.address()) == static_cast<void*>(&word));
    cr_assert(*word.address() == 5);
}

Test(atomic, concurrent_additions_are_not_lost) {
    constexpr std::uint32_t rounds = 20'000;
    atomic<std::uint32_t> total;
    std::vector<std::thread> threads;
    for (int index = 0; index < 4; ++index) {
        threads.emplace_back([&] {
            for (std::uint32_t round = 0; round < rounds; ++round) {
                total.add_relaxed(1);
            }
        });
    }
    for (std::thread& thread : threads) {
        thread.join();
    }
    cr_assert(total.load_relaxed() == 4 * rounds);
}

namespace {

/// Lets two threads go on at nearly the same moment, again and again.
class rendezvous {
public:
    void meet(std::uint32_t round) {
        arrived_.add_acq_rel(1); // acq_rel: pairs with itself, in the other thread
        for (int spins = 0; arrived_.load_acquire() < 2 * round; ++spins) {
            if (spins > 2'000) {
                std::this_thread::yield(); // the other one is off its CPU
            }
        }
    }

private:
    atomic<std::uint32_t> arrived_;
};

/// Puts the calling thread on the nth of the CPUs it may use, if there are as many: two threads
/// that share one CPU can't overlap.
void stay_on_cpu(int wanted) {
    cpu_set_t usable;
    if (::sched_getaffinity(0, sizeof(usable), &usable) != 0) {
        return;
    }
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
        if (CPU_ISSET(cpu, &usable) && wanted-- == 0) {
            cpu_set_t chosen;
            CPU_ZERO(&chosen);
            CPU_SET(cpu, &chosen);
            (void)::sched_setaffinity(0, sizeof(chosen), &chosen);
            return;
        }
    }
}

/// Store the own word, fence, load the other's: what fence_seq_cst is for.
std::uint32_t store_then_load(
    atomic<std::uint32_t>& own, const atomic<std::uint32_t>& other, std::uint32_t delay
) {
    for (std::uint32_t step = 0; step < delay; ++step) {
        asm volatile("");
    }
    own.store_relaxed(1);
    rt::fence_seq_cst();
    return other.load_relaxed();
}

} // namespace

// Goal: fence_seq_cst orders a store before a later load of another word. Method: the store-buffer
// litmus test. Two threads on two CPUs meet, each stores its word, fences and loads the other's;
// without the fence both may read 0. Random delays vary which of them is ahead.
// With the fence taken out, each of 20 runs failed.
Test(atomic, fence_keeps_a_load_behind_an_earlier_store) {
    constexpr std::uint32_t rounds = 50'000;
    constexpr std::uint32_t delay_max = 64;
    atomic<std::uint32_t> x;
    atomic<std::uint32_t> y;
    atomic<std::uint32_t> saw_x;
    rendezvous begin;
    rendezvous end;
    std::thread partner([&] {
        stay_on_cpu(1);
        rt::base::random_source random(1);
        for (std::uint32_t round = 1; round <= rounds; ++round) {
            begin.meet(round);
            saw_x.store_relaxed(store_then_load(y, x, random.below(delay_max)));
            end.meet(round);
        }
    });
    stay_on_cpu(0);
    rt::base::random_source random(2);
    std::uint32_t lost = 0;
    for (std::uint32_t round = 1; round <= rounds; ++round) {
        x.store_relaxed(0);
        y.store_relaxed(0);
        begin.meet(round);
        const std::uint32_t saw_y = store_then_load(x, y, random.below(delay_max));
        end.meet(round);
        lost += saw_y == 0 && saw_x.load_relaxed() == 0 ? 1 : 0;
    }
    partner.join();
    cr_assert(lost == 0, "%u of %u rounds", lost, rounds);
}

// Goal: a release fence before a relaxed store, and an acquire fence after a relaxed load, publish
// plain data. Under ThreadSanitizer this also proves that our stand-in is understood.
Test(atomic, fences_publish_plain_data) {
    constexpr std::uint32_t rounds = 1'000;
    for (std::uint32_t round = 0; round < rounds; ++round) {
        std::uint32_t data = 0;
        atomic<std::uint32_t> flag;
        std::thread writer([&] {
            data = 42;
            rt::fence_release(); // pairs with the acquire fence below
            flag.store_relaxed(1);
        });
        while (flag.load_relaxed() == 0) {
            std::this_thread::yield();
        }
        rt::fence_acquire(); // pairs with the release fence above
        cr_assert(data == 42);
        writer.join();
    }
}

Test(atomic, chaos_point_returns) {
    for (int round = 0; round < 5'000; ++round) {
        rt::detail::chaos_point();
    }
}

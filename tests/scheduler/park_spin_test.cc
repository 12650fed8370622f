// SPDX-License-Identifier: MIT
//
// When a thread spins before it sleeps.
#include "scheduler/park_spin.h"
#include "support/test.h"

#include <cstdint>

using rt::scheduler::park_spin;

namespace {

constexpr std::uint64_t spin_ns = 10'000;

}

Test(park_spin, nobody_spins_who_was_not_woken_early) {
    park_spin spin;
    cr_assert_not(spin.is_worth());
    spin.woken_after(spin_ns, spin_ns);
    cr_assert_not(spin.is_worth());
    spin.end(false);
    cr_assert_not(spin.is_worth());
}

Test(park_spin, an_early_wake_up_is_worth_a_spin) {
    park_spin spin;
    spin.woken_after(spin_ns - 1, spin_ns);
    cr_assert(spin.is_worth());
    spin.end(false);
    cr_assert_not(spin.is_worth());
}

// Wake-ups at intervals that a spin does not reach.
Test(park_spin, spins_that_find_nothing_become_rare) {
    park_spin spin;
    int spins = 0;
    constexpr int sleeps = 6400;
    for (int i = 0; i < sleeps; ++i) {
        spin.woken_after(spin_ns - 1, spin_ns);
        while (spin.is_worth()) {
            ++spins;
            spin.end(false);
        }
    }
    cr_assert_leq(spins, (sleeps >> park_spin::doublings_max) + int{park_spin::doublings_max} + 1);
    cr_assert_geq(spins, sleeps >> park_spin::doublings_max);
    spin.woken_after(spin_ns - 1, spin_ns); // and come back once one finds something
    spin.end(true);
    spin.end(false);
    cr_assert(spin.is_worth());
}

Test(park_spin, a_find_is_worth_more) {
    park_spin spin;
    spin.woken_after(0, spin_ns);
    spin.end(true);
    for (std::uint32_t i = 0; i < park_spin::credit_max; ++i) {
        cr_assert(spin.is_worth());
        spin.end(false);
    }
    cr_assert_not(spin.is_worth());
}

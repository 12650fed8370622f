// SPDX-License-Identifier: MIT
#include "base/random.h"
#include "support/test.h"

#include <cstdint>
#include <set>

using namespace rt::base;

Test(random, a_seed_repeats_its_stream) {
    random_source one(7);
    random_source same(7);
    random_source other(8);
    int differing = 0;
    for (int round = 0; round < 100; ++round) {
        const std::uint64_t value = one.next();
        cr_assert(value == same.next());
        differing += value != other.next() ? 1 : 0;
    }
    cr_assert(differing == 100, "neighbouring seeds must give unrelated streams");
}

Test(random, below_stays_below_and_reaches_everything) {
    for (const std::uint32_t bound : {1U, 2U, 3U, 7U, 64U}) {
        random_source source(bound);
        std::set<std::uint32_t> seen;
        for (int round = 0; round < 4'000; ++round) {
            const std::uint32_t value = source.below(bound);
            cr_assert(value < bound);
            seen.insert(value);
        }
        cr_assert(seen.size() == bound);
    }
}

// Goal: no value is favoured. Method: a chi-square sum over 16 cells; 60 is exceeded by a fair
// source once in some millions, and the seed is fixed, so this cannot fail by chance.
Test(random, below_is_even) {
    constexpr std::uint32_t cells = 16;
    constexpr std::uint32_t rounds_each = 4'000;
    constexpr double expected = rounds_each;
    random_source source(42);
    std::uint32_t counts[cells] = {};
    for (std::uint32_t round = 0; round < cells * rounds_each; ++round) {
        ++counts[source.below(cells)];
    }
    double chi_square = 0;
    for (const std::uint32_t count : counts) {
        const double difference = count - expected;
        chi_square += difference * difference / expected;
    }
    cr_assert(chi_square < 60, "%f", chi_square);
}

Test(random, every_seed_leaves_zero) {
    // The seed whose mixed bits are zero would otherwise stay there for ever.
    for (std::uint64_t seed = 0; seed < 1'000; ++seed) {
        random_source source(seed);
        cr_assert(source.next() != 0);
    }
}

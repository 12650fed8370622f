// SPDX-License-Identifier: MIT
//
// Histograms: the bucket arithmetic over all of 64 bits, and the statistics against sorted samples.
#include "base/captured.h"
#include "base/random.h"
#include "metrics/histogram.h"
#include "support/test.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <thread>
#include <vector>

using namespace rt::metrics;
using buckets = histogram_buckets;
using rt::base::random_source;

/// Values of every magnitude: a random width first, then random bits of that width.
static std::uint64_t any_magnitude(random_source& random) {
    const std::uint32_t width = random.below(65);
    return width == 0 ? 0 : random.next() >> (64 - width);
}

Test(histogram, buckets_tile_the_whole_range) {
    cr_assert(buckets::low(0) == 0);
    for (std::size_t index = 0; index < buckets::count; ++index) {
        const std::uint64_t low = buckets::low(index);
        const std::uint64_t high = buckets::high(index);
        cr_assert(low <= high, "bucket %zu", index);
        cr_assert(buckets::index_of(low) == index, "bucket %zu", index);
        cr_assert(buckets::index_of(high) == index, "bucket %zu", index);
        if (index + 1 < buckets::count) {
            cr_assert(buckets::low(index + 1) == high + 1, "bucket %zu", index);
        }
    }
    cr_assert(buckets::high(buckets::count - 1) == ~std::uint64_t{0});
}

Test(histogram, small_values_are_exact) {
    for (std::uint64_t value = 0; value < 16; ++value) {
        cr_assert(buckets::low(buckets::index_of(value)) == value);
        cr_assert(buckets::high(buckets::index_of(value)) == value);
    }
}

Test(histogram, buckets_are_at_most_an_eighth_wide) {
    for (std::size_t index = buckets::sub_count; index < buckets::count; ++index) {
        const std::uint64_t width = buckets::high(index) - buckets::low(index) + 1;
        cr_assert(width <= buckets::low(index) / 8 || width == 1, "bucket %zu", index);
    }
}

Test(histogram, any_value_lies_in_its_bucket) {
    random_source random(1);
    for (int round = 0; round < 200'000; ++round) {
        const std::uint64_t value = any_magnitude(random);
        const std::size_t index = buckets::index_of(value);
        cr_assert(index < buckets::count);
        cr_assert(buckets::low(index) <= value && value <= buckets::high(index));
    }
}

Test(histogram, order_is_preserved) {
    random_source random(2);
    for (int round = 0; round < 100'000; ++round) {
        const std::uint64_t a = any_magnitude(random);
        const std::uint64_t b = any_magnitude(random);
        cr_assert((a <= b) || buckets::index_of(a) >= buckets::index_of(b));
        cr_assert((a >= b) || buckets::index_of(a) <= buckets::index_of(b));
    }
}

Test(histogram, powers_of_two_begin_buckets) {
    for (unsigned exponent = 0; exponent < 64; ++exponent) {
        const std::uint64_t power = std::uint64_t{1} << exponent;
        cr_assert(buckets::low(buckets::index_of(power)) == power);
    }
}

Test(histogram, empty_answers_zero) {
    const histogram_data data;
    cr_assert(data.total() == 0);
    cr_assert(data.sum() == 0);
    cr_assert(data.mean() == 0);
    cr_assert(data.quantile(0.5) == 0);
    cr_assert(data.lowest() == 0);
    cr_assert(data.highest() == 0);
    cr_assert(data.count_up_to(~std::uint64_t{0}) == 0);
}

Test(histogram, counts_sums_and_bounds) {
    histogram_data data;
    data.add(3);
    data.add(100, 2);
    data.add(7);
    cr_assert(data.total() == 4);
    cr_assert(data.sum() == 210);
    cr_assert(data.mean() == 52.5);
    cr_assert(data.lowest() == 3);
    cr_assert(data.highest() >= 100 && data.highest() < 113);
    cr_assert(data.bucket(buckets::index_of(100)) == 2);
    cr_assert(data.count_up_to(2) == 0);
    cr_assert(data.count_up_to(7) == 2);
    cr_assert(data.count_up_to(127) == 4);
}

// Goal: a quantile is never below the true one and at most 12.5 % above. Method: against sorted
// samples.
Test(histogram, quantiles_are_within_an_eighth_above) {
    for (std::uint64_t seed = 0; seed < 20; ++seed) {
        random_source random(seed);
        std::vector<std::uint64_t> samples;
        histogram_data data;
        const std::uint32_t count = 1 + random.below(3'000);
        for (std::uint32_t index = 0; index < count; ++index) {
            const std::uint64_t value =
                any_magnitude(random) >> 4; // keeps the comparison below exact
            samples.push_back(value);
            data.add(value);
        }
        std::ranges::sort(samples);
        for (const double share : {0.0, 0.01, 0.25, 0.5, 0.9, 0.99, 0.999, 1.0}) {
            const auto rank = static_cast<std::size_t>(std::ceil(share * count));
            const std::uint64_t exact = samples[rank == 0 ? 0 : rank - 1];
            const std::uint64_t answer = data.quantile(share);
            cr_assert(answer >= exact, "seed %lu share %f: %lu < %lu", seed, share, answer, exact);
            cr_assert(
                answer - exact <= exact / 8,
                "seed %lu share %f: %lu for %lu",
                seed,
                share,
                answer,
                exact
            );
        }
        cr_assert(data.lowest() <= samples.front());
        cr_assert(data.highest() >= samples.back());
    }
}

Test(histogram, quantile_of_one_record_is_its_bucket) {
    histogram_data data;
    data.add(1'000);
    for (const double share : {0.0, 0.5, 1.0}) {
        cr_assert(data.quantile(share) == buckets::high(buckets::index_of(1'000)));
    }
}

Test(histogram, quantile_wants_a_share) {
    cr_assert(rt::test::capture([] { (void)histogram_data().quantile(1.5); }).was_aborted());
    cr_assert(rt::test::capture([] { (void)histogram_data().quantile(-0.1); }).was_aborted());
}

Test(histogram, merging_is_as_recording_all_in_one) {
    random_source random(3);
    histogram_data parts[3];
    histogram_data whole;
    for (int round = 0; round < 30'000; ++round) {
        const std::uint64_t value = any_magnitude(random);
        parts[random.below(3)].add(value);
        whole.add(value);
    }
    histogram_data merged;
    for (const histogram_data& part : parts) {
        merged.merge(part);
    }
    for (std::size_t index = 0; index < buckets::count; ++index) {
        cr_assert(merged.bucket(index) == whole.bucket(index));
    }
    cr_assert(merged.sum() == whole.sum());
}

Test(histogram, since_gives_the_window) {
    histogram_data earlier;
    earlier.add(10, 5);
    histogram_data later = earlier;
    later.add(10);
    later.add(2'000, 3);
    const histogram_data window = later.since(earlier);
    cr_assert(window.total() == 4);
    cr_assert(window.bucket(buckets::index_of(10)) == 1);
    cr_assert(window.sum() == 6'010);
}

Test(histogram, live_records_arrive) {
    if (!rt::features::metrics) {
        cr_skip_test("this build records nothing");
    }
    static histogram live;
    live.record(5);
    live.record(5);
    live.record(900);
    const histogram_data data = live.read();
    cr_assert(data.total() == 3);
    cr_assert(data.sum() == 910);
    cr_assert(data.bucket(buckets::index_of(5)) == 2);
    histogram_data both = data;
    live.read_into(both);
    cr_assert(both.total() == 6);
}

// Goal: a reader beside the writer sees counts that only grow, and in the end everything. Method:
// the reader polls until the writer is done; TSan checks the accesses.
Test(histogram, one_writer_and_a_reader) {
    if (!rt::features::metrics) {
        cr_skip_test("this build records nothing");
    }
    constexpr std::uint64_t records = 100'000;
    static histogram live;
    rt::atomic<bool> is_done;
    std::thread writer([&] {
        random_source random(4);
        for (std::uint64_t index = 0; index < records; ++index) {
            live.record(random.below(1'000'000));
        }
        is_done.store_release(true); // release: pairs with the acquire below
    });
    histogram_data last;
    bool was_done = false;
    while (!was_done) {
        was_done = is_done.load_acquire(); // acquire: pairs with the release above
        const histogram_data now = live.read();
        (void)now.since(last); // asserts that no bucket shrank
        last = now;
    }
    writer.join();
    cr_assert(last.total() == records);
}

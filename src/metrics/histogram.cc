// SPDX-License-Identifier: MIT
//
// The reading half of histograms. Nothing here is on a hot path: readers are the sentinel and
// tests.
//
// A quantile is answered with the upper bound of its bucket: an alarm threshold then never misses
// by rounding, and p100 is at least the true maximum.
#include "metrics/histogram.h"

#include "base/assert.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace rt::metrics {

void histogram_data::merge(const histogram_data& other) noexcept {
    for (std::size_t index = 0; index < counts_.size(); ++index) {
        counts_[index] += other.counts_[index];
    }
    sum_ += other.sum_;
}

void histogram_data::add(std::uint64_t value, std::uint64_t weight) noexcept {
    counts_[histogram_buckets::index_of(value)] += weight;
    sum_ += value * weight;
}

histogram_data histogram_data::since(const histogram_data& earlier) const noexcept {
    histogram_data difference;
    for (std::size_t index = 0; index < counts_.size(); ++index) {
        RT_ASSERT(counts_[index] >= earlier.counts_[index]);
        difference.counts_[index] = counts_[index] - earlier.counts_[index];
    }
    difference.sum_ = sum_ - earlier.sum_;
    return difference;
}

std::uint64_t histogram_data::total() const noexcept {
    return std::accumulate(counts_.begin(), counts_.end(), std::uint64_t{0});
}

double histogram_data::mean() const noexcept {
    const std::uint64_t records = total();
    return records == 0 ? 0.0 : static_cast<double>(sum_) / static_cast<double>(records);
}

std::uint64_t histogram_data::quantile(double share) const noexcept {
    RT_ASSERT(share >= 0 && share <= 1);
    const std::uint64_t records = total();
    if (records == 0) {
        return 0;
    }
    // The rank of the record asked for, from 1: the smallest whose rank covers the share.
    const double exact = std::ceil(share * static_cast<double>(records));
    const std::uint64_t rank = std::clamp<std::uint64_t>(
        exact >= static_cast<double>(records) ? records : static_cast<std::uint64_t>(exact),
        1,
        records
    );
    std::uint64_t seen = 0;
    for (std::size_t index = 0; index < counts_.size(); ++index) {
        seen += counts_[index];
        if (seen >= rank) {
            return histogram_buckets::high(index);
        }
    }
    return highest(); // not reached: the counts add up to at least the rank
}

std::uint64_t histogram_data::lowest() const noexcept {
    const auto first =
        std::ranges::find_if(counts_, [](std::uint64_t count) { return count != 0; });
    return first == counts_.end()
        ? 0
        : histogram_buckets::low(static_cast<std::size_t>(first - counts_.begin()));
}

std::uint64_t histogram_data::highest() const noexcept {
    for (std::size_t index = counts_.size(); index > 0; --index) {
        if (counts_[index - 1] != 0) {
            return histogram_buckets::high(index - 1);
        }
    }
    return 0;
}

std::uint64_t histogram_data::count_up_to(std::uint64_t value) const noexcept {
    std::uint64_t records = 0;
    for (std::size_t index = 0; index < counts_.size(); ++index) {
        if (histogram_buckets::high(index) > value) {
            break;
        }
        records += counts_[index];
    }
    return records;
}

void histogram::read_into(histogram_data& into) const noexcept {
    for (std::size_t index = 0; index < counts_.size(); ++index) {
        into.counts_[index] += counts_[index].load_relaxed();
    }
    into.sum_ += sum_.load_relaxed();
}

histogram_data histogram::read() const noexcept {
    histogram_data data;
    read_into(data);
    return data;
}

} // namespace rt::metrics

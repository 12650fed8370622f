// SPDX-License-Identifier: MIT
//
// histogram: log-linear buckets, eight to each power of two, so that a value is known to
// within 12.5 %.
//
// Values below 8 have a bucket each; from there on a bucket of [2^k, 2^(k+1)) is an eighth of that
// range. The range is all of 64 bits, so nothing is out of range and nothing is clamped:
// nanoseconds and bytes both fit. Recording is a bit scan, a shift and two relaxed load-store
// pairs.
//
// Threads: one writer per histogram (record); any thread may read (read_into) at any time. A reader
// sees each bucket exactly and untorn, and the buckets among themselves and the sum skewed by the
// few records that happen meanwhile. Merging, quantiles and printing work on a histogram_data, a
// plain value.
//
// Rejected: one histogram shared by all workers (a locked add on a shared line per record), and
// HdrHistogram's configurable precision (the constant shift is what makes recording this cheap).
#pragma once

#include <rt/detail/atomic.h>
#include <rt/detail/config.h>

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace rt::metrics {

/// The arithmetic of buckets, shared by histogram and histogram_data.
struct histogram_buckets {
    static constexpr unsigned sub_bits = 3;
    static constexpr std::uint64_t sub_count = 1U << sub_bits; // buckets per power of two

    /// Exponents 3 to 63 have sub_count buckets each; below are the sub_count exact ones.
    static constexpr std::size_t count = sub_count + (64 - sub_bits) * sub_count;

    [[nodiscard]] static constexpr std::size_t index_of(std::uint64_t value) noexcept {
        if (value < sub_count) {
            return static_cast<std::size_t>(value);
        }
        const auto exponent = static_cast<unsigned>(std::bit_width(value)) - 1;
        const std::uint64_t top_bits =
            value >> (exponent - sub_bits); // sub_count … 2 * sub_count - 1
        return static_cast<std::size_t>((exponent - sub_bits) * sub_count + top_bits);
    }

    /// The least value of a bucket. REQUIRES: index < count.
    [[nodiscard]] static constexpr std::uint64_t low(std::size_t index) noexcept {
        if (index < 2 * sub_count) {
            return index; // the exact ones, and those of width 1 above them
        }
        const auto shift = static_cast<unsigned>(index / sub_count - 1);
        return (sub_count + index % sub_count) << shift;
    }

    /// The greatest value of a bucket. REQUIRES: index < count.
    [[nodiscard]] static constexpr std::uint64_t high(std::size_t index) noexcept {
        return index + 1 == count ? ~std::uint64_t{0} : low(index + 1) - 1;
    }
};

static_assert(histogram_buckets::count == 496);
static_assert(histogram_buckets::index_of(~std::uint64_t{0}) == histogram_buckets::count - 1);

/// A histogram at rest: what readers merge and ask. About 4 KB; no protection of its own.
class histogram_data {
public:
    void merge(const histogram_data& other) noexcept;

    /// As if `weight` records of `value` had been made. For readers that fold other sources in.
    void add(std::uint64_t value, std::uint64_t weight = 1) noexcept;

    /// What happened since `earlier`, which was read from the same source before. Buckets never
    /// shrink.
    [[nodiscard]] histogram_data since(const histogram_data& earlier) const noexcept;

    [[nodiscard]] std::uint64_t total() const noexcept;
    /// Of the values themselves, not of their buckets; wraps around at 2^64.
    [[nodiscard]] std::uint64_t sum() const noexcept { return sum_; }
    /// 0 when empty.
    [[nodiscard]] double mean() const noexcept;

    /// The greatest value of the bucket that holds the given share of the records, so the answer is
    /// never below the true quantile, nor more than 12.5 % above it; 0 when empty. REQUIRES: 0 <=
    /// share <= 1.
    [[nodiscard]] std::uint64_t quantile(double share) const noexcept;

    /// Bounds of what was recorded: the bucket's own bounds, so within 12.5 %; 0 when empty.
    [[nodiscard]] std::uint64_t lowest() const noexcept;
    [[nodiscard]] std::uint64_t highest() const noexcept;

    /// How many records are at or below `value`, counting whole buckets: exact where value + 1
    /// begins a bucket, as every power of two does. For exposition as cumulative buckets.
    [[nodiscard]] std::uint64_t count_up_to(std::uint64_t value) const noexcept;

    [[nodiscard]] std::uint64_t bucket(std::size_t index) const noexcept { return counts_[index]; }

private:
    friend class histogram;

    std::array<std::uint64_t, histogram_buckets::count> counts_{};
    std::uint64_t sum_ = 0;
};

class histogram {
public:
    constexpr histogram() noexcept = default;

    /// Owner only. Records nothing in a build with --disable-metrics.
    void record(std::uint64_t value) noexcept {
        if constexpr (features::metrics) {
            // relaxed, here and in read_into: counters that publish nothing but themselves.
            counts_[histogram_buckets::index_of(value)].bump_relaxed(1);
            sum_.bump_relaxed(value);
        }
    }

    /// Adds what was recorded so far to `into`. Any thread.
    void read_into(histogram_data& into) const noexcept;

    [[nodiscard]] histogram_data read() const noexcept;

private:
    // Written by the owner, read by any thread, which may see each a little late.
    std::array<atomic<std::uint64_t>, histogram_buckets::count> counts_{};
    atomic<std::uint64_t> sum_{0};
};

} // namespace rt::metrics

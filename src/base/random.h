// SPDX-License-Identifier: MIT
//
// A small, fast, seedable random source (xorshift64*, Vigna 2014) for choices that only have to be
// spread out: where a steal round starts, which shard, chaos. One per thread; not shared, not for
// secrets. The seed goes through splitmix64 first, so that neighbouring seeds (worker 0, 1, 2 …)
// give unrelated streams.
#pragma once

#include <cstdint>

namespace rt::base {

/// One step of splitmix64: turns a counter into well-mixed bits.
[[nodiscard]] constexpr std::uint64_t mix_bits(std::uint64_t value) noexcept {
    value += 0x9E3779B97F4A7C15U;
    value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9U;
    value = (value ^ (value >> 27)) * 0x94D049BB133111EBU;
    return value ^ (value >> 31);
}

class random_source {
public:
    constexpr explicit random_source(std::uint64_t seed) noexcept
        : state_(mix_bits(seed)) {
        if (state_ == 0) {
            state_ = 1; // the one state that xorshift never leaves
        }
    }

    constexpr std::uint64_t next() noexcept {
        state_ ^= state_ >> 12;
        state_ ^= state_ << 25;
        state_ ^= state_ >> 27;
        return state_ * 0x2545F4914F6CDD1DU;
    }

    /// Uniform in [0, bound), but for a bias of bound / 2^32, by multiplication instead of
    /// division. REQUIRES: bound > 0.
    constexpr std::uint32_t below(std::uint32_t bound) noexcept {
        return static_cast<std::uint32_t>(((next() >> 32) * bound) >> 32);
    }

private:
    std::uint64_t state_;
};

} // namespace rt::base

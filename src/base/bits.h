// SPDX-License-Identifier: MIT
//
// Integer arithmetic that <bit> lacks or spells less clearly. All constexpr, all total where the
// comment does not require something.
// Pure functions, usable in constant expressions and on any thread; what a name promises is all
// there is to know.
#pragma once

#include "base/assert.h"

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>

namespace rt::base {

template<std::unsigned_integral T>
[[nodiscard]] constexpr bool is_power_of_two(T value) noexcept {
    return std::has_single_bit(value);
}

/// The exponent of the highest set bit. REQUIRES: value > 0.
template<std::unsigned_integral T>
[[nodiscard]] constexpr unsigned log2_floor(T value) noexcept {
    RT_ASSERT(value > 0);
    return static_cast<unsigned>(std::bit_width(value)) - 1;
}

/// REQUIRES: value > 0.
template<std::unsigned_integral T>
[[nodiscard]] constexpr unsigned log2_ceil(T value) noexcept {
    RT_ASSERT(value > 0);
    return static_cast<unsigned>(std::bit_width(static_cast<T>(value - 1)));
}

/// The next multiple of a power of two, at or above. REQUIRES: the result fits T.
template<std::unsigned_integral T>
[[nodiscard]] constexpr T align_up(T value, T alignment) noexcept {
    RT_ASSERT(is_power_of_two(alignment));
    return static_cast<T>((value + (alignment - 1)) & ~(alignment - 1));
}

template<std::unsigned_integral T>
[[nodiscard]] constexpr bool is_aligned(T value, T alignment) noexcept {
    RT_ASSERT(is_power_of_two(alignment));
    return (value & (alignment - 1)) == 0;
}

[[nodiscard]] inline bool is_aligned(const void* address, std::size_t alignment) noexcept {
    return is_aligned(reinterpret_cast<std::uintptr_t>(address), std::uintptr_t{alignment});
}

/// Rounds up. REQUIRES: divisor > 0.
template<std::unsigned_integral T>
[[nodiscard]] constexpr T divide_up(T value, T divisor) noexcept {
    RT_ASSERT(divisor > 0);
    return static_cast<T>(value / divisor + (value % divisor != 0 ? 1 : 0));
}

/// The low `count` bits set. REQUIRES: count <= the width of T.
template<std::unsigned_integral T>
[[nodiscard]] constexpr T low_bits(unsigned count) noexcept {
    constexpr unsigned width = sizeof(T) * 8;
    RT_ASSERT(count <= width);
    return count == 0 ? T{0} : static_cast<T>(static_cast<T>(~T{0}) >> (width - count));
}

/// The field of `width` bits at `shift`: for words that pack several counters.
template<std::unsigned_integral T>
[[nodiscard]] constexpr T bit_field(T word, unsigned shift, unsigned width) noexcept {
    return static_cast<T>((word >> shift) & low_bits<T>(width));
}

} // namespace rt::base

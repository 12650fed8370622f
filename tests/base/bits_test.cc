// SPDX-License-Identifier: MIT
#include "base/bits.h"
#include "base/captured.h"
#include "support/test.h"

#include <cstdint>

using namespace rt::base;

static_assert(is_power_of_two(1U) && is_power_of_two(64U) && !is_power_of_two(0U));
static_assert(log2_floor(1U) == 0 && log2_floor(255U) == 7 && log2_floor(256U) == 8);
static_assert(log2_ceil(1U) == 0 && log2_ceil(255U) == 8 && log2_ceil(256U) == 8);
static_assert(align_up(0U, 64U) == 0 && align_up(1U, 64U) == 64 && align_up(64U, 64U) == 64);
static_assert(divide_up(0U, 8U) == 0 && divide_up(1U, 8U) == 1 && divide_up(16U, 8U) == 2);
static_assert(low_bits<std::uint32_t>(0) == 0 && low_bits<std::uint32_t>(32) == ~0U);
static_assert(bit_field(std::uint64_t{0xABCD}, 4, 8) == 0xBC);

Test(bits, logarithms_agree_with_shifting) {
    for (unsigned exponent = 0; exponent < 64; ++exponent) {
        const std::uint64_t power = std::uint64_t{1} << exponent;
        cr_assert(log2_floor(power) == exponent);
        cr_assert(log2_ceil(power) == exponent);
        cr_assert(low_bits<std::uint64_t>(exponent) == power - 1);
        if (exponent > 1) {
            cr_assert(log2_floor(power - 1) == exponent - 1);
            cr_assert(log2_ceil(power - 1) == exponent);
        }
    }
}

Test(bits, alignment_agrees_with_division) {
    for (std::uint64_t value = 0; value < 300; ++value) {
        const std::uint64_t aligned = align_up(value, std::uint64_t{16});
        cr_assert(aligned == divide_up(value, std::uint64_t{16}) * 16);
        cr_assert(is_aligned(aligned, std::uint64_t{16}));
        cr_assert(is_aligned(value, std::uint64_t{16}) == (aligned == value));
    }
    alignas(64) char bytes[65];
    cr_assert(is_aligned(bytes, 64));
    cr_assert_not(is_aligned(bytes + 1, 2));
}

Test(bits, divide_up_does_not_overflow) {
    cr_assert(divide_up(~std::uint64_t{0}, std::uint64_t{2}) == std::uint64_t{1} << 63);
    cr_assert(divide_up(std::uint8_t{255}, std::uint8_t{254}) == 2);
}

Test(bits, preconditions_are_checked) {
    cr_assert(rt::test::capture([] { (void)log2_floor(0U); }).was_aborted());
    cr_assert(rt::test::capture([] { (void)align_up(1U, 3U); }).was_aborted());
    cr_assert(rt::test::capture([] { (void)low_bits<std::uint32_t>(33); }).was_aborted());
}

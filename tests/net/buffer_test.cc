// SPDX-License-Identifier: MIT
//
// rt::buffer: sizes on both sides of the frame lists' limit (1 KiB), moves, views, and what happens
// when there is no memory. No runtime is needed: the calling thread's lists and malloc do it.
//
// The two helpers between bytes and text are tested here as well.
#include "support/test.h"

#include <rt/buffer.h>

#include <cstdint>
#include <cstring>
#include <limits>
#include <new>
#include <span>
#include <utility>

Test(buffer, owns_as_many_bytes_as_asked_for) {
    for (const std::size_t size : {1U, 63U, 64U, 65U, 1024U, 1025U, 1U << 20U}) {
        rt::buffer bytes(size);
        cr_assert_eq(bytes.size(), size);
        cr_assert_eq(reinterpret_cast<std::uintptr_t>(bytes.data()) % 16, 0);
        std::memset(bytes.data(), 0x5a, size);
        cr_assert(bytes[size - 1] == std::byte{0x5a});
        cr_assert(bytes.end() - bytes.begin() == static_cast<std::ptrdiff_t>(size));
    }
}

Test(buffer, empty_ones_own_nothing) {
    const rt::buffer none;
    cr_assert(none.empty());
    cr_assert(none.bytes().empty());
    const rt::buffer zero(0);
    cr_assert(zero.empty());
    cr_assert(zero.data() == nullptr);
    cr_assert(rt::buffer::make(0).has_value());
}

Test(buffer, moves_without_moving_the_bytes) {
    rt::buffer a(100);
    std::byte* const where = a.data();
    rt::buffer b(std::move(a));
    cr_assert(b.data() == where);
    cr_assert(a.empty());
    rt::buffer c(2000);
    c = std::move(b);
    cr_assert(c.data() == where);
    cr_assert_eq(c.size(), 100);
    cr_assert(b.data() == nullptr);
    rt::buffer& alias = c;
    c = std::move(alias);
    cr_assert(c.data() == where);
}

Test(buffer, views_are_cut_to_the_block) {
    rt::buffer bytes(10);
    cr_assert_eq(bytes.first(4).size(), 4);
    cr_assert_eq(bytes.first(11).size(), 10);
    cr_assert(bytes.first(4).data() == bytes.data());
    cr_assert_eq(bytes.from(4).size(), 6);
    cr_assert(bytes.from(4).data() == bytes.data() + 4);
    cr_assert_eq(bytes.from(10).size(), 0);
    cr_assert_eq(bytes.from(11).size(), 0);
    const rt::buffer& constant = bytes;
    const std::span<std::byte> writable = bytes;
    const std::span<const std::byte> readable = constant;
    cr_assert_eq(writable.size(), readable.size());
    cr_assert_eq(constant.first(3).size(), 3);
    cr_assert_eq(constant.from(3).size(), 7);
}

Test(buffer, reports_that_memory_is_exhausted) {
    constexpr std::size_t most = std::numeric_limits<std::ptrdiff_t>::max() - 4096;
#if defined(RT_SANITIZED)
    cr_skip_test("a sanitizer's malloc stops the program instead");
#endif
    const rt::result<rt::buffer> made = rt::buffer::make(most);
    cr_assert_not(made.has_value());
    cr_assert(made.error().is(ENOMEM));
    bool has_thrown = false;
    try {
        const rt::buffer bytes(most);
    } catch (const std::bad_alloc&) {
        has_thrown = true;
    }
    cr_assert(has_thrown);
}

Test(buffer, texts_and_bytes) {
    const std::span<const std::byte> bytes = rt::as_bytes("abc");
    cr_assert_eq(bytes.size(), 3);
    cr_assert(bytes[1] == std::byte{'b'});
    cr_assert(rt::as_text(bytes) == "abc");
    rt::buffer buffer(3);
    std::memcpy(buffer.data(), bytes.data(), bytes.size());
    cr_assert(rt::as_text(buffer.first(2)) == "ab");
    cr_assert(rt::as_bytes("").empty());
    cr_assert(rt::as_text({}).empty());
}

// SPDX-License-Identifier: MIT
//
// Reads of good and bad addresses: the good ones come, the bad ones fail, nothing crashes.
//
// Goal: a dump may follow any pointer. Method: addresses of known kinds, single, in batches larger
// than one system call takes, and at the end of a mapping.
#include "introspect/safe_read.h"
#include "support/test.h"

#include <cstring>
#include <vector>

#include <sys/mman.h>

using rt::introspect::read_piece;

Test(safe_read, what_is_mapped_is_copied) {
    const long value = 42;
    long copy = 0;
    cr_assert(rt::introspect::read_object(reinterpret_cast<std::uintptr_t>(&value), copy));
    cr_assert_eq(copy, 42);
    copy = 0;
    cr_assert(
        rt::introspect::copy_from_own(reinterpret_cast<std::uintptr_t>(&value), &copy, sizeof(copy))
    );
    cr_assert_eq(copy, 42);
}

Test(safe_read, what_is_not_mapped_is_a_failed_read) {
    long copy = 7;
    for (const std::uintptr_t address :
         {std::uintptr_t{0}, std::uintptr_t{8}, ~std::uintptr_t{0}, std::uintptr_t{1} << 60U}) {
        cr_assert(!rt::introspect::read_object(address, copy));
    }
    cr_assert_eq(copy, 7);
}

Test(safe_read, a_bad_piece_does_not_spoil_its_neighbours) {
    std::vector<int> values(3000);
    std::vector<int> copies(values.size(), -1);
    std::vector<read_piece> pieces(values.size());
    for (std::size_t i = 0; i < values.size(); ++i) {
        values[i] = static_cast<int>(i);
        const bool bad = i % 7 == 3;
        pieces[i] = {
            bad ? 16 : reinterpret_cast<std::uintptr_t>(&values[i]),
            &copies[i],
            sizeof(int),
            false};
    }
    const std::size_t read = rt::introspect::read_pieces(pieces);
    std::size_t expected = 0;
    for (std::size_t i = 0; i < values.size(); ++i) {
        const bool bad = i % 7 == 3;
        expected += bad ? 0 : 1;
        cr_assert(pieces[i].ok != bad);
        cr_assert_eq(copies[i], bad ? -1 : static_cast<int>(i));
    }
    cr_assert_eq(read, expected);
}

Test(safe_read, a_string_ends_at_its_zero_its_limit_or_the_end_of_the_mapping) {
    const std::uintptr_t address = reinterpret_cast<std::uintptr_t>("hello");
    cr_assert(rt::introspect::read_string(address, 100) == "hello");
    cr_assert(rt::introspect::read_string(address, 3) == "hel");
    cr_assert(rt::introspect::read_string(8, 100).empty());
    char* const pages = static_cast<char*>(
        ::mmap(nullptr, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    );
    cr_assert(pages != MAP_FAILED);
    cr_assert_eq(::munmap(pages + 4096, 4096), 0);
    std::memset(pages, 'x', 4096);
    const auto near_end = reinterpret_cast<std::uintptr_t>(pages + 4090);
    cr_assert(rt::introspect::read_string(near_end, 100) == "xxxxxx");
    ::munmap(pages, 4096);
}

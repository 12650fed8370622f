// SPDX-License-Identifier: MIT
//
// Names of code addresses: functions of this program, of the C library, and of nothing.
#include "base/clock.h"
#include "introspect/symbols.h"
#include "support/test.h"

#include <cstdlib>

using rt::introspect::symbol_table;

namespace {

[[gnu::noinline]] int a_function_with_a_name(int value) {
    asm volatile("" : "+r"(value));
    return value + 1;
}

symbol_table table() {
    return symbol_table(rt::base::monotonic_ns() + 10 * rt::base::ns_per_second);
}

bool has(const std::string& text, const char* part) {
    return text.find(part) != std::string::npos;
}

} // namespace

Test(symbols, a_function_of_this_program_is_named) {
    cr_assert_eq(a_function_with_a_name(1), 2);
    symbol_table symbols = table();
    const auto address = reinterpret_cast<std::uintptr_t>(&a_function_with_a_name);
    cr_assert(has(symbols.describe(address + 1), "a_function_with_a_name(int)+0x1"));
    cr_assert(symbols.describe(address, true).ends_with("a_function_with_a_name(int)"));
}

Test(symbols, a_function_of_a_library_is_named_or_placed) {
    symbol_table symbols = table();
    const std::string& text = symbols.describe(reinterpret_cast<std::uintptr_t>(&std::qsort));
    cr_assert(has(text, "qsort") || has(text, "libc"), "%s", text.c_str());
}

Test(symbols, an_address_outside_of_all_code_is_a_question_mark) {
    symbol_table symbols = table();
    int local = 0;
    cr_assert(symbols.describe(16) == "?");
    cr_assert(symbols.describe(reinterpret_cast<std::uintptr_t>(&local)) == "?");
}

Test(symbols, after_the_deadline_only_the_module_is_given) {
    symbol_table symbols(0);
    const auto address = reinterpret_cast<std::uintptr_t>(&a_function_with_a_name);
    const std::string& text = symbols.describe(address);
    cr_assert(!has(text, "a_function") && has(text, "+0x"), "%s", text.c_str());
}

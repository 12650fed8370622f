// SPDX-License-Identifier: MIT
//
// Asserts and fatal(): what is printed, in which order, and that the process ends by SIGABRT.
#include "base/assert.h"
#include "base/captured.h"
#include "support/test.h"

#include <cstring>
#include <string>

#include <unistd.h>

using namespace rt::base;
using rt::test::capture;
using rt::test::captured;

Test(assert, passes_when_true_and_evaluates_once) {
    int evaluated = 0;
    RT_ASSERT(++evaluated == 1);
    cr_assert(evaluated == 1);
}

Test(assert, names_condition_file_and_function) {
    const captured child = capture([] { RT_ASSERT(1 + 1 == 3); });
    cr_assert(child.was_aborted());
    cr_assert(child.says("librt: assertion failed: 1 + 1 == 3 ("), "%s", child.text.c_str());
    cr_assert(child.says("assert_test.cc:"), "%s", child.text.c_str());
}

Test(assert, levels_follow_the_build) {
    const captured debug = capture([] { RT_DEBUG_ASSERT(false); });
    cr_assert(debug.was_aborted() == debug_checks);
    const captured expensive = capture([] { RT_EXPENSIVE_ASSERT(false); });
    cr_assert(expensive.was_aborted() == expensive_checks);
}

Test(assert, fatal_prints_one_formatted_line) {
    const captured child =
        capture([] { fatal("co_await outside a runtime (%s:%u)", "main.cc", 31U); });
    cr_assert(child.was_aborted());
    cr_assert_str_eq(child.text.c_str(), "librt: co_await outside a runtime (main.cc:31)\n");
}

Test(assert, fatal_cuts_a_long_text) {
    const std::string large(5000, 'x');
    const captured child = capture([&] { fatal("%s", large.c_str()); });
    cr_assert(child.was_aborted());
    cr_assert(child.text.size() == 1024, "%zu bytes", child.text.size());
    cr_assert(child.text.back() == '\n');
}

Test(assert, fatal_prints_the_newest_notes_of_the_thread) {
    const captured child = capture([] {
        for (std::uint64_t value = 0; value < 20; ++value) {
            context_note("polled task", value);
        }
        fatal("stop");
    });
    cr_assert(child.says("context 19: polled task 19\n"));
    cr_assert(child.says("context 4: polled task 4\n"));
    cr_assert_not(child.says("context 3: "), "sixteen notes are kept");
}

static std::size_t describe_here(char* buffer, std::size_t capacity) noexcept {
    constexpr char line[] = "librt:   on worker 3";
    const std::size_t length = sizeof(line) - 1 < capacity ? sizeof(line) - 1 : capacity;
    std::memcpy(buffer, line, length);
    return length;
}

Test(assert, fatal_asks_the_describer) {
    const captured child = capture([] {
        set_fatal_describer(describe_here);
        fatal("stop");
    });
    cr_assert_str_eq(child.text.c_str(), "librt: stop\nlibrt:   on worker 3\n");
}

static std::size_t describe_and_die(char*, std::size_t) noexcept {
    fatal("second");
}

Test(assert, a_describer_that_dies_does_not_recurse) {
    const captured child = capture([] {
        set_fatal_describer(describe_and_die);
        fatal("first");
    });
    cr_assert(child.was_aborted());
    cr_assert_str_eq(child.text.c_str(), "librt: first\nlibrt: second\n");
}

Test(assert, fatal_survives_a_closed_stderr) {
    const captured child = capture([] {
        ::close(STDERR_FILENO);
        fatal("nobody hears this");
    });
    cr_assert(child.was_aborted());
}

// SPDX-License-Identifier: MIT
//
// The time limit of every test of a Criterion program, which --timeout says, or else this file.
//
// Criterion takes the lesser of --timeout and what the test or its suite says of itself; a test
// that says nothing has no limit at all. And the limits must be equal: the list of deadlines in its
// BoxFort is cut off behind an entry that is not put at its end, so that of two tests side by side
// the one with more time loses its deadline when the other starts; the lost entry is a leak that
// LeakSanitizer reports. Hence no test has a limit in the sources, and all get one here.
#if !defined(LIBRT_TEST_RUNNER)
#    include <criterion/criterion.h>
#    include <criterion/hooks.h>
#    include <criterion/options.h>

// The tests of the program, as Criterion itself finds them: the linker's bounds of their section.
extern "C" {
extern criterion_test* __start_cr_tst[];
extern criterion_test* __stop_cr_tst[];
}

namespace {

constexpr double limit_s = 120;
constexpr double no_less_s = 1e6; // than any --timeout

// Before main, which reads the arguments.
[[gnu::constructor]] void set_default() {
    criterion_options.timeout = limit_s;
}

} // namespace

// After everything was initialised, the tests included, and before the first one starts.
ReportHook(PRE_ALL)(criterion_test_set* /*all*/) {
    for (criterion_test** each = __start_cr_tst; each != __stop_cr_tst; ++each) {
        if (*each != nullptr && (*each)->data != nullptr) {
            (*each)->data->timeout = no_less_s;
        }
    }
}
#endif

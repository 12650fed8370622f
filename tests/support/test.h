// SPDX-License-Identifier: MIT
//
// What every test includes: Test(suite, behaviour) and the cr_assert family.
//
// They are Criterion's, except in the ThreadSanitizer build (LIBRT_TEST_RUNNER), which Criterion
// does not survive: its arena allocator fails to initialise there. That build gets the same macros
// from support/runner.h, with a process per test all the same. Keep to what both have: Test and
// TestSuite with .init .fini .signal .exit_code .disabled .description (not .timeout, see
// support/limit.cc); cr_assert, cr_assert_not, cr_assert_eq/neq/lt/leq/gt/geq, _null, _not_null,
// _str_eq, _str_neq, _float_eq, _arr_eq, _throw, _no_throw, _any_throw and their cr_expect twins;
// cr_fail, cr_skip_test, cr_log_info, _warn, _error. Write cr_assert(a == b) or cr_assert_eq(a, b),
// not Criterion's newer cr_assert(eq(int, a, b)).
#pragma once

#if defined(LIBRT_TEST_RUNNER)
#    include "support/runner.h"
#elif __has_include(<criterion/criterion.h>)
#    include <csignal>

#    include <criterion/criterion.h>
#else
#    error "The tests need Criterion: apt-get install libcriterion-dev"
#endif

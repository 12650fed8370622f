// SPDX-License-Identifier: MIT
//
// Criterion's test macros on a runner of our own, for the builds that Criterion does not survive
// (see support/test.h, which is what tests include). Test() registers a function with a list before
// main; runner.cc runs each in a process of its own, forked while the parent has one thread.
//
// A failed cr_assert ends the test's process at once, from whichever thread it is in: a test that
// failed half-way has nothing to say any more, and destructors could wait for ever. cr_expect only
// remembers. The option fields stand in the order in which Criterion has them, because C++ wants
// designated initialisers in the order of declaration, and the same source must compile with both.
#pragma once

#include <cmath>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace rt::test {

/// What a test may say about itself; zero and null mean "not said".
struct options {
    void (*init)() = nullptr; // runs in the test's process, before it
    void (*fini)() = nullptr; // and after it, if it came to its end
    int signal = 0;           // the signal that the test must die of
    int exit_code = 0;        // the status that it must exit with
    bool disabled = false;
    const char* description = nullptr;
};

/// Put at namespace scope by Test() and TestSuite(); links itself into a list before main runs.
class registration {
public:
    registration(const char* suite, const char* name, void (*body)(), options wanted) noexcept;

    const char* suite;
    const char* name; // null: these are the options of the whole suite
    void (*body)();
    options wanted;
    registration* next = nullptr;
};

/// Prints where and what, and ends the test's process. Any thread.
[[noreturn, gnu::format(printf, 4, 5)]] void
fail(const char* file, int line, const char* what, const char* format, ...);

/// Prints where and what; the test goes on, and fails in the end. Any thread.
[[gnu::format(printf, 4, 5)]] void
expect_failed(const char* file, int line, const char* what, const char* format, ...);

[[noreturn, gnu::format(printf, 1, 2)]] void skip(const char* format, ...);

[[gnu::format(printf, 2, 3)]] void log(const char* level, const char* format, ...);

} // namespace rt::test

#define Test(suite_name, test_name, ...)                                                           \
    static void suite_name##_##test_name##_body();                                                 \
    static ::rt::test::registration suite_name##_##test_name##_registration(                       \
        #suite_name, #test_name, &suite_name##_##test_name##_body, {__VA_ARGS__}                   \
    );                                                                                             \
    static void suite_name##_##test_name##_body()

#define TestSuite(suite_name, ...)                                                                 \
    static ::rt::test::registration suite_name##_suite_registration(                               \
        #suite_name, nullptr, nullptr, {__VA_ARGS__}                                               \
    )

// The message is optional: it is put behind the text of the expression.
#define RT_TEST_CHECK(verdict, condition, text, ...)                                               \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            ::rt::test::verdict(__FILE__, __LINE__, text, " " __VA_ARGS__);                        \
        }                                                                                          \
    } while (false)
#define RT_TEST_MUST(condition, text, ...) RT_TEST_CHECK(fail, condition, text, __VA_ARGS__)
#define RT_TEST_MAY(condition, text, ...) RT_TEST_CHECK(expect_failed, condition, text, __VA_ARGS__)

#define RT_TEST_CATCH(verdict, statement, handler, wanted, text, ...)                              \
    do {                                                                                           \
        bool rt_test_thrown = false;                                                               \
        try {                                                                                      \
            statement;                                                                             \
        } catch (handler) {                                                                        \
            rt_test_thrown = true;                                                                 \
        }                                                                                          \
        RT_TEST_CHECK(verdict, rt_test_thrown == (wanted), text, __VA_ARGS__);                     \
    } while (false)

#define cr_assert(c, ...) RT_TEST_MUST((c), #c, __VA_ARGS__)
#define cr_expect(c, ...) RT_TEST_MAY((c), #c, __VA_ARGS__)
#define cr_assert_not(c, ...) RT_TEST_MUST(!(c), "not " #c, __VA_ARGS__)
#define cr_expect_not(c, ...) RT_TEST_MAY(!(c), "not " #c, __VA_ARGS__)
#define cr_assert_eq(a, b, ...) RT_TEST_MUST((a) == (b), #a " == " #b, __VA_ARGS__)
#define cr_expect_eq(a, b, ...) RT_TEST_MAY((a) == (b), #a " == " #b, __VA_ARGS__)
#define cr_assert_neq(a, b, ...) RT_TEST_MUST((a) != (b), #a " != " #b, __VA_ARGS__)
#define cr_expect_neq(a, b, ...) RT_TEST_MAY((a) != (b), #a " != " #b, __VA_ARGS__)
#define cr_assert_lt(a, b, ...) RT_TEST_MUST((a) < (b), #a " < " #b, __VA_ARGS__)
#define cr_expect_lt(a, b, ...) RT_TEST_MAY((a) < (b), #a " < " #b, __VA_ARGS__)
#define cr_assert_leq(a, b, ...) RT_TEST_MUST((a) <= (b), #a " <= " #b, __VA_ARGS__)
#define cr_expect_leq(a, b, ...) RT_TEST_MAY((a) <= (b), #a " <= " #b, __VA_ARGS__)
#define cr_assert_gt(a, b, ...) RT_TEST_MUST((a) > (b), #a " > " #b, __VA_ARGS__)
#define cr_expect_gt(a, b, ...) RT_TEST_MAY((a) > (b), #a " > " #b, __VA_ARGS__)
#define cr_assert_geq(a, b, ...) RT_TEST_MUST((a) >= (b), #a " >= " #b, __VA_ARGS__)
#define cr_expect_geq(a, b, ...) RT_TEST_MAY((a) >= (b), #a " >= " #b, __VA_ARGS__)
#define cr_assert_null(p, ...) RT_TEST_MUST((p) == nullptr, #p " is null", __VA_ARGS__)
#define cr_expect_null(p, ...) RT_TEST_MAY((p) == nullptr, #p " is null", __VA_ARGS__)
#define cr_assert_not_null(p, ...) RT_TEST_MUST((p) != nullptr, #p " is not null", __VA_ARGS__)
#define cr_expect_not_null(p, ...) RT_TEST_MAY((p) != nullptr, #p " is not null", __VA_ARGS__)
#define cr_assert_str_eq(a, b, ...)                                                                \
    RT_TEST_MUST(std::strcmp((a), (b)) == 0, #a " == " #b, __VA_ARGS__)
#define cr_expect_str_eq(a, b, ...)                                                                \
    RT_TEST_MAY(std::strcmp((a), (b)) == 0, #a " == " #b, __VA_ARGS__)
#define cr_assert_str_neq(a, b, ...)                                                               \
    RT_TEST_MUST(std::strcmp((a), (b)) != 0, #a " != " #b, __VA_ARGS__)
#define cr_expect_str_neq(a, b, ...)                                                               \
    RT_TEST_MAY(std::strcmp((a), (b)) != 0, #a " != " #b, __VA_ARGS__)
#define cr_assert_float_eq(a, b, e, ...)                                                           \
    RT_TEST_MUST(std::fabs((a) - (b)) <= (e), #a " ~ " #b, __VA_ARGS__)
#define cr_expect_float_eq(a, b, e, ...)                                                           \
    RT_TEST_MAY(std::fabs((a) - (b)) <= (e), #a " ~ " #b, __VA_ARGS__)
#define cr_assert_arr_eq(a, b, n, ...)                                                             \
    RT_TEST_MUST(std::memcmp((a), (b), (n)) == 0, #a " == " #b, __VA_ARGS__)
#define cr_expect_arr_eq(a, b, n, ...)                                                             \
    RT_TEST_MAY(std::memcmp((a), (b), (n)) == 0, #a " == " #b, __VA_ARGS__)
#define cr_assert_arr_neq(a, b, n, ...)                                                            \
    RT_TEST_MUST(std::memcmp((a), (b), (n)) != 0, #a " != " #b, __VA_ARGS__)
#define cr_expect_arr_neq(a, b, n, ...)                                                            \
    RT_TEST_MAY(std::memcmp((a), (b), (n)) != 0, #a " != " #b, __VA_ARGS__)
#define cr_assert_throw(s, e, ...)                                                                 \
    RT_TEST_CATCH(fail, s, const e&, true, #s " throws " #e, __VA_ARGS__)
#define cr_expect_throw(s, e, ...)                                                                 \
    RT_TEST_CATCH(expect_failed, s, const e&, true, #s " throws " #e, __VA_ARGS__)
#define cr_assert_no_throw(s, e, ...)                                                              \
    RT_TEST_CATCH(fail, s, const e&, false, #s " throws no " #e, __VA_ARGS__)
#define cr_expect_no_throw(s, e, ...)                                                              \
    RT_TEST_CATCH(expect_failed, s, const e&, false, #s " throws no " #e, __VA_ARGS__)
#define cr_assert_any_throw(s, ...) RT_TEST_CATCH(fail, s, ..., true, #s " throws", __VA_ARGS__)
#define cr_expect_any_throw(s, ...)                                                                \
    RT_TEST_CATCH(expect_failed, s, ..., true, #s " throws", __VA_ARGS__)
#define cr_assert_fail(...) ::rt::test::fail(__FILE__, __LINE__, "reached", " " __VA_ARGS__)
#define cr_expect_fail(...)                                                                        \
    ::rt::test::expect_failed(__FILE__, __LINE__, "reached", " " __VA_ARGS__)
#define cr_fatal(...) cr_assert_fail(__VA_ARGS__)
#define cr_fail(...) cr_expect_fail(__VA_ARGS__)
#define cr_skip_test(...) ::rt::test::skip(" " __VA_ARGS__)
#define cr_skip(...) cr_skip_test(__VA_ARGS__)
#define cr_log_info(...) ::rt::test::log("info", __VA_ARGS__)
#define cr_log_warn(...) ::rt::test::log("warning", __VA_ARGS__)
#define cr_log_error(...) ::rt::test::log("error", __VA_ARGS__)

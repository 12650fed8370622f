// SPDX-License-Identifier: MIT
#include "base/captured.h"
#include "base/log.h"
#include "support/test.h"

#include <cerrno>
#include <cstring>
#include <string>

#include <unistd.h>

using namespace rt::base;
using rt::test::capture;

Test(log, writes_one_line_with_its_level) {
    const auto child = capture([] { log(log_level::warning, "io_uring: %s", "refused"); });
    cr_assert_str_eq(child.text.c_str(), "librt: warning: io_uring: refused\n");
}

Test(log, default_shows_warnings_and_hides_info) {
    const auto child = capture([] {
        log(log_level::info, "quiet");
        log(log_level::error, "loud");
    });
    cr_assert_str_eq(child.text.c_str(), "librt: error: loud\n");
}

Test(log, level_is_adjustable) {
    const auto child = capture([] {
        set_log_level(log_level::debug);
        log(log_level::debug, "detail");
        set_log_level(log_level::off);
        log(log_level::error, "nothing");
        log(log_level::off, "never");
    });
    cr_assert_str_eq(child.text.c_str(), "librt: detail\n");
    cr_assert(current_log_level() == log_level::warning);
}

Test(log, cuts_a_long_line) {
    const std::string large(4000, 'x');
    const auto child = capture([&] { log(log_level::error, "%s", large.c_str()); });
    cr_assert(child.text.size() < 1100);
    cr_assert(child.text.back() == '\n');
}

static char last_line[64];

static void keep_line(log_level, std::string_view line) noexcept {
    std::memcpy(last_line, line.data(), line.size());
    last_line[line.size()] = 0;
    errno = EIO;
}

Test(log, a_sink_gets_the_bare_line_and_errno_survives) {
    set_log_sink(keep_line);
    errno = EAGAIN;
    log(log_level::error, "value %d", 7);
    cr_assert(errno == EAGAIN);
    cr_assert_str_eq(last_line, "value 7");
    set_log_sink(nullptr);
}

Test(log, what_happens_often_is_logged_once_a_period_and_counted) {
    rt::base::log_limit limit;
    constexpr std::uint64_t start = 5 * rt::base::log_limit::period_ns;
    std::uint64_t left_out = 7;
    cr_assert(limit.may_log(start, left_out));
    cr_assert_eq(left_out, 0U);
    cr_assert_not(limit.may_log(start, left_out));
    cr_assert_not(limit.may_log(start + rt::base::log_limit::period_ns - 1, left_out));
    cr_assert(limit.may_log(start + rt::base::log_limit::period_ns, left_out));
    cr_assert_eq(left_out, 2U);
    cr_assert(limit.may_log(start + 9 * rt::base::log_limit::period_ns, left_out));
    cr_assert_eq(left_out, 0U);
}

Test(log, a_line_that_is_logged_seldom_says_what_was_left_out) {
    set_log_sink(keep_line);
    rt::base::log_limit limit;
    std::uint64_t left_out = 0;
    // The clock's origin is when the machine started, so a second has passed since.
    cr_assert(limit.may_log(0, left_out));
    cr_assert_not(limit.may_log(0, left_out));
    log_seldom(limit, log_level::error, "value %d", 7);
    cr_assert_str_eq(last_line, "value 7 (and 1 like it before, not shown)");
    log_seldom(limit, log_level::error, "value %d", 8);
    cr_assert_str_eq(last_line, "value 7 (and 1 like it before, not shown)");
    set_log_sink(nullptr);
}

Test(log, levels_have_names) {
    cr_assert_str_eq(log_level_name(log_level::off), "off");
    cr_assert_str_eq(log_level_name(log_level::error), "error");
    cr_assert_str_eq(log_level_name(log_level::warning), "warning");
    cr_assert_str_eq(log_level_name(log_level::info), "info");
    cr_assert_str_eq(log_level_name(log_level::debug), "debug");
    cr_assert_str_eq(log_level_name(static_cast<log_level>(99)), "unknown");
}

// SPDX-License-Identifier: MIT
//
// rt::error and rt::result: the texts people read, identity, and or_throw.
#include "support/test.h"

#include <rt/result.h>

#include <cstring>
#include <memory>
#include <string>

#include <netdb.h>

using rt::errc;
using rt::error;

static void check_message(const error& why, const char* expected) {
    const std::string message = why.message();
    cr_assert_str_eq(message.c_str(), expected);
}

Test(error, reads_as_operation_text_and_symbol) {
    check_message(error(ECONNRESET, "tcp read"), "tcp read: connection reset by peer (ECONNRESET)");
    check_message(error(ENOENT, "open"), "open: no such file or directory (ENOENT)");
}

Test(error, keeps_acronyms_in_capitals) {
    check_message(error(ENOTUNIQ, "bind"), "bind: name not unique on network (ENOTUNIQ)");
    check_message(error(EDOTDOT, "stat"), "stat: RFS specific error (EDOTDOT)");
    check_message(error(ELIBSCN, "exec"), "exec: .lib section in a.out corrupted (ELIBSCN)");
}

Test(error, of_the_runtime_has_no_symbol) {
    check_message(error(errc::cancelled, "sleep"), "sleep: cancelled");
    check_message(error(errc::timed_out, "tcp read"), "tcp read: timed out");
    check_message(error(errc::shut_down, "spawn"), "spawn: the runtime is shutting down");
    check_message(error(errc::closed, "mpsc receive"), "mpsc receive: closed");
}

Test(error, of_the_resolver_has_its_own_names) {
    check_message(
        error::from_resolver(EAI_NONAME, "resolve"),
        "resolve: name or service not known (EAI_NONAME)"
    );
}

Test(error, unknown_codes_are_shown_as_numbers) {
    check_message(error(123456, "ioctl"), "ioctl: error 123456");
    check_message(error::from_resolver(-9999, "resolve"), "resolve: error -9999");
    check_message(error(static_cast<errc>(77), "x"), "x: error 77");
}

Test(error, write_message_is_cut_and_terminated) {
    char small[12];
    std::memset(small, 'x', sizeof(small));
    const std::size_t length = error(ECONNRESET, "tcp read").write_message(small, sizeof(small));
    cr_assert(length == 11);
    cr_assert_str_eq(small, "tcp read: c");
    cr_assert_eq(error(ECONNRESET, "tcp read").write_message(small, 0), 0U);
    cr_assert_str_eq(small, "tcp read: c", "there was no room for anything");
}

Test(error, domains_do_not_mix) {
    // errc::cancelled has the same number as EPERM.
    const error cancelled(errc::cancelled, "x");
    cr_assert(cancelled.code() == EPERM);
    cr_assert_not(cancelled.is(EPERM));
    cr_assert(cancelled.is(errc::cancelled));
    cr_assert(cancelled != error(EPERM, "x"));
    cr_assert(cancelled == errc::cancelled);
    cr_assert(error::from_resolver(1, "x") != error(1, "x"));
}

Test(error, operation_is_not_identity) {
    cr_assert(error(EIO, "read") == error(EIO, "write"));
    cr_assert(error(EIO, "read") != error(EAGAIN, "read"));
    const error renamed = error(EIO, "read").as("copy");
    cr_assert_str_eq(renamed.operation(), "copy");
    cr_assert(renamed.is(EIO));
}

Test(error, families_join_kernel_and_runtime) {
    cr_assert(error(errc::timed_out, "x").is_timed_out());
    cr_assert(error(ETIMEDOUT, "x").is_timed_out());
    cr_assert(error(ECANCELED, "x").is_cancelled());
    cr_assert(error(errc::cancelled, "x").is_cancelled());
    cr_assert(error(errc::shut_down, "x").is_shut_down());
    cr_assert_not(error(EIO, "x").is_cancelled());
    cr_assert_not(error(EIO, "x").is_timed_out());
}

Test(error, converts_to_error_code) {
    const std::error_code code = error(EPIPE, "write").as_error_code();
    cr_assert(code == std::errc::broken_pipe);
    const std::error_code ours = error(errc::closed, "send").as_error_code();
    cr_assert_str_eq(ours.category().name(), "rt");
    cr_assert(ours.message() == "closed");
    const std::error_code theirs = error::from_resolver(EAI_AGAIN, "r").as_error_code();
    cr_assert_str_eq(theirs.category().name(), "getaddrinfo");
}

static rt::result<int> half_of(int number) {
    if (number % 2 != 0) {
        return rt::failure(EINVAL, "half");
    }
    return number / 2;
}

static rt::result<void> check_even(int number) {
    const rt::result<int> half = half_of(number);
    if (!half) {
        return rt::failure(half.error());
    }
    return {};
}

Test(result, carries_value_or_error) {
    cr_assert(*half_of(8) == 4);
    cr_assert(half_of(7).error().is(EINVAL));
    cr_assert(check_even(2).has_value());
    cr_assert(check_even(3).error() == error(EINVAL, "elsewhere"));
    const rt::result<int> stopped = rt::failure(errc::cancelled, "x");
    cr_assert(stopped.error() == errc::cancelled);
}

Test(result, or_throw_gives_the_value) {
    cr_assert(rt::or_throw(half_of(10)) == 5);
    rt::or_throw(check_even(2));
    auto owned = rt::or_throw(rt::result<std::unique_ptr<int>>(std::make_unique<int>(3)));
    cr_assert(*owned == 3);
}

Test(result, or_throw_throws_what_standard_code_catches) {
    try {
        rt::or_throw(half_of(3));
        cr_assert(false, "nothing was thrown");
    } catch (const std::system_error& caught) {
        cr_assert_str_eq(caught.what(), "half: invalid argument (EINVAL)");
        cr_assert(caught.code() == std::errc::invalid_argument);
    }
}

Test(result, or_throw_keeps_the_error) {
    try {
        rt::or_throw(rt::result<void>(rt::failure(errc::shut_down, "spawn")));
        cr_assert(false, "nothing was thrown");
    } catch (const rt::system_error& caught) {
        cr_assert(caught.why().is_shut_down());
        cr_assert_str_eq(caught.why().operation(), "spawn");
    }
}

// SPDX-License-Identifier: MIT
//
// rt::error and rt::result<T>: how every expected failure is reported.
//
// An error is sixteen bytes: a code, the domain the code belongs to, and the name of the operation
// that failed, as a string literal. It reads as "tcp read: connection reset by peer (ECONNRESET)".
// Used on every thread; immutable, so it needs no protection. Making, copying and comparing one
// never allocates; only message() does.
//
// There are three domains, because three kinds of code must not be mistaken for each other: errno,
// the runtime's own (cancelled, timed out, shut down, closed), and getaddrinfo's.
//
// Rejected: std::error_code as the carrier. It has no room for the operation, and its category
// pointer says less than the operation's name does. error converts to it for those who need it.
#pragma once

#include <rt/detail/config.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <string>
#include <system_error>
#include <utility>

namespace rt {

enum class error_domain : std::uint8_t {
    system,  ///< errno values
    runtime, ///< rt::errc
    resolve, ///< getaddrinfo's EAI_ values
};

/// Failures that the runtime itself decides on.
enum class errc : int {
    cancelled = 1, ///< The task, or the scope around the operation, was cancelled.
    timed_out,     ///< A deadline set with rt::timeout, or an rt::time_limit, passed.
    shut_down,     ///< The runtime is shutting down, or is gone.
    closed,        ///< The other side of a channel, or the object itself, was closed.
};

class error {
public:
    /// `operation` is a string literal, or lives as long as the process. REQUIRES: errno_value > 0.
    constexpr error(int errno_value, const char* operation) noexcept
        : operation_(operation)
        , code_(errno_value)
        , domain_(error_domain::system) {}

    constexpr error(errc code, const char* operation) noexcept
        : operation_(operation)
        , code_(static_cast<int>(code))
        , domain_(error_domain::runtime) {}

    /// `code` is an EAI_ value as getaddrinfo returned it.
    [[nodiscard]] static constexpr error from_resolver(int code, const char* operation) noexcept {
        error made(code, operation);
        made.domain_ = error_domain::resolve;
        return made;
    }

    [[nodiscard]] constexpr int code() const noexcept { return code_; }
    [[nodiscard]] constexpr error_domain domain() const noexcept { return domain_; }
    [[nodiscard]] constexpr const char* operation() const noexcept { return operation_; }

    [[nodiscard]] constexpr bool is(int errno_value) const noexcept {
        return domain_ == error_domain::system && code_ == errno_value;
    }
    [[nodiscard]] constexpr bool is(errc code) const noexcept {
        return domain_ == error_domain::runtime && code_ == static_cast<int>(code);
    }
    /// Cancelled by the runtime, or ECANCELED from the kernel.
    [[nodiscard]] constexpr bool is_cancelled() const noexcept {
        return is(errc::cancelled) || is(ECANCELED);
    }
    /// A deadline of the runtime, or ETIMEDOUT from the kernel.
    [[nodiscard]] constexpr bool is_timed_out() const noexcept {
        return is(errc::timed_out) || is(ETIMEDOUT);
    }
    [[nodiscard]] constexpr bool is_shut_down() const noexcept { return is(errc::shut_down); }

    /// The same failure under another operation's name: "connect" inside "resolve and connect".
    [[nodiscard]] constexpr error as(const char* operation) const noexcept {
        error renamed = *this;
        renamed.operation_ = operation;
        return renamed;
    }

    /// "tcp read: connection reset by peer (ECONNRESET)".
    [[nodiscard]] RT_API std::string message() const;

    /// Writes the message into `buffer`, cut to fit and terminated, unless there is no room at all,
    /// without allocating. Returns the length written.
    RT_API std::size_t write_message(char* buffer, std::size_t capacity) const noexcept;

    [[nodiscard]] RT_API std::error_code as_error_code() const noexcept;

    /// The operation is context and not identity: it takes no part in comparison.
    friend constexpr bool operator==(const error& a, const error& b) noexcept {
        return a.code_ == b.code_ && a.domain_ == b.domain_;
    }
    friend constexpr bool operator==(const error& a, errc b) noexcept { return a.is(b); }

private:
    const char* operation_;
    int code_;
    error_domain domain_;
};

static_assert(sizeof(error) == 16, "an error is returned in two registers");

template<class T>
using result = std::expected<T, error>;

/// `return rt::failure(errno, "tcp bind");` in a function that returns a result.
[[nodiscard]] constexpr std::unexpected<error>
failure(int errno_value, const char* operation) noexcept {
    return std::unexpected<error>(error(errno_value, operation));
}
[[nodiscard]] constexpr std::unexpected<error> failure(errc code, const char* operation) noexcept {
    return std::unexpected<error>(error(code, operation));
}
[[nodiscard]] constexpr std::unexpected<error> failure(const error& why) noexcept {
    return std::unexpected<error>(why);
}

/// What or_throw throws. what() is the error's message.
class RT_API system_error : public std::system_error {
public:
    explicit system_error(const error& why);
    ~system_error() override;

    [[nodiscard]] const char* what() const noexcept override { return text_.c_str(); }
    [[nodiscard]] const rt::error& why() const noexcept { return why_; }

private:
    rt::error why_;
    std::string text_;
};

namespace detail {
/// Out of line, so that every or_throw costs its caller one call on the cold path.
[[noreturn]] RT_API void throw_error(const error& why);
} // namespace detail

/// The value, or rt::system_error: for main functions, tests and constructors, where a failure has
/// no better handler than the caller's caller.
template<class T>
T or_throw(result<T> outcome) {
    if (!outcome) {
        detail::throw_error(outcome.error());
    }
    if constexpr (!std::is_void_v<T>) {
        return std::move(*outcome);
    }
}

} // namespace rt

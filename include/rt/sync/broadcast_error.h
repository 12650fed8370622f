// SPDX-License-Identifier: MIT
//
// rt::broadcast::recv_error: why a receive has no value. Included by rt/sync/broadcast.h.
//
// It is a value of two words, and more than an rt::error in that it knows how many values were
// lost; it becomes one where an rt::error is asked for. Threads: any.
#pragma once

#include <rt/result.h>

#include <cerrno>
#include <cstdint>
#include <expected>
#include <string>

namespace rt::broadcast {

/// Why a receive has no value. Converts to rt::error.
class recv_error {
public:
    /// There will be no more.
    [[nodiscard]] static constexpr recv_error closed() noexcept { return {reason::closed, 0}; }
    /// There is none now.
    [[nodiscard]] static constexpr recv_error empty() noexcept { return {reason::empty, 0}; }
    /// There was none until the time limit passed.
    [[nodiscard]] static constexpr recv_error timed_out() noexcept {
        return {reason::timed_out, 0};
    }
    /// `count` values were overwritten before this receiver read them; the next receive goes on.
    [[nodiscard]] static constexpr recv_error lagged(std::uint64_t count) noexcept {
        return {reason::lagged, count};
    }

    [[nodiscard]] constexpr bool is_closed() const noexcept { return why_ == reason::closed; }
    [[nodiscard]] constexpr bool is_empty() const noexcept { return why_ == reason::empty; }
    [[nodiscard]] constexpr bool is_lagged() const noexcept { return why_ == reason::lagged; }
    [[nodiscard]] constexpr bool is_timed_out() const noexcept { return why_ == reason::timed_out; }
    /// Values lost; 0 unless is_lagged().
    [[nodiscard]] constexpr std::uint64_t lost() const noexcept { return lost_; }

    /// errc::closed, errc::timed_out, EAGAIN, or ENOBUFS (as for a netlink socket that has lost
    /// messages).
    constexpr operator error() const noexcept { // implicit: it is an error with a number
        switch (why_) {
        case reason::lagged:
            return {ENOBUFS, "broadcast receive"};
        case reason::empty:
            return {EAGAIN, "broadcast receive"};
        case reason::timed_out:
            return {errc::timed_out, "broadcast receive"};
        case reason::closed:
            break;
        }
        return {errc::closed, "broadcast receive"};
    }
    [[nodiscard]] std::string message() const { return error(*this).message(); }

    friend constexpr bool operator==(const recv_error&, const recv_error&) noexcept = default;

private:
    enum class reason : std::uint8_t { closed, empty, timed_out, lagged };

    constexpr recv_error(reason why, std::uint64_t lost) noexcept
        : lost_(lost)
        , why_(why) {}

    std::uint64_t lost_;
    reason why_;
};

template<typename T>
using received = std::expected<T, recv_error>;

} // namespace rt::broadcast

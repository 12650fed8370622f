// SPDX-License-Identifier: MIT
//
// rt::socket_address: an IPv4 or IPv6 address and a port.
//
//     rt::result<rt::socket_address> at = rt::socket_address::parse("[::1]:8080");
//     std::string text = at->to_string();                       // "[::1]:8080"
//
// A value of 32 bytes in the kernel's own form, so that handing it to a system call costs nothing.
// It does not look names up: that blocks, and belongs into rt::blocking with getaddrinfo(3).
#pragma once

#include <rt/detail/config.h>
#include <rt/result.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

struct sockaddr;

namespace rt {

class RT_API socket_address {
public:
    /// Room for the longest text, with its terminator: "[", an IPv6 address with an IPv4 tail, "%"
    /// and a scope, "]:" and a port.
    static constexpr std::size_t text_bytes_max = 72;

    /// No address: is_v4() and is_v6() are false and every operation that gets it fails.
    socket_address() noexcept = default;

    /// Reads one of
    ///     127.0.0.1:80    [::1]:80    [fe80::1%eth0]:80    [fe80::1%2]:80    :80
    /// where the last is every IPv4 address of the machine ("[::]:80" is every address of either
    /// kind). Port 0 lets the kernel choose.
    /// Errors: EINVAL, under an operation that names the faulty part; ENODEV for an unknown scope.
    static result<socket_address> parse(std::string_view text) noexcept;

    [[nodiscard]] static socket_address any_v4(std::uint16_t port) noexcept;
    [[nodiscard]] static socket_address any_v6(std::uint16_t port) noexcept;
    [[nodiscard]] static socket_address loopback_v4(std::uint16_t port) noexcept;
    [[nodiscard]] static socket_address loopback_v6(std::uint16_t port) noexcept;

    /// Copies what a system call or getaddrinfo(3) gave.
    /// Errors: EAFNOSUPPORT for another family, EINVAL for a size that does not fit it.
    static result<socket_address> from_native(const ::sockaddr* native, std::size_t size) noexcept;

    [[nodiscard]] bool is_v4() const noexcept;
    [[nodiscard]] bool is_v6() const noexcept;
    [[nodiscard]] bool is_loopback() const noexcept;
    [[nodiscard]] std::uint16_t port() const noexcept;
    [[nodiscard]] socket_address with_port(std::uint16_t port) const noexcept;

    /// What parse reads; "-" when there is no address. A scope is printed as its number.
    [[nodiscard]] std::string to_string() const;
    /// The same without allocating, cut to fit and always terminated. Returns the length written.
    /// Requires: capacity > 0.
    std::size_t write_to(char* text, std::size_t capacity) const noexcept;

    /// For system calls.
    [[nodiscard]] const ::sockaddr* native() const noexcept;
    [[nodiscard]] std::uint32_t native_size() const noexcept { return size_; }
    [[nodiscard]] int family() const noexcept;

    friend RT_API bool operator==(const socket_address& a, const socket_address& b) noexcept;

private:
    alignas(4) std::byte native_[28] = {}; // a sockaddr_in or a sockaddr_in6; the rest is zero
    std::uint32_t size_ = 0;
};

static_assert(sizeof(socket_address) == 32);

} // namespace rt

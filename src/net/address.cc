// SPDX-License-Identifier: MIT
//
// Socket addresses: text to the kernel's form and back.
//
// The parser is ours, and inet_pton only reads the host: getaddrinfo with AI_NUMERICHOST allocates,
// reads files and says "Name or service not known" whatever the fault. An error cannot carry the
// text it is about (it is a code and a literal), so the literal names the part that is wrong.
#include "base/assert.h"

#include <rt/net/address.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>

namespace rt {
namespace {

static_assert(sizeof(sockaddr_in6) == 28 && sizeof(sockaddr_in) <= sizeof(sockaddr_in6));
static_assert(alignof(sockaddr_in6) <= 4 && alignof(sockaddr_in) <= 4);

template<typename Native>
Native read_native(const std::byte* bytes) noexcept {
    Native native;
    std::memcpy(&native, bytes, sizeof(native));
    return native;
}

socket_address from_v4(const in_addr& host, std::uint16_t port) noexcept {
    sockaddr_in native{};
    native.sin_family = AF_INET;
    native.sin_addr = host;
    native.sin_port = htons(port);
    return *socket_address::from_native(reinterpret_cast<const sockaddr*>(&native), sizeof(native));
}

socket_address from_v6(const in6_addr& host, std::uint16_t port, std::uint32_t scope) noexcept {
    sockaddr_in6 native{};
    native.sin6_family = AF_INET6;
    native.sin6_addr = host;
    native.sin6_port = htons(port);
    native.sin6_scope_id = scope;
    return *socket_address::from_native(reinterpret_cast<const sockaddr*>(&native), sizeof(native));
}

// The whole of `text` as a decimal number of at most `limit`.
bool read_number(std::string_view text, std::uint32_t limit, std::uint32_t& number) noexcept {
    const char* const end = text.data() + text.size();
    const auto [stop, fault] = std::from_chars(text.data(), end, number);
    return fault == std::errc() && stop == end && number <= limit;
}

// `text` as a string for the C library, or false when it is too long for what it may mean.
template<std::size_t Capacity>
bool terminate(std::string_view text, char (&copy)[Capacity]) noexcept {
    if (text.size() >= Capacity || text.find('\0') != std::string_view::npos) {
        return false;
    }
    std::copy(text.begin(), text.end(), copy);
    copy[text.size()] = '\0';
    return true;
}

result<socket_address> parse_v4(std::string_view host, std::uint16_t port) noexcept {
    if (host.empty()) {
        return socket_address::any_v4(port);
    }
    char text[INET_ADDRSTRLEN];
    in_addr address{};
    if (!terminate(host, text) || ::inet_pton(AF_INET, text, &address) != 1) {
        return failure(EINVAL, "address: host is not an IPv4 address (names are not looked up)");
    }
    return from_v4(address, port);
}

result<socket_address> parse_v6(std::string_view host, std::uint16_t port) noexcept {
    std::uint32_t scope = 0;
    if (const std::size_t percent = host.find('%'); percent != std::string_view::npos) {
        const std::string_view name = host.substr(percent + 1);
        host = host.substr(0, percent);
        char text[IF_NAMESIZE];
        if (!terminate(name, text) || name.empty()) {
            return failure(EINVAL, "address: scope after '%' is neither an interface nor a number");
        }
        if (!read_number(name, UINT32_MAX, scope)) {
            scope = ::if_nametoindex(text);
            if (scope == 0) {
                return failure(ENODEV, "address: scope after '%'");
            }
        }
    }
    char text[INET6_ADDRSTRLEN];
    in6_addr address{};
    if (!terminate(host, text) || ::inet_pton(AF_INET6, text, &address) != 1) {
        return failure(EINVAL, "address: host between '[' and ']' is not an IPv6 address");
    }
    return from_v6(address, port, scope);
}

} // namespace

result<socket_address> socket_address::parse(std::string_view text) noexcept {
    if (text.empty()) {
        return failure(EINVAL, "address: empty, expected HOST:PORT");
    }
    const bool is_bracketed = text.front() == '[';
    std::size_t host_end = 0;
    if (is_bracketed) {
        host_end = text.find(']');
        if (host_end == std::string_view::npos) {
            return failure(EINVAL, "address: ']' missing after '['");
        }
        text.remove_prefix(1);
        --host_end;
    } else {
        host_end = text.find(':');
    }
    const std::string_view host = text.substr(0, host_end);
    text.remove_prefix(std::min(text.size(), host.size() + (is_bracketed ? 1 : 0)));
    if (text.empty() || text.front() != ':') {
        return failure(EINVAL, "address: ':' and port missing after host");
    }
    text.remove_prefix(1);
    if (!is_bracketed && text.find(':') != std::string_view::npos) {
        return failure(EINVAL, "address: IPv6 host without brackets, expected [HOST]:PORT");
    }
    std::uint32_t port = 0;
    if (!read_number(text, UINT16_MAX, port)) {
        return failure(EINVAL, "address: port is not a number from 0 to 65535");
    }
    const auto checked = static_cast<std::uint16_t>(port);
    return is_bracketed ? parse_v6(host, checked) : parse_v4(host, checked);
}

socket_address socket_address::any_v4(std::uint16_t port) noexcept {
    return from_v4({htonl(INADDR_ANY)}, port);
}

socket_address socket_address::any_v6(std::uint16_t port) noexcept {
    return from_v6(in6addr_any, port, 0);
}

socket_address socket_address::loopback_v4(std::uint16_t port) noexcept {
    return from_v4({htonl(INADDR_LOOPBACK)}, port);
}

socket_address socket_address::loopback_v6(std::uint16_t port) noexcept {
    return from_v6(in6addr_loopback, port, 0);
}

result<socket_address>
socket_address::from_native(const ::sockaddr* native, std::size_t size) noexcept {
    sa_family_t family = AF_UNSPEC;
    if (native == nullptr || size < offsetof(sockaddr, sa_family) + sizeof(family)) {
        return failure(EINVAL, "socket address");
    }
    std::memcpy(&family, &native->sa_family, sizeof(family));
    if (family != AF_INET && family != AF_INET6) {
        return failure(EAFNOSUPPORT, "socket address");
    }
    const std::size_t wanted = family == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
    if (size < wanted) {
        return failure(EINVAL, "socket address");
    }
    socket_address made;
    std::memcpy(made.native_, native, wanted);
    made.size_ = static_cast<std::uint32_t>(wanted);
    if (family == AF_INET) {
        // Padding that takes no part in comparisons.
        std::memset(
            made.native_ + offsetof(sockaddr_in, sin_zero), 0, sizeof(sockaddr_in::sin_zero)
        );
    }
    return made;
}

int socket_address::family() const noexcept {
    return size_ == 0 ? AF_UNSPEC : read_native<sockaddr_in>(native_).sin_family;
}

bool socket_address::is_v4() const noexcept {
    return family() == AF_INET;
}

bool socket_address::is_v6() const noexcept {
    return family() == AF_INET6;
}

bool socket_address::is_loopback() const noexcept {
    if (is_v4()) {
        return ntohl(read_native<sockaddr_in>(native_).sin_addr.s_addr) >> 24U == IN_LOOPBACKNET;
    }
    const auto native = read_native<sockaddr_in6>(native_);
    return is_v6() && IN6_IS_ADDR_LOOPBACK(&native.sin6_addr);
}

std::uint16_t socket_address::port() const noexcept {
    static_assert(offsetof(sockaddr_in, sin_port) == offsetof(sockaddr_in6, sin6_port));
    return ntohs(read_native<sockaddr_in>(native_).sin_port);
}

socket_address socket_address::with_port(std::uint16_t port) const noexcept {
    socket_address changed = *this;
    if (size_ != 0) {
        const std::uint16_t network_order = htons(port);
        std::memcpy(
            changed.native_ + offsetof(sockaddr_in, sin_port), &network_order, sizeof(network_order)
        );
    }
    return changed;
}

std::size_t socket_address::write_to(char* text, std::size_t capacity) const noexcept {
    RT_ASSERT(capacity > 0);
    char host[INET6_ADDRSTRLEN] = "";
    int wanted = 0;
    if (is_v4()) {
        const auto native = read_native<sockaddr_in>(native_);
        ::inet_ntop(AF_INET, &native.sin_addr, host, sizeof(host));
        wanted = std::snprintf(text, capacity, "%s:%u", host, unsigned{port()});
    } else if (is_v6()) {
        const auto native = read_native<sockaddr_in6>(native_);
        ::inet_ntop(AF_INET6, &native.sin6_addr, host, sizeof(host));
        char scope[16] = "";
        if (native.sin6_scope_id != 0) {
            static_cast<void>(std::snprintf(scope, sizeof(scope), "%%%u", native.sin6_scope_id));
        }
        wanted = std::snprintf(text, capacity, "[%s%s]:%u", host, scope, unsigned{port()});
    } else {
        wanted = std::snprintf(text, capacity, "-");
    }
    RT_ASSERT(wanted > 0);
    return std::min(static_cast<std::size_t>(wanted), capacity - 1);
}

std::string socket_address::to_string() const {
    char text[text_bytes_max];
    return std::string(text, write_to(text, sizeof(text)));
}

const ::sockaddr* socket_address::native() const noexcept {
    return reinterpret_cast<const ::sockaddr*>(native_);
}

bool operator==(const socket_address& a, const socket_address& b) noexcept {
    return a.size_ == b.size_ && std::memcmp(a.native_, b.native_, a.size_) == 0;
}

} // namespace rt

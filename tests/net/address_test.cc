// SPDX-License-Identifier: MIT
//
// rt::socket_address: every form of the text, every fault of it, and the kernel's form.
//
// A fault is checked by a word of its message, because the message is what a person gets to see
// instead of the text that was wrong.
#include "support/test.h"

#include <rt/net/address.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <string_view>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

namespace {

// What printing the parsed text gives, or "error" and its operation.
std::string round_trip(std::string_view text) {
    const rt::result<rt::socket_address> parsed = rt::socket_address::parse(text);
    return parsed ? parsed->to_string() : std::string("error ") + parsed.error().operation();
}

void expect_fault(std::string_view text, const char* word) {
    const rt::result<rt::socket_address> parsed = rt::socket_address::parse(text);
    const std::string shown(text);
    cr_assert_not(parsed.has_value(), "%s was accepted", shown.c_str());
    cr_assert(parsed.error().is(EINVAL) || parsed.error().is(ENODEV));
    const std::string message = parsed.error().message();
    cr_assert(
        message.find(word) != std::string::npos,
        "%s: %s does not say %s",
        shown.c_str(),
        message.c_str(),
        word
    );
}

} // namespace

Test(address, reads_and_prints) {
    cr_assert(round_trip("127.0.0.1:8080") == "127.0.0.1:8080");
    cr_assert(round_trip("0.0.0.0:0") == "0.0.0.0:0");
    cr_assert(round_trip("255.255.255.255:65535") == "255.255.255.255:65535");
    cr_assert(round_trip(":80") == "0.0.0.0:80");
    cr_assert(round_trip("[::1]:80") == "[::1]:80");
    cr_assert(round_trip("[::]:0") == "[::]:0");
    cr_assert(round_trip("[2001:DB8:0:0::1]:443") == "[2001:db8::1]:443");
    cr_assert(round_trip("[::ffff:1.2.3.4]:5") == "[::ffff:1.2.3.4]:5");
    cr_assert(round_trip("[fe80::1%7]:80") == "[fe80::1%7]:80");
    cr_assert(round_trip("[fe80::1%4294967295]:80") == "[fe80::1%4294967295]:80");
    cr_assert(round_trip("[fe80::1%lo]:80") == "[fe80::1%1]:80");
    cr_assert(round_trip("1.2.3.4:007") == "1.2.3.4:7");
}

Test(address, says_which_part_is_wrong) {
    expect_fault("", "empty");
    expect_fault("127.0.0.1", "port missing");
    expect_fault("localhost", "port missing");
    expect_fault("[::1]", "port missing");
    expect_fault("[::1]80", "port missing");
    expect_fault("[::1:80", "']' missing");
    expect_fault("::1:80", "without brackets");
    expect_fault("127.0.0.1:", "port is not");
    expect_fault("127.0.0.1:http", "port is not");
    expect_fault("127.0.0.1:65536", "port is not");
    expect_fault("127.0.0.1:-1", "port is not");
    expect_fault("127.0.0.1:+1", "port is not");
    expect_fault("127.0.0.1: 1", "port is not");
    expect_fault("127.0.0.1:1 ", "port is not");
    expect_fault("127.0.0.1:99999999999999999999", "port is not");
    expect_fault("[::1]:", "port is not");
    expect_fault("localhost:80", "not an IPv4 address");
    expect_fault("1.2.3:80", "not an IPv4 address");
    expect_fault("1.2.3.256:80", "not an IPv4 address");
    expect_fault("01.2.3.4.5:80", "not an IPv4 address");
    expect_fault("[]:80", "not an IPv6 address");
    expect_fault("[1.2.3.4]:80", "not an IPv6 address");
    expect_fault("[::1::]:80", "not an IPv6 address");
    expect_fault("[fe80::1%]:80", "scope");
    expect_fault("[fe80::1%no-such-if]:80", "scope");
    expect_fault("[fe80::1%an-interface-name-that-is-too-long]:80", "scope");
    expect_fault(std::string_view("127.0.0.1\0x:80", 14), "not an IPv4 address");
}

Test(address, faults_never_depend_on_length) {
    for (const char filler : {'1', ':', '[', ']', '.', '%', 'a'}) {
        for (const std::size_t length : {1U, 15U, 16U, 45U, 46U, 47U, 300U, 70'000U}) {
            const std::string text(length, filler);
            cr_assert_not(rt::socket_address::parse(text).has_value());
            cr_assert_not(rt::socket_address::parse("[" + text + "]:80").has_value());
        }
    }
}

Test(address, factories_and_questions) {
    const rt::socket_address v4 = rt::socket_address::loopback_v4(80);
    const rt::socket_address v6 = rt::socket_address::loopback_v6(80);
    cr_assert(v4.is_v4() && !v4.is_v6() && v4.is_loopback());
    cr_assert(v6.is_v6() && !v6.is_v4() && v6.is_loopback());
    cr_assert_not(rt::socket_address::any_v4(1).is_loopback());
    cr_assert_not(rt::socket_address::any_v6(1).is_loopback());
    cr_assert(rt::socket_address::parse("127.9.9.9:1")->is_loopback());
    cr_assert_eq(v6.port(), 80);
    cr_assert(v4.with_port(81) == rt::socket_address::loopback_v4(81));
    cr_assert(v6.with_port(81) == rt::socket_address::loopback_v6(81));
    cr_assert(!(v4 == v6));
    cr_assert(!(v4 == v4.with_port(1)));
}

Test(address, none_is_no_address) {
    const rt::socket_address none;
    cr_assert_not(none.is_v4());
    cr_assert_not(none.is_v6());
    cr_assert_not(none.is_loopback());
    cr_assert_eq(none.port(), 0);
    cr_assert_eq(none.native_size(), 0);
    cr_assert(none == rt::socket_address());
    cr_assert(none.with_port(5) == none);
    cr_assert(none.to_string() == "-");
}

Test(address, takes_the_kernels_form) {
    sockaddr_in v4;
    std::memset(&v4, 0xff, sizeof(v4)); // garbage in the padding must not matter
    v4.sin_family = AF_INET;
    v4.sin_port = htons(9);
    v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const auto* const generic = reinterpret_cast<const sockaddr*>(&v4);
    const rt::result<rt::socket_address> made =
        rt::socket_address::from_native(generic, sizeof(sockaddr_storage));
    cr_assert(made.has_value());
    cr_assert(*made == rt::socket_address::loopback_v4(9));
    cr_assert_eq(made->native_size(), sizeof(sockaddr_in));

    cr_assert(rt::socket_address::from_native(generic, sizeof(v4) - 1).error().is(EINVAL));
    cr_assert(rt::socket_address::from_native(generic, 0).error().is(EINVAL));
    cr_assert(rt::socket_address::from_native(nullptr, 16).error().is(EINVAL));
    v4.sin_family = AF_UNIX;
    cr_assert(rt::socket_address::from_native(generic, sizeof(v4)).error().is(EAFNOSUPPORT));
}

Test(address, writes_into_any_capacity) {
    const rt::socket_address at = *rt::socket_address::parse(
        "[ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255%4294967295]:65535"
    );
    const std::string whole = at.to_string();
    cr_assert(whole.size() < rt::socket_address::text_bytes_max);
    for (std::size_t capacity = 1; capacity <= whole.size() + 1; ++capacity) {
        std::string text(capacity, 'x');
        const std::size_t length = at.write_to(text.data(), capacity);
        cr_assert_eq(length, capacity - 1);
        cr_assert(text[length] == '\0');
        cr_assert(whole.compare(0, length, text, 0, length) == 0);
    }
}

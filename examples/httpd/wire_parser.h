// SPDX-License-Identifier: MIT
//
// The part of the request parser that sees the library's types; included by request_parser.cc only,
// which says why the library is Boost.Beast and what it was compared with. It receives what Beast
// finds on the wire, writes it into the request_head, and refuses what Beast lets pass although two
// servers in a row could read it differently: see on_field_impl() and on_chunk_header_impl().
//
// One wire_parser serves one message. The views it holds are valid during one put().
//
// Beast's asserts are switched off here: they claim that the last chunk never arrives split behind
// "0\r\n\r" (1.74 and 1.81: `n >= 5`), which any client can do; the code behind them is right.
#pragma once

#define BOOST_DISABLE_ASSERTS

#include "request_parser.h"

#include <algorithm>
#include <array>
#include <boost/beast/core/string.hpp>
#include <boost/beast/http/basic_parser.hpp>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>

namespace httpd::wire {

namespace beast = boost::beast;
namespace http = boost::beast::http;

inline std::string_view view(beast::string_view text) {
    return {text.data(), text.size()};
}

inline bool is_equal_ignoring_case(std::string_view a, std::string_view b) {
    return beast::iequals({a.data(), a.size()}, {b.data(), b.size()});
}

/// Visible ASCII without the bytes in `excluded`.
constexpr std::array<bool, 256> visible_but(std::string_view excluded) {
    std::array<bool, 256> table{};
    for (unsigned c = 0x21; c <= 0x7e; ++c) {
        table[c] = excluded.find(static_cast<char>(c)) == std::string_view::npos;
    }
    return table;
}

// Beast lets bytes above 127 pass in a target, and a fragment; RFC 9112 §3.2 has neither.
inline constexpr std::array<bool, 256> target_bytes = visible_but("#");
inline constexpr std::array<bool, 256> path_bytes = visible_but("#?");
// uri-host [":" port], RFC 3986 §3.2.2: enough to keep paths, user names and spaces out.
inline constexpr std::array<bool, 256> host_bytes = visible_but("\"#/<>?@\\^`{|}");

inline bool consists_of(std::string_view text, const std::array<bool, 256>& allowed) {
    for (char c : text) {
        if (!allowed[static_cast<unsigned char>(c)]) {
            return false;
        }
    }
    return true;
}

inline method method_of(http::verb verb) {
    switch (verb) {
    case http::verb::get:
        return method::get;
    case http::verb::head:
        return method::head;
    case http::verb::post:
        return method::post;
    case http::verb::put:
        return method::put;
    case http::verb::delete_:
        return method::delete_;
    case http::verb::options:
        return method::options;
    case http::verb::patch:
        return method::patch;
    case http::verb::trace:
        return method::trace;
    default:
        return method::other;
    }
}

/// Checks the bytes of a target and finds the path within it, which has origin-form, absolute-form
/// or is "*". False when it is none of them.
inline bool locate_path(request_head& head) {
    std::string_view target = head.target;
    std::size_t begin = 0;
    if (target.front() == '/') { // nearly all requests there are
        const char* at = target.data();
        const char* end = at + target.size();
        while (at != end && path_bytes[static_cast<unsigned char>(*at)]) {
            ++at;
        }
        head.path_begin = 0;
        head.path_size = static_cast<std::size_t>(at - target.data());
        return at == end ||
            (*at == '?' && consists_of(target.substr(head.path_size), target_bytes));
    }
    if (!consists_of(target, target_bytes)) {
        return false;
    }
    if (target == "*") {
        head.path_begin = 0;
        head.path_size = 1;
        return head.method == method::options;
    }
    std::size_t scheme = target.find("://");
    if (scheme == std::string_view::npos) {
        return false;
    }
    std::string_view name = target.substr(0, scheme);
    if (!is_equal_ignoring_case(name, "http") && !is_equal_ignoring_case(name, "https")) {
        return false;
    }
    std::size_t authority = scheme + 3;
    begin = std::min(target.find_first_of("/?", authority), target.size());
    if (begin == authority ||
        !consists_of(target.substr(authority, begin - authority), host_bytes)) {
        return false;
    }
    head.path_begin = begin;
    head.path_size = std::min(target.find('?', begin), target.size()) - begin;
    return true;
}

/// Receives what Beast finds, writes it into the head, and refuses what Beast lets pass.
class wire_parser final : public http::basic_parser<true> {
public:
    /// `known_host` is the connection's: the last Host value that was found to be well-formed.
    wire_parser(const parser_limits& limits, request_head& head, std::string& known_host)
        : limits_(limits)
        , head_(head)
        , known_host_(known_host) {
        header_limit(static_cast<std::uint32_t>(limits.header_bytes_max));
        body_limit(limits.body_bytes_max);
    }

    std::string_view input;  // of the put() under way
    std::string_view piece;  // body bytes found by it
    std::string_view reason; // with status: the first fault found here
    unsigned status = 0;
    bool has_request_line = false;
    bool is_in_trailers = false;

private:
    using error_code = beast::error_code;

    void refuse(unsigned code, std::string_view why, error_code& error) {
        status = code;
        reason = why;
        error = http::error::bad_value; // any error stops the library
    }

    void on_request_impl(
        http::verb verb,
        beast::string_view,
        beast::string_view target,
        int version,
        error_code& error
    ) override {
        has_request_line = true;
        head_.is_http_1_1 = version == 11;
        if (verb == http::verb::unknown || verb == http::verb::connect) {
            return refuse(501, "method not implemented", error);
        }
        if (target.size() > limits_.target_bytes_max) {
            return refuse(414, "request target too long", error);
        }
        head_.method = method_of(verb);
        head_.target.append(target.data(), target.size()); // it was empty
        if (!locate_path(head_)) {
            return refuse(400, "malformed request target", error);
        }
    }

    void on_field_impl(
        http::field id, beast::string_view name, beast::string_view value, error_code& error
    ) override {
        if (++field_count_ > limits_.header_count_max) {
            return refuse(431, "too many header fields", error);
        }
        if (is_folded(view(name), view(value))) {
            return refuse(400, "folded header field", error);
        }
        if (is_in_trailers) {
            trailer_bytes_ += name.size() + value.size() + 4;
            if (trailer_bytes_ > limits_.header_bytes_max) {
                return refuse(431, "trailers too large", error);
            }
            return; // read, checked and dropped: nothing here uses a trailer
        }
        switch (id) {
        case http::field::host:
            on_host(view(value), error);
            break;
        case http::field::content_length:
            on_content_length(view(value), error);
            break;
        case http::field::transfer_encoding:
            on_transfer_encoding(view(value), error);
            break;
        case http::field::expect:
            on_expect(view(value), error);
            break;
        case http::field::if_none_match:
            head_.if_none_match.assign(value.data(), value.size());
            break;
        case http::field::if_modified_since:
            head_.if_modified_since.assign(value.data(), value.size());
            break;
        default:
            break;
        }
    }

    /// RFC 9112 §5.2: refuse. The library joins folded lines in a buffer of its own, or, when the
    /// first line was blank, hands out a later line; both show in where the value lies.
    [[nodiscard]] bool is_folded(std::string_view name, std::string_view value) const {
        std::less<const char*> before;
        const char* gap = name.data() + name.size() + 1; // behind the colon
        if (before(value.data(), gap) || before(input.data() + input.size(), value.data())) {
            return true;
        }
        std::string_view between(gap, static_cast<std::size_t>(value.data() - gap));
        for (char c : between) { // a space, as a rule
            if (c == '\r') {
                return true;
            }
        }
        return false;
    }

    void on_host(std::string_view value, error_code& error) {
        if (std::exchange(head_.has_host, true)) {
            return refuse(400, "more than one Host field", error);
        }
        if (value == known_host_) { // a client says the same on a connection each time
            return;
        }
        if (!consists_of(value, host_bytes)) {
            return refuse(400, "malformed Host field", error);
        }
        known_host_ = value;
    }

    /// Overflow and conflicts with Transfer-Encoding were the library's to find.
    void on_content_length(std::string_view value, error_code& error) {
        if (std::exchange(has_content_length_, true)) {
            return refuse(400, "more than one Content-Length field", error);
        }
        if (value.find_first_not_of("0123456789") != std::string_view::npos) {
            return refuse(400, "malformed Content-Length field", error);
        }
    }

    void on_transfer_encoding(std::string_view value, error_code& error) {
        if (!head_.is_http_1_1) {
            return refuse(400, "Transfer-Encoding in HTTP/1.0", error);
        }
        if (has_content_length_) {
            return refuse(400, "Content-Length with Transfer-Encoding", error);
        }
        if (!is_equal_ignoring_case(value, "chunked")) {
            return refuse(501, "transfer coding not implemented", error);
        }
    }

    void on_expect(std::string_view value, error_code& error) {
        if (!is_equal_ignoring_case(value, "100-continue")) {
            return refuse(417, "expectation not supported", error);
        }
        head_.expects_continue = head_.is_http_1_1; // RFC 9110 §10.1.1: ignored from 1.0
    }

    void on_header_impl(error_code&) override {
        is_in_trailers = true; // fields from here on
        field_count_ = 0;
    }

    std::size_t on_body_impl(beast::string_view bytes, error_code&) override {
        piece = view(bytes);
        return bytes.size();
    }

    void
    on_chunk_header_impl(std::uint64_t, beast::string_view extensions, error_code& error) override {
        for (char c : view(extensions)) { // a quoted LF is a line end to some proxies
            if ((static_cast<unsigned char>(c) < 0x20 && c != '\t') || c == 0x7f) {
                return refuse(400, "control byte in a chunk extension", error);
            }
        }
    }

    std::size_t on_chunk_body_impl(std::uint64_t, beast::string_view bytes, error_code&) override {
        piece = view(bytes);
        return bytes.size();
    }

    void on_response_impl(int, beast::string_view, int, error_code&) override {}
    void on_body_init_impl(const boost::optional<std::uint64_t>&, error_code&) override {}
    void on_finish_impl(error_code&) override {}

    const parser_limits& limits_;
    request_head& head_;
    std::string& known_host_;
    std::size_t field_count_ = 0;
    std::size_t trailer_bytes_ = 0;
    bool has_content_length_ = false;
};

} // namespace httpd::wire

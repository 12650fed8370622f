// SPDX-License-Identifier: MIT
//
// The HTTP half of the wire: splitting, limits, refusals.
//
// Every limit on the socket's input is in this file; tests/introspect/http_test.cc throws garbage
// at it. What HTTP calls tokens is compared byte by byte, because the C library's character classes
// depend on the program's locale. Threads: the sentinel.
#include "introspect/http.h"

#include <algorithm>

namespace rt::introspect {
namespace {

using outcome = parsed::outcome;

parsed fault(protocol spoken, status code, const char* why) {
    parsed result;
    result.what = outcome::fault;
    result.spoken = spoken;
    result.code = code;
    result.fault = why;
    return result;
}

constexpr std::string_view token_marks = "!#$%&'*+-.^_`|~";

// The C library's isalnum and tolower obey the program's locale; a protocol must not.
constexpr char to_lower(char one) noexcept {
    return one >= 'A' && one <= 'Z' ? static_cast<char>(one | 0x20) : one;
}

bool is_token(std::string_view text) noexcept {
    return !text.empty() && std::all_of(text.begin(), text.end(), [](char one) {
        const char small = to_lower(one);
        return (small >= 'a' && small <= 'z') || (one >= '0' && one <= '9') ||
            token_marks.find(one) != std::string_view::npos;
    });
}

bool is_upper_word(std::string_view text) noexcept {
    return !text.empty() &&
        std::all_of(text.begin(), text.end(), [](char one) { return one >= 'A' && one <= 'Z'; });
}

struct request_line {
    std::string_view method;
    std::string_view target;
    std::string_view version;
};

// METHOD SP TARGET SP HTTP/x.y; false when the line is something else.
bool split_request_line(std::string_view line, request_line& parts) noexcept {
    const std::size_t first = line.find(' ');
    const std::size_t last = line.rfind(' ');
    if (first == std::string_view::npos || first == last) {
        return false;
    }
    parts.method = line.substr(0, first);
    parts.target = line.substr(first + 1, last - first - 1);
    parts.version = line.substr(last + 1);
    return is_upper_word(parts.method) && parts.version.starts_with("HTTP/");
}

// What an unfinished first line looks like, for the right kind of refusal.
protocol guess(std::string_view received) noexcept {
    const std::size_t space = received.find(' ');
    const bool is_http = space != std::string_view::npos &&
        is_upper_word(received.substr(0, space)) && received.size() > space + 1 &&
        received[space + 1] == '/';
    return is_http ? protocol::http : protocol::line;
}

std::string_view trimmed(std::string_view text) noexcept {
    constexpr std::string_view blanks = " \t\r";
    const std::size_t first = text.find_first_not_of(blanks);
    if (first == std::string_view::npos) {
        return {};
    }
    return text.substr(first, text.find_last_not_of(blanks) - first + 1);
}

std::string lower(std::string_view text) {
    std::string made(text);
    std::transform(made.begin(), made.end(), made.begin(), to_lower);
    return made;
}

// One header line. Returns what is wrong with it, or null.
const char* take_field(std::string_view line, request& made) {
    const std::size_t colon = line.find(':');
    if (colon == std::string_view::npos || !is_token(line.substr(0, colon))) {
        return "a header line is not NAME: VALUE";
    }
    const std::string_view value = trimmed(line.substr(colon + 1));
    if (std::any_of(value.begin(), value.end(), [](char one) {
            return static_cast<unsigned char>(one) < 0x20 && one != '\t';
        })) {
        return "a header value has control bytes";
    }
    if (lower(line.substr(0, colon)) == "accept") {
        made.accept += made.accept.empty() ? "" : ",";
        made.accept += lower(value);
    }
    return nullptr;
}

bool take_target(std::string_view target, request& made) {
    // A proxy's form, http://host/path, is allowed; curl sends it with --proxy.
    if (target.starts_with("http://")) {
        const std::size_t slash = target.find('/', 7);
        target = slash == std::string_view::npos ? std::string_view("/") : target.substr(slash);
    }
    const std::size_t mark = target.find('?');
    const std::string_view path = target.substr(0, mark);
    if (!path.starts_with('/') || !decode(path, false, made.path)) {
        return false;
    }
    return mark == std::string_view::npos || parse_query(target.substr(mark + 1), made);
}

parsed parse_http(std::string_view received, std::size_t line_end, const request_line& parts) {
    parsed result;
    result.spoken = protocol::http;
    if (parts.version != "HTTP/1.1" && parts.version != "HTTP/1.0") {
        return fault(
            protocol::http, status::bad_request, "only HTTP/1.0 and HTTP/1.1 are spoken here"
        );
    }
    if (parts.target.size() > target_bytes_max) {
        return fault(protocol::http, status::uri_too_long, "the target is longer than 4096 bytes");
    }
    std::size_t at = line_end + 1;
    for (;;) {
        const std::size_t end = received.find('\n', at);
        if (end == std::string_view::npos || end >= head_bytes_max) {
            if (received.size() >= head_bytes_max) {
                return fault(
                    protocol::http, status::head_too_large, "the head is longer than 8192 bytes"
                );
            }
            return result;
        }
        std::string_view line = received.substr(at, end - at);
        if (line.ends_with('\r')) {
            line.remove_suffix(1);
        }
        at = end + 1;
        if (line.empty()) {
            break;
        }
        if (const char* const why = take_field(line, result.made)) {
            return fault(protocol::http, status::bad_request, why);
        }
    }
    if (!take_target(parts.target, result.made)) {
        return fault(
            protocol::http, status::bad_request, "the target is not a valid path and query"
        );
    }
    result.made.is_head = parts.method == "HEAD";
    result.made.is_get = result.made.is_head || parts.method == "GET";
    result.what = outcome::request;
    return result;
}

int hex_digit(char one) noexcept {
    if (one >= '0' && one <= '9') {
        return one - '0';
    }
    const char small = static_cast<char>(one | 0x20);
    return small >= 'a' && small <= 'f' ? small - 'a' + 10 : -1;
}

} // namespace

bool decode(std::string_view text, bool is_query, std::string& decoded) {
    decoded.clear();
    for (std::size_t i = 0; i < text.size(); ++i) {
        char one = text[i];
        if (one == '%') {
            const int high = i + 2 < text.size() ? hex_digit(text[i + 1]) : -1;
            const int low = high >= 0 ? hex_digit(text[i + 2]) : -1;
            if (low < 0) {
                return false;
            }
            one = static_cast<char>(high * 16 + low);
            i += 2;
        } else if (one == '+' && is_query) {
            one = ' ';
        }
        if (static_cast<unsigned char>(one) < 0x20 || one == 0x7F) {
            return false;
        }
        decoded += one;
    }
    return true;
}

bool parse_query(std::string_view text, request& made) {
    while (!text.empty()) {
        const std::size_t end = std::min(text.find('&'), text.size());
        const std::string_view pair = text.substr(0, end);
        text.remove_prefix(std::min(end + 1, text.size()));
        if (pair.empty()) {
            continue;
        }
        const std::size_t equals = pair.find('=');
        std::string key;
        std::string value;
        if (!decode(pair.substr(0, equals), true, key) ||
            (equals != std::string_view::npos && !decode(pair.substr(equals + 1), true, value))) {
            return false;
        }
        made.query.emplace_back(std::move(key), std::move(value));
    }
    return true;
}

parsed parse_request(std::string_view received, bool at_end) {
    // Empty lines before a request are allowed by HTTP and harmless before a command.
    while (received.starts_with("\r\n") || received.starts_with("\n")) {
        received.remove_prefix(received[0] == '\r' ? 2 : 1);
    }
    std::size_t line_end = received.find('\n');
    if (line_end == std::string_view::npos || line_end >= head_bytes_max) {
        if (received.size() >= head_bytes_max) {
            const protocol spoken = guess(received);
            return fault(
                spoken,
                spoken == protocol::http ? status::uri_too_long : status::bad_request,
                "the first line is longer than 8192 bytes"
            );
        }
        if (!at_end || received.empty()) {
            return {};
        }
        line_end = received.size();
    }
    std::string_view line = received.substr(0, line_end);
    if (line.ends_with('\r')) {
        line.remove_suffix(1);
    }
    const bool has_control = std::any_of(line.begin(), line.end(), [](char one) {
        return static_cast<unsigned char>(one) < 0x20 && one != '\t';
    });
    request_line parts;
    if (split_request_line(line, parts)) {
        if (has_control) {
            return fault(protocol::http, status::bad_request, "the request line has control bytes");
        }
        return parse_http(received, line_end, parts);
    }
    if (has_control) {
        return fault(protocol::line, status::bad_request, "the line has control bytes");
    }
    parsed result;
    result.what = outcome::request;
    result.spoken = protocol::line;
    result.line = line;
    return result;
}

std::string http_head(const response& answer, std::size_t length) {
    std::string head = "HTTP/1.1 ";
    head += std::to_string(static_cast<unsigned>(answer.code));
    head += ' ';
    head += text_of(answer.code);
    head += "\r\nContent-Type: ";
    head += answer.content_type;
    head += "\r\nContent-Length: " + std::to_string(length);
    head += "\r\nCache-Control: no-store\r\nConnection: close\r\n";
    if (answer.code == status::unavailable) {
        head += "Retry-After: 1\r\n";
    }
    if (answer.code == status::method_not_allowed) {
        head += "Allow: GET, HEAD\r\n";
    }
    return head + "\r\n";
}

std::string_view text_of(status code) noexcept {
    switch (code) {
    case status::ok:
        return "OK";
    case status::bad_request:
        return "Bad Request";
    case status::forbidden:
        return "Forbidden";
    case status::not_found:
        return "Not Found";
    case status::method_not_allowed:
        return "Method Not Allowed";
    case status::uri_too_long:
        return "URI Too Long";
    case status::head_too_large:
        return "Request Header Fields Too Large";
    case status::internal_error:
        return "Internal Server Error";
    case status::unavailable:
        return "Service Unavailable";
    }
    return "Unknown";
}

bool request::has_flag(std::string_view name) const noexcept {
    const std::string* const value = find(name);
    return value != nullptr &&
        (value->empty() || *value == "1" || *value == "yes" || *value == "on" || *value == "true");
}

void set_error(response& answer, status code, std::string_view message, bool as_json) noexcept {
    answer.code = code;
    answer.body.clear();
    if (as_json) {
        answer.content_type = wire::json_type;
        base::json_writer json(answer.body);
        json.begin_object();
        json.key("error").begin_object();
        json.field("code", static_cast<unsigned>(code)).field("message", message);
        json.end_object().end_object();
        answer.body.character('\n');
        return;
    }
    answer.content_type = wire::text_type;
    answer.body.text("error: ").text(message).character('\n');
}

} // namespace rt::introspect

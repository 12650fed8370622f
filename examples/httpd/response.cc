// SPDX-License-Identifier: MIT
//
// Answers as bytes. The hot one, GET /plaintext, is 138 bytes that are built once per thread; per
// request it costs one append, and a look at the coarse clock every 4 ms. perf/raw/http.cc sends
// the same bytes, and perf/http checks that it does.
//
// Dates are formatted by hand: strftime follows the locale and takes 0.3 us.

#include "response.h"

#include <rt/time.h>

#include <array>
#include <charconv>
#include <chrono>
#include <cstring>

namespace httpd {

namespace {

constexpr std::string_view server_fields = "\r\nServer: librt\r\nDate: ";
constexpr std::string_view plaintext_body = "Hello, World!";
constexpr std::array<std::string_view, 7> day_names{
    "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
constexpr std::array<std::string_view, 12> month_names{
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

// A date may be this much behind; its unit is a second, and the coarse wall clock's tick 4 ms.
constexpr std::chrono::milliseconds look_interval{4};

struct thread_cache {
    rt::clock::time_point looked_at{}; // worker's time of the last look at the wall clock
    std::time_t second = -1;
    std::size_t plaintext_size = 0; // 0: not built yet
    std::size_t plaintext_date_at = 0;
    std::array<char, http_date_size> date{};
    std::array<char, 256> plaintext{};
};

// Each thread has its own, so no lock is needed and no other thread's refresh can tear a date.
// No constructor runs, so an access is a plain load.
constinit thread_local thread_cache cache;

void append_number(std::string& out, std::uint64_t value) {
    std::array<char, 20> text{};
    char* end = std::to_chars(text.data(), text.data() + text.size(), value).ptr;
    out.append(text.data(), end);
}

void append_two_digits(std::string& out, int value) {
    out.push_back(static_cast<char>('0' + value / 10 % 10));
    out.push_back(static_cast<char>('0' + value % 10));
}

void append_field(std::string& out, std::string_view name, std::string_view value) {
    out.append("\r\n").append(name).append(": ").append(value);
}

std::time_t now() {
    timespec time{};
    clock_gettime(CLOCK_REALTIME_COARSE, &time);
    return time.tv_sec;
}

void build_plaintext() {
    response_head head;
    head.content_type = "text/plain; charset=utf-8";
    head.content_length = plaintext_body.size();
    std::string text;
    append_head(text, head);
    cache.plaintext_date_at = text.find(server_fields) + server_fields.size();
    text.append(plaintext_body);
    cache.plaintext_size = text.copy(cache.plaintext.data(), cache.plaintext.size());
}

void refresh() {
    rt::clock::time_point at = rt::coarse_now();
    if (at - cache.looked_at < look_interval) {
        return;
    }
    cache.looked_at = at;
    std::time_t second = now();
    if (second == cache.second) [[likely]] {
        return;
    }
    std::string date;
    append_http_date(date, second);
    cache.second = second;
    std::memcpy(cache.date.data(), date.data(), http_date_size);
    if (cache.plaintext_size != 0) {
        std::memcpy(cache.plaintext.data() + cache.plaintext_date_at, date.data(), http_date_size);
    }
}

/// The index of text in names, or -1.
template<std::size_t N>
int index_of(const std::array<std::string_view, N>& names, std::string_view text) {
    for (std::size_t i = 0; i < N; ++i) {
        if (names[i] == text) {
            return static_cast<int>(i);
        }
    }
    return -1;
}

/// The number that all of text spells, or -1.
int digits(std::string_view text) {
    int value = 0;
    for (char c : text) {
        if (c < '0' || c > '9') {
            return -1;
        }
        value = value * 10 + (c - '0');
    }
    return value;
}

} // namespace

std::string_view status_text(unsigned status) {
    switch (status) { // tidy:allow: a table
    case 200:
        return "OK";
    case 301:
        return "Moved Permanently";
    case 304:
        return "Not Modified";
    case 400:
        return "Bad Request";
    case 403:
        return "Forbidden";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 408:
        return "Request Timeout";
    case 413:
        return "Content Too Large";
    case 414:
        return "URI Too Long";
    case 417:
        return "Expectation Failed";
    case 431:
        return "Request Header Fields Too Large";
    case 500:
        return "Internal Server Error";
    case 501:
        return "Not Implemented";
    case 503:
        return "Service Unavailable";
    case 505:
        return "HTTP Version Not Supported";
    default:
        return "Unknown";
    }
}

std::string_view http_date() {
    refresh();
    return {cache.date.data(), cache.date.size()};
}

void append_http_date(std::string& out, std::time_t second) {
    std::tm parts{};
    if (gmtime_r(&second, &parts) == nullptr || parts.tm_year < -1900 || parts.tm_year > 8099) {
        parts = std::tm{}; // a file may carry any time; the format has four digits for the year
        parts.tm_mday = 1;
        parts.tm_year = 70;
        parts.tm_wday = 4;
    }
    out.append(day_names[static_cast<std::size_t>(parts.tm_wday)]).append(", ");
    append_two_digits(out, parts.tm_mday);
    out.append(" ").append(month_names[static_cast<std::size_t>(parts.tm_mon)]).append(" ");
    append_two_digits(out, (parts.tm_year + 1900) / 100);
    append_two_digits(out, (parts.tm_year + 1900) % 100);
    out.append(" ");
    append_two_digits(out, parts.tm_hour);
    out.append(":");
    append_two_digits(out, parts.tm_min);
    out.append(":");
    append_two_digits(out, parts.tm_sec);
    out.append(" GMT");
}

std::time_t parse_http_date(std::string_view text) {
    // Thu, 01 Jan 1970 00:00:00 GMT
    constexpr std::string_view shape = "---, -- --- ---- --:--:-- GMT";
    if (text.size() != shape.size()) {
        return -1;
    }
    for (std::size_t i = 0; i < shape.size(); ++i) {
        if (shape[i] != '-' && shape[i] != text[i]) {
            return -1;
        }
    }
    std::tm parts{};
    parts.tm_mday = digits(text.substr(5, 2));
    parts.tm_mon = index_of(month_names, text.substr(8, 3));
    int year = digits(text.substr(12, 4));
    parts.tm_year = year - 1900;
    parts.tm_hour = digits(text.substr(17, 2));
    parts.tm_min = digits(text.substr(20, 2));
    parts.tm_sec = digits(text.substr(23, 2));
    bool is_day = index_of(day_names, text.substr(0, 3)) >= 0;
    bool is_date = parts.tm_mday >= 1 && parts.tm_mday <= 31 && parts.tm_mon >= 0 && year >= 1970;
    bool is_time = parts.tm_hour >= 0 && parts.tm_hour <= 23 && parts.tm_min >= 0 &&
        parts.tm_min <= 59 && parts.tm_sec >= 0 && parts.tm_sec <= 60;
    return is_day && is_date && is_time ? timegm(&parts) : -1;
}

void append_head(std::string& out, const response_head& head) {
    out.append("HTTP/1.1 ");
    append_number(out, head.status);
    out.append(" ").append(status_text(head.status)).append(server_fields).append(http_date());
    if (!head.content_type.empty()) {
        append_field(out, "Content-Type", head.content_type);
    }
    if (head.content_length) {
        out.append("\r\nContent-Length: ");
        append_number(out, *head.content_length);
    }
    if (head.last_modified >= 0) {
        out.append("\r\nLast-Modified: ");
        append_http_date(out, head.last_modified);
    }
    if (!head.etag.empty()) {
        append_field(out, "ETag", head.etag);
    }
    if (!head.location.empty()) {
        append_field(out, "Location", head.location);
    }
    if (!head.allow.empty()) {
        append_field(out, "Allow", head.allow);
    }
    if (!head.keeps_alive) {
        append_field(out, "Connection", "close");
    } else if (!head.is_http_1_1) {
        append_field(out, "Connection", "keep-alive"); // the default of 1.1, but not of 1.0
    }
    out.append("\r\n\r\n");
}

void append_plaintext(std::string& out, bool is_head) {
    refresh();
    if (cache.plaintext_size == 0) [[unlikely]] {
        build_plaintext();
    }
    std::size_t size = cache.plaintext_size - (is_head ? plaintext_body.size() : 0);
    out.append(cache.plaintext.data(), size);
}

void append_page(
    std::string& out, response_head base, unsigned status, std::string_view why, bool is_head
) {
    std::string_view text = status_text(status);
    base.status = status;
    base.content_type = "text/plain; charset=utf-8";
    base.content_length = 3 + 1 + text.size() + 1 + (why.empty() ? 0 : why.size() + 1);
    append_head(out, base);
    if (is_head) {
        return;
    }
    append_number(out, status);
    out.append(" ").append(text).append("\n");
    if (!why.empty()) {
        out.append(why).append("\n");
    }
}

} // namespace httpd

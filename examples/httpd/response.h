// SPDX-License-Identifier: MIT
//
// Writes the heads of answers, and whole answers where they are small, behind what a string already
// holds: a connection collects the answers to pipelined requests in one string and sends it in one
// write. The string's capacity is kept by its owner, so a warm connection does not allocate.
//
// The date and the finished /plaintext answer are kept per thread and renewed once per second.
// Nothing here suspends, so a coroutine cannot change its thread in the middle.
#pragma once

#include <cstddef>
#include <cstdint>
#include <ctime>
#include <optional>
#include <string>
#include <string_view>

namespace httpd {

/// The size of an HTTP date, "Thu, 01 Jan 1970 00:00:00 GMT".
inline constexpr std::size_t http_date_size = 29;

/// What a head says. Absent and empty members send no field.
struct response_head {
    unsigned status = 200;
    std::string_view content_type;
    std::optional<std::uint64_t> content_length;
    std::string_view location;
    std::string_view allow;
    std::string_view etag;
    std::time_t last_modified = -1;
    bool is_http_1_1 = true; // of the request
    bool keeps_alive = true;
};

/// "Not Found" for 404; "Unknown" for what this server never sends.
std::string_view status_text(unsigned status);

/// The date now, of the whole second; valid until the next call on this thread.
std::string_view http_date();

/// Appends the date of `second`.
void append_http_date(std::string& out, std::time_t second);

/// The time an HTTP date (IMF-fixdate, RFC 9110 §5.6.7) names, or -1 when it is none.
std::time_t parse_http_date(std::string_view text);

/// Appends status line, fields and the blank line.
void append_head(std::string& out, const response_head& head);

/// Appends the answer to GET /plaintext of a client that keeps its connection: the prebuilt one.
/// For HEAD, the same without its body.
void append_plaintext(std::string& out, bool is_head);

/// Appends a short text page that says the status and, if not empty, why. HEAD gets no body but the
/// same head. `base` gives the fields other than status, type and length.
void append_page(
    std::string& out, response_head base, unsigned status, std::string_view why, bool is_head
);

/// The interim answer to Expect: 100-continue.
inline constexpr std::string_view continue_answer = "HTTP/1.1 100 Continue\r\n\r\n";

} // namespace httpd

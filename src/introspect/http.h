// SPDX-License-Identifier: MIT
//
// From bytes to a request: HTTP/1.x or one command line, told apart by the first line.
//
// The parser sees all bytes received so far, from the start, each time more arrive; heads are at
// most 8 KiB, so parsing again costs nothing and there is no state to get wrong. It answers GET and
// HEAD; bodies, trailers, chunked requests and pipelining are not its business, because the
// connection closes after one answer. Written here and not taken from a library: this much of HTTP
// is a page, and a runtime library should not make its users link an HTTP parser.
#pragma once

#include "introspect/request.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace rt::introspect {

inline constexpr std::size_t head_bytes_max = 8 * 1024;
inline constexpr std::size_t target_bytes_max = 4 * 1024;

enum class protocol : std::uint8_t { unknown, http, line };

struct parsed {
    enum class outcome : std::uint8_t { incomplete, request, fault };

    outcome what = outcome::incomplete;
    protocol spoken = protocol::unknown;
    status code = status::ok; // of a fault
    const char* fault = "";
    std::string line; // protocol::line: the command line, without its end
    request made;     // protocol::http
};

// `at_end`: the peer will send no more, so an unfinished line counts as a line.
[[nodiscard]] parsed parse_request(std::string_view received, bool at_end);

// "%41+b" in a query is "A b". False: broken escapes or a zero byte.
[[nodiscard]] bool decode(std::string_view text, bool is_query, std::string& decoded);

// Takes "a=1&b" apart into `made`. False: as decode.
[[nodiscard]] bool parse_query(std::string_view text, request& made);

// Status line and header fields of `answer`, whose body is `length` bytes.
[[nodiscard]] std::string http_head(const response& answer, std::size_t length);

} // namespace rt::introspect

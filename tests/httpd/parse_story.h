// SPDX-License-Identifier: MIT
//
// What the tests of the request parser share: they feed input in pieces and get a story of what was
// understood, as text, so that a failure shows it. Input that is good must tell the same story
// however it is cut; what must be refused is refused however it arrives.
#pragma once

#include "httpd/request_parser.h"

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#define HEAD "POST /upload HTTP/1.1\r\nHost: a\r\n"
#define CHUNKED HEAD "Transfer-Encoding: chunked\r\n\r\n"

struct transcript {
    std::string story;       // "POST /upload 1.1 keep [abc]; " per message
    unsigned completed = 0;  // messages
    unsigned status = 0;     // of the failure, 0 when there was none
    std::size_t pending = 0; // bytes that were left in the buffer
    bool is_between = false; // at the end
};

/// Feeds the pieces one after the other, keeping what the parser leaves, as a connection does.
transcript
feed_pieces(const std::vector<std::string_view>& pieces, const httpd::parser_limits& limits = {});

/// The same, a byte at a time.
transcript feed_bytes(std::string_view bytes, const httpd::parser_limits& limits = {});

/// Asserts that every split of a good input tells the same story.
void assert_story(std::string_view bytes, std::string_view story);

/// Asserts that the input is refused with `status` when fed whole, and never accepted when split
/// (a line that never ends as it should may also just be waited for, until a limit or a timeout).
void assert_refused(
    std::string_view bytes, unsigned status, const httpd::parser_limits& limits = {}
);

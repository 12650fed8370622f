// SPDX-License-Identifier: MIT
//
// Drives a parser as a connection does: a buffer at whose front lies what the parser left, new
// bytes behind it. Takes part in the assertions: the parser never takes more than it was given, and
// a failure always has a reason.

#include "httpd/parse_story.h"

#include "support/test.h"

using httpd::parse_state;
using httpd::parser_limits;
using httpd::request_parser;

namespace {

const char* name_of(httpd::method method) {
    switch (method) {
    case httpd::method::get:
        return "GET";
    case httpd::method::head:
        return "HEAD";
    case httpd::method::post:
        return "POST";
    case httpd::method::put:
        return "PUT";
    case httpd::method::delete_:
        return "DELETE";
    case httpd::method::options:
        return "OPTIONS";
    case httpd::method::patch:
        return "PATCH";
    case httpd::method::trace:
        return "TRACE";
    case httpd::method::other:
        return "other";
    }
    return "?";
}

/// Feeds `buffer` until the parser wants more or failed; removes what it took.
void drain(request_parser& parser, std::string& buffer, std::string& body, transcript& out) {
    for (;;) {
        std::size_t taken = parser.feed({buffer.data(), buffer.size()});
        cr_assert(taken <= buffer.size());
        switch (parser.state()) {
        case parse_state::body_chunk:
            body.append(parser.body());
            break;
        case parse_state::headers_complete:
            break;
        case parse_state::message_complete: {
            const httpd::request_head& head = parser.head();
            out.story.append(name_of(head.method)).append(" ").append(head.path());
            out.story.append(head.query()).append(head.is_http_1_1 ? " 1.1" : " 1.0");
            out.story.append(head.keeps_alive ? " keep [" : " close [").append(body).append("]; ");
            ++out.completed;
            body.clear();
            parser.next_message();
            break;
        }
        case parse_state::need_more:
            buffer.erase(0, taken);
            return;
        case parse_state::failed:
            buffer.erase(0, taken);
            out.status = parser.failure_status();
            cr_assert(!parser.failure_reason().empty());
            return;
        }
        buffer.erase(0, taken);
    }
}

} // namespace

transcript feed_pieces(const std::vector<std::string_view>& pieces, const parser_limits& limits) {
    request_parser parser(limits);
    transcript out;
    std::string buffer;
    std::string body;
    for (std::string_view piece : pieces) {
        buffer.append(piece);
        drain(parser, buffer, body, out);
        if (out.status != 0) {
            break;
        }
    }
    out.pending = buffer.size();
    out.is_between = out.status == 0 && parser.is_between_messages();
    return out;
}

transcript feed_bytes(std::string_view bytes, const parser_limits& limits) {
    std::vector<std::string_view> pieces;
    for (std::size_t i = 0; i < bytes.size(); ++i) {
        pieces.push_back(bytes.substr(i, 1));
    }
    return feed_pieces(pieces, limits);
}

void assert_story(std::string_view bytes, std::string_view story) {
    transcript whole = feed_pieces({bytes});
    cr_assert(whole.story == story, "got %s (status %u)", whole.story.c_str(), whole.status);
    cr_assert(whole.pending == 0 && whole.is_between);
    for (std::size_t at = 1; at < bytes.size(); ++at) {
        transcript split = feed_pieces({bytes.substr(0, at), bytes.substr(at)});
        cr_assert(split.story == story, "split at %zu: %s", at, split.story.c_str());
        cr_assert(split.pending == 0 && split.is_between, "split at %zu", at);
    }
    transcript single = feed_bytes(bytes);
    cr_assert(single.story == story, "byte by byte: %s", single.story.c_str());
}

void assert_refused(std::string_view bytes, unsigned status, const parser_limits& limits) {
    std::string text(bytes.substr(0, 80));
    transcript whole = feed_pieces({bytes}, limits);
    cr_assert(whole.status == status, "%s: got %u", text.c_str(), whole.status);
    cr_assert(whole.completed == 0, "%s: %s", text.c_str(), whole.story.c_str());
    for (std::size_t at = 1; at < bytes.size(); ++at) {
        transcript split = feed_pieces({bytes.substr(0, at), bytes.substr(at)}, limits);
        cr_assert(split.completed == 0, "%s: split at %zu", text.c_str(), at);
        cr_assert(split.status != 0 || split.pending != 0, "%s: split at %zu", text.c_str(), at);
    }
    transcript single = feed_bytes(bytes, limits);
    cr_assert(single.completed == 0, "%s: %s", text.c_str(), single.story.c_str());
}

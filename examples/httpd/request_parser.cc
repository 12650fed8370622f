// SPDX-License-Identifier: MIT
//
// Limits and states of the request parser; the wire grammar is Boost.Beast's basic_parser, behind
// wire_parser.h.
//
// Why Beast (Debian's libboost-dev, 1.74 or later). One `GET /plaintext` with one Host field, clang
// 19 -O2, instructions by callgrind, time on a 2.6 GHz Xeon guest:
//
//   picohttpparser (git)     650   25 ns   in no package; no framing of bodies
//   Boost.Beast 1.74         942   48 ns   libboost-dev
//   Boost.Beast 1.81        1042   52 ns   libboost1.81-dev, which evicts libboost-dev
//   llhttp 8.1.0            1094   63 ns   node-llhttp, "not to be used directly", older than the
//                                          fix of CVE-2024-27982; npm has 1.0.1
//   http-parser 2.9.4       1861  125 ns   libhttp-parser-dev; archived upstream
//
// This class as a whole takes about 1260 instructions.
// Of 60 malformed or ambiguous messages http-parser took bare LF lines, "Name :", chunks without
// their CRLF and HTTP/1.2; llhttp took folded fields, empty names, two spaces and HTTP/2.0, and
// refused legal quoted chunk extensions. Beast is strict about lines and chunks, and lax about
// what its callbacks show and wire_parser.h therefore checks: folded fields; Transfer-Encoding
// other than `chunked`, or in HTTP/1.0; Content-Length repeated or as a list; Host; control bytes
// in chunk extensions. (Upstream's changes 3096 and 3098 of 2026 tighten some of this.) Beast's
// header limit starts again with each line, and its chunk lines and trailers have none: so all
// bytes are counted here.

#include "request_parser.h"

#include "wire_parser.h"

namespace httpd {

namespace {

namespace http = wire::http;

// A chunk line without extension and leading zeros: CRLF of the chunk before, 16 digits, CRLF.
constexpr std::size_t plain_chunk_line_bytes_max = 20;

/// Length so far of the target in a request line that may be incomplete.
std::size_t measure_target(std::string_view line) {
    std::size_t space = line.find(' ');
    if (space == std::string_view::npos) {
        return 0;
    }
    std::size_t begin = space + 1;
    return std::min(line.find_first_of(" \r\n", begin), line.size()) - begin;
}

/// "HTTP/" digit "." digit ends the first line, but not 1.0 or 1.1: so the version is the fault.
bool has_other_version(std::string_view text) {
    std::string_view line = text.substr(0, text.find('\r'));
    std::size_t at = line.rfind(" HTTP/");
    if (at == std::string_view::npos || line.size() - at != 9 || line[at + 7] != '.') {
        return false;
    }
    auto is_digit = [](char c) {
        return c >= '0' && c <= '9';
    };
    bool is_supported = line[at + 6] == '1' && (line[at + 8] == '0' || line[at + 8] == '1');
    return is_digit(line[at + 6]) && is_digit(line[at + 8]) && !is_supported;
}

} // namespace

// A library parser serves one message, so a new one is made in place for each.
class request_parser::engine {
public:
    std::string known_host;
    std::optional<wire::wire_parser> wire;
    std::size_t chunk_extra_bytes = 0;
};

std::string_view request_head::path() const {
    return path_size == 0 ? "/" : std::string_view(target).substr(path_begin, path_size);
}

std::string_view request_head::query() const {
    return std::string_view(target).substr(path_begin + path_size);
}

request_parser::request_parser(const parser_limits& limits)
    : limits_(limits)
    , engine_(std::make_unique<engine>()) {
    engine_->wire.emplace(limits_, head_, engine_->known_host);
}

request_parser::~request_parser() = default;

bool request_parser::is_between_messages() const {
    return !engine_->wire->got_some();
}

void request_parser::next_message() {
    engine_->wire.emplace(limits_, head_, engine_->known_host);
    engine_->chunk_extra_bytes = 0;
    head_.target.clear();
    head_.if_none_match.clear();
    head_.if_modified_since.clear();
    head_.has_host = false;
    head_.is_chunked = false;
    head_.expects_continue = false;
    head_.keeps_alive = false;
    head_.content_length.reset();
    body_ = {};
    head_bytes_ = 0;
    is_head_done_ = false;
    state_ = parse_state::need_more;
}

std::size_t request_parser::feed(std::span<const char> input) {
    body_ = {};
    if (state_ == parse_state::failed || state_ == parse_state::message_complete) {
        return 0;
    }
    wire::wire_parser& library = *engine_->wire;
    if (library.is_done()) { // the last piece of the body was reported by the feed() before
        state_ = parse_state::message_complete;
        return 0;
    }
    std::string_view rest(input.data(), input.size());
    if (!library.got_some()) {
        rest.remove_prefix(skip_empty_line(rest));
        head_bytes_ += input.size() - rest.size();
        if (rest == "\r") { // perhaps half an empty line; the library must not see it
            state_ = parse_state::need_more;
            return input.size() - rest.size();
        }
    }
    for (;;) {
        library.input = rest;
        library.piece = {};
        wire::beast::error_code error;
        std::size_t taken = library.put(boost::asio::const_buffer(rest.data(), rest.size()), error);
        rest.remove_prefix(taken);
        head_bytes_ += is_head_done_ ? 0 : taken;
        if (library.status != 0) {
            fail(library.status, library.reason);
        } else if (error == http::error::need_more) {
            on_need_more(rest);
        } else if (error) {
            on_library_error(rest, error.value());
        } else if (!is_head_done_) {
            on_head_done();
        } else if (!library.piece.empty()) {
            body_ = library.piece;
            state_ = parse_state::body_chunk;
        } else if (library.is_done()) {
            state_ = parse_state::message_complete;
        } else {
            // A chunk line; only what exceeds a plain one is counted, over the whole body.
            engine_->chunk_extra_bytes +=
                taken > plain_chunk_line_bytes_max ? taken - plain_chunk_line_bytes_max : 0;
            if (engine_->chunk_extra_bytes > limits_.chunk_extra_bytes_max) {
                fail(413, "chunk extensions too large");
            } else if (!rest.empty()) {
                continue;
            } else {
                state_ = parse_state::need_more;
            }
        }
        return input.size() - rest.size();
    }
}

// RFC 9112 §2.2: a server should ignore an empty line before the request line. They count as head
// bytes, so that a client cannot send them for ever. A lone CR stays for the next feed().
std::size_t request_parser::skip_empty_line(std::string_view input) const {
    std::size_t skipped = 0;
    while (input.substr(skipped, 2) == "\r\n") {
        skipped += 2;
    }
    return skipped;
}

void request_parser::on_need_more(std::string_view pending) {
    state_ = parse_state::need_more;
    std::size_t bytes = pending.size() + (is_head_done_ ? 0 : head_bytes_);
    if (!engine_->wire->has_request_line && measure_target(pending) > limits_.target_bytes_max) {
        return fail(414, "request target too long");
    }
    if (bytes >= limits_.header_bytes_max) {
        fail(431, is_head_done_ ? "chunk line or trailers too large" : "request head too large");
    }
}

void request_parser::on_library_error(std::string_view pending, int kind) {
    switch (static_cast<http::error>(kind)) {
    case http::error::bad_version:
        if (has_other_version(pending)) {
            return fail(505, "only HTTP/1.0 and HTTP/1.1");
        }
        return fail(400, "malformed request line");
    case http::error::header_limit:
        return fail(431, "request head too large");
    case http::error::body_limit:
        return fail(413, "request body too large");
    case http::error::bad_method:
    case http::error::bad_target:
        return fail(400, "malformed request line");
    case http::error::bad_content_length:
        return fail(400, "malformed Content-Length field");
    case http::error::bad_transfer_encoding:
        return fail(400, "conflicting Transfer-Encoding field");
    case http::error::bad_chunk:
    case http::error::bad_chunk_extension:
        return fail(400, "malformed chunk");
    default:
        return fail(400, "malformed header field");
    }
}

void request_parser::on_head_done() {
    const wire::wire_parser& library = *engine_->wire;
    if (head_bytes_ > limits_.header_bytes_max) {
        return fail(431, "request head too large");
    }
    if (head_.is_http_1_1 && !head_.has_host) {
        return fail(400, "no Host field");
    }
    head_.keeps_alive = library.keep_alive();
    head_.is_chunked = library.chunked();
    if (auto length = library.content_length()) {
        head_.content_length = *length;
    }
    is_head_done_ = true;
    state_ = library.is_done() ? parse_state::message_complete : parse_state::headers_complete;
}

void request_parser::fail(unsigned status, std::string_view reason) {
    failure_status_ = status;
    failure_reason_ = reason;
    state_ = parse_state::failed;
}

} // namespace httpd

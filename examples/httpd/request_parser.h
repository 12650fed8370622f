// SPDX-License-Identifier: MIT
//
// Reads HTTP/1.0 and HTTP/1.1 requests out of a byte buffer, one message at a time, and knows
// nothing of sockets, coroutines or the runtime. One per connection, used by that connection's task
// only; it holds no lock and starts no thread.
//
// Contract with the caller, who owns the buffer. feed() gets everything that is in the buffer and
// says how much of it is done with; what it leaves must be the beginning of the next feed(), with
// new bytes behind it. A head line, a chunk line and the trailers are only taken whole, so a buffer
// of at least `header_bytes_max` never blocks: what does not fit is an error first. Bytes after the
// end of a message (pipelining) are never touched; next_message() starts on them.
//
// Everything this class refuses is fatal for the connection: after an error nobody knows where the
// next request starts. So every error answer goes out with `Connection: close`.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace httpd {

/// Limits of one message. All are inclusive: exactly that many is still accepted.
struct parser_limits {
    std::size_t header_bytes_max = 8192;        // request line, fields and blank line; 431
    std::size_t header_count_max = 100;         // fields, and again trailers; 431
    std::size_t target_bytes_max = 4096;        // 414; below header_bytes_max to be of use
    std::uint64_t body_bytes_max = 1024 * 1024; // after removal of the chunked coding; 413
    std::size_t chunk_extra_bytes_max = 16384;  // all chunk extensions of one body; 413
};

enum class method : std::uint8_t { get, head, post, put, delete_, options, patch, trace, other };

enum class parse_state : std::uint8_t {
    need_more,        // nothing to report; feed more bytes
    headers_complete, // the head is known and a body follows: decide, then go on feeding
    body_chunk,       // body() has decoded bytes
    message_complete, // answer it, then call next_message()
    failed,           // failure_status(), failure_reason(); no further feed()
};

/// What the head of a message said. Views and strings are stable until next_message().
struct request_head {
    httpd::method method = httpd::method::other;
    bool is_http_1_1 = false;
    bool keeps_alive = false; // by version and Connection
    bool is_chunked = false;
    bool expects_continue = false; // Expect: 100-continue from an HTTP/1.1 client
    bool has_host = false;
    std::optional<std::uint64_t> content_length;
    std::string target;            // as sent, never empty
    std::string if_none_match;     // empty when absent
    std::string if_modified_since; // empty when absent
    std::size_t path_begin = 0;    // within target: after scheme and authority, if it has them
    std::size_t path_size = 0;     // up to the query

    /// Absolute path without query, still percent-encoded; "*" for OPTIONS *; "/" when empty.
    [[nodiscard]] std::string_view path() const;
    /// Query with its question mark, or empty.
    [[nodiscard]] std::string_view query() const;
};

class request_parser {
public:
    explicit request_parser(const parser_limits& limits = {});
    ~request_parser();
    request_parser(const request_parser&) = delete;
    request_parser& operator=(const request_parser&) = delete;

    /// Parses until there is something to report. Returns how many bytes of `input` are done with.
    /// Requires: `input` starts with what the previous feed() left; state() is not failed.
    /// A request without a body goes to message_complete in one step, with no headers_complete.
    std::size_t feed(std::span<const char> input);

    [[nodiscard]] parse_state state() const { return state_; }

    /// Requires: headers_complete was reached (or message_complete).
    [[nodiscard]] const request_head& head() const { return head_; }

    /// The decoded bytes of a body_chunk; a view into the input of the feed() that reported it.
    [[nodiscard]] std::string_view body() const { return body_; }

    /// True when not one byte of a message has been seen: an end of file here is a clean close.
    [[nodiscard]] bool is_between_messages() const;

    /// True once the head was parsed without fault, so that it may say how to answer.
    [[nodiscard]] bool is_head_done() const { return is_head_done_; }

    [[nodiscard]] unsigned failure_status() const { return failure_status_; }
    [[nodiscard]] std::string_view failure_reason() const { return failure_reason_; }

    /// Forgets the message. Keeps the capacity of all strings, so that a warm connection does not
    /// allocate. Requires: message_complete.
    void next_message();

private:
    class engine; // the library's parser; keeps its headers out of every other file

    void fail(unsigned status, std::string_view reason);
    [[nodiscard]] std::size_t skip_empty_line(std::string_view input) const;
    void on_need_more(std::string_view pending);
    void on_library_error(std::string_view pending, int kind);
    void on_head_done();

    parser_limits limits_;
    std::unique_ptr<engine> engine_;
    request_head head_;
    std::string_view body_;
    std::string_view failure_reason_;
    std::size_t head_bytes_ = 0;
    unsigned failure_status_ = 0;
    parse_state state_ = parse_state::need_more;
    bool is_head_done_ = false;
};

} // namespace httpd

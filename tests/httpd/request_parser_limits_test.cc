// SPDX-License-Identifier: MIT
//
// The limits of the request parser. Each is exact to the byte, holds however the input is cut, and
// is found out without waiting for an end that never comes: a client that sends an endless line,
// head, chunk extension or trailer meets the same status as one that sends it all at once.

#include "httpd/parse_story.h"
#include "httpd/request_parser.h"
#include "support/test.h"

#include <string>
#include <string_view>

using namespace std::literals;
using httpd::parser_limits;

Test(request_parser_limits, target_length_is_limited_to_the_byte) {
    parser_limits limits;
    limits.target_bytes_max = 32;
    std::string good = "GET /" + std::string(31, 'a') + " HTTP/1.1\r\nHost: a\r\n\r\n";
    std::string bad = "GET /" + std::string(32, 'a') + " HTTP/1.1\r\nHost: a\r\n\r\n";
    cr_assert(feed_pieces({good}, limits).completed == 1);
    cr_assert(feed_bytes(good, limits).completed == 1);
    assert_refused(bad, 414, limits);
    cr_assert(feed_bytes(bad, limits).status == 414);
    std::string endless = "GET /" + std::string(100, 'a');
    cr_assert(feed_bytes(endless, limits).status == 414, "without waiting for its end");
}

Test(request_parser_limits, header_bytes_are_limited_to_the_byte) {
    parser_limits limits;
    limits.header_bytes_max = 128;
    std::string_view start = "GET / HTTP/1.1\r\nHost: a\r\nX: ";
    std::string good = std::string(start) + std::string(128 - start.size() - 4, 'x') + "\r\n\r\n";
    std::string bad = std::string(start) + std::string(128 - start.size() - 3, 'x') + "\r\n\r\n";
    cr_assert(good.size() == 128);
    cr_assert(feed_pieces({good}, limits).completed == 1);
    cr_assert(feed_bytes(good, limits).completed == 1);
    assert_refused(bad, 431, limits);
    cr_assert(feed_bytes(bad, limits).status == 431);
    std::string many_lines = "GET / HTTP/1.1\r\nHost: a\r\n"; // no line is long, the head is
    for (int i = 0; i < 100; ++i) {
        many_lines.append("X: y\r\n");
    }
    cr_assert(feed_bytes(many_lines, limits).status == 431);
    cr_assert(feed_pieces({many_lines}, limits).status == 431);
    std::string one_word(200, 'G');
    cr_assert(feed_bytes(one_word, limits).status != 0, "a method without end is an end");
}

Test(request_parser_limits, header_count_is_limited) {
    parser_limits limits;
    limits.header_count_max = 5;
    std::string bytes = "GET / HTTP/1.1\r\nHost: a\r\n";
    for (int i = 0; i < 4; ++i) {
        bytes.append("X: y\r\n");
    }
    cr_assert(feed_pieces({bytes + "\r\n"}, limits).completed == 1);
    assert_refused(bytes + "X: y\r\n\r\n", 431, limits);
    std::string trailers = CHUNKED "0\r\n";
    for (int i = 0; i < 6; ++i) {
        trailers.append("X: y\r\n");
    }
    assert_refused(trailers + "\r\n", 431, limits);
}

Test(request_parser_limits, body_size_is_limited_to_the_byte) {
    parser_limits limits;
    limits.body_bytes_max = 4;
    cr_assert(feed_pieces({HEAD "Content-Length: 4\r\n\r\nabcd"sv}, limits).completed == 1);
    cr_assert(feed_pieces({CHUNKED "2\r\nab\r\n2\r\ncd\r\n0\r\n\r\n"sv}, limits).completed == 1);
    assert_refused(HEAD "Content-Length: 5\r\n\r\nabcde", 413, limits);
    assert_refused(CHUNKED "2\r\nab\r\n3\r\ncde\r\n0\r\n\r\n", 413, limits);
    assert_refused(CHUNKED "ffffffffffffffff\r\nab", 413, limits);
}

Test(request_parser_limits, chunk_overhead_is_limited) {
    parser_limits limits;
    limits.chunk_extra_bytes_max = 256;
    limits.header_bytes_max = 512;
    std::string bytes = CHUNKED;
    for (int i = 0; i < 20; ++i) { // 1 byte of body, 60 of extension
        bytes.append("1;" + std::string(60, 'e') + "\r\nx\r\n");
    }
    assert_refused(bytes, 413, limits);
    std::string zeros = CHUNKED + std::string(400, '0') + "1\r\nx\r\n0\r\n\r\n";
    assert_refused(zeros, 413, limits);
    std::string endless = CHUNKED "1;" + std::string(600, 'e');
    cr_assert(feed_bytes(endless, limits).status == 431, "a chunk line without end");
    std::string trailers = CHUNKED "0\r\n";
    for (int i = 0; i < 60; ++i) {
        trailers.append("X: 0123456789\r\n");
    }
    cr_assert(feed_bytes(trailers, limits).status == 431, "trailers without end");
    cr_assert(feed_pieces({trailers + "\r\n"}, limits).status == 431, "and all at once");
}

Test(request_parser_limits, many_small_chunks_make_one_body) {
    std::string bytes = CHUNKED;
    std::string body;
    for (int i = 0; i < 300; ++i) {
        bytes.append("1\r\n").append(1, static_cast<char>('a' + i % 26)).append("\r\n");
        body.append(1, static_cast<char>('a' + i % 26));
    }
    bytes.append("0\r\n\r\n");
    std::string story = "POST /upload 1.1 keep [" + body + "]; ";
    cr_assert(feed_pieces({bytes}).story == story);
    cr_assert(feed_bytes(bytes).story == story);
}

// SPDX-License-Identifier: MIT
//
// The request parser of examples/httpd, without sockets: what it understands and what it refuses.
// Each message is fed whole, cut in two at every byte, and byte by byte (parse_story.h). Its limits
// have a file of their own.

#include "httpd/parse_story.h"
#include "httpd/request_parser.h"
#include "support/test.h"

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

using namespace std::literals;
using httpd::parse_state;
using httpd::parser_limits;
using httpd::request_parser;

namespace {

/// A request without a body goes to message_complete in one feed(); returns the parser there.
void feed_whole(request_parser& parser, std::string_view bytes) {
    std::size_t taken = parser.feed({bytes.data(), bytes.size()});
    cr_assert(taken == bytes.size());
    cr_assert(parser.state() == parse_state::message_complete);
}

} // namespace

Test(request_parser, get_without_body_is_complete_in_one_feed) {
    request_parser parser;
    cr_assert(parser.is_between_messages());
    feed_whole(parser, "GET /plaintext?x=1 HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n");
    cr_assert(parser.head().method == httpd::method::get);
    cr_assert(parser.head().path() == "/plaintext");
    cr_assert(parser.head().query() == "?x=1");
    cr_assert(parser.head().target == "/plaintext?x=1");
    cr_assert(parser.head().is_http_1_1 && parser.head().keeps_alive);
    cr_assert(!parser.head().content_length && !parser.head().is_chunked);
    cr_assert(!parser.is_between_messages());
    parser.next_message();
    cr_assert(parser.is_between_messages());
    cr_assert(parser.state() == parse_state::need_more);
}

Test(request_parser, split_at_every_byte_tells_the_same_story) {
    assert_story(
        "GET / HTTP/1.1\r\nHost: a\r\nX-Long-Name: some value\r\n\r\n", "GET / 1.1 keep []; "
    );
    assert_story(
        HEAD "Content-Length: 11\r\n\r\nhello world", "POST /upload 1.1 keep [hello world]; "
    );
    assert_story(
        CHUNKED "5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n", "POST /upload 1.1 keep [hello world]; "
    );
}

Test(request_parser, pipelined_requests_come_one_by_one) {
    assert_story(
        "GET /1 HTTP/1.1\r\nHost: a\r\n\r\n" HEAD "Content-Length: 3\r\n\r\nabc"
        "HEAD /2 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" CHUNKED "1\r\nx\r\n0\r\n\r\n"
        "DELETE /3 HTTP/1.0\r\n\r\n",
        "GET /1 1.1 keep []; POST /upload 1.1 keep [abc]; HEAD /2 1.1 close []; "
        "POST /upload 1.1 keep [x]; DELETE /3 1.0 close []; "
    );
}

Test(request_parser, next_request_is_left_in_the_buffer) {
    request_parser parser;
    std::string_view first = "GET /1 HTTP/1.1\r\nHost: a\r\n\r\n";
    std::string both = std::string(first) + "GET /2 HTTP/1.1\r\nHo";
    cr_assert(parser.feed({both.data(), both.size()}) == first.size());
    cr_assert(parser.state() == parse_state::message_complete);
    cr_assert(parser.feed({both.data(), both.size()}) == 0, "nothing before next_message()");
    cr_assert(parser.head().path() == "/1");
}

Test(request_parser, target_is_stable_while_the_buffer_changes) {
    request_parser parser;
    std::string bytes = HEAD "Content-Length: 2\r\n\r\n";
    parser.feed({bytes.data(), bytes.size()});
    cr_assert(parser.state() == parse_state::headers_complete);
    std::string_view path = parser.head().path();
    bytes.assign(bytes.size(), 'x');
    parser.feed(std::span<const char>("ab", 2));
    cr_assert(parser.state() == parse_state::body_chunk && parser.body() == "ab");
    cr_assert(path == "/upload");
}

Test(request_parser, headers_complete_comes_before_a_body) {
    request_parser parser;
    std::string_view bytes = HEAD "Expect: 100-Continue\r\nContent-Length: 2\r\n\r\n";
    cr_assert(parser.feed({bytes.data(), bytes.size()}) == bytes.size());
    cr_assert(parser.state() == parse_state::headers_complete);
    cr_assert(parser.is_head_done() && parser.head().expects_continue);
    cr_assert(parser.head().content_length == 2U);
    cr_assert(parser.feed({}) == 0 && parser.state() == parse_state::need_more);
    parser.feed(std::span<const char>("ab", 2));
    cr_assert(parser.state() == parse_state::body_chunk);
    cr_assert(parser.feed({}) == 0 && parser.state() == parse_state::message_complete);
}

Test(request_parser, fields_of_one_message_do_not_reach_the_next) {
    request_parser parser;
    feed_whole(
        parser, "GET /a HTTP/1.1\r\nHost: a\r\nIf-None-Match: \"x\"\r\nIf-Modified-Since: y\r\n\r\n"
    );
    cr_assert(parser.head().if_none_match == "\"x\"" && parser.head().if_modified_since == "y");
    parser.next_message();
    feed_whole(parser, "GET /b HTTP/1.0\r\n\r\n");
    cr_assert(parser.head().if_none_match.empty() && parser.head().if_modified_since.empty());
    cr_assert(!parser.head().has_host && !parser.head().expects_continue);
    parser.next_message();
    std::string_view bytes = "GET /c HTTP/1.1\r\n\r\n";
    parser.feed({bytes.data(), bytes.size()});
    cr_assert(parser.failure_status() == 400, "the Host of an earlier message does not count");
}

Test(request_parser, keep_alive_follows_version_and_connection) {
    assert_story("GET / HTTP/1.1\r\nHost: a\r\nConnection: Close\r\n\r\n", "GET / 1.1 close []; ");
    assert_story(
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: x, close\r\n\r\n", "GET / 1.1 close []; "
    );
    assert_story("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "GET / 1.0 keep []; ");
    assert_story("GET / HTTP/1.0\r\n\r\n", "GET / 1.0 close []; ");
    assert_story("GET / HTTP/1.1\r\nHost:\r\nUpgrade: h2c\r\n\r\n", "GET / 1.1 keep []; ");
}

Test(request_parser, trailers_change_nothing) {
    assert_story(
        CHUNKED "1\r\nx\r\n0\r\nConnection: close\r\nX: y\r\n\r\n", "POST /upload 1.1 keep [x]; "
    );
    assert_refused(CHUNKED "1\r\nx\r\n0\r\nContent-Length: 9\r\n\r\n", 400);
    assert_refused(CHUNKED "1\r\nx\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n", 400);
    assert_refused(CHUNKED "1\r\nx\r\n0\r\nX: y\r\n z\r\n\r\n", 400);
}

Test(request_parser, chunk_extensions_are_read_and_dropped) {
    assert_story(
        CHUNKED "3;a;b=c;d=\"e f\"\r\nabc\r\n000;x\r\n\r\n", "POST /upload 1.1 keep [abc]; "
    );
    assert_story(CHUNKED "0003\r\nabc\r\n0\r\n\r\n", "POST /upload 1.1 keep [abc]; ");
}

Test(request_parser, absolute_form_and_asterisk_are_understood) {
    assert_story("GET http://a:80/x?y HTTP/1.1\r\nHost: a\r\n\r\n", "GET /x?y 1.1 keep []; ");
    assert_story("GET HTTPS://a HTTP/1.1\r\nHost: a\r\n\r\n", "GET / 1.1 keep []; ");
    assert_story("GET http://a?q HTTP/1.1\r\nHost: a\r\n\r\n", "GET /?q 1.1 keep []; ");
    assert_story("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "OPTIONS * 1.1 keep []; ");
}

Test(request_parser, empty_lines_before_a_request_are_skipped) {
    assert_story("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n\r\n", "GET / 1.1 keep []; ");
    parser_limits limits;
    limits.header_bytes_max = 64;
    std::string many;
    for (int i = 0; i < 40; ++i) {
        many.append("\r\n");
    }
    many.append("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    cr_assert(feed_pieces({many}, limits).status == 431, "but not for ever");
}

Test(request_parser, malformed_request_lines_are_refused) {
    const std::string_view bad[] = {
        "GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n",
        " GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1 \r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\nHost: a\n\n",
        "GET / HTTP/1.1\rHost: a\r\r",
        "GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /\x80 HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /\x7f HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET x HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET * HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/11\r\nHost: a\r\n\r\n",
        "GET / http/1.1\r\nHost: a\r\n\r\n",
        "G@T / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.x\r\nHost: a\r\n\r\n",
        "\x16\x03\x01\x02\r\n\r\n",
        "GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n"sv,
        "/ HTTP/1.1\r\nHost: a\r\n\r\n",
    };
    for (std::string_view bytes : bad) {
        assert_refused(bytes, 400);
    }
}

Test(request_parser, malformed_fields_are_refused) {
    const std::string_view bad[] = {
        "GET / HTTP/1.1\r\n\r\n", // no Host
        "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a, b@\r\n\r\n",
        "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
        "GET / HTTP/1.1\r\n Host: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n: x\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX\xff: x\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: a\nY: b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n"sv,
        "GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n", // folded
        "GET / HTTP/1.1\r\nHost: a\r\nX:\r\n\tb\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n \r\n\r\n",
        "GET / HTTP/1.1\r\nHost:\r\n a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nDummy: x\r\r\nY: z\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: @\r\n\r\n",
    };
    for (std::string_view bytes : bad) {
        assert_refused(bytes, 400);
    }
}

Test(request_parser, body_framing_that_two_parsers_could_read_differently_is_refused) {
    const std::string_view bad[] = {
        HEAD "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
        HEAD "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        HEAD "Content-Length: 3\r\nTransfer-Encoding: gzip\r\n\r\nabc",
        HEAD "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        HEAD "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
        HEAD "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        HEAD "Transfer-Encoding: \x0b"
             "chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        HEAD "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
        HEAD "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
        HEAD "Content-Length: 3, 3\r\n\r\nabc",
        HEAD "Content-Length: 3,\r\n\r\nabc",
        HEAD "Content-Length: +3\r\n\r\nabc",
        HEAD "Content-Length: -3\r\n\r\nabc",
        HEAD "Content-Length: 0x3\r\n\r\nabc",
        HEAD "Content-Length: 3 3\r\n\r\nabc",
        HEAD "Content-Length: \r\n\r\n",
        HEAD "Content-Length: 18446744073709551619\r\n\r\nabc",
        HEAD "X: y\r\n Content-Length: 3\r\n\r\nabc",
    };
    for (std::string_view bytes : bad) {
        assert_refused(bytes, 400);
    }
    const std::string_view unknown[] = {
        HEAD "Transfer-Encoding: gzip\r\n\r\n",
        HEAD "Transfer-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc",
        HEAD "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        HEAD "Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n",
        HEAD "Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
        HEAD "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        HEAD "Transfer-Encoding: identity\r\n\r\n",
        HEAD "Transfer-Encoding:\r\n\r\n",
    };
    for (std::string_view bytes : unknown) {
        assert_refused(bytes, 501);
    }
}

Test(request_parser, malformed_chunks_are_refused) {
    const std::string_view bad[] = {
        CHUNKED "0x3\r\nabc\r\n0\r\n\r\n",
        CHUNKED "+3\r\nabc\r\n0\r\n\r\n",
        CHUNKED "-3\r\nabc\r\n0\r\n\r\n",
        CHUNKED " 3\r\nabc\r\n0\r\n\r\n",
        CHUNKED "3 \r\nabc\r\n0\r\n\r\n",
        CHUNKED "g\r\nabc\r\n0\r\n\r\n",
        CHUNKED "\r\nabc\r\n0\r\n\r\n",
        CHUNKED "10000000000000003\r\nabc\r\n0\r\n\r\n",
        CHUNKED "3\r\nabcX\r\n0\r\n\r\n",
        CHUNKED "3\r\nabc\n0\r\n\r\n",
        CHUNKED "3\r\nabcXX0\r\n\r\n",
        CHUNKED "3;\r\nabc\r\n0\r\n\r\n",
        CHUNKED "3;a=\r\nabc\r\n0\r\n\r\n",
        CHUNKED "3;a\nabc\r\n0\r\n\r\n",
        CHUNKED "3;a=\"\n\"\r\nabc\r\n0\r\n\r\n",
        CHUNKED "3;a=\"\x01\"\r\nabc\r\n0\r\n\r\n",
        CHUNKED "3\rX\nabc\r\n0\r\n\r\n",
        CHUNKED "0\r\nX\r\n\r\n",
        CHUNKED "0\r\n: x\r\n\r\n",
        CHUNKED "0;\"\r\n\r\n",
    };
    for (std::string_view bytes : bad) {
        transcript whole = feed_pieces({bytes});
        cr_assert(whole.completed == 0, "%.*s", static_cast<int>(bytes.size()), bytes.data());
        // An unterminated quoted string or LF-only line may be waited for; a message it is not.
        cr_assert(whole.status == 400 || (whole.status == 0 && whole.pending != 0));
        transcript single = feed_bytes(bytes);
        cr_assert(single.completed == 0, "%.*s", static_cast<int>(bytes.size()), bytes.data());
    }
}

Test(request_parser, smuggled_request_is_never_seen) {
    // The body of the first message looks like a request; only framing keeps it a body.
    assert_story(
        HEAD "Content-Length: 33\r\n\r\nGET /secret HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST /upload 1.1 keep [GET /secret HTTP/1.1\r\nHost: a\r\n\r\n]; "
    );
    transcript out = feed_pieces({HEAD "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
                                       "0\r\n\r\nGET /secret HTTP/1.1\r\nHost: a\r\n\r\n"});
    cr_assert(out.completed == 0 && out.status == 400);
}

Test(request_parser, unknown_methods_versions_and_expectations_have_their_status) {
    assert_refused("FROB / HTTP/1.1\r\nHost: a\r\n\r\n", 501);
    assert_refused("get / HTTP/1.1\r\nHost: a\r\n\r\n", 501);
    assert_refused("CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n", 501);
    assert_refused("GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505);
    assert_refused("GET / HTTP/1.2\r\nHost: a\r\n\r\n", 505);
    assert_refused("GET / HTTP/0.9\r\nHost: a\r\n\r\n", 505);
    assert_refused("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505);
    assert_refused(HEAD "Expect: 200-ok\r\nContent-Length: 1\r\n\r\nx", 417);
    assert_story("PROPFIND / HTTP/1.1\r\nHost: a\r\n\r\n", "other / 1.1 keep []; ");
    assert_story(
        "POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx",
        "POST / 1.0 close [x]; "
    );
}

Test(request_parser, nothing_is_taken_after_a_failure) {
    request_parser parser;
    std::string_view bytes = "BAD\r\n\r\n";
    parser.feed({bytes.data(), bytes.size()});
    cr_assert(parser.state() == parse_state::failed);
    std::string_view good = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    cr_assert(parser.feed({good.data(), good.size()}) == 0);
    cr_assert(parser.state() == parse_state::failed);
}

// Mutates good requests. The parser must not crash, loop, take more than it was given, or disagree
// with itself about how many messages there are.
Test(request_parser, random_mutations_are_survived) {
    const std::string_view seeds[] = {
        "GET /plaintext HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\n\r\n",
        HEAD "Content-Length: 5\r\n\r\nhelloGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        CHUNKED "5;a=\"b\"\r\nhello\r\n0\r\nX: y\r\n\r\nGET / HTTP/1.0\r\n\r\n",
    };
    const std::string_view alphabet = "\r\n\t :;,\"/0aA\x00\x7f\xff"sv;
    unsigned seed = 20240229;
    if (const char* chosen = std::getenv("LIBRT_TEST_SEED")) {
        seed = static_cast<unsigned>(std::strtoul(chosen, nullptr, 10));
    }
    std::printf("seed %u\n", seed);
    std::uint64_t state = seed * 2654435769ULL + 1;
    auto next = [&state](std::size_t below) {
        state = state * 6364136223846793005ULL + 1442695040888963407ULL;
        return static_cast<std::size_t>(state >> 33) % below;
    };
    for (int round = 0; round < 20000; ++round) {
        std::string bytes(seeds[next(std::size(seeds))]);
        for (std::size_t edits = 1 + next(3); edits != 0; --edits) {
            std::size_t at = next(bytes.size());
            if (next(2) == 0) {
                bytes[at] = alphabet[next(alphabet.size())];
            } else if (next(2) == 0) {
                bytes.insert(at, 1, alphabet[next(alphabet.size())]);
            } else {
                bytes.erase(at, 1);
            }
        }
        transcript whole = feed_pieces({bytes});
        transcript single = feed_bytes(bytes);
        std::size_t at = next(bytes.size());
        transcript split =
            feed_pieces({std::string_view(bytes).substr(0, at), std::string_view(bytes).substr(at)}
            );
        cr_assert(
            single.story == whole.story && split.story == whole.story,
            "round %d:\n%s\nwhole: %s\nbytes: %s\nsplit: %s",
            round,
            bytes.c_str(),
            whole.story.c_str(),
            single.story.c_str(),
            split.story.c_str()
        );
    }
}

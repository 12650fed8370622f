// SPDX-License-Identifier: MIT
//
// The request parser: what it takes, and that whatever else arrives gets a status or a refusal.
//
// Goal: no bytes on the socket are left without a verdict within the limit, and none crash it.
// Method: requests as clients write them, each way to be wrong, and noise from a fixed seed.
#include "introspect/http.h"
#include "support/test.h"

#include <random>
#include <string>

using rt::introspect::parse_request;
using rt::introspect::parsed;
using rt::introspect::protocol;
using rt::introspect::status;

namespace {

parsed parse(std::string_view bytes, bool at_end = false) {
    return parse_request(bytes, at_end);
}

bool is_fault(const parsed& result, status code) {
    return result.what == parsed::outcome::fault && result.code == code;
}

bool is_incomplete(const parsed& result) {
    return result.what == parsed::outcome::incomplete;
}

} // namespace

Test(http, a_get_request_is_taken_apart) {
    const parsed got =
        parse("GET /v1/tasks?state=waiting&name=a%20b HTTP/1.1\r\nAccept: Text/Plain\r\n\r\n");
    cr_assert(got.what == parsed::outcome::request);
    cr_assert(got.spoken == protocol::http);
    cr_assert(got.made.is_get && !got.made.is_head);
    cr_assert(got.made.path == "/v1/tasks");
    cr_assert(*got.made.find("state") == "waiting");
    cr_assert(*got.made.find("name") == "a b");
    cr_assert(got.made.accept == "text/plain");
    cr_assert(got.made.find("limit") == nullptr);
}

Test(http, head_and_other_methods_are_told_apart) {
    cr_assert(parse("HEAD / HTTP/1.1\r\n\r\n").made.is_head);
    cr_assert(!parse("POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc").made.is_get);
    cr_assert(!parse("DELETE / HTTP/1.0\r\n\r\n").made.is_get);
}

Test(http, bare_newlines_and_leading_empty_lines_are_accepted) {
    cr_assert(parse("\r\n\nGET / HTTP/1.1\nHost: x\n\n").what == parsed::outcome::request);
}

Test(http, a_proxys_absolute_target_is_accepted) {
    cr_assert(parse("GET http://rt/metrics HTTP/1.1\r\n\r\n").made.path == "/metrics");
    cr_assert(parse("GET http://rt HTTP/1.1\r\n\r\n").made.path == "/");
}

Test(http, every_prefix_of_a_request_is_incomplete) {
    const std::string whole = "GET /v1/info HTTP/1.1\r\nHost: rt\r\nAccept: */*\r\n\r\n";
    for (std::size_t length = 0; length < whole.size() - 1; ++length) {
        cr_assert(is_incomplete(parse(whole.substr(0, length))), "prefix of %zu bytes", length);
    }
    cr_assert(parse(whole).what == parsed::outcome::request);
}

Test(http, a_line_that_is_not_http_is_a_command) {
    const parsed got = parse("tasks state=waiting; help\r\n");
    cr_assert(got.what == parsed::outcome::request);
    cr_assert(got.spoken == protocol::line);
    cr_assert(got.line == "tasks state=waiting; help");
    cr_assert(is_incomplete(parse("dump")));
    cr_assert(parse("dump", true).line == "dump");
    cr_assert(parse("get / http/1.1\n").spoken == protocol::line);
}

Test(http, nothing_and_then_the_end_is_no_request) {
    cr_assert(is_incomplete(parse("", true)));
    cr_assert(is_incomplete(parse("\r\n\r\n", true)));
}

Test(http, control_bytes_are_bad_requests) {
    using namespace std::string_literals;
    cr_assert(is_fault(parse("GET /\0 HTTP/1.1\r\n\r\n"s), status::bad_request));
    cr_assert(is_fault(parse("GET / HTTP/1.1\r\nA: b\0c\r\n\r\n"s), status::bad_request));
    cr_assert(is_fault(parse("\0\0\0\0\n"s), status::bad_request));
    cr_assert(is_fault(parse("du\x1bmp\n"s), status::bad_request));
    cr_assert(is_fault(parse("GET /a%00b HTTP/1.1\r\n\r\n"s), status::bad_request));
}

Test(http, malformed_heads_are_bad_requests) {
    cr_assert(is_fault(parse("GET / HTTP/2.0\r\n\r\n"), status::bad_request));
    cr_assert(is_fault(parse("GET v1 HTTP/1.1\r\n\r\n"), status::bad_request));
    cr_assert(is_fault(parse("GET / HTTP/1.1\r\nno colon\r\n\r\n"), status::bad_request));
    cr_assert(is_fault(parse("GET / HTTP/1.1\r\nA b: c\r\n\r\n"), status::bad_request));
    cr_assert(is_fault(parse("GET / HTTP/1.1\r\n: c\r\n\r\n"), status::bad_request));
    cr_assert(is_fault(parse("GET /%zz HTTP/1.1\r\n\r\n"), status::bad_request));
    cr_assert(is_fault(parse("GET /%4 HTTP/1.1\r\n\r\n"), status::bad_request));
}

Test(http, long_lines_and_heads_are_refused) {
    const std::string megabyte(1 << 20, 'a');
    cr_assert(is_fault(parse(megabyte), status::bad_request));
    cr_assert(is_fault(parse("GET /" + megabyte), status::uri_too_long));
    cr_assert(is_fault(parse("GET /" + megabyte + " HTTP/1.1\r\n\r\n"), status::uri_too_long));
    cr_assert(is_fault(
        parse("GET /" + std::string(5000, 'a') + " HTTP/1.1\r\n\r\n"), status::uri_too_long
    ));
    cr_assert(
        is_fault(parse("GET / HTTP/1.1\r\nA: " + megabyte + "\r\n\r\n"), status::head_too_large)
    );
    std::string many = "GET / HTTP/1.1\r\n";
    while (many.size() < 10'000) {
        many += "A: b\r\n";
    }
    cr_assert(is_fault(parse(many), status::head_too_large));
}

// Goal: no input crashes the parser or makes it ask for more than the limit. Method: random edits
// of valid requests, and pure noise, from a fixed seed.
Test(http, noise_gets_a_verdict_within_the_limit) {
    std::mt19937 random(20240117);
    const std::string seed =
        "GET /v1/tasks?state=waiting HTTP/1.1\r\nHost: rt\r\nAccept: a/b\r\n\r\n";
    for (int round = 0; round < 20'000; ++round) {
        std::string bytes = round % 2 == 0 ? seed : std::string(random() % 300, '\0');
        for (unsigned edit = 0; edit < 1 + random() % 8 && !bytes.empty(); ++edit) {
            bytes[random() % bytes.size()] = static_cast<char>(random());
        }
        const parsed got = parse(bytes, random() % 2 == 0);
        cr_assert(got.what != parsed::outcome::fault || got.code >= status::bad_request);
    }
    std::string noise(rt::introspect::head_bytes_max, '\0');
    for (char& one : noise) {
        one = static_cast<char>(random());
    }
    cr_assert(!is_incomplete(parse(noise)));
}

Test(http, an_answer_says_its_length_and_that_it_is_the_last) {
    rt::introspect::response answer(1000);
    answer.body.text("hello");
    const std::string head = rt::introspect::http_head(answer, answer.body.size());
    cr_assert(head.starts_with("HTTP/1.1 200 OK\r\n"));
    cr_assert(head.find("Content-Length: 5\r\n") != std::string::npos);
    cr_assert(head.find("Connection: close\r\n") != std::string::npos);
    cr_assert(head.ends_with("\r\n\r\n"));
    set_error(answer, status::unavailable, "busy", true);
    cr_assert(http_head(answer, 0).find("Retry-After: 1\r\n") != std::string::npos);
    cr_assert(answer.body.view() == "{\"error\":{\"code\":503,\"message\":\"busy\"}}\n");
}

// SPDX-License-Identifier: MIT
//
// The answers of examples/httpd as bytes: fields present and absent, and dates there and back. The
// clock is the real one, so tests that look at the date of two answers take them again when a
// second has begun in between.

#include "httpd/response.h"
#include "support/test.h"

#include <ctime>
#include <string>
#include <string_view>

using httpd::response_head;

namespace {

std::string render(const response_head& head) {
    std::string out;
    httpd::append_head(out, head);
    return out;
}

bool contains(std::string_view text, std::string_view part) {
    return text.find(part) != std::string_view::npos;
}

} // namespace

Test(response, plaintext_is_exactly_these_bytes) {
    std::string out = "before";
    httpd::append_plaintext(out, false);
    std::string expected = "beforeHTTP/1.1 200 OK\r\nServer: librt\r\nDate: ";
    std::string tail = "\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 13\r\n\r\n"
                       "Hello, World!";
    cr_assert(out.starts_with(expected), "%s", out.c_str());
    cr_assert(out.ends_with(tail), "%s", out.c_str());
    cr_assert_eq(out.size(), expected.size() + httpd::http_date_size + tail.size());
    std::string date = out.substr(expected.size(), httpd::http_date_size);
    std::time_t sent = httpd::parse_http_date(date);
    cr_assert(sent >= 0 && std::time(nullptr) - sent <= 2, "%s", date.c_str());
}

Test(response, plaintext_for_head_lacks_only_the_body) {
    std::string get;
    std::string head;
    httpd::append_plaintext(get, false);
    httpd::append_plaintext(head, true);
    cr_assert(head.ends_with("Content-Length: 13\r\n\r\n"));
    cr_assert_eq(get.size(), head.size() + 13);
}

Test(response, plaintext_equals_what_the_general_builder_makes) {
    response_head head;
    head.content_type = "text/plain; charset=utf-8";
    head.content_length = 13;
    std::string hot;
    std::string built;
    std::string_view date;
    do { // again if the second changed in between
        date = httpd::http_date();
        hot.clear();
        httpd::append_plaintext(hot, true);
        built = render(head);
    } while (!contains(hot, date) || !contains(built, date));
    cr_assert(hot == built, "%s\n%s", hot.c_str(), built.c_str());
}

Test(response, warm_string_is_filled_in_place) {
    std::string out;
    for (int i = 0; i < 16; ++i) {
        httpd::append_plaintext(out, false);
    }
    const char* memory = out.data();
    std::size_t size = out.size();
    for (int batch = 0; batch < 100; ++batch) {
        out.clear();
        for (int i = 0; i < 16; ++i) {
            httpd::append_plaintext(out, false);
        }
        cr_assert(out.data() == memory && out.size() == size);
    }
}

Test(response, connection_field_says_what_the_version_does_not) {
    response_head head;
    cr_assert(!contains(render(head), "Connection:"));
    head.keeps_alive = false;
    cr_assert(contains(render(head), "\r\nConnection: close\r\n"));
    head.is_http_1_1 = false;
    cr_assert(contains(render(head), "\r\nConnection: close\r\n"));
    head.keeps_alive = true;
    cr_assert(contains(render(head), "\r\nConnection: keep-alive\r\n"));
}

Test(response, absent_members_send_no_field) {
    response_head head;
    head.status = 304;
    std::string out = render(head);
    cr_assert(out.starts_with("HTTP/1.1 304 Not Modified\r\nServer: librt\r\nDate: "));
    for (std::string_view name :
         {"Content-Type", "Content-Length", "Location", "Allow", "ETag", "Last-Modified"}) {
        cr_assert(!contains(out, name), "%s", out.c_str());
    }
    cr_assert(out.ends_with("GMT\r\n\r\n"));
}

Test(response, all_members_are_sent) {
    response_head head;
    head.content_type = "image/png";
    head.content_length = 18446744073709551615U;
    head.location = "/x/";
    head.allow = "GET, HEAD";
    head.etag = "\"1-2\"";
    head.last_modified = 784111777;
    std::string out = render(head);
    for (std::string_view field :
         {"\r\nContent-Type: image/png\r\n",
          "\r\nContent-Length: 18446744073709551615\r\n",
          "\r\nLocation: /x/\r\n",
          "\r\nAllow: GET, HEAD\r\n",
          "\r\nETag: \"1-2\"\r\n",
          "\r\nLast-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n"}) {
        cr_assert(contains(out, field), "%s", out.c_str());
    }
}

Test(response, page_length_is_that_of_its_body) {
    for (std::string_view why : {"", "no Host field"}) {
        std::string get;
        std::string head;
        httpd::append_page(get, {}, 400, why, false);
        httpd::append_page(head, {}, 400, why, true);
        std::size_t body_at = get.find("\r\n\r\n") + 4;
        cr_assert_eq(head.size(), body_at);
        std::string length = "Content-Length: " + std::to_string(get.size() - body_at) + "\r\n";
        cr_assert(contains(get, length) && contains(head, length), "%s", get.c_str());
        cr_assert(get.substr(body_at).starts_with("400 Bad Request\n"));
        cr_assert(contains(get.substr(body_at), why));
    }
}

Test(response, every_status_that_is_sent_has_a_text) {
    for (unsigned status :
         {200U,
          301U,
          304U,
          400U,
          403U,
          404U,
          405U,
          408U,
          413U,
          414U,
          417U,
          431U,
          500U,
          501U,
          503U,
          505U}) {
        cr_assert(httpd::status_text(status) != "Unknown", "%u", status);
    }
    cr_assert(httpd::status_text(299) == "Unknown");
}

Test(response, dates_agree_with_the_c_library) {
    for (std::time_t second :
         {0L, 1L, 784111777L, 951782400L, 1709164800L, 4102444799L, 253402300799L}) {
        std::tm parts{};
        gmtime_r(&second, &parts);
        char expected[64];
        std::strftime(expected, sizeof expected, "%a, %d %b %Y %H:%M:%S GMT", &parts);
        std::string text;
        httpd::append_http_date(text, second);
        cr_assert(text == expected, "%s against %s", text.c_str(), expected);
        cr_assert_eq(httpd::parse_http_date(text), second);
    }
}

Test(response, a_time_without_four_digit_year_is_the_epoch) {
    for (std::time_t second : {253402300800L, -62167219201L, 9223372036854775807L}) {
        std::string text;
        httpd::append_http_date(text, second);
        cr_assert(text == "Thu, 01 Jan 1970 00:00:00 GMT", "%s", text.c_str());
    }
}

Test(response, what_is_no_date_is_refused) {
    for (std::string_view text :
         {"",
          "now",
          "Sunday, 06-Nov-94 08:49:37 GMT",
          "Sun Nov  6 08:49:37 1994",
          "Sun, 06 Nov 1994 08:49:37 UTC",
          "Sun, 06 nov 1994 08:49:37 GMT",
          "Sun, 00 Nov 1994 08:49:37 GMT",
          "Sun, 32 Nov 1994 08:49:37 GMT",
          "Sun, 06 Nov 1994 24:49:37 GMT",
          "Sun, 06 Nov 1994 08:60:37 GMT",
          "Sun, 06 Nov 1969 08:49:37 GMT",
          "Sun, -6 Nov 1994 08:49:37 GMT",
          "Xun, 06 Nov 1994 08:49:37 GMT",
          "Sun, 06 Nov 1994 08:49:37 GMT "}) {
        cr_assert_eq(httpd::parse_http_date(text), -1, "%s", std::string(text).c_str());
    }
}

// SPDX-License-Identifier: MIT
//
// text_writer and json_writer: exact bytes, what happens at the end of the buffer, and hostile
// input.
#include "base/captured.h"
#include "base/text_writer.h"
#include "support/test.h"

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>

using namespace rt::base;
using rt::test::capture;

template<class Write>
static void check(Write write, std::string_view expected) {
    text_buffer<512> out;
    write(static_cast<text_writer&>(out));
    cr_assert(out.view() == expected, "got %s", std::string(out.view()).c_str());
    cr_assert_not(out.is_truncated());
}

Test(text_writer, writes_numbers) {
    check(
        [](text_writer& out) { out.decimal(0).character(' ').decimal(~0ULL); },
        "0 18446744073709551615"
    );
    check(
        [](text_writer& out) { out.decimal_signed(std::numeric_limits<std::int64_t>::min()); },
        "-9223372036854775808"
    );
    check(
        [](text_writer& out) { out.hexadecimal(0).character(' ').hexadecimal(0xBEEF, 8); },
        "0x0 0x0000beef"
    );
    check([](text_writer& out) { out.hexadecimal(0x12345, 2); }, "0x12345");
    check([](text_writer& out) { out.fixed(2.5, 2).character(' ').fixed(-0.125, 1); }, "2.50 -0.1");
    check([](text_writer& out) { out.fixed(1e300, 0).clear(); }, "");
    check([](text_writer& out) { out.print("%s=%d", "x", 7); }, "x=7");
}

Test(text_writer, writes_durations_for_people) {
    check([](text_writer& out) { out.duration(0); }, "0 ns");
    check([](text_writer& out) { out.duration(870); }, "870 ns");
    check([](text_writer& out) { out.duration(1'000); }, "1.00 us");
    check([](text_writer& out) { out.duration(12'450); }, "12.4 us");
    check([](text_writer& out) { out.duration(999'999); }, "999 us");
    check([](text_writer& out) { out.duration(1'070'000'000); }, "1.07 s");
    check([](text_writer& out) { out.duration(90'000'000'000); }, "90.0 s");
    check([](text_writer& out) { out.duration(125'000'000'000); }, "00:02:05");
    check(
        [](text_writer& out) {
            out.duration((3ULL * 86400 + 4 * 3600 + 11 * 60 + 9) * 1'000'000'000);
        },
        "3d04:11:09"
    );
}

Test(text_writer, writes_sizes_for_people) {
    check([](text_writer& out) { out.byte_count(1023); }, "1023 B");
    check([](text_writer& out) { out.byte_count(1536); }, "1.50 KiB");
    check([](text_writer& out) { out.byte_count(480ULL << 20); }, "480 MiB");
    check([](text_writer& out) { out.byte_count(~0ULL); }, "16777215 TiB");
}

Test(text_writer, aligns_columns) {
    check(
        [](text_writer& out) {
            out.text("a: ")
                .begin_column()
                .text("xy")
                .pad_to(5)
                .begin_column()
                .text("abcdef")
                .pad_to(4);
            out.text("|");
        },
        "a: xy   abcdef|"
    );
}

Test(text_writer, fills_its_buffer_exactly_and_says_when_it_is_cut) {
    char bytes[5];
    text_writer out(bytes, sizeof(bytes));
    out.text("12345");
    cr_assert_not(out.is_truncated());
    out.text("");
    cr_assert_not(out.is_truncated());
    out.text("6");
    cr_assert(out.is_truncated());
    cr_assert(out.view() == "12345");
    out.clear();
    cr_assert(out.size() == 0 && !out.is_truncated());
    out.text("abc").text("defg");
    cr_assert(out.view() == "abcde");
    cr_assert(out.is_truncated());
}

Test(text_writer, a_long_print_is_cut_and_says_so) {
    text_buffer<2048> out;
    const std::string large(1000, 'y');
    out.print("%s", large.c_str());
    cr_assert(out.is_truncated());
    cr_assert(out.size() == 511);
}

Test(text_writer, growing_keeps_everything_up_to_its_limit) {
    growing_writer out(100'000);
    for (int line = 0; line < 10'000; ++line) {
        out.text("0123456789");
    }
    cr_assert(out.size() == 100'000);
    cr_assert_not(out.is_truncated());
    cr_assert(out.view().substr(99'990) == "0123456789");
    out.character('x');
    cr_assert(out.is_truncated());
    cr_assert(out.size() == 100'000);
}

Test(text_writer, escaped_text_cannot_drive_a_terminal) {
    check(
        [](text_writer& out) { out.escaped("a\nb\tc\x1b[31m\x7f\\ \xC3\xA9"); },
        "a\\nb\\tc\\x1b[31m\\x7f\\\\ \xC3\xA9"
    );
    check([](text_writer& out) { out.escaped(std::string_view("\0x", 2)); }, "\\x00x");
    check(
        [](text_writer& out) {
            out.escaped("\xFF"
                        "a\xC2\x9B"
                        "31m");
        },
        "\xEF\xBF\xBD"
        "a\xEF\xBF\xBD"
        "31m"
    );
}

Test(text_writer, recognises_utf8) {
    cr_assert(utf8_sequence("a") == 1);
    cr_assert(utf8_sequence("\xC3\xA9x") == 2);
    cr_assert(utf8_sequence("\xE2\x82\xAC") == 3);
    cr_assert(utf8_sequence("\xF0\x9F\x98\x80") == 4);
    cr_assert(utf8_sequence("\xF4\x8F\xBF\xBF") == 4, "U+10FFFF");
    for (const char* broken : {
             "\x80",             // a continuation alone
             "\xC3",             // cut short
             "\xE2\x82",         // cut short
             "\xF0\x9F\x98",     // cut short
             "\xC0\xAF",         // overlong slash
             "\xC1\xBF",         // overlong
             "\xE0\x9F\xBF",     // overlong
             "\xF0\x8F\xBF\xBF", // overlong
             "\xED\xA0\x80",     // surrogate
             "\xF4\x90\x80\x80", // above U+10FFFF
             "\xF5\x80\x80\x80", // above U+10FFFF
             "\xFF",
         }) {
        cr_assert(utf8_sequence(broken) == 0);
    }
}

template<class Write>
static void check_json(Write write, std::string_view expected) {
    text_buffer<512> out;
    json_writer json(out);
    write(json);
    cr_assert(json.is_complete());
    cr_assert(out.view() == expected, "got %s", std::string(out.view()).c_str());
}

Test(json_writer, nests_and_separates) {
    check_json(
        [](json_writer& json) {
            json.begin_object().field("pid", 42).field("name", "x").key("list").begin_array();
            json.value(1U).begin_array().end_array().begin_object().end_object().null();
            json.end_array().field("on", true).field("off", false).field("ratio", 0.5);
            json.key("inner").begin_object().field_id("id", ~0ULL).end_object().end_object();
        },
        "{\"pid\":42,\"name\":\"x\",\"list\":[1,[],{},null],\"on\":true,\"off\":false,\"ratio\":0."
        "5,"
        "\"inner\":{\"id\":\"18446744073709551615\"}}"
    );
}

Test(json_writer, a_level_that_is_entered_again_starts_afresh) {
    check_json(
        [](json_writer& json) {
            json.begin_array();
            for (int round = 0; round < 2; ++round) {
                json.begin_object().field("a", round).field("b", round).end_object();
                json.begin_array().value(round).value(round).end_array();
            }
            json.end_array();
        },
        R"([{"a":0,"b":0},[0,0],{"a":1,"b":1},[1,1]])"
    );
}

Test(json_writer, numbers_read_back) {
    check_json(
        [](json_writer& json) { json.value(std::numeric_limits<std::int64_t>::min()); },
        "-9223372036854775808"
    );
    check_json([](json_writer& json) { json.value(std::uint8_t{255}); }, "255");
    check_json([](json_writer& json) { json.value(0.1); }, "0.1");
    check_json([](json_writer& json) { json.value(std::nan("")); }, "null");
    check_json(
        [](json_writer& json) { json.value(-std::numeric_limits<double>::infinity()); }, "null"
    );
    check_json(
        [](json_writer& json) { json.value(-std::numeric_limits<double>::max()); },
        "-1.7976931348623157e+308"
    );
}

Test(json_writer, escapes_strings) {
    check_json(
        [](json_writer& json) { json.value("say \"hi\" \\ \n\r\t\x01\x7f"); },
        R"("say \"hi\" \\ \n\r\t\u0001\u007f")"
    );
    check_json(
        [](json_writer& json) { json.value(std::string_view("\xC3\xA9\xFFz\xC3", 5)); },
        "\"\xC3\xA9\\ufffdz\\ufffd\""
    );
    check_json(
        [](json_writer& json) { json.begin_object().field("\n", 1).end_object(); }, R"({"\n":1})"
    );
}

Test(json_writer, misuse_is_fatal) {
    const auto dies = [](auto write) {
        return capture([&] {
                   text_buffer<64> out;
                   json_writer json(out);
                   write(json);
               }
        ).was_aborted();
    };
    cr_assert(dies([](json_writer& json) { json.begin_object().value(1); }));
    cr_assert(dies([](json_writer& json) { json.begin_object().end_array(); }));
    cr_assert(dies([](json_writer& json) { json.key("x"); }));
    cr_assert(dies([](json_writer& json) { json.value(1).value(2); }));
    cr_assert(dies([](json_writer& json) { json.begin_object().key("x").end_object(); }));
    cr_assert(dies([](json_writer& json) {
        for (unsigned level = 0; level < json_writer::depth_max; ++level) {
            json.begin_array();
        }
    }));
}

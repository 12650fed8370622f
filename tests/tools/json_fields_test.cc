// SPDX-License-Identifier: MIT
//
// The few fields that rtctl reads from an answer, and answers that are not what they should be.
#include "support/test.h"
#include "tools/json_fields.h"

using rt::tools::number_field;
using rt::tools::text_field;

Test(json_fields, top_level_fields_are_found_behind_nested_ones) {
    const char* const json = R"({"api":{"major":1,"pid":7},"list":[{"pid":8},"]}\"",[1]],)"
                             R"("pid" : 42 ,"comm":"a\"b\\\n"})";
    cr_assert(number_field(json, "pid") == 42U);
    cr_assert(text_field(json, "comm") == "a\"b\\\n");
    cr_assert(!number_field(json, "major"));
    cr_assert(!number_field(json, "comm"));
    cr_assert(!text_field(json, "pid"));
    cr_assert(!number_field(json, "absent"));
}

Test(json_fields, what_is_not_an_object_has_no_fields) {
    for (const char* const json :
         {"",
          "[]",
          "7",
          "{",
          "{\"pid\"",
          "{\"pid\":",
          "{\"pid\":}",
          "{pid:1}",
          "{\"a\":{\"pid\":1}",
          "{\"a\":1 \"pid\":2}",
          "{\"a\":\"",
          "}{",
          "{\"a\":]}",
          "{\"pid\":-1}",
          "{\"pid\":1.5}"}) {
        cr_assert(!number_field(json, "pid"), "%s", json);
        cr_assert(!text_field(json, "pid"), "%s", json);
    }
}

Test(json_fields, depth_costs_no_stack) {
    const std::string deep =
        "{\"a\":" + std::string(1 << 20, '[') + std::string(1 << 20, ']') + ",\"pid\":5}";
    cr_assert(number_field(deep, "pid") == 5U);
    cr_assert(!number_field(std::string(1 << 20, '{'), "pid"));
}

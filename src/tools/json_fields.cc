// SPDX-License-Identifier: MIT
//
// A scanner over one JSON object.
//
// Skips what it is not asked for, nested values included, without recursion; input that is not JSON
// makes the field absent and never leaves the text.
#include "tools/json_fields.h"

#include "base/environment.h"

#include <algorithm>

namespace rt::tools {
namespace {

constexpr std::string_view blanks = " \t\r\n";

void skip_blanks(std::string_view& text) noexcept {
    const std::size_t first = text.find_first_not_of(blanks);
    text.remove_prefix(first == std::string_view::npos ? text.size() : first);
}

// Takes a string, with its quotes, off the front. Absent: there is none.
std::optional<std::string> take_string(std::string_view& text) {
    if (!text.starts_with('"')) {
        return std::nullopt;
    }
    std::string made;
    for (std::size_t at = 1; at < text.size(); ++at) {
        if (text[at] == '"') {
            text.remove_prefix(at + 1);
            return made;
        }
        if (text[at] != '\\' || at + 1 == text.size()) {
            made += text[at];
            continue;
        }
        const char escaped = text[++at];
        if (escaped == 'u') {
            made += '?';
            at += 4;
        } else {
            made += escaped == 'n' ? '\n' : escaped == 't' ? '\t' : escaped;
        }
    }
    return std::nullopt;
}

// Takes one value of any kind off the front; the text of it, or absent.
std::optional<std::string_view> take_value(std::string_view& text) {
    const std::string_view whole = text;
    std::size_t depth = 0;
    do {
        skip_blanks(text);
        if (text.empty()) {
            return std::nullopt;
        }
        const char first = text[0];
        if (first == '"') {
            if (!take_string(text)) {
                return std::nullopt;
            }
        } else if (first == '{' || first == '[') {
            ++depth;
            text.remove_prefix(1);
        } else if (first == '}' || first == ']') {
            if (depth == 0) {
                return std::nullopt;
            }
            --depth;
            text.remove_prefix(1);
        } else if (first == ',' || first == ':') {
            if (depth == 0) {
                return std::nullopt;
            }
            text.remove_prefix(1);
        } else {
            text.remove_prefix(std::min(text.find_first_of(",:{}[] \t\r\n\""), text.size()));
        }
    } while (depth > 0);
    return whole.substr(0, whole.size() - text.size());
}

std::optional<std::string_view> find_field(std::string_view json, std::string_view name) {
    skip_blanks(json);
    if (!json.starts_with('{')) {
        return std::nullopt;
    }
    json.remove_prefix(1);
    for (;;) {
        skip_blanks(json);
        const std::optional<std::string> key = take_string(json);
        skip_blanks(json);
        if (!key || !json.starts_with(':')) {
            return std::nullopt;
        }
        json.remove_prefix(1);
        skip_blanks(json);
        const std::optional<std::string_view> value = take_value(json);
        if (!value || *key == name) {
            return value;
        }
        skip_blanks(json);
        if (!json.starts_with(',')) {
            return std::nullopt;
        }
        json.remove_prefix(1);
    }
}

} // namespace

std::optional<std::uint64_t> number_field(std::string_view json, std::string_view name) {
    const std::optional<std::string_view> value = find_field(json, name);
    return value ? base::parse_uint(*value) : std::nullopt;
}

std::optional<std::string> text_field(std::string_view json, std::string_view name) {
    std::optional<std::string_view> value = find_field(json, name);
    return value ? take_string(*value) : std::nullopt;
}

} // namespace rt::tools

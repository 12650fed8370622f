// SPDX-License-Identifier: MIT
//
// The grammars of LIBRT_* values, and the sentences about those that do not follow them.
//
// Every parser takes the whole text or nothing: "8 " and "8x" are faults and not 8. Overflow is a
// fault as well, never a wrapped number.
#include "base/environment.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/text_writer.h"

#include <algorithm>
#include <charconv>
#include <numeric>

#include <sys/auxv.h>
#include <unistd.h>

namespace rt::base {

namespace {

constexpr std::string_view name_prefix = "LIBRT_";
constexpr std::size_t shown_bytes_max = 80; // of a bad value; nobody reads more of it
constexpr unsigned fraction_digits_max = 9;

struct unit {
    std::string_view name;
    std::uint64_t factor;
};

constexpr unit duration_units[] = {
    {"ns", 1},
    {"us", ns_per_microsecond},
    {"ms", ns_per_millisecond},
    {"s", ns_per_second},
    {"m", 60 * ns_per_second},
    {"h", 3600 * ns_per_second},
};

constexpr std::uint64_t kibi = 1024;
constexpr unit size_units[] = {
    {"", 1},
    {"B", 1},
    {"K", kibi},
    {"KB", kibi},
    {"KiB", kibi},
    {"M", kibi* kibi},
    {"MB", kibi* kibi},
    {"MiB", kibi* kibi},
    {"G", kibi* kibi* kibi},
    {"GB", kibi* kibi* kibi},
    {"GiB", kibi* kibi* kibi},
    {"T", kibi* kibi* kibi* kibi},
    {"TB", kibi* kibi* kibi* kibi},
    {"TiB", kibi* kibi* kibi* kibi},
};

char lower(char letter) noexcept {
    return letter >= 'A' && letter <= 'Z' ? static_cast<char>(letter - 'A' + 'a') : letter;
}

bool equals_ignoring_case(std::string_view a, std::string_view b) noexcept {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) {
        return lower(x) == lower(y);
    });
}

bool is_digit(char letter) noexcept {
    return letter >= '0' && letter <= '9';
}

/// "12", "1.5": the number times `factor`, or nothing when it is malformed, inexact or too big.
std::optional<std::uint64_t> parse_scaled(std::string_view number, std::uint64_t factor) noexcept {
    const std::size_t point = number.find('.');
    const std::string_view whole_text = number.substr(0, point);
    std::uint64_t whole = 0;
    const char* whole_end = whole_text.data() + whole_text.size();
    const auto parsed = std::from_chars(whole_text.data(), whole_end, whole);
    if (parsed.ec != std::errc{} || parsed.ptr != whole_end) {
        return std::nullopt;
    }
    std::uint64_t total = 0;
    if (__builtin_mul_overflow(whole, factor, &total)) {
        return std::nullopt;
    }
    if (point == std::string_view::npos) {
        return total;
    }
    const std::string_view fraction = number.substr(point + 1);
    if (fraction.empty() || fraction.size() > fraction_digits_max) {
        return std::nullopt;
    }
    std::uint64_t numerator = 0;
    std::uint64_t denominator = 1;
    for (const char digit : fraction) {
        if (!is_digit(digit)) {
            return std::nullopt;
        }
        numerator = numerator * 10 + static_cast<std::uint64_t>(digit - '0');
        denominator *= 10;
    }
    __extension__ using wide = unsigned __int128;
    const wide part = static_cast<wide>(numerator) * factor;
    if (part % denominator != 0) {
        return std::nullopt; // "0.5ns" and "0.3B" are not what was meant
    }
    if (__builtin_add_overflow(total, static_cast<std::uint64_t>(part / denominator), &total)) {
        return std::nullopt;
    }
    return total;
}

std::optional<std::uint64_t>
parse_with_unit(std::string_view text, std::span<const unit> units) noexcept {
    const auto is_number = [](char letter) {
        return is_digit(letter) || letter == '.';
    };
    const auto* end = std::find_if_not(text.begin(), text.end(), is_number);
    const auto length = static_cast<std::size_t>(end - text.begin());
    const std::string_view name = text.substr(length);
    for (const unit& one : units) {
        if (equals_ignoring_case(one.name, name)) {
            return parse_scaled(text.substr(0, length), one.factor);
        }
    }
    return std::nullopt;
}

/// Edits (insert, delete, replace one letter) between two words, letters of either case being the
/// same.
std::size_t edit_distance(std::string_view a, std::string_view b) {
    std::vector<std::size_t> row(b.size() + 1);
    std::iota(row.begin(), row.end(), std::size_t{0});
    for (std::size_t i = 1; i <= a.size(); ++i) {
        std::size_t diagonal = row[0];
        row[0] = i;
        for (std::size_t j = 1; j <= b.size(); ++j) {
            const std::size_t replaced = diagonal + (lower(a[i - 1]) == lower(b[j - 1]) ? 0 : 1);
            diagonal = row[j];
            row[j] = std::min({replaced, row[j] + 1, row[j - 1] + 1});
        }
    }
    return row[b.size()];
}

std::string quoted(std::string_view text) {
    text_buffer<4 * shown_bytes_max + 8> shown;
    shown.character('"').escaped(text.substr(0, shown_bytes_max));
    shown.text(text.size() > shown_bytes_max ? "...\"" : "\"");
    return std::string(shown.view());
}

using append_number = text_writer& (*)(text_writer&, std::uint64_t);

std::string range_text(std::string_view what, uint_range range, append_number append) {
    text_buffer<160> out;
    out.text(what);
    const uint_range unlimited;
    if (range.max != unlimited.max) {
        append(out.text(", range "), range.min);
        append(out.text(" to "), range.max);
    } else if (range.min != unlimited.min) {
        append(out.text(", at least "), range.min);
    }
    return std::string(out.view());
}

text_writer& append_plain(text_writer& out, std::uint64_t value) {
    return out.decimal(value);
}

/// In the biggest unit of the grammar that divides it, so that the sentence can be pasted back.
text_writer& append_duration(text_writer& out, std::uint64_t value) {
    const unit* fitting = &duration_units[0];
    for (const unit& one : duration_units) {
        fitting = value % one.factor == 0 && value != 0 ? &one : fitting;
    }
    return out.decimal(value / fitting->factor).text(fitting->name);
}

text_writer& append_size(text_writer& out, std::uint64_t value) {
    const unit* fitting = &size_units[0];
    for (const unit& one : size_units) {
        const bool is_shortest = one.name.size() <= 1 && one.name != "B";
        fitting = is_shortest && value % one.factor == 0 && value != 0 ? &one : fitting;
    }
    return out.decimal(value / fitting->factor).text(fitting->name);
}

bool is_in(uint_range range, std::uint64_t value) noexcept {
    return value >= range.min && value <= range.max;
}

} // namespace

std::optional<std::uint64_t> parse_uint(std::string_view text) noexcept {
    int base = 10;
    if (text.starts_with("0x") || text.starts_with("0X")) {
        base = 16;
        text.remove_prefix(2);
    }
    std::uint64_t value = 0;
    const char* end = text.data() + text.size();
    const auto parsed = std::from_chars(text.data(), end, value, base);
    if (parsed.ec != std::errc{} || parsed.ptr != end) {
        return std::nullopt;
    }
    return value;
}

std::optional<std::uint64_t> parse_size(std::string_view text) noexcept {
    return parse_with_unit(text, size_units);
}

std::optional<std::uint64_t> parse_duration_ns(std::string_view text) noexcept {
    if (text == "0") {
        return 0;
    }
    return parse_with_unit(text, duration_units);
}

std::optional<bool> parse_boolean(std::string_view text) noexcept {
    for (const std::string_view word : {"on", "yes", "true", "1"}) {
        if (equals_ignoring_case(word, text)) {
            return true;
        }
    }
    for (const std::string_view word : {"off", "no", "false", "0"}) {
        if (equals_ignoring_case(word, text)) {
            return false;
        }
    }
    return std::nullopt;
}

std::string_view nearest_word(std::string_view word, std::span<const std::string_view> candidates) {
    std::string_view best;
    // A third of the letters may be wrong, and at least two: enough for swapped and missing
    // letters.
    std::size_t best_distance = std::max<std::size_t>(word.size() / 3, 2) + 1;
    for (const std::string_view candidate : candidates) {
        const std::size_t distance = edit_distance(word, candidate);
        if (distance < best_distance && distance < candidate.size()) {
            best = candidate;
            best_distance = distance;
        }
    }
    return best;
}

environment::environment(const char* const* block, std::span<const std::string_view> known)
    : block_(block) {
    find_unknown(known);
}

environment environment::from_process(std::span<const std::string_view> known) {
    const bool is_privileged = ::getauxval(AT_SECURE) != 0;
    return environment(is_privileged ? nullptr : environ, known);
}

void environment::find_unknown(std::span<const std::string_view> known) {
    // Without the common prefix a suggestion is judged by the part that differs.
    std::vector<std::string_view> stems;
    for (const std::string_view name : known) {
        RT_ASSERT(name.starts_with(name_prefix));
        stems.push_back(name.substr(name_prefix.size()));
    }
    for (const char* const* entry = block_; entry != nullptr && *entry != nullptr; ++entry) {
        const std::string_view assignment(*entry);
        const std::string_view name = assignment.substr(0, assignment.find('='));
        if (!name.starts_with(name_prefix) || std::ranges::find(known, name) != known.end()) {
            continue;
        }
        std::string fault(name);
        fault += ": no such variable";
        const std::string_view near = nearest_word(name.substr(name_prefix.size()), stems);
        if (!near.empty()) {
            fault += "; did you mean ";
            fault += name_prefix;
            fault += near;
            fault += "?";
        }
        faults_.push_back(std::move(fault));
    }
}

std::optional<std::string_view> environment::text(std::string_view name) const noexcept {
    RT_ASSERT(name.starts_with(name_prefix));
    for (const char* const* entry = block_; entry != nullptr && *entry != nullptr; ++entry) {
        const std::string_view assignment(*entry);
        if (assignment.size() > name.size() && assignment.starts_with(name) &&
            assignment[name.size()] == '=') {
            const std::string_view value = assignment.substr(name.size() + 1);
            return value.empty() ? std::nullopt : std::optional(value);
        }
    }
    return std::nullopt;
}

void environment::reject(std::string_view name, std::string_view expected) {
    std::string fault(name);
    fault += '=';
    fault += quoted(text(name).value_or(""));
    fault += ": expected ";
    fault += expected;
    faults_.push_back(std::move(fault));
}

std::optional<std::uint64_t> environment::uint(std::string_view name, uint_range range) {
    const auto given = text(name);
    const auto value = given ? parse_uint(*given) : std::nullopt;
    if (given && (!value || !is_in(range, *value))) {
        reject(name, range_text("a number", range, append_plain));
        return std::nullopt;
    }
    return value;
}

std::optional<std::uint64_t> environment::size(std::string_view name, uint_range range) {
    const auto given = text(name);
    const auto value = given ? parse_size(*given) : std::nullopt;
    if (given && (!value || !is_in(range, *value))) {
        reject(name, range_text("a size such as 64K or 16M", range, append_size));
        return std::nullopt;
    }
    return value;
}

std::optional<std::uint64_t> environment::duration(std::string_view name, uint_range range) {
    const auto given = text(name);
    const auto value = given ? parse_duration_ns(*given) : std::nullopt;
    if (given && (!value || !is_in(range, *value))) {
        reject(name, range_text("a duration such as 50us, 100ms or 2s", range, append_duration));
        return std::nullopt;
    }
    return value;
}

std::optional<bool> environment::boolean(std::string_view name) {
    const auto given = text(name);
    const auto value = given ? parse_boolean(*given) : std::nullopt;
    if (given && !value) {
        reject(name, "on or off");
    }
    return value;
}

std::optional<std::size_t>
environment::one_of(std::string_view name, std::span<const std::string_view> words) {
    RT_ASSERT(!words.empty());
    const auto given = text(name);
    if (!given) {
        return std::nullopt;
    }
    for (std::size_t index = 0; index < words.size(); ++index) {
        if (equals_ignoring_case(words[index], *given)) {
            return index;
        }
    }
    std::string expected = "one of";
    for (std::size_t index = 0; index < words.size(); ++index) {
        expected += index == 0 ? " " : ", ";
        expected += words[index];
    }
    if (const std::string_view near = nearest_word(*given, words); !near.empty()) {
        expected += "; did you mean ";
        expected += near;
        expected += '?';
    }
    reject(name, expected);
    return std::nullopt;
}

} // namespace rt::base

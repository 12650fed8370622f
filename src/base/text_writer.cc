// SPDX-License-Identifier: MIT
//
// How numbers, durations, escapes and JSON become bytes. Nothing here allocates, except
// growing_writer, which is told so; nothing takes a lock or looks at the locale.
//
// A text that does not fit is written as far as it does, then dropped: a cut report is better than
// none, and its reader sees is_truncated().
#include "base/text_writer.h"

#include "base/assert.h"
#include "base/clock.h"

#include <algorithm>
#include <charconv>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iterator>

namespace rt::base {

namespace {

constexpr std::size_t number_bytes_max = 32; // 20 digits of 2^64, or 0x and 16
constexpr std::size_t float_bytes_max = 340; // the largest double in fixed notation has 309 digits
constexpr std::size_t growing_bytes_min = 4096;
constexpr unsigned fixed_places_max = 9;
constexpr std::string_view replacement_utf8 = "\xEF\xBF\xBD"; // U+FFFD
constexpr const char* hex_digits = "0123456789abcdef";

struct unit_step {
    std::uint64_t size;
    const char* name;
};

bool is_continuation(std::string_view bytes, std::size_t index) noexcept {
    return index < bytes.size() && (static_cast<unsigned char>(bytes[index]) & 0xC0U) == 0x80U;
}

/// Three significant digits of value / step.
void scaled(text_writer& out, std::uint64_t value, const unit_step& step) noexcept {
    const std::uint64_t whole = value / step.size;
    if (step.size == 1) {
        out.decimal(value);
    } else {
        // Cut, not rounded: 999.9 us must not read "1000 us".
        const unsigned places = whole >= 100 ? 0 : whole >= 10 ? 1 : 2;
        const std::uint64_t part = places == 2 ? 100 : places == 1 ? 10 : 1;
        __extension__ using wide = unsigned __int128;
        const auto rest =
            static_cast<std::uint64_t>(static_cast<wide>(value % step.size) * part / step.size);
        out.decimal(whole);
        if (places > 0) {
            out.character('.');
            if (places == 2 && rest < 10) {
                out.character('0');
            }
            out.decimal(rest);
        }
    }
    out.character(' ').text(step.name);
}

} // namespace

std::size_t utf8_sequence(std::string_view bytes) noexcept {
    RT_ASSERT(!bytes.empty());
    const auto lead = static_cast<unsigned char>(bytes[0]);
    if (lead < 0x80U) {
        return 1;
    }
    if (!is_continuation(bytes, 1)) {
        return 0;
    }
    const auto second = static_cast<unsigned char>(bytes[1]);
    if (lead >= 0xC2U && lead <= 0xDFU) {
        return 2;
    }
    if (lead >= 0xE0U && lead <= 0xEFU) {
        const bool is_overlong = lead == 0xE0U && second < 0xA0U;
        const bool is_surrogate = lead == 0xEDU && second >= 0xA0U;
        return !is_overlong && !is_surrogate && is_continuation(bytes, 2) ? 3 : 0;
    }
    if (lead >= 0xF0U && lead <= 0xF4U) {
        const bool is_overlong = lead == 0xF0U && second < 0x90U;
        const bool is_too_big = lead == 0xF4U && second >= 0x90U;
        const bool is_whole = is_continuation(bytes, 2) && is_continuation(bytes, 3);
        return !is_overlong && !is_too_big && is_whole ? 4 : 0;
    }
    return 0;
}

text_writer& text_writer::text(std::string_view bytes) noexcept {
    if (bytes.size() > capacity_ - size_) {
        make_room(size_ + bytes.size());
    }
    const std::size_t fitting = std::min(bytes.size(), capacity_ - size_);
    if (fitting > 0) { // an empty view may hold a null pointer
        std::memcpy(begin_ + size_, bytes.data(), fitting);
    }
    size_ += fitting;
    is_truncated_ = is_truncated_ || fitting < bytes.size();
    return *this;
}

text_writer& text_writer::repeat(char one, std::size_t count) noexcept {
    for (std::size_t index = 0; index < count && !is_truncated_; ++index) {
        character(one);
    }
    return *this;
}

text_writer& text_writer::decimal(std::uint64_t value) noexcept {
    char digits[number_bytes_max];
    const auto end = std::to_chars(digits, std::end(digits), value);
    return text({digits, static_cast<std::size_t>(end.ptr - digits)});
}

text_writer& text_writer::decimal_signed(std::int64_t value) noexcept {
    char digits[number_bytes_max];
    const auto end = std::to_chars(digits, std::end(digits), value);
    return text({digits, static_cast<std::size_t>(end.ptr - digits)});
}

text_writer& text_writer::hexadecimal(std::uint64_t value, unsigned digits) noexcept {
    char shown[number_bytes_max];
    const auto end = std::to_chars(shown, std::end(shown), value, 16);
    const auto length = static_cast<std::size_t>(end.ptr - shown);
    text("0x").repeat('0', digits > length ? digits - length : 0);
    return text({shown, length});
}

text_writer& text_writer::fixed(double value, unsigned places) noexcept {
    char digits[float_bytes_max];
    const int precision = static_cast<int>(std::min(places, fixed_places_max));
    const auto end =
        std::to_chars(digits, std::end(digits), value, std::chars_format::fixed, precision);
    RT_ASSERT(end.ec == std::errc{});
    return text({digits, static_cast<std::size_t>(end.ptr - digits)});
}

text_writer& text_writer::duration(std::uint64_t nanoseconds) noexcept {
    constexpr unit_step steps[] = {
        {ns_per_second, "s"}, {ns_per_millisecond, "ms"}, {ns_per_microsecond, "us"}, {1, "ns"}};
    constexpr std::uint64_t minute = 60;
    constexpr std::uint64_t hour = 60 * minute;
    constexpr std::uint64_t day = 24 * hour;
    const std::uint64_t seconds = nanoseconds / ns_per_second;
    if (seconds >= day) {
        decimal(seconds / day).character('d');
    }
    if (seconds >= 2 * minute) {
        return print(
            "%02u:%02u:%02u",
            static_cast<unsigned>(seconds % day / hour),
            static_cast<unsigned>(seconds % hour / minute),
            static_cast<unsigned>(seconds % minute)
        );
    }
    const auto* fitting =
        std::find_if(std::begin(steps), std::end(steps) - 1, [&](const auto& one) {
            return nanoseconds >= one.size;
        });
    scaled(*this, nanoseconds, *fitting);
    return *this;
}

text_writer& text_writer::byte_count(std::uint64_t bytes) noexcept {
    constexpr unit_step steps[] = {
        {1ULL << 40, "TiB"},
        {1ULL << 30, "GiB"},
        {1ULL << 20, "MiB"},
        {1ULL << 10, "KiB"},
        {1, "B"}};
    const auto* fitting =
        std::find_if(std::begin(steps), std::end(steps) - 1, [&](const auto& one) {
            return bytes >= one.size;
        });
    scaled(*this, bytes, *fitting);
    return *this;
}

text_writer& text_writer::escaped(std::string_view bytes) noexcept {
    while (!bytes.empty()) {
        const std::size_t length = utf8_sequence(bytes);
        const auto first = static_cast<unsigned char>(bytes[0]);
        if (length == 0) {
            text(replacement_utf8);
        } else if (first == '\n') {
            text("\\n");
        } else if (first == '\t') {
            text("\\t");
        } else if (first == '\\') {
            text("\\\\");
        } else if (first < 0x20U || first == 0x7FU) {
            text("\\x").character(hex_digits[first >> 4]).character(hex_digits[first & 15U]);
        } else if (length == 2 && first == 0xC2U && static_cast<unsigned char>(bytes[1]) < 0xA0U) {
            text(replacement_utf8); // U+0080 to U+009F: control characters of eight-bit terminals
        } else {
            text(bytes.substr(0, length));
        }
        bytes.remove_prefix(std::max<std::size_t>(length, 1));
    }
    return *this;
}

text_writer& text_writer::print(const char* format, ...) noexcept {
    char shown[512];
    std::va_list arguments;
    va_start(arguments, format);
    const int wanted = std::vsnprintf(shown, sizeof(shown), format, arguments);
    va_end(arguments);
    RT_ASSERT(wanted >= 0);
    const auto length = static_cast<std::size_t>(wanted);
    if (length < sizeof(shown)) {
        return text({shown, length});
    }
    text({shown, sizeof(shown) - 1});
    is_truncated_ = true; // longer than any line of ours; text() is for long strings
    return *this;
}

text_writer& text_writer::begin_column() noexcept {
    column_ = size_;
    return *this;
}

text_writer& text_writer::pad_to(std::size_t width) noexcept {
    const std::size_t used = size_ - column_;
    return repeat(' ', width > used ? width - used : 0);
}

void text_writer::clear() noexcept {
    size_ = 0;
    column_ = 0;
    is_truncated_ = false;
}

void text_writer::make_room(std::size_t) noexcept {
}

void text_writer::set_buffer(char* buffer, std::size_t capacity) noexcept {
    RT_ASSERT(capacity >= size_);
    begin_ = buffer;
    capacity_ = capacity;
}

growing_writer::growing_writer(std::size_t limit) noexcept
    : text_writer(nullptr, 0)
    , limit_(limit) {
}

growing_writer::~growing_writer() {
    std::free(buffer());
}

void growing_writer::make_room(std::size_t wanted) noexcept {
    const std::size_t doubled = std::max({capacity() * 2, wanted, growing_bytes_min});
    const std::size_t enlarged = std::min(doubled, limit_);
    if (enlarged <= capacity()) {
        return;
    }
    if (void* moved = std::realloc(buffer(), enlarged); moved != nullptr) {
        set_buffer(static_cast<char*>(moved), enlarged);
    }
}

void json_writer::before_value() noexcept {
    const std::uint64_t level = std::uint64_t{1} << (depth_ % depth_max);
    if (depth_ == 0) {
        RT_ASSERT(!has_value_); // one document per writer
    } else if ((object_levels_ & level) != 0) {
        RT_ASSERT(has_key_);
    } else if ((filled_levels_ & level) != 0) {
        out_.character(',');
    }
    filled_levels_ |= level;
    has_key_ = false;
    has_value_ = true;
}

json_writer& json_writer::open(char bracket, bool is_object) noexcept {
    before_value();
    RT_ASSERT(depth_ + 1 < depth_max);
    ++depth_;
    const std::uint64_t level = std::uint64_t{1} << depth_;
    filled_levels_ &= ~level;
    object_levels_ = is_object ? object_levels_ | level : object_levels_ & ~level;
    out_.character(bracket);
    return *this;
}

json_writer& json_writer::close(char bracket, bool is_object) noexcept {
    RT_ASSERT(depth_ > 0);
    RT_ASSERT(!has_key_);
    RT_ASSERT(((object_levels_ >> depth_) & 1U) == (is_object ? 1U : 0U));
    --depth_;
    out_.character(bracket);
    return *this;
}

json_writer& json_writer::key(std::string_view name) noexcept {
    const std::uint64_t level = std::uint64_t{1} << depth_;
    RT_ASSERT(depth_ > 0 && (object_levels_ & level) != 0);
    RT_ASSERT(!has_key_);
    if ((filled_levels_ & level) != 0) {
        out_.character(',');
    }
    string(name);
    out_.character(':');
    has_key_ = true;
    return *this;
}

json_writer& json_writer::value(std::string_view text) noexcept {
    before_value();
    string(text);
    return *this;
}

json_writer& json_writer::value(bool truth) noexcept {
    before_value();
    out_.text(truth ? "true" : "false");
    return *this;
}

json_writer& json_writer::value(double number) noexcept {
    before_value();
    char digits[number_bytes_max];
    if (!(number - number == 0)) { // NaN or infinite: JSON has no word for it
        out_.text("null");
    } else {
        const auto end =
            std::to_chars(digits, std::end(digits), number); // shortest that reads back
        RT_ASSERT(end.ec == std::errc{});
        out_.text({digits, static_cast<std::size_t>(end.ptr - digits)});
    }
    return *this;
}

json_writer& json_writer::value_unsigned(std::uint64_t number) noexcept {
    before_value();
    out_.decimal(number);
    return *this;
}

json_writer& json_writer::value_signed(std::int64_t number) noexcept {
    before_value();
    out_.decimal_signed(number);
    return *this;
}

json_writer& json_writer::null() noexcept {
    before_value();
    out_.text("null");
    return *this;
}

json_writer& json_writer::id(std::uint64_t identifier) noexcept {
    before_value();
    out_.character('"').decimal(identifier).character('"');
    return *this;
}

void json_writer::string(std::string_view text) noexcept {
    out_.character('"');
    while (!text.empty()) {
        const std::size_t length = utf8_sequence(text);
        const auto first = static_cast<unsigned char>(text[0]);
        if (length == 0) {
            out_.text("\\ufffd");
        } else if (first == '"' || first == '\\') {
            out_.character('\\').character(text[0]);
        } else if (first == '\n') {
            out_.text("\\n");
        } else if (first == '\t') {
            out_.text("\\t");
        } else if (first == '\r') {
            out_.text("\\r");
        } else if (first < 0x20U || first == 0x7FU) {
            out_.text("\\u00").character(hex_digits[first >> 4]).character(hex_digits[first & 15U]);
        } else {
            out_.text(text.substr(0, length));
        }
        text.remove_prefix(std::max<std::size_t>(length, 1));
    }
    out_.character('"');
}

} // namespace rt::base

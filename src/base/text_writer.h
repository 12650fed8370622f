// SPDX-License-Identifier: MIT
//
// text_writer: text into a buffer, without allocation, locale or exceptions; json_writer: JSON on
// top of it.
//
// What reports are made with: dumps, metrics, the socket's answers, and the lines of fatal(). A
// text_writer never fails: what does not fit is dropped, and is_truncated() says so, so that the
// code that writes has no error paths. growing_writer enlarges its buffer up to a limit, for the
// sentinel's thread, where allocation is allowed; when memory runs out it is full, like any other.
// One thread uses a writer.
//
// Text from users (task names, paths) passes through escaped() or a JSON string: control bytes
// cannot reach a terminal, and bytes that are not UTF-8 become U+FFFD.
//
// Rejected: std::format (allocates for the general case, and 0.3 s of compile time per file),
// iostreams.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace rt::base {

class text_writer {
public:
    text_writer(char* buffer, std::size_t capacity) noexcept
        : begin_(buffer)
        , capacity_(capacity) {}
    text_writer(const text_writer&) = delete;
    text_writer& operator=(const text_writer&) = delete;
    virtual ~text_writer() = default;

    text_writer& text(std::string_view bytes) noexcept;
    text_writer& character(char one) noexcept { return text(std::string_view(&one, 1)); }
    text_writer& repeat(char one, std::size_t count) noexcept;

    text_writer& decimal(std::uint64_t value) noexcept;
    text_writer& decimal_signed(std::int64_t value) noexcept;
    /// Lower-case digits after 0x, padded with zeros to `digits`.
    text_writer& hexadecimal(std::uint64_t value, unsigned digits = 1) noexcept;
    /// With `places` digits after the point; "nan", "inf" as such.
    text_writer& fixed(double value, unsigned places) noexcept;
    /// Three significant digits and a unit: "870 ns", "12.4 us", "1.50 s", "3d04:11:09".
    text_writer& duration(std::uint64_t nanoseconds) noexcept;
    /// "870 B", "12.4 KiB", "1.50 GiB".
    text_writer& byte_count(std::uint64_t bytes) noexcept;

    /// Bytes of unknown origin, made safe for a terminal: control bytes as \n, \t or \x1b, a
    /// backslash doubled, bytes that are not UTF-8 as U+FFFD.
    text_writer& escaped(std::string_view bytes) noexcept;

    /// printf for the rest. No floating point: printf may allocate for it.
    [[gnu::format(printf, 2, 3)]] text_writer& print(const char* format, ...) noexcept;

    /// Marks a column start; pad_to(width) then fills with blanks up to `width` bytes after the
    /// mark.
    text_writer& begin_column() noexcept;
    text_writer& pad_to(std::size_t width) noexcept;

    [[nodiscard]] std::string_view view() const noexcept { return {begin_, size_}; }
    [[nodiscard]] std::size_t size() const noexcept { return size_; }
    [[nodiscard]] bool is_truncated() const noexcept { return is_truncated_; }

    /// Forgets what was written, and that something was dropped.
    void clear() noexcept;

protected:
    /// Called when `wanted` bytes in all do not fit. May replace the buffer by a bigger one with
    /// set_buffer.
    virtual void make_room(std::size_t wanted) noexcept;
    void set_buffer(char* buffer, std::size_t capacity) noexcept;
    [[nodiscard]] char* buffer() const noexcept { return begin_; }
    [[nodiscard]] std::size_t capacity() const noexcept { return capacity_; }

private:
    char* begin_;
    std::size_t capacity_;
    std::size_t size_ = 0;
    std::size_t column_ = 0;
    bool is_truncated_ = false;
};

/// Its own bytes inside, for one line or one small answer: `text_buffer<256> line;`.
template<std::size_t Capacity>
class text_buffer final : public text_writer {
public:
    text_buffer() noexcept
        : text_writer(bytes_, Capacity) {}

private:
    char bytes_[Capacity];
};

/// On malloc'ed memory, doubled as needed up to `limit` bytes.
class growing_writer final : public text_writer {
public:
    explicit growing_writer(std::size_t limit) noexcept;
    ~growing_writer() override;

private:
    void make_room(std::size_t wanted) noexcept override;

    const std::size_t limit_;
};

/// Writes one JSON value. Commas, colons and nesting are its business; keys and values come in the
/// order the document has them: `json.begin_object().field("pid", 42u).key("list").begin_array()…`.
/// REQUIRES: calls that make a document (asserted); at most depth_max levels.
class json_writer {
public:
    static constexpr unsigned depth_max = 64; // one bit each below; our documents have eight levels

    explicit json_writer(text_writer& out) noexcept
        : out_(out) {}

    json_writer& begin_object() noexcept { return open('{', true); }
    json_writer& end_object() noexcept { return close('}', true); }
    json_writer& begin_array() noexcept { return open('[', false); }
    json_writer& end_array() noexcept { return close(']', false); }
    json_writer& key(std::string_view name) noexcept;

    json_writer& value(std::string_view text) noexcept;
    json_writer& value(const char* text) noexcept { return value(std::string_view(text)); }
    json_writer& value(bool truth) noexcept;
    json_writer& value(double number) noexcept;
    template<std::integral Integer>
    json_writer& value(Integer number) noexcept {
        if constexpr (std::signed_integral<Integer>) {
            return value_signed(static_cast<std::int64_t>(number));
        } else {
            return value_unsigned(static_cast<std::uint64_t>(number));
        }
    }
    json_writer& null() noexcept;
    /// A 64-bit identifier as a string, since many readers keep numbers as doubles.
    json_writer& id(std::uint64_t identifier) noexcept;

    template<class Value>
    json_writer& field(std::string_view name, const Value& content) noexcept {
        return key(name).value(content);
    }
    json_writer& field_id(std::string_view name, std::uint64_t identifier) noexcept {
        return key(name).id(identifier);
    }

    /// True when every object and array that was begun has ended.
    [[nodiscard]] bool is_complete() const noexcept { return depth_ == 0 && has_value_; }

private:
    json_writer& open(char bracket, bool is_object) noexcept;
    json_writer& close(char bracket, bool is_object) noexcept;
    json_writer& value_unsigned(std::uint64_t number) noexcept;
    json_writer& value_signed(std::int64_t number) noexcept;
    void before_value() noexcept;
    void string(std::string_view text) noexcept;

    text_writer& out_;
    std::uint64_t object_levels_ = 0; // bit n: level n is an object
    std::uint64_t filled_levels_ = 0; // bit n: level n has an element already
    unsigned depth_ = 0;
    bool has_key_ = false;
    bool has_value_ = false;
};

/// The length of the well-formed UTF-8 sequence that `bytes` begins with, or 0 when it begins with
/// none. REQUIRES: not empty.
[[nodiscard]] std::size_t utf8_sequence(std::string_view bytes) noexcept;

} // namespace rt::base

// SPDX-License-Identifier: MIT
//
// rt::buffer: a block of bytes with one owner, and the two ways between bytes and text.
//
//     rt::buffer buffer(16 * 1024);
//     rt::result<std::size_t> got = co_await peer.read(buffer);
//     co_await peer.write_all(buffer.first(*got));
//     co_await peer.write_all(rt::as_bytes("+PONG\r\n"));
//
// Blocks of up to 1 KiB come from the thread's frame lists and cost no malloc. The bytes are not
// initialised: a megabyte that is about to be overwritten need not be cleared first.
// Movable, not copyable; the bytes do not move. Belongs to one thread at a time.
#pragma once

#include <rt/detail/config.h>
#include <rt/detail/frame.h>
#include <rt/result.h>

#include <cerrno>
#include <cstddef>
#include <new>
#include <span>
#include <string_view>
#include <utility>

namespace rt {

class buffer {
public:
    using value_type = std::byte;

    /// An empty one, which owns nothing.
    buffer() noexcept = default;

    /// `size` bytes of indeterminate value, aligned to 16. Errors: throws std::bad_alloc.
    explicit buffer(std::size_t size)
        : data_(allocate(size))
        , size_(size) {
        if (size != 0 && data_ == nullptr) {
            throw std::bad_alloc();
        }
    }

    /// The same with an error instead of an exception. Errors: ENOMEM.
    [[nodiscard]] static result<buffer> make(std::size_t size) noexcept {
        buffer made;
        made.data_ = allocate(size);
        if (size != 0 && made.data_ == nullptr) {
            return failure(ENOMEM, "buffer");
        }
        made.size_ = size;
        return made;
    }

    buffer(buffer&& other) noexcept
        : data_(std::exchange(other.data_, nullptr))
        , size_(std::exchange(other.size_, 0)) {}
    buffer& operator=(buffer&& other) noexcept {
        if (this != &other) {
            release();
            data_ = std::exchange(other.data_, nullptr);
            size_ = std::exchange(other.size_, 0);
        }
        return *this;
    }
    ~buffer() { release(); }

    [[nodiscard]] std::byte* data() noexcept { return data_; }
    [[nodiscard]] const std::byte* data() const noexcept { return data_; }
    [[nodiscard]] std::size_t size() const noexcept { return size_; }
    [[nodiscard]] bool empty() const noexcept { return size_ == 0; }

    [[nodiscard]] std::byte* begin() noexcept { return data_; }
    [[nodiscard]] std::byte* end() noexcept { return data_ + size_; }
    [[nodiscard]] const std::byte* begin() const noexcept { return data_; }
    [[nodiscard]] const std::byte* end() const noexcept { return data_ + size_; }

    [[nodiscard]] std::byte& operator[](std::size_t index) noexcept { return data_[index]; }
    [[nodiscard]] const std::byte& operator[](std::size_t index) const noexcept {
        return data_[index];
    }

    [[nodiscard]] std::span<std::byte> bytes() noexcept { return {data_, size_}; }
    [[nodiscard]] std::span<const std::byte> bytes() const noexcept { return {data_, size_}; }

    // Counts beyond the end are cut: what they cover is always inside the block.

    /// The first `count` bytes.
    [[nodiscard]] std::span<std::byte> first(std::size_t count) noexcept {
        return {data_, count < size_ ? count : size_};
    }
    [[nodiscard]] std::span<const std::byte> first(std::size_t count) const noexcept {
        return {data_, count < size_ ? count : size_};
    }

    /// What follows the first `offset` bytes.
    [[nodiscard]] std::span<std::byte> from(std::size_t offset) noexcept {
        return bytes().subspan(offset < size_ ? offset : size_);
    }
    [[nodiscard]] std::span<const std::byte> from(std::size_t offset) const noexcept {
        return bytes().subspan(offset < size_ ? offset : size_);
    }

private:
    static std::byte* allocate(std::size_t size) noexcept {
        return size == 0 ? nullptr : static_cast<std::byte*>(detail::allocate_frame(size));
    }
    void release() noexcept {
        if (data_ != nullptr) {
            detail::deallocate_frame(data_, size_);
        }
    }

    std::byte* data_ = nullptr;
    std::size_t size_ = 0;
};

/// The bytes of a text, which must outlive them.
[[nodiscard]] inline std::span<const std::byte> as_bytes(std::string_view text) noexcept {
    return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}

/// Bytes seen as a text; not terminated. They must outlive it.
[[nodiscard]] inline std::string_view as_text(std::span<const std::byte> bytes) noexcept {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

} // namespace rt

// SPDX-License-Identifier: MIT
//
// Finds the file that a request path names below one directory, and never anything else.
//
// static_root::find is const and keeps no state: any thread may call it, also several at once. It
// opens and stats files, so it may sleep on a disk: a coroutine calls it through rt::blocking.
//
// The path is decoded once, split into names, and the names are joined again; what reaches the
// kernel holds no "..", no "." and no empty name, no NUL and no backslash. The kernel then resolves
// it beneath the root (openat2 with RESOLVE_BENEATH), so symbolic links work as long as they stay
// inside, and a link that leaves the root is Not Found, whoever made it and whenever. Where openat2
// is missing or filtered the names are opened one by one and no symbolic link is followed at all.
#pragma once

#include <cstdint>
#include <ctime>
#include <expected>
#include <string>
#include <string_view>
#include <utility>

#include <unistd.h>

namespace httpd {

/// Owns one file descriptor.
class owned_fd {
public:
    owned_fd() noexcept = default;
    explicit owned_fd(int fd) noexcept
        : fd_(fd) {}
    owned_fd(owned_fd&& other) noexcept
        : fd_(std::exchange(other.fd_, -1)) {}
    owned_fd& operator=(owned_fd&& other) noexcept {
        std::swap(fd_, other.fd_);
        return *this;
    }
    ~owned_fd() {
        if (fd_ >= 0) {
            ::close(fd_);
        }
    }

    [[nodiscard]] int get() const noexcept { return fd_; }
    explicit operator bool() const noexcept { return fd_ >= 0; }

private:
    int fd_ = -1;
};

/// What a path led to. 200 comes with an open regular file, 301 with a location.
struct found_file {
    unsigned status = 404; // 200, 301, 400, 403, 404, 500 or 503
    owned_fd fd;
    std::uint64_t size = 0;
    std::time_t modified = 0;
    std::string etag;              // quoted, of size and time to the nanosecond
    std::string_view content_type; // static storage
    std::string location;          // percent-encoded, starts with one slash
};

enum class resolution : std::uint8_t {
    automatic, // openat2, or by name where the kernel or a filter refuses it
    by_name,   // never openat2; for tests
};

class static_root {
public:
    /// Opens the directory. The error is an errno.
    static std::expected<static_root, int>
    open(const std::string& directory, resolution how = resolution::automatic);

    /// `path` is the path of a request, still percent-encoded, without query.
    [[nodiscard]] found_file find(std::string_view path) const;

private:
    static_root(owned_fd root, resolution how)
        : root_(std::move(root))
        , how_(how) {}

    [[nodiscard]] int open_beneath(const std::string& relative) const;
    [[nodiscard]] int open_by_name(const std::string& relative) const;
    [[nodiscard]] found_file open_file(const std::string& relative) const;

    owned_fd root_;
    resolution how_;
};

/// The media type by the extension of the name, `application/octet-stream` when it has no known
/// one.
std::string_view content_type_of(std::string_view name);

/// Turns "/a%20b//c" into "a b/c". False when it must not be served: malformed escapes, control
/// bytes, a backslash or slash that was escaped, a "..".
bool decode_path(std::string_view path, std::string& relative);

/// True when If-None-Match or, in its absence, If-Modified-Since says the client's copy is good.
bool is_not_modified(
    const found_file& file, std::string_view if_none_match, std::string_view if_modified_since
);

} // namespace httpd

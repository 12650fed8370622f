// SPDX-License-Identifier: MIT
//
// Path decoding, safe opening, media types. What is refused and why:
//   400  malformed escape, control byte, backslash, escaped slash, ".." (browsers remove it
//        themselves, so one that arrives is an attempt)
//   404  everything that is not there or may not be seen: also a link out of the root, a loop of
//        links, a name too long, a socket, a device, a directory without index.html
//   403  a file that the server may not read
//   503  no descriptor or memory left: the client may try again
// O_NONBLOCK keeps a FIFO from blocking the open; regular files ignore it.

#include "static_files.h"

#include "response.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>

namespace httpd {

namespace {

constexpr int open_flags = O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
constexpr int race_retries_max = 8; // openat2 says EAGAIN when a rename ran meanwhile

struct media_type {
    std::string_view extension;
    std::string_view type;
};

constexpr std::string_view default_type = "application/octet-stream";
constexpr std::array<media_type, 28> media_types{{
    {"avif", "image/avif"},
    {"bin", default_type},
    {"css", "text/css; charset=utf-8"},
    {"csv", "text/csv; charset=utf-8"},
    {"gif", "image/gif"},
    {"gz", "application/gzip"},
    {"htm", "text/html; charset=utf-8"},
    {"html", "text/html; charset=utf-8"},
    {"ico", "image/x-icon"},
    {"jpeg", "image/jpeg"},
    {"jpg", "image/jpeg"},
    {"js", "text/javascript; charset=utf-8"},
    {"json", "application/json"},
    {"md", "text/markdown; charset=utf-8"},
    {"mjs", "text/javascript; charset=utf-8"},
    {"mp3", "audio/mpeg"},
    {"mp4", "video/mp4"},
    {"pdf", "application/pdf"},
    {"png", "image/png"},
    {"svg", "image/svg+xml"},
    {"tar", "application/x-tar"},
    {"txt", "text/plain; charset=utf-8"},
    {"wasm", "application/wasm"},
    {"webm", "video/webm"},
    {"webp", "image/webp"},
    {"woff2", "font/woff2"},
    {"xml", "application/xml"},
    {"zip", "application/zip"},
}};

char to_lower(char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

int hex_value(char c) {
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    char lower = to_lower(c);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

unsigned status_of(int error) {
    switch (error) {
    case EACCES:
    case EPERM:
        return 403;
    case EMFILE:
    case ENFILE:
    case ENOMEM:
        return 503;
    case EIO:
        return 500;
    default: // ENOENT, ENOTDIR, ELOOP, EXDEV (left the root), ENAMETOOLONG, ENXIO (a socket), ...
        return 404;
    }
}

/// Percent-encodes all but what a path segment may hold as it is (RFC 3986 §3.3), and slashes.
std::string encode_path(std::string_view path) {
    constexpr std::string_view plain = "-._~!$&'()*+,;=:@/";
    constexpr std::string_view hex = "0123456789ABCDEF";
    std::string out;
    for (char c : path) {
        bool is_alphanumeric = (c >= '0' && c <= '9') || (to_lower(c) >= 'a' && to_lower(c) <= 'z');
        if (is_alphanumeric || plain.find(c) != std::string_view::npos) {
            out.push_back(c);
        } else {
            auto byte = static_cast<unsigned char>(c);
            out.append("%").append(1, hex[byte >> 4]).append(1, hex[byte & 15]);
        }
    }
    return out;
}

std::string make_etag(const struct stat& status) {
    std::array<char, 64> text{};
    std::snprintf(
        text.data(),
        text.size(),
        "\"%llx-%llx.%lx\"",
        static_cast<unsigned long long>(status.st_size),
        static_cast<unsigned long long>(status.st_mtim.tv_sec),
        static_cast<unsigned long>(status.st_mtim.tv_nsec)
    );
    return text.data();
}

/// Appends one decoded name to relative. False when the name must not be served.
bool append_name(std::string_view name, std::string& relative) {
    std::size_t begin = relative.size();
    for (std::size_t i = 0; i < name.size(); ++i) {
        char c = name[i];
        if (c == '%') {
            int high = i + 2 < name.size() ? hex_value(name[i + 1]) : -1;
            int low = i + 2 < name.size() ? hex_value(name[i + 2]) : -1;
            if (high < 0 || low < 0) {
                return false;
            }
            c = static_cast<char>(high * 16 + low);
            i += 2;
        }
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f || c == '\\' || c == '/') {
            return false;
        }
        relative.push_back(c);
    }
    std::string_view decoded = std::string_view(relative).substr(begin);
    if (decoded == "..") {
        return false;
    }
    if (decoded.empty() || decoded == ".") {
        relative.resize(begin);
    } else {
        relative.push_back('/');
    }
    return true;
}

} // namespace

bool decode_path(std::string_view path, std::string& relative) {
    relative.clear();
    while (!path.empty()) {
        std::size_t end = std::min(path.find('/'), path.size());
        if (!append_name(path.substr(0, end), relative)) {
            return false;
        }
        path.remove_prefix(std::min(end + 1, path.size()));
    }
    if (!relative.empty()) {
        relative.pop_back(); // the slash behind the last name
    }
    return true;
}

std::string_view content_type_of(std::string_view name) {
    std::size_t slash = name.rfind('/');
    std::string_view base = slash == std::string_view::npos ? name : name.substr(slash + 1);
    std::size_t dot = base.rfind('.');
    if (dot == std::string_view::npos || dot == 0) {
        return default_type;
    }
    std::string extension(base.substr(dot + 1));
    std::ranges::transform(extension, extension.begin(), to_lower);
    for (const media_type& known : media_types) {
        if (known.extension == extension) {
            return known.type;
        }
    }
    return default_type;
}

std::expected<static_root, int> static_root::open(const std::string& directory, resolution how) {
    owned_fd root(::open(directory.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!root) {
        return std::unexpected(errno);
    }
    return static_root(std::move(root), how);
}

/// Returns a descriptor or -errno.
int static_root::open_beneath(const std::string& relative) const {
    if (how_ == resolution::by_name) {
        return open_by_name(relative);
    }
    open_how how{};
    how.flags = static_cast<std::uint64_t>(open_flags);
    how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
    for (int i = 0; i < race_retries_max; ++i) {
        long fd = syscall(SYS_openat2, root_.get(), relative.c_str(), &how, sizeof how);
        if (fd >= 0) {
            return static_cast<int>(fd);
        }
        int error = errno;
        if (error == ENOSYS || error == EPERM) { // before Linux 5.6; a seccomp filter
            return open_by_name(relative);
        }
        if (error != EAGAIN && error != EINTR) {
            return -error;
        }
    }
    return -EMFILE; // it keeps changing: answered as a passing fault
}

int static_root::open_by_name(const std::string& relative) const {
    owned_fd directory;
    int at = root_.get();
    std::size_t begin = 0;
    for (;;) {
        std::size_t end = relative.find('/', begin);
        bool is_last = end == std::string::npos;
        std::string name = relative.substr(begin, is_last ? end : end - begin);
        int flags = is_last ? open_flags : O_PATH | O_DIRECTORY | O_CLOEXEC;
        int fd = openat(at, name.c_str(), flags | O_NOFOLLOW);
        if (fd < 0 && errno == EINTR) {
            continue;
        }
        if (fd < 0 || is_last) {
            return fd < 0 ? -errno : fd;
        }
        directory = owned_fd(fd);
        at = fd;
        begin = end + 1;
    }
}

found_file static_root::open_file(const std::string& relative) const {
    found_file found;
    int fd = open_beneath(relative);
    if (fd < 0) {
        found.status = status_of(-fd);
        return found;
    }
    owned_fd file(fd);
    struct stat status {};
    if (fstat(fd, &status) != 0) {
        found.status = 500;
        return found;
    }
    if (S_ISDIR(status.st_mode)) {
        found.status = 301;
        found.location = "/" + encode_path(relative) + "/";
        return found;
    }
    if (!S_ISREG(status.st_mode)) {
        return found; // 404
    }
    found.status = 200;
    found.fd = std::move(file);
    found.size = static_cast<std::uint64_t>(status.st_size);
    found.modified = status.st_mtim.tv_sec;
    found.etag = make_etag(status);
    found.content_type = content_type_of(relative);
    return found;
}

found_file static_root::find(std::string_view path) const {
    found_file found;
    std::string relative;
    if (path.empty() || path.front() != '/' || !decode_path(path, relative)) {
        found.status = 400;
        return found;
    }
    bool names_directory = relative.empty() || path.ends_with('/') || path.ends_with("/.");
    if (names_directory) {
        relative.append(relative.empty() ? "index.html" : "/index.html");
    }
    found = open_file(relative);
    if (names_directory && found.status == 301) {
        return found_file{}; // a directory called index.html
    }
    return found;
}

bool is_not_modified(
    const found_file& file, std::string_view if_none_match, std::string_view if_modified_since
) {
    if (!if_none_match.empty()) {
        // Our tags hold no comma and no quote inside, so finding one is matching it (weakly, as
        // RFC 9110 §13.1.2 wants: W/"x" matches "x").
        return if_none_match == "*" || if_none_match.find(file.etag) != std::string_view::npos;
    }
    std::time_t since = if_modified_since.empty() ? -1 : parse_http_date(if_modified_since);
    return since >= 0 && file.modified <= since;
}

} // namespace httpd

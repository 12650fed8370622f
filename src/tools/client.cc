// SPDX-License-Identifier: MIT
//
// Connect, send, receive to the end, take the answer apart.
//
// Nothing of what the other side sends is trusted: it has a limit, and an answer that ends early is
// an error and not a short answer. Every wait has the caller's deadline.
#include "tools/client.h"

#include "base/clock.h"
#include "base/environment.h"
#include "base/unique_fd.h"

#include <rt/introspect.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

namespace rt::tools {
namespace {

constexpr std::size_t answer_bytes_max = std::size_t{256} << 20U; // four times what is sent
constexpr std::uint64_t retry_pause_ns = 10 * base::ns_per_millisecond;

reply problem(exit_code outcome, std::string text) {
    reply made;
    made.outcome = outcome;
    made.problem = std::move(text);
    return made;
}

std::string owner_hint(const std::string& path) {
    struct stat status {};
    if (::stat(path.c_str(), &status) != 0) {
        return "try sudo";
    }
    return "owner uid " + std::to_string(status.st_uid) + ", you are " +
        std::to_string(::geteuid()) + "; try sudo";
}

reply connect_problem(const std::string& path, int code) {
    const std::string why = path + ": " + std::strerror(code);
    switch (code) {
    case ENOENT:
        return problem(exit_code::no_process, why + "; rtctl ps lists the processes there are");
    case ECONNREFUSED: {
        reply made = problem(exit_code::no_process, why + ": its process is gone");
        made.is_stale = true;
        return made;
    }
    case EACCES:
    case EPERM:
        return problem(exit_code::denied, why + " (" + owner_hint(path) + ")");
    default:
        return problem(exit_code::failed, why);
    }
}

reply timeout_problem(const std::string& path) {
    return problem(
        exit_code::timed_out,
        path + ": no answer in time; the process may be stopped (kill -CONT), or give --timeout"
    );
}

// Waits for `events`. False: the deadline came first.
bool wait_for(int fd, short events, std::uint64_t deadline_ns) noexcept {
    for (;;) {
        const std::uint64_t now_ns = base::monotonic_ns();
        if (now_ns >= deadline_ns) {
            return false;
        }
        pollfd one{fd, events, 0};
        const std::uint64_t left_ms = (deadline_ns - now_ns) / base::ns_per_millisecond + 1;
        const int ready =
            ::poll(&one, 1, static_cast<int>(std::min<std::uint64_t>(left_ms, 60'000)));
        if (ready > 0) {
            return true;
        }
    }
}

// 0, or an errno value; EAGAIN for a full backlog at the deadline.
int connect_to(int fd, const std::string& path, std::uint64_t deadline_ns) noexcept {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.data(), std::min(path.size(), wire::socket_path_max));
    while (::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
        if (errno != EAGAIN && errno != EINTR) {
            return errno;
        }
        if (base::monotonic_ns() >= deadline_ns) {
            return EAGAIN;
        }
        const timespec pause{0, static_cast<long>(retry_pause_ns)};
        ::nanosleep(&pause, nullptr);
    }
    return 0;
}

enum class transfer : std::uint8_t { complete, failed, late };

transfer send_all(int fd, std::string_view bytes, std::uint64_t deadline_ns) noexcept {
    while (!bytes.empty()) {
        const ssize_t length = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
        if (length > 0) {
            bytes.remove_prefix(static_cast<std::size_t>(length));
        } else if (errno == EAGAIN) {
            if (!wait_for(fd, POLLOUT, deadline_ns)) {
                return transfer::late;
            }
        } else if (errno != EINTR) {
            return transfer::failed; // a refusal may be waiting to be read all the same
        }
    }
    return transfer::complete;
}

transfer receive_all(int fd, std::string& bytes, std::uint64_t deadline_ns) {
    char part[65536];
    while (bytes.size() < answer_bytes_max) {
        const ssize_t length = ::recv(fd, part, sizeof(part), 0);
        if (length > 0) {
            bytes.append(part, static_cast<std::size_t>(length));
        } else if (length == 0) {
            return transfer::complete;
        } else if (errno == EAGAIN) {
            if (!wait_for(fd, POLLIN, deadline_ns)) {
                return transfer::late;
            }
        } else if (errno != EINTR) {
            return transfer::failed;
        }
    }
    return transfer::failed;
}

// The value of Content-Length in a head, or the most there is.
std::size_t content_length(std::string_view head) {
    constexpr std::string_view name = "\r\nContent-Length: ";
    const std::size_t at = head.find(name);
    if (at == std::string_view::npos) {
        return SIZE_MAX;
    }
    const std::string_view rest = head.substr(at + name.size());
    return base::parse_uint(rest.substr(0, rest.find('\r'))).value_or(SIZE_MAX);
}

reply take_apart(const std::string& path, std::string_view bytes) {
    const std::size_t end = bytes.find("\r\n\r\n");
    if (!bytes.starts_with("HTTP/1.") || end == std::string_view::npos || end < 12) {
        return problem(exit_code::failed, path + ": the answer is not HTTP; not a librt socket?");
    }
    reply made;
    made.status = static_cast<unsigned>(base::parse_uint(bytes.substr(9, 3)).value_or(0));
    made.body = bytes.substr(end + 4);
    if (made.body.size() != content_length(bytes.substr(0, end + 2))) {
        return problem(
            exit_code::failed, path + ": the answer was cut off; the process may have died"
        );
    }
    if (made.status == 200) {
        return made;
    }
    made.outcome = made.status == 400 ? exit_code::usage
        : made.status == 403          ? exit_code::denied
                                      : exit_code::failed;
    made.problem = made.body;
    if (made.problem.starts_with("error: ")) {
        made.problem.erase(0, 7);
    }
    while (made.problem.ends_with('\n')) {
        made.problem.pop_back();
    }
    return made;
}

} // namespace

reply ask(const std::string& path, const std::string& target, std::uint64_t timeout_ns) {
    if (path.size() > wire::socket_path_max) {
        return problem(exit_code::usage, path + ": longer than a socket's path can be");
    }
    const std::uint64_t deadline_ns = base::monotonic_ns() + timeout_ns;
    const base::unique_fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!fd) {
        return problem(exit_code::failed, std::string("socket: ") + std::strerror(errno));
    }
    if (const int code = connect_to(fd.get(), path, deadline_ns); code == EAGAIN) {
        return timeout_problem(path);
    } else if (code != 0) {
        return connect_problem(path, code);
    }
    const std::string question =
        "GET " + target + " HTTP/1.1\r\nHost: rt\r\nConnection: close\r\n\r\n";
    std::string bytes;
    const transfer sent = send_all(fd.get(), question, deadline_ns);
    const transfer got = sent == transfer::late ? sent : receive_all(fd.get(), bytes, deadline_ns);
    if (got == transfer::late) {
        return timeout_problem(path);
    }
    if (got == transfer::failed && bytes.empty()) {
        return problem(exit_code::failed, path + ": the connection was closed without an answer");
    }
    return take_apart(path, bytes);
}

std::string encode(std::string_view text) {
    constexpr std::string_view digits = "0123456789ABCDEF";
    std::string made;
    for (const char one : text) {
        const bool plain = (one >= 'a' && one <= 'z') || (one >= 'A' && one <= 'Z') ||
            (one >= '0' && one <= '9') || one == '-' || one == '_' || one == '.';
        if (plain) {
            made += one;
        } else {
            const auto byte = static_cast<unsigned char>(one);
            made += '%';
            made += digits[byte >> 4U];
            made += digits[byte & 15U];
        }
    }
    return made;
}

} // namespace rt::tools

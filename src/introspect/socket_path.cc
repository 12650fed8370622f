// SPDX-License-Identifier: MIT
//
// The directory chain, and bind with the right mode.
//
// Permission: fchmod on the socket before bind makes Linux create the file with that mode, so there
// is no moment at which others could connect, and no umask call that would race other threads.
#include "introspect/socket_path.h"

#include <rt/introspect.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

namespace rt::introspect {
namespace {

constexpr int backlog = 16;
constexpr mode_t private_directory = 0700;
constexpr mode_t system_directory = 0755; // others use their own; tmpfiles.d may make it 1777
constexpr mode_t private_socket = 0600;

static_assert(sizeof(sockaddr_un::sun_path) == wire::socket_path_max + 1);

std::string variable(const char* name) {
    const char* const value = std::getenv(name);
    return value == nullptr ? std::string() : std::string(value);
}

std::string error_text(int code, const char* operation) {
    return error(code, operation).message();
}

bool is_directory(const std::string& path) noexcept {
    struct stat status {};
    return ::stat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode);
}

bool is_writable_directory(const std::string& path) noexcept {
    return is_directory(path) && ::faccessat(AT_FDCWD, path.c_str(), W_OK | X_OK, AT_EACCESS) == 0;
}

// An absolute path stays right when the process changes its directory.
std::string absolute(const std::string& path) {
    if (path.starts_with('/')) {
        return path;
    }
    char here[4096];
    if (::getcwd(here, sizeof(here)) == nullptr) {
        return path;
    }
    return std::string(here) + "/" + path;
}

// A directory in a place where everybody may write must be ours alone, or another user could have
// put it there. Returns what is wrong with it, or nothing.
std::string fault_of_private(const std::string& path, std::uint32_t uid) {
    struct stat status {};
    if (::lstat(path.c_str(), &status) != 0) {
        return error_text(errno, "stat");
    }
    if (S_ISLNK(status.st_mode)) {
        return "is a symbolic link";
    }
    if (!S_ISDIR(status.st_mode)) {
        return "is not a directory";
    }
    if (status.st_uid != uid) {
        return "belongs to uid " + std::to_string(status.st_uid);
    }
    if ((status.st_mode & 077U) != 0) {
        return "is open to others; chmod 700 it";
    }
    return {};
}

class chooser {
public:
    explicit chooser(const path_environment& environment)
        : environment_(environment) {}

    path_choice run() {
        if (!environment_.explicit_path.empty()) {
            take_explicit();
            return std::move(choice_);
        }
        if (!try_service() && !try_system() && !try_user()) {
            static_cast<void>(try_temporary());
        }
        if (!choice_.path.empty()) {
            choice_.reasons.clear();
        }
        return std::move(choice_);
    }

private:
    void note(const std::string& what, const std::string& why) {
        choice_.reasons += choice_.reasons.empty() ? "" : "; ";
        choice_.reasons += what + ": " + why;
    }

    bool take(const std::string& directory) {
        choice_.path = socket_file_in(directory, environment_.comm, environment_.pid);
        if (choice_.path.empty()) {
            note(directory, "too long; a socket's path has at most 107 bytes");
        }
        return !choice_.path.empty();
    }

    void take_explicit() {
        const std::string path = absolute(environment_.explicit_path);
        if (is_directory(path)) {
            static_cast<void>(take(path));
            return;
        }
        if (path.size() > wire::socket_path_max) {
            note(
                path,
                "has " + std::to_string(path.size()) +
                    " bytes; a socket's path has at most 107: set a shorter LIBRT_SOCKET"
            );
            return;
        }
        choice_.path = path;
    }

    bool try_service() {
        const std::string& listed = environment_.service_directory;
        if (listed.empty()) {
            return false;
        }
        const std::string first = listed.substr(0, listed.find(':')); // systemd may list several
        if (!is_writable_directory(first)) {
            note(first, "not a writable directory");
            return false;
        }
        return take(first);
    }

    bool try_system() {
        const std::string& path = environment_.system_directory;
        if (environment_.uid == 0 && ::mkdir(path.c_str(), system_directory) != 0 &&
            errno != EEXIST) {
            note(path, error_text(errno, "mkdir"));
            return false;
        }
        if (!is_writable_directory(path)) {
            note(path, "not a writable directory");
            return false;
        }
        return take(path);
    }

    bool try_user() {
        if (environment_.user_directory.empty()) {
            note("XDG_RUNTIME_DIR", "not set");
            return false;
        }
        const std::string path = environment_.user_directory + "/" + std::string(wire::user_folder);
        return take_private(path);
    }

    bool try_temporary() {
        return take_private(environment_.temporary_prefix + std::to_string(environment_.uid));
    }

    bool take_private(const std::string& path) {
        if (::mkdir(path.c_str(), private_directory) != 0 && errno != EEXIST) {
            note(path, error_text(errno, "mkdir"));
            return false;
        }
        if (const std::string fault = fault_of_private(path, environment_.uid); !fault.empty()) {
            note(path, fault);
            return false;
        }
        return take(path);
    }

    const path_environment& environment_;
    path_choice choice_;
};

sockaddr_un address_of(const std::string& path) noexcept {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.data(), std::min(path.size(), wire::socket_path_max));
    return address;
}

int bind_to(int fd, const std::string& path) noexcept {
    const sockaddr_un address = address_of(path);
    return ::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0 ? 0
                                                                                         : errno;
}

// Removes what lies at `path` if it is a socket of ours that nobody listens on.
bool remove_stale(const std::string& path) noexcept {
    struct stat status {};
    if (::lstat(path.c_str(), &status) != 0 || !S_ISSOCK(status.st_mode) ||
        status.st_uid != ::geteuid()) {
        return false;
    }
    const base::unique_fd probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    const sockaddr_un address = address_of(path);
    if (!probe ||
        ::connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0 ||
        errno != ECONNREFUSED) {
        return false;
    }
    return ::unlink(path.c_str()) == 0;
}

} // namespace

path_environment path_environment::of_process(const std::string& explicit_path) {
    path_environment made;
    made.explicit_path = explicit_path;
    made.service_directory = variable(wire::service_variable);
    made.system_directory = wire::system_directory;
    made.user_directory = variable(wire::user_variable);
    made.temporary_prefix = wire::temporary_prefix;
    // The process's name, not this thread's: they differ when a named thread makes the runtime.
    const base::unique_fd fd(::open("/proc/self/comm", O_RDONLY | O_CLOEXEC));
    char name[32];
    const ssize_t length = fd ? ::read(fd.get(), name, sizeof(name)) : 0;
    made.comm.assign(name, length > 0 ? static_cast<std::size_t>(length) : 0);
    while (made.comm.ends_with('\n')) {
        made.comm.pop_back();
    }
    made.uid = ::geteuid();
    made.pid = static_cast<std::uint32_t>(::getpid());
    return made;
}

path_choice choose_socket_path(const path_environment& environment) {
    return chooser(environment).run();
}

std::string socket_file_in(std::string_view directory, std::string_view comm, std::uint32_t pid) {
    std::string cleaned = wire::clean_comm(comm);
    const std::string end = "." + std::to_string(pid) + std::string(wire::socket_suffix);
    const std::size_t fixed = directory.size() + 1 + end.size();
    if (fixed >= wire::socket_path_max) {
        return {};
    }
    cleaned.resize(std::min(cleaned.size(), wire::socket_path_max - fixed));
    return std::string(directory) + "/" + cleaned + end;
}

result<listening_socket> listen_at(const std::string& path) noexcept {
    if (path.size() > wire::socket_path_max) {
        return failure(ENAMETOOLONG, "bind");
    }
    listening_socket made;
    made.fd.reset(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!made.fd) {
        return failure(errno, "socket");
    }
    if (::fchmod(made.fd.get(), private_socket) != 0) {
        return failure(errno, "fchmod");
    }
    int code = bind_to(made.fd.get(), path);
    if (code == EADDRINUSE && remove_stale(path)) {
        code = bind_to(made.fd.get(), path);
    }
    if (code != 0) {
        return failure(code, "bind");
    }
    struct stat status {};
    if (::lstat(path.c_str(), &status) == 0) {
        made.device = status.st_dev;
        made.inode = status.st_ino;
    }
    if (::listen(made.fd.get(), backlog) != 0) {
        const int why = errno;
        remove_socket(path, made);
        return failure(why, "listen");
    }
    return made;
}

void remove_socket(const std::string& path, const listening_socket& socket) noexcept {
    struct stat status {};
    if (::lstat(path.c_str(), &status) == 0 && status.st_dev == socket.device &&
        status.st_ino == socket.inode) {
        static_cast<void>(::unlink(path.c_str()));
    }
}

} // namespace rt::introspect

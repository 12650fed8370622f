// SPDX-License-Identifier: MIT
//
// Discovery: which sockets there are, and which one is meant.
//
// A file COMM.PID.sock may have outlived its process; connecting tells (ECONNREFUSED), and only the
// choice among several asks for it. A stale file is removed if it is the caller's own.
#include "tools/target.h"

#include "base/environment.h"

#include <rt/introspect.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>

#include <dirent.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

namespace rt::tools {
namespace {

std::string variable(const char* name) {
    const char* const value = std::getenv(name);
    return value == nullptr ? std::string() : std::string(value);
}

std::vector<std::string> entries_of(const std::string& directory) {
    std::vector<std::string> names;
    DIR* const opened = ::opendir(directory.c_str());
    if (opened == nullptr) {
        return names;
    }
    while (const dirent* const entry = ::readdir(opened)) {
        names.emplace_back(entry->d_name);
    }
    ::closedir(opened);
    return names;
}

bool is_directory(const std::string& path) noexcept {
    struct stat status {};
    return ::stat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode);
}

// Only root may see into other users' directories.
void add_all_users(std::vector<std::string>& directories) {
    for (const std::string& name : entries_of("/run/user")) {
        if (name[0] != '.') {
            directories.push_back("/run/user/" + name + "/" + std::string(wire::user_folder));
        }
    }
    const std::string prefix(wire::temporary_prefix);
    const std::size_t slash = prefix.rfind('/');
    for (const std::string& name : entries_of(prefix.substr(0, slash))) {
        const std::string_view start = std::string_view(prefix).substr(slash + 1);
        if (name.starts_with(start) && base::parse_uint(name.substr(start.size()))) {
            directories.push_back(prefix.substr(0, slash + 1) + name);
        }
    }
}

std::string names_of(const std::vector<found_socket>& sockets) {
    std::string text;
    for (const found_socket& one : sockets) {
        text += "\n  " + std::to_string(one.pid) + "  " + one.comm + "  " + one.path;
    }
    return text;
}

chosen_target fail(exit_code outcome, std::string problem) {
    return {{}, outcome, std::move(problem)};
}

// Those of `sockets` behind which somebody answers or at least is; the stale are removed.
std::vector<found_socket>
living(const std::vector<found_socket>& sockets, std::uint64_t timeout_ns) {
    std::vector<found_socket> alive;
    for (const found_socket& one : sockets) {
        if (ask(one.path, std::string(wire::help_path), timeout_ns).is_stale) {
            remove_stale(one);
        } else {
            alive.push_back(one);
        }
    }
    return alive;
}

std::string nobody(std::string_view what) {
    std::string text(what);
    text += "; looked in";
    for (const std::string& directory : socket_directories()) {
        text += " " + directory;
    }
    return text + "; a process with LIBRT_INTROSPECT=off has no socket";
}

std::string explain_pid(std::uint32_t pid) {
    const std::string name = "process " + std::to_string(pid);
    if (::kill(static_cast<pid_t>(pid), 0) != 0 && errno == ESRCH) {
        return name + " does not exist";
    }
    return nobody(name + " has no librt socket");
}

} // namespace

std::vector<std::string> socket_directories() {
    std::vector<std::string> directories;
    if (const std::string path = variable(wire::socket_variable); is_directory(path)) {
        directories.push_back(path);
    }
    if (const std::string listed = variable(wire::service_variable); !listed.empty()) {
        directories.push_back(listed.substr(0, listed.find(':')));
    }
    directories.emplace_back(wire::system_directory);
    if (const std::string user = variable(wire::user_variable); !user.empty()) {
        directories.push_back(user + "/" + std::string(wire::user_folder));
    }
    directories.push_back(std::string(wire::temporary_prefix) + std::to_string(::geteuid()));
    if (::geteuid() == 0) {
        add_all_users(directories);
    }
    std::vector<std::string> unique;
    for (std::string& one : directories) {
        if (std::find(unique.begin(), unique.end(), one) == unique.end()) {
            unique.push_back(std::move(one));
        }
    }
    return unique;
}

std::vector<found_socket> find_sockets() {
    std::vector<found_socket> sockets;
    for (const std::string& directory : socket_directories()) {
        for (const std::string& name : entries_of(directory)) {
            std::string_view comm;
            found_socket found;
            found.pid = wire::parse_socket_name(name, comm);
            found.path = directory + "/" + name;
            struct stat status {};
            if (found.pid == 0 || ::lstat(found.path.c_str(), &status) != 0 ||
                !S_ISSOCK(status.st_mode)) {
                continue;
            }
            found.comm = comm;
            found.uid = status.st_uid;
            sockets.push_back(std::move(found));
        }
    }
    std::sort(sockets.begin(), sockets.end(), [](const found_socket& a, const found_socket& b) {
        return a.pid < b.pid;
    });
    return sockets;
}

void remove_stale(const found_socket& socket) noexcept {
    if (socket.uid == ::geteuid()) {
        static_cast<void>(::unlink(socket.path.c_str()));
    }
}

chosen_target choose_target(const std::string& wanted, std::uint64_t timeout_ns) {
    if (wanted.find('/') != std::string::npos) {
        return {wanted, exit_code::success, {}};
    }
    if (const std::string path = variable(wire::socket_variable);
        wanted.empty() && !path.empty() && !is_directory(path)) {
        return {path, exit_code::success, {}};
    }
    std::vector<found_socket> sockets = find_sockets();
    const auto pid = base::parse_uint(wanted);
    if (!wanted.empty()) {
        std::erase_if(sockets, [&](const found_socket& one) {
            return pid ? one.pid != *pid : one.comm != wire::clean_comm(wanted);
        });
    }
    if (pid && sockets.empty()) {
        return fail(exit_code::no_process, explain_pid(static_cast<std::uint32_t>(*pid)));
    }
    if (sockets.size() != 1) {
        sockets = living(sockets, timeout_ns);
    }
    if (sockets.empty()) {
        return fail(
            exit_code::no_process,
            nobody(wanted.empty() ? "no librt process" : "no librt process called '" + wanted + "'")
        );
    }
    if (sockets.size() > 1) {
        return fail(
            exit_code::usage, "several processes; choose one with -t PID:" + names_of(sockets)
        );
    }
    return {sockets[0].path, exit_code::success, {}};
}

} // namespace rt::tools

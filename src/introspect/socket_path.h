// SPDX-License-Identifier: MIT
//
// Where the introspection socket lies, and making it there.
//
// The directory is the first that may be used of: the explicit path (config.socket_path, which
// LIBRT_SOCKET overrides), $RUNTIME_DIRECTORY, /run/librt (root makes it), $XDG_RUNTIME_DIR/librt,
// /tmp/librt-UID (0700, checked). The file is COMM.PID.sock: the pid keeps processes apart, so that
// a file left by a crash is safe to remove. Abstract sockets were rejected: they have no file
// permission.
//
// Used by the thread that starts the observer; no state.
#pragma once

#include "base/unique_fd.h"

#include <rt/result.h>

#include <cstdint>
#include <string>
#include <string_view>

namespace rt::introspect {

// What the choice depends on, so that tests can set it.
struct path_environment {
    std::string explicit_path;     // a socket, or a directory for it
    std::string service_directory; // $RUNTIME_DIRECTORY
    std::string system_directory;  // /run/librt
    std::string user_directory;    // $XDG_RUNTIME_DIR
    std::string temporary_prefix;  // /tmp/librt-
    std::string comm;
    std::uint32_t uid = 0;
    std::uint32_t pid = 0;

    // This process's. `explicit_path` as the configuration has it.
    static path_environment of_process(const std::string& explicit_path);
};

struct path_choice {
    std::string path;    // empty: there is none
    std::string reasons; // why what comes before it was not taken; for the log when path is empty
};

// The first usable place. Makes directories where the list above says so.
[[nodiscard]] path_choice choose_socket_path(const path_environment& environment);

// COMM.PID.sock in `directory`, COMM cut so that the path is not too long; empty when it is in any
// case.
[[nodiscard]] std::string
socket_file_in(std::string_view directory, std::string_view comm, std::uint32_t pid);

struct listening_socket {
    base::unique_fd fd;
    std::uint64_t device = 0; // of the file, to remove it later only if it is still ours
    std::uint64_t inode = 0;
};

// A listening socket at `path`, mode 0600, non-blocking. A stale file of our own is replaced; a
// living socket is EADDRINUSE.
[[nodiscard]] result<listening_socket> listen_at(const std::string& path) noexcept;

// Removes the file if it is the one that listen_at made. To be called before the listening socket
// is closed: as long as it is open the inode is not used again.
void remove_socket(const std::string& path, const listening_socket& socket) noexcept;

} // namespace rt::introspect

// SPDX-License-Identifier: MIT
//
// Which process is meant: the sockets that lie about, and choosing one.
#pragma once

#include "tools/client.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace rt::tools {

struct found_socket {
    std::string path;
    std::string comm;
    std::uint32_t pid = 0;
    std::uint32_t uid = 0; // owner of the file
};

// The directories in which processes put their sockets, those of all users for root.
[[nodiscard]] std::vector<std::string> socket_directories();

// The sockets in them, by pid. Some may be stale.
[[nodiscard]] std::vector<found_socket> find_sockets();

// Removes a socket whose process is gone, if it is ours to remove.
void remove_stale(const found_socket& socket) noexcept;

struct chosen_target {
    std::string path;
    exit_code outcome = exit_code::success;
    std::string problem;
};

// `wanted`: a pid, a process's name, a socket's path, or "" for the only process there is.
[[nodiscard]] chosen_target choose_target(const std::string& wanted, std::uint64_t timeout_ns);

} // namespace rt::tools

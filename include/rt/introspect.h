// SPDX-License-Identifier: MIT
//
// The wire of the introspection socket: where it lies, what can be asked, and the names of the
// fields that tools rely on. See man librt-introspect(7).
//
// Self-contained: it includes nothing of the library, and it is the only library header that the
// tools include, so that rtctl of one version can talk to processes of another. Within a major
// version fields and resources are only added; clients ignore what they do not know; numbers stay
// numbers; times are integer nanoseconds with the suffix _ns; 64-bit identifiers are JSON strings.
// Text answers are for people and may change.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace rt::wire {

/// The version of this protocol, as /v1/info states it. 1.1: labels, and private_depth, whose being
/// other than 0 is lifo_occupied.
inline constexpr unsigned api_major = 1;
inline constexpr unsigned api_minor = 1;

/// Longest socket path: sockaddr_un has 108 bytes and the last one is a zero.
inline constexpr std::size_t socket_path_max = 107;

/// A socket is called COMM.PID.sock, COMM being the process's name with other characters than
/// A-Z a-z 0-9 _ - replaced by '_'.
inline constexpr std::string_view socket_suffix = ".sock";

/// Names a socket, or its directory, outright; comes before the directories below.
inline constexpr const char* socket_variable = "LIBRT_SOCKET";

/// The directories, in the order in which a process takes the first that it may use.
inline constexpr const char* service_variable = "RUNTIME_DIRECTORY"; // set by systemd
inline constexpr std::string_view system_directory = "/run/librt";
inline constexpr const char* user_variable = "XDG_RUNTIME_DIR"; // and /librt below it
inline constexpr std::string_view user_folder = "librt";
inline constexpr std::string_view temporary_prefix = "/tmp/librt-"; // and the uid in decimal

/// Resources. Paths with an identifier end in a slash here.
inline constexpr std::string_view help_path = "/v1/";
inline constexpr std::string_view info_path = "/v1/info";
inline constexpr std::string_view workers_path = "/v1/workers";
inline constexpr std::string_view tasks_path = "/v1/tasks";
inline constexpr std::string_view task_path = "/v1/tasks/";
inline constexpr std::string_view dump_path = "/v1/dump";
inline constexpr std::string_view topology_path = "/v1/topology";
inline constexpr std::string_view tuning_path = "/v1/tuning";
inline constexpr std::string_view metrics_path = "/metrics";
inline constexpr std::string_view health_path = "/healthz";

/// Fields of /v1/info that rtctl ps shows.
inline constexpr std::string_view field_version = "version";
inline constexpr std::string_view field_pid = "pid";
inline constexpr std::string_view field_comm = "comm";
inline constexpr std::string_view field_uid = "uid";
inline constexpr std::string_view field_uptime_ns = "uptime_ns";
inline constexpr std::string_view field_workers = "workers";
inline constexpr std::string_view field_tasks_alive = "tasks_alive";

/// Content types.
inline constexpr std::string_view json_type = "application/json";
inline constexpr std::string_view text_type = "text/plain; charset=utf-8";
inline constexpr std::string_view openmetrics_type =
    "application/openmetrics-text; version=1.0.0; charset=utf-8";
inline constexpr std::string_view prometheus_type = "text/plain; version=0.0.4; charset=utf-8";

/// COMM as it stands in a socket's name. An empty name becomes "process".
[[nodiscard]] inline std::string clean_comm(std::string_view comm) {
    std::string cleaned;
    for (const char one : comm) {
        const bool keeps = (one >= 'a' && one <= 'z') || (one >= 'A' && one <= 'Z') ||
            (one >= '0' && one <= '9') || one == '_' || one == '-';
        cleaned += keeps ? one : '_';
    }
    return cleaned.empty() ? std::string("process") : cleaned;
}

/// The process behind a socket's file name, or 0 when the name is not one of ours. `comm` is set to
/// the part before the pid.
[[nodiscard]] inline std::uint32_t
parse_socket_name(std::string_view name, std::string_view& comm) {
    if (name.size() <= socket_suffix.size() || !name.ends_with(socket_suffix)) {
        return 0;
    }
    name.remove_suffix(socket_suffix.size());
    const std::size_t dot = name.rfind('.');
    if (dot == std::string_view::npos || dot == 0 || dot + 1 == name.size()) {
        return 0;
    }
    std::uint64_t pid = 0;
    for (const char digit : name.substr(dot + 1)) {
        if (digit < '0' || digit > '9' || pid > UINT32_MAX / 10) {
            return 0;
        }
        pid = pid * 10 + static_cast<unsigned>(digit - '0');
    }
    comm = name.substr(0, dot);
    return pid <= INT32_MAX ? static_cast<std::uint32_t>(pid) : 0;
}

} // namespace rt::wire

// SPDX-License-Identifier: MIT
//
// What is known of the process as a whole: identity, memory, descriptors, CPU time.
//
// The constant half is read once, when the observer starts; the rest from /proc at each request.
// Threads: read_process_usage by the sentinel; process() by any thread once the observer runs.
#pragma once

#include <cstdint>
#include <string>

namespace rt::introspect {

struct process_facts {
    std::uint32_t pid = 0;
    std::uint32_t uid = 0;
    std::string comm;
    std::uint64_t started_ns = 0;          // monotonic
    std::uint64_t started_realtime_ns = 0; // since 1970
};

// Reads it again in a child of fork, where the pid differs.
[[nodiscard]] const process_facts& process();

struct process_usage {
    std::uint64_t open_fds = 0;
    std::uint64_t max_fds = 0;
    std::uint64_t resident_bytes = 0;
    std::uint64_t virtual_bytes = 0;
    std::uint64_t cpu_ns = 0; // user and system
    std::uint64_t threads = 0;
};

// What cannot be read (no /proc, no descriptor left) is 0.
[[nodiscard]] process_usage read_process_usage();

} // namespace rt::introspect

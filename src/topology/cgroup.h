// SPDX-License-Identifier: MIT
//
// How much CPU time the cgroup grants: the bandwidth limit, in cores.
//
// Which CPUs may be used is another matter, and not read here: a cpuset shows in the affinity mask.
// Called at start-up and by the sentinel; reads small files, allocates, keeps nothing.
#pragma once

#include <cstdint>
#include <string>

namespace rt::topology {

struct cpu_quota {
    double cores = 0;    ///< 2.5: two and a half CPUs' worth of time; 0 when there is no limit.
    std::string limiter; ///< The file that says so, or empty.

    [[nodiscard]] bool is_limited() const noexcept { return cores > 0; }

    /// How many workers can run all the time: rounded up, at least 1. Rounding down would leave a
    /// share of what was paid for unused, and the throttling that rounding up risks only strikes
    /// when all are busy. REQUIRES: is_limited().
    [[nodiscard]] std::uint32_t whole_cores() const noexcept;
};

/// The tightest limit between the process's own cgroup and the top of what is mounted, over version
/// 2 (cpu.max) and version 1 (cpu.cfs_quota_us). What cannot be read or understood counts as no
/// limit. `root` goes before every path, for tests; "" is this system.
[[nodiscard]] cpu_quota read_cpu_quota(const std::string& root = "");

} // namespace rt::topology

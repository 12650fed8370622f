// SPDX-License-Identifier: MIT
//
// rt::machine: the CPUs, caches and NUMA nodes that this process may use, as librt sees them.
//
// A read-only picture, taken once per process: CPUs that the affinity mask or the cpuset of the
// process excludes are not in it. A CPU is named by the kernel's number, a node by its position in
// nodes(), which is also what spawn_on_node() takes. Cores, caches and packages are numbered from 0
// in the order in which neighbours lie side by side. All functions may be called from any thread.
#pragma once

#include <rt/detail/config.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace rt {

/// One logical CPU, which is one hardware thread.
struct cpu_info {
    std::uint32_t id;       ///< The kernel's number, as in /proc/cpuinfo.
    std::uint32_t core;     ///< Physical core.
    std::uint32_t thread;   ///< 0 for the first hardware thread of its core, then 1 …
    std::uint32_t l2_group; ///< CPUs that share a second-level cache.
    std::uint32_t l3_group; ///< CPUs that share a last-level cache.
    std::uint32_t package;  ///< Socket.
    std::uint32_t node;     ///< Position in machine::nodes().
};

/// One NUMA node that has usable CPUs.
struct node_info {
    std::uint32_t id;                ///< The kernel's number, as in /sys/devices/system/node.
    std::uint64_t memory_bytes;      ///< Its memory in all, or 0 when unknown.
    std::vector<std::uint32_t> cpus; ///< The usable CPUs, by the kernel's numbers, ascending.
};

/// How far work travels between two CPUs, nearest first.
enum class cpu_distance : std::uint8_t {
    same,     ///< One and the same CPU.
    smt,      ///< Two hardware threads of one core.
    l2_cache, ///< A shared second-level cache.
    l3_cache, ///< A shared last-level cache, on the same node.
    node,     ///< The same memory, no shared cache.
    remote,   ///< Another node's memory.
};

/// "same", "smt", "l2", "l3", "node" or "remote": the word that metrics and reports use.
[[nodiscard]] RT_API const char* cpu_distance_name(cpu_distance distance) noexcept;

namespace topology {
class snapshot;
}

class machine {
public:
    /// This machine. The first call looks at the hardware, which takes milliseconds; later ones are
    /// free. Never fails: where the hardware can't be read, every CPU counts as a core of one node.
    [[nodiscard]] RT_API static const machine& current();

    /// In topological order: neighbours in the list are neighbours on the chip.
    [[nodiscard]] RT_API std::span<const cpu_info> cpus() const noexcept;
    [[nodiscard]] RT_API std::span<const node_info> nodes() const noexcept;
    [[nodiscard]] RT_API std::uint32_t core_count() const noexcept;

    /// The CPU time that the cgroup grants, in cores (2.5 is two and a half); 0 when there is no
    /// limit.
    [[nodiscard]] RT_API double cpu_quota() const noexcept;

    /// Between two CPUs by the kernel's numbers. A CPU that is not in cpus() is remote to all
    /// others.
    [[nodiscard]] RT_API cpu_distance
    distance(std::uint32_t cpu, std::uint32_t other) const noexcept;

    /// Between two nodes by position, as the firmware states it: 10 is local, 20 twice as slow.
    /// Requires: both positions are below nodes().size().
    [[nodiscard]] RT_API std::uint32_t
    node_distance(std::uint32_t node, std::uint32_t other) const noexcept;

    /// Where the picture comes from: "hwloc 2.9.0", or why it had to be simpler.
    [[nodiscard]] RT_API const std::string& origin() const noexcept;

private:
    machine(const topology::snapshot& seen, double cpu_quota) noexcept;

    const topology::snapshot* seen_; // lives as long as the process
    double cpu_quota_;
};

} // namespace rt

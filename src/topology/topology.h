// SPDX-License-Identifier: MIT
//
// The façade of this folder: what machine is this, as an immutable snapshot.
//
// discover() asks hwloc once and copies what the runtime needs into plain arrays; no hwloc type or
// call leaves topology.cc. The snapshot holds only CPUs that this process may run on. It is built
// before any worker exists and never changes, so every thread may read it without protection. CPUs
// that go offline later stay in it; a worker pinned to one is moved by the kernel.
//
// Groups are dense numbers from 0 in hwloc's logical order, in which neighbours are adjacent. Where
// hwloc knows no L2, a core is its own L2 group; where it knows no L3, the part of the package on
// one node is.
//
// Rejected: keeping the hwloc tree (its queries walk lists, and its lifetime would be everybody's),
// and reading sysfs ourselves (hwloc knows ten years of firmware bugs).
#pragma once

#include "topology/cpu_set.h"

#include <rt/topology.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace rt::topology {

/// The ACPI SLIT's value for a node's own memory, and what is assumed where firmware says nothing.
inline constexpr std::uint32_t node_distance_local = 10;
inline constexpr std::uint32_t node_distance_same_package = 15; // plucked from thin air
inline constexpr std::uint32_t node_distance_remote = 20;

/// Where to look. The default is this machine; the others are for tests and for variants of the
/// suite.
struct discovery_options {
    std::string xml_path = {};  ///< A file that lstopo wrote; wins over `synthetic`.
    std::string synthetic = {}; ///< hwloc's notation, as "node:2 l3:2 core:4 pu:2".
    /// Instead of the calling thread's affinity mask; not set, and not this machine: every CPU.
    std::optional<cpu_set> allowed = {};
    bool use_hwloc = true; ///< false: as if hwloc had failed.
};

class snapshot {
public:
    [[nodiscard]] std::span<const cpu_info> cpus() const noexcept { return cpus_; }
    [[nodiscard]] std::span<const node_info> nodes() const noexcept { return nodes_; }

    [[nodiscard]] std::uint32_t core_count() const noexcept { return core_count_; }
    [[nodiscard]] std::uint32_t l2_group_count() const noexcept { return l2_group_count_; }
    [[nodiscard]] std::uint32_t l3_group_count() const noexcept { return l3_group_count_; }
    [[nodiscard]] std::uint32_t package_count() const noexcept { return package_count_; }

    /// By position in nodes().
    [[nodiscard]] std::uint32_t
    node_distance(std::uint32_t node, std::uint32_t other) const noexcept;

    /// The position in cpus() of the CPU with the kernel's number `id`.
    [[nodiscard]] std::optional<std::uint32_t> find_cpu(std::uint32_t id) const noexcept;

    [[nodiscard]] const cpu_set& usable() const noexcept { return usable_; }
    [[nodiscard]] cpu_set cpus_of_core(std::uint32_t core) const;
    [[nodiscard]] cpu_set cpus_of_l3_group(std::uint32_t group) const;
    [[nodiscard]] cpu_set cpus_of_node(std::uint32_t node) const;

    /// False for an XML file and a synthetic machine: their CPUs cannot be pinned to.
    [[nodiscard]] bool is_this_machine() const noexcept { return is_this_machine_; }
    [[nodiscard]] const std::string& origin() const noexcept { return origin_; }

    /// What discovery had to say about itself, as one line; empty when all went well.
    [[nodiscard]] const std::string& problem() const noexcept { return problem_; }

private:
    friend class snapshot_builder;
    static constexpr std::uint32_t not_a_cpu = ~std::uint32_t{0};

    snapshot() = default;

    template<class Predicate>
    cpu_set select(Predicate wanted) const;

    std::vector<cpu_info> cpus_;
    std::vector<node_info> nodes_;
    std::vector<std::uint32_t> node_distances_; // nodes x nodes, row by row
    std::vector<std::uint32_t>
        position_of_; // by the kernel's number; not_a_cpu where there is none
    cpu_set usable_;
    std::uint32_t core_count_ = 0;
    std::uint32_t l2_group_count_ = 0;
    std::uint32_t l3_group_count_ = 0;
    std::uint32_t package_count_ = 0;
    bool is_this_machine_ = false;
    std::string origin_;
    std::string problem_;
};

/// Never fails: when hwloc does, the snapshot is flat (each allowed CPU a core of one node), its
/// problem() says why, and one warning is logged. Takes milliseconds. May move the calling thread
/// from CPU to CPU while hwloc asks each one about itself; the thread's affinity mask is as before
/// when it returns.
[[nodiscard]] std::shared_ptr<const snapshot> discover(const discovery_options& options = {});

} // namespace rt::topology

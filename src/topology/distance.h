// SPDX-License-Identifier: MIT
//
// How far apart two CPUs are, and the nodes in order of distance. Pure functions of a snapshot; any
// thread.
//
// Classes and not numbers, because the scheduler treats a class alike (one round of stealing, one
// counter). Only between nodes does a number matter as well: the firmware's distance orders the
// remote ones.
#pragma once

#include "topology/topology.h"

#include <cstddef>
#include <cstdint>
#include <vector>

namespace rt::topology {

using distance_class = cpu_distance;

inline constexpr std::size_t distance_class_count =
    static_cast<std::size_t>(distance_class::remote) + 1;

/// Symmetric; `same` exactly for a CPU and itself. Both from one snapshot.
[[nodiscard]] distance_class distance_between(const cpu_info& cpu, const cpu_info& other) noexcept;

/// Every node, by position: `node` itself first, then nearest first; equals keep their order, but
/// nodes of the same package come before others.
[[nodiscard]] std::vector<std::uint32_t>
nodes_by_distance(const snapshot& seen, std::uint32_t node);

} // namespace rt::topology

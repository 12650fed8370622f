// SPDX-License-Identifier: MIT
//
// Distance classes from the group numbers of a snapshot. A node boundary outranks a cache: two CPUs
// that share a cache across nodes count as remote, because what matters for placement is whose
// memory the task's frames are in. (The snapshot splits such caches by node, so that the case
// cannot arise from it.)
#include "topology/distance.h"

#include "base/assert.h"

#include <algorithm>
#include <numeric>
#include <tuple>

namespace rt {

const char* cpu_distance_name(cpu_distance distance) noexcept {
    switch (distance) {
    case cpu_distance::same:
        return "same";
    case cpu_distance::smt:
        return "smt";
    case cpu_distance::l2_cache:
        return "l2";
    case cpu_distance::l3_cache:
        return "l3";
    case cpu_distance::node:
        return "node";
    case cpu_distance::remote:
        return "remote";
    }
    return "unknown";
}

} // namespace rt

namespace rt::topology {

distance_class distance_between(const cpu_info& cpu, const cpu_info& other) noexcept {
    if (cpu.id == other.id) {
        return distance_class::same;
    }
    if (cpu.node != other.node) {
        return distance_class::remote;
    }
    if (cpu.core == other.core) {
        return distance_class::smt;
    }
    if (cpu.l2_group == other.l2_group) {
        return distance_class::l2_cache;
    }
    if (cpu.l3_group == other.l3_group) {
        return distance_class::l3_cache;
    }
    return distance_class::node;
}

std::vector<std::uint32_t> nodes_by_distance(const snapshot& seen, std::uint32_t node) {
    RT_ASSERT(node < seen.nodes().size());
    const auto package_of = [&](std::uint32_t position) {
        return seen.cpus()[*seen.find_cpu(seen.nodes()[position].cpus.front())].package;
    };
    const auto rank = [&](std::uint32_t other) {
        return std::make_tuple(
            other != node, // itself first, whatever the firmware says
            seen.node_distance(node, other),
            package_of(other) != package_of(node),
            other
        );
    };
    std::vector<std::uint32_t> order(seen.nodes().size());
    std::iota(order.begin(), order.end(), 0U);
    std::ranges::sort(order, [&](std::uint32_t a, std::uint32_t b) { return rank(a) < rank(b); });
    RT_ASSERT(order.front() == node);
    return order;
}

} // namespace rt::topology

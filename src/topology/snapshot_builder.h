// SPDX-License-Identifier: MIT
//
// snapshot_builder: turns a list of CPUs with arbitrary group keys into a snapshot. Private to this
// folder.
//
// What hwloc says and what the flat fallback invents go through the same door, so that the
// numbering rules and the invariants of a snapshot have one home. One thread; used once and thrown
// away.
#pragma once

#include "topology/topology.h"

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace rt::topology {

/// A CPU before numbering. Keys are equal exactly when the thing is shared, and mean nothing else.
struct raw_cpu {
    std::uint32_t id;
    std::uint64_t core_key;
    std::uint64_t l2_key;
    std::uint64_t l3_key;
    std::uint64_t package_key;
    std::uint32_t node_id; // the kernel's number
};

class snapshot_builder {
public:
    /// In topological order: the order of calls is the order of cpus().
    void add_cpu(const raw_cpu& cpu) { raw_cpus_.push_back(cpu); }

    /// Nodes without usable CPUs may be given; they are left out.
    void add_node(std::uint32_t id, std::uint64_t memory_bytes) { memory_of_[id] = memory_bytes; }

    /// By the kernel's numbers. What is not given is assumed from packages.
    void add_distance(std::uint32_t node_id, std::uint32_t other_id, std::uint64_t distance) {
        distance_of_[{node_id, other_id}] = distance;
    }

    void describe(bool is_this_machine, std::string origin, std::string problem);

    [[nodiscard]] bool has_cpus() const noexcept { return !raw_cpus_.empty(); }

    /// REQUIRES: has_cpus().
    [[nodiscard]] std::shared_ptr<const snapshot> build();

private:
    void number_nodes(snapshot& made) const;
    void number_cpus(snapshot& made) const;
    void fill_distances(snapshot& made) const;
    void index_cpus(snapshot& made) const;

    std::vector<raw_cpu> raw_cpus_;
    std::map<std::uint32_t, std::uint64_t> memory_of_;
    std::map<std::pair<std::uint32_t, std::uint32_t>, std::uint64_t> distance_of_;
    bool is_this_machine_ = false;
    std::string origin_;
    std::string problem_;
};

} // namespace rt::topology

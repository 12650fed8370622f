// SPDX-License-Identifier: MIT
//
// Numbering: nodes by the kernel's numbers (so that position and number agree on most machines),
// everything else in order of first appearance, which is topological order. A cache is split by
// node: CPUs in one L3 group then always share a node, and a cache group is a set of CPUs that
// pinning may use without leaving local memory.
#include "topology/snapshot_builder.h"

#include "base/assert.h"

#include <algorithm>
#include <limits>

namespace rt::topology {

namespace {

/// Dense numbers, in the order in which keys are first seen.
class numbering {
public:
    using key = std::pair<std::uint64_t, std::uint64_t>;

    std::uint32_t operator()(const key& wanted) {
        const auto [found, is_new] = number_of_.try_emplace(wanted, count());
        return found->second;
    }
    [[nodiscard]] std::uint32_t count() const {
        return static_cast<std::uint32_t>(number_of_.size());
    }

private:
    std::map<key, std::uint32_t> number_of_;
};

/// Firmware's distances are small; anything absurd is capped so that sums and comparisons stay
/// safe.
std::uint32_t clamp_distance(std::uint64_t distance) noexcept {
    constexpr std::uint64_t distance_max = 1'000'000;
    return static_cast<std::uint32_t>(std::clamp<std::uint64_t>(distance, 1, distance_max));
}

} // namespace

void snapshot_builder::describe(bool is_this_machine, std::string origin, std::string problem) {
    is_this_machine_ = is_this_machine;
    origin_ = std::move(origin);
    problem_ = std::move(problem);
}

void snapshot_builder::number_nodes(snapshot& made) const {
    std::map<std::uint32_t, std::vector<std::uint32_t>>
        cpus_of; // by the kernel's number of the node
    for (const raw_cpu& cpu : raw_cpus_) {
        cpus_of[cpu.node_id].push_back(cpu.id);
    }
    for (auto& [id, cpus] : cpus_of) {
        std::ranges::sort(cpus);
        const auto memory = memory_of_.find(id);
        made.nodes_.push_back(node_info{
            id, memory == memory_of_.end() ? 0 : memory->second, std::move(cpus)});
    }
}

void snapshot_builder::number_cpus(snapshot& made) const {
    numbering cores;
    numbering l2_groups;
    numbering l3_groups;
    numbering packages;
    std::vector<std::uint32_t> threads_of_core;
    for (const raw_cpu& raw : raw_cpus_) {
        const auto node = std::ranges::find(made.nodes_, raw.node_id, &node_info::id);
        RT_ASSERT(node != made.nodes_.end());
        cpu_info cpu{};
        cpu.id = raw.id;
        cpu.core = cores({raw.core_key, raw.node_id});
        cpu.l2_group = l2_groups({raw.l2_key, raw.node_id});
        cpu.l3_group = l3_groups({raw.l3_key, raw.node_id});
        cpu.package = packages({raw.package_key, 0});
        cpu.node = static_cast<std::uint32_t>(node - made.nodes_.begin());
        threads_of_core.resize(cores.count());
        cpu.thread = threads_of_core[cpu.core]++;
        made.cpus_.push_back(cpu);
        made.usable_.add(raw.id);
    }
    made.core_count_ = cores.count();
    made.l2_group_count_ = l2_groups.count();
    made.l3_group_count_ = l3_groups.count();
    made.package_count_ = packages.count();
}

void snapshot_builder::index_cpus(snapshot& made) const {
    for (std::uint32_t position = 0; position < made.cpus_.size(); ++position) {
        const std::uint32_t id = made.cpus_[position].id;
        if (id >= made.position_of_.size()) {
            made.position_of_.resize(id + 1, snapshot::not_a_cpu);
        }
        RT_ASSERT(made.position_of_[id] == snapshot::not_a_cpu); // each CPU was added once
        made.position_of_[id] = position;
    }
}

void snapshot_builder::fill_distances(snapshot& made) const {
    std::vector<std::uint32_t> package_of(made.nodes_.size());
    for (const cpu_info& cpu : made.cpus_) {
        package_of[cpu.node] = cpu.package;
    }
    for (std::size_t from = 0; from < made.nodes_.size(); ++from) {
        for (std::size_t to = 0; to < made.nodes_.size(); ++to) {
            const auto known = distance_of_.find({made.nodes_[from].id, made.nodes_[to].id});
            std::uint32_t distance = node_distance_remote;
            if (known != distance_of_.end()) {
                distance = clamp_distance(known->second);
            } else if (from == to) {
                distance = node_distance_local;
            } else if (package_of[from] == package_of[to]) {
                distance = node_distance_same_package;
            }
            made.node_distances_.push_back(distance);
        }
    }
}

std::shared_ptr<const snapshot> snapshot_builder::build() {
    RT_ASSERT(has_cpus());
    std::shared_ptr<snapshot> made(new snapshot());
    number_nodes(*made);
    number_cpus(*made);
    index_cpus(*made);
    fill_distances(*made);
    made->is_this_machine_ = is_this_machine_;
    made->origin_ = std::move(origin_);
    made->problem_ = std::move(problem_);
    RT_ASSERT(made->usable_.count() == made->cpus_.size());
    return made;
}

} // namespace rt::topology

// SPDX-License-Identifier: MIT
//
// rt::machine, the public view: a thin coat over the process's own snapshot, which is taken on the
// first call and kept until the process ends. Nothing in it changes, so readers need no protection;
// the order between taking and reading is that of a function-local static.
#include "base/assert.h"
#include "topology/cgroup.h"
#include "topology/distance.h"
#include "topology/topology.h"

#include <rt/topology.h>

namespace rt {

machine::machine(const topology::snapshot& seen, double cpu_quota) noexcept
    : seen_(&seen)
    , cpu_quota_(cpu_quota) {
}

const machine& machine::current() {
    static const std::shared_ptr<const topology::snapshot> seen = topology::discover();
    static const machine here(*seen, topology::read_cpu_quota().cores);
    return here;
}

std::span<const cpu_info> machine::cpus() const noexcept {
    return seen_->cpus();
}

std::span<const node_info> machine::nodes() const noexcept {
    return seen_->nodes();
}

std::uint32_t machine::core_count() const noexcept {
    return seen_->core_count();
}

double machine::cpu_quota() const noexcept {
    return cpu_quota_;
}

cpu_distance machine::distance(std::uint32_t cpu, std::uint32_t other) const noexcept {
    if (cpu == other) {
        return cpu_distance::same;
    }
    const auto position = seen_->find_cpu(cpu);
    const auto other_position = seen_->find_cpu(other);
    if (!position || !other_position) {
        return cpu_distance::remote;
    }
    return topology::distance_between(seen_->cpus()[*position], seen_->cpus()[*other_position]);
}

std::uint32_t machine::node_distance(std::uint32_t node, std::uint32_t other) const noexcept {
    return seen_->node_distance(node, other);
}

const std::string& machine::origin() const noexcept {
    return seen_->origin();
}

} // namespace rt

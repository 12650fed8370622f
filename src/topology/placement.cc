// SPDX-License-Identifier: MIT
//
// The decisions behind a placement, in the order in which they depend on each other: which CPUs are
// candidates, how many workers, which CPUs they get, how they are bound, who is near whom.
#include "topology/placement.h"

#include "base/assert.h"

#include <algorithm>
#include <cstdio>
#include <map>
#include <tuple>
#include <utility>

namespace rt::topology {

namespace {

// Both plucked from thin air; see suggests_sharing in the header.
constexpr std::uint64_t sharing_fraction = 20;
constexpr std::uint64_t sharing_wait_ns_min = 10'000'000;

/// Candidates in the order in which they are given out: the first hardware thread of each core,
/// then the second of each; within that topological order. Ranks count candidates only, since a CPU
/// list may name the second threads alone.
struct candidate_list {
    std::vector<std::uint32_t> positions; // in snapshot::cpus()
    std::uint32_t core_count = 0;
};

candidate_list order_candidates(const snapshot& seen, const cpu_set& candidates) {
    std::map<std::uint32_t, std::uint32_t> taken_of_core;
    std::vector<std::pair<std::uint32_t, std::uint32_t>> ranked; // rank in the core, position
    for (std::uint32_t position = 0; position < seen.cpus().size(); ++position) {
        const cpu_info& cpu = seen.cpus()[position];
        if (candidates.contains(cpu.id)) {
            ranked.emplace_back(taken_of_core[cpu.core]++, position);
        }
    }
    std::ranges::sort(ranked);
    candidate_list list;
    list.core_count = static_cast<std::uint32_t>(taken_of_core.size());
    for (const auto& [rank, position] : ranked) {
        list.positions.push_back(position);
    }
    return list;
}

struct counted {
    std::uint32_t workers;
    std::string reason;
};

counted count_workers(const placement_request& request, const candidate_list& candidates) {
    const auto cpu_count = static_cast<std::uint32_t>(candidates.positions.size());
    if (request.worker_count != 0) {
        return {request.worker_count, "as configured"};
    }
    if (request.cpus) {
        return {cpu_count, "one per CPU of the list"};
    }
    const std::uint32_t available = request.use_smt ? cpu_count : candidates.core_count;
    if (request.quota.is_limited() && request.quota.whole_cores() < available) {
        return {request.quota.whole_cores(), "limited by " + request.quota.limiter};
    }
    return {available, request.use_smt ? "one per hardware thread" : "one per core"};
}

struct pin_decision {
    pin_mode mode;
    std::string reason;
};

pin_decision decide_pin(
    const snapshot& seen,
    const placement_request& request,
    const candidate_list& candidates,
    std::uint32_t worker_count
) {
    if (!seen.is_this_machine()) {
        return {pin_mode::none, "the topology is not this machine's"};
    }
    if (request.pin != pin_mode::automatic) {
        return {request.pin, "as configured"};
    }
    if (worker_count > candidates.positions.size()) {
        return {pin_mode::cache_group, "there are more workers than CPUs"};
    }
    if (request.quota.is_limited() && request.quota.cores < candidates.core_count) {
        char text[96];
        const int length = std::snprintf(
            text,
            sizeof(text),
            "the cgroup grants %.2f of %u cores, so others use them too",
            request.quota.cores,
            candidates.core_count
        );
        RT_ASSERT(length > 0);
        return {pin_mode::cache_group, text};
    }
    // A worker that is bound to a CPU waits while another thread of the program runs there, though
    // its neighbours be idle: on two CPUs, a main thread that wakes tasks as fast as it can got 500
    // wake-ups through in 742 us beside bound workers, and in 137 us beside unbound ones.
    if (!request.cpus && worker_count == candidates.positions.size()) {
        return {pin_mode::cache_group, "every CPU has a worker, and other threads need one, too"};
    }
    return {pin_mode::cpu, "a CPU for each worker, and no sign that others use them"};
}

/// What makes two workers equally far from a thief, in the order of nearness.
auto nearness(const snapshot& seen, const cpu_info& thief, const cpu_info& victim) {
    return std::make_tuple(
        distance_between(thief, victim),
        seen.node_distance(thief.node, victim.node),
        thief.package != victim.package
    );
}

std::vector<steal_group>
group_victims(const snapshot& seen, std::span<const worker_place> workers, std::uint32_t thief) {
    const cpu_info& here = workers[thief].cpu;
    using key = decltype(nearness(seen, here, here));
    std::map<key, std::vector<std::uint32_t>> victims;
    const auto count = static_cast<std::uint32_t>(workers.size());
    for (std::uint32_t step = 1; step < count; ++step) {
        const std::uint32_t victim = (thief + step) % count;
        victims[nearness(seen, here, workers[victim].cpu)].push_back(victim);
    }
    std::vector<steal_group> order;
    for (auto& [near, members] : victims) {
        order.push_back(steal_group{std::get<0>(near), std::get<1>(near), std::move(members)});
    }
    return order;
}

std::expected<cpu_set, std::string>
choose_candidates(const snapshot& seen, const placement_request& request) {
    if (!request.cpus) {
        return seen.usable();
    }
    const cpu_set missing = request.cpus->without(seen.usable());
    if (request.cpus->is_empty()) {
        return std::unexpected("the CPU list is empty");
    }
    if (!missing.is_empty()) {
        return std::unexpected(
            (missing.count() == 1 ? "CPU " : "CPUs ") + missing.print() +
            " cannot be used by this process (usable: " + seen.usable().print() + ")"
        );
    }
    return *request.cpus;
}

} // namespace

const char* pin_mode_name(pin_mode mode) noexcept {
    switch (mode) {
    case pin_mode::automatic:
        return "auto";
    case pin_mode::cpu:
        return "cpu";
    case pin_mode::cache_group:
        return "cache";
    case pin_mode::node:
        return "node";
    case pin_mode::none:
        return "none";
    }
    return "unknown";
}

std::span<const steal_group> placement::steal_order(std::uint32_t worker) const noexcept {
    RT_ASSERT(worker < steal_orders_.size());
    return steal_orders_[worker];
}

std::span<const std::uint32_t> placement::workers_of_node(std::uint32_t node) const noexcept {
    RT_ASSERT(node < workers_of_node_.size());
    return workers_of_node_[node];
}

cpu_set placement::cpus_for(std::uint32_t worker, pin_mode mode) const {
    RT_ASSERT(worker < workers_.size());
    RT_ASSERT(mode != pin_mode::automatic);
    const cpu_info& home = workers_[worker].cpu;
    switch (mode) {
    case pin_mode::cpu:
        return cpu_set::of(home.id);
    case pin_mode::cache_group:
        return seen_->cpus_of_l3_group(home.l3_group).intersected(candidates_);
    case pin_mode::node:
        return seen_->cpus_of_node(home.node).intersected(candidates_);
    case pin_mode::automatic:
    case pin_mode::none:
        break;
    }
    return candidates_;
}

std::expected<placement, std::string>
place_workers(std::shared_ptr<const snapshot> seen, const placement_request& request) {
    RT_ASSERT(seen != nullptr);
    if (request.worker_count > worker_count_max) {
        return std::unexpected("more than " + std::to_string(worker_count_max) + " workers");
    }
    auto candidates = choose_candidates(*seen, request);
    if (!candidates) {
        return std::unexpected(std::move(candidates.error()));
    }
    const candidate_list list = order_candidates(*seen, *candidates);
    counted count = count_workers(request, list);
    pin_decision pin = decide_pin(*seen, request, list, count.workers);
    RT_ASSERT(count.workers > 0);

    placement made;
    made.seen_ = std::move(seen);
    made.candidates_ = std::move(*candidates);
    made.count_reason_ = std::move(count.reason);
    made.pin_ = pin.mode;
    made.pin_reason_ = std::move(pin.reason);

    std::vector<std::uint32_t> positions;
    for (std::uint32_t worker = 0; worker < count.workers; ++worker) {
        positions.push_back(list.positions[worker % list.positions.size()]);
    }
    std::ranges::sort(positions); // neighbours on the chip become neighbours by number
    made.workers_of_node_.resize(made.seen_->nodes().size());
    for (const std::uint32_t position : positions) {
        const cpu_info& home = made.seen_->cpus()[position];
        made.workers_of_node_[home.node].push_back(made.worker_count());
        made.workers_.push_back(worker_place{home, {}});
    }
    for (std::uint32_t worker = 0; worker < made.worker_count(); ++worker) {
        if (made.pin_ != pin_mode::none) {
            made.workers_[worker].bound_to = made.cpus_for(worker, made.pin_);
        }
        made.steal_orders_.push_back(group_victims(*made.seen_, made.workers_, worker));
    }
    return made;
}

bool suggests_sharing(const run_queue_times& earlier, const run_queue_times& later) noexcept {
    RT_ASSERT(later.waiting_ns >= earlier.waiting_ns);
    RT_ASSERT(later.running_ns >= earlier.running_ns);
    const std::uint64_t waited_ns = later.waiting_ns - earlier.waiting_ns;
    const std::uint64_t wanted_ns = waited_ns + (later.running_ns - earlier.running_ns);
    return waited_ns >= sharing_wait_ns_min && waited_ns > wanted_ns / sharing_fraction;
}

} // namespace rt::topology

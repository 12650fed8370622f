// SPDX-License-Identifier: MIT
//
// placement: which CPUs the workers get, how tightly they are bound to them, and from whom each one
// steals.
//
// A pure function of a snapshot, a quota and what the configuration asks for; made once, before the
// workers start, and immutable afterwards, so every thread reads it without protection.
//
// By default there is one worker per usable physical core, no more than the cgroup's quota can keep
// busy, in topological order: workers with neighbouring numbers are neighbours on the chip, and
// when there are fewer workers than cores they sit together under one cache and not spread over the
// machine.
//
// Pinning to a single CPU is best for a process that has its CPUs to itself, and a trap for one
// that shares them: a worker whose CPU is taken waits for a scheduler tick although its neighbour
// idles (echo with the load generator on the same two CPUs: p99 4.1 ms pinned, 0.6 ms unpinned). So
// the automatic mode binds to the single CPU only while nothing says that the CPUs are shared, and
// says what it decided and why; suggests_sharing() is for whoever watches the run-queue delay
// later.
//
// Rejected: spreading few workers over all nodes (more memory bandwidth, but every wake and steal
// then crosses a node; who wants that gives a CPU list).
#pragma once

#include "topology/affinity.h"
#include "topology/cgroup.h"
#include "topology/distance.h"
#include "topology/topology.h"

#include <cstdint>
#include <expected>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace rt::topology {

/// More workers than the largest machine has hardware threads are a typing error.
inline constexpr std::uint32_t worker_count_max = cpu_count_max;

enum class pin_mode : std::uint8_t {
    automatic,
    cpu,         ///< Its one CPU.
    cache_group, ///< The CPUs that share its last-level cache.
    node,        ///< The CPUs of its NUMA node.
    none,        ///< Anywhere the process may run.
};

[[nodiscard]] const char* pin_mode_name(pin_mode mode) noexcept;

struct placement_request {
    std::uint32_t worker_count = 0;   ///< 0: as many as there are cores, or CPUs in the list.
    std::optional<cpu_set> cpus = {}; ///< Only these; then, without a count, one worker on each.
    bool use_smt = false; ///< Without count and list: a worker per hardware thread, not per core.
    cpu_quota quota = {}; ///< Limits the default count only; a count that was asked for stands.
    pin_mode pin = pin_mode::automatic;
};

struct worker_place {
    cpu_info cpu;     ///< Home, also when the worker is bound less tightly.
    cpu_set bound_to; ///< What pin_this_thread takes; empty when the worker is not bound.
};

/// Workers at one distance from a thief. It tries the groups in order, and starts anywhere within
/// one.
struct steal_group {
    distance_class distance;
    std::uint32_t node_distance;        ///< The firmware's; node_distance_local within the node.
    std::vector<std::uint32_t> workers; ///< From the thief's next neighbour upwards, then around.
};

class placement {
public:
    [[nodiscard]] std::span<const worker_place> workers() const noexcept { return workers_; }
    [[nodiscard]] std::uint32_t worker_count() const noexcept {
        return static_cast<std::uint32_t>(workers_.size());
    }

    /// Nearest first; every other worker is in exactly one group. Workers that share one CPU,
    /// because there are more workers than CPUs, are each other's first group
    /// (distance_class::same).
    [[nodiscard]] std::span<const steal_group> steal_order(std::uint32_t worker) const noexcept;

    /// Ascending; empty for a node without workers. `node` is a position in snapshot::nodes().
    [[nodiscard]] std::span<const std::uint32_t> workers_of_node(std::uint32_t node) const noexcept;

    /// Never pin_mode::automatic: what was decided, and why, as part of a sentence.
    [[nodiscard]] pin_mode pin() const noexcept { return pin_; }
    [[nodiscard]] const std::string& pin_reason() const noexcept { return pin_reason_; }

    /// Where the number of workers comes from: "one per core", "limited by /sys/…/cpu.max".
    [[nodiscard]] const std::string& count_reason() const noexcept { return count_reason_; }

    /// What a worker would be bound to under another mode, for changing it at run time. For
    /// pin_mode::none that is every CPU the workers may use. REQUIRES: mode is not automatic.
    [[nodiscard]] cpu_set cpus_for(std::uint32_t worker, pin_mode mode) const;

    [[nodiscard]] const snapshot& machine() const noexcept { return *seen_; }

private:
    friend std::expected<placement, std::string>
    place_workers(std::shared_ptr<const snapshot> seen, const placement_request& request);
    placement() = default;

    std::shared_ptr<const snapshot> seen_;
    cpu_set candidates_;
    std::vector<worker_place> workers_;
    std::vector<std::vector<steal_group>> steal_orders_;
    std::vector<std::vector<std::uint32_t>> workers_of_node_;
    pin_mode pin_ = pin_mode::none;
    std::string pin_reason_;
    std::string count_reason_;
};

/// The error is a sentence about the request: CPUs that are not usable, or too many workers.
[[nodiscard]] std::expected<placement, std::string>
place_workers(std::shared_ptr<const snapshot> seen, const placement_request& request);

/// True when a thread bound to one CPU waited for it so much between two readings that others must
/// be using it: more than a twentieth of the time it wanted to run, and at least 10 ms.
[[nodiscard]] bool
suggests_sharing(const run_queue_times& earlier, const run_queue_times& later) noexcept;

} // namespace rt::topology

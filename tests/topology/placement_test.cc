// SPDX-License-Identifier: MIT
//
// Placement: how many workers, where, bound to what, and who steals from whom, on machines of many
// shapes. A synthetic machine is never pinned to, so the pin rules are tested through snapshots
// that claim to be this one (snapshot_builder).
#include "support/test.h"
#include "topology/machines.h"
#include "topology/placement.h"
#include "topology/snapshot_builder.h"

#include <algorithm>
#include <set>
#include <string>
#include <vector>

using namespace rt::topology;
using rt::test::recorded_machine;
using rt::test::synthetic_machine;
using rt::test::topology_snapshot;
using numbers = std::vector<std::uint32_t>;

static placement placed(const topology_snapshot& seen, const placement_request& request = {}) {
    auto made = place_workers(seen, request);
    cr_assert(made.has_value(), "%s", made.has_value() ? "" : made.error().c_str());
    return std::move(*made);
}

static numbers homes(const placement& made) {
    numbers cpus;
    for (const worker_place& worker : made.workers()) {
        cpus.push_back(worker.cpu.id);
    }
    return cpus;
}

/// Two nodes of two L3 groups of two cores of two threads, as if it were the machine we run on.
static topology_snapshot real_machine() {
    snapshot_builder builder;
    for (std::uint32_t cpu = 0; cpu < 16; ++cpu) {
        builder.add_cpu(raw_cpu{cpu, cpu / 2, cpu / 2, cpu / 4, cpu / 8, cpu / 8});
    }
    builder.describe(true, "test", "");
    return builder.build();
}

/// Holds for every placement: each worker's groups partition the others, nearest first.
static void check_steal_orders(const placement& made) {
    const auto workers = made.workers();
    for (std::uint32_t thief = 0; thief < made.worker_count(); ++thief) {
        std::set<std::uint32_t> seen;
        const auto order = made.steal_order(thief);
        for (std::size_t index = 0; index < order.size(); ++index) {
            const steal_group& group = order[index];
            cr_assert(!group.workers.empty());
            if (index > 0) {
                const steal_group& nearer = order[index - 1];
                cr_assert(nearer.distance <= group.distance);
                cr_assert(
                    nearer.distance < group.distance || nearer.node_distance <= group.node_distance
                );
            }
            for (const std::uint32_t victim : group.workers) {
                cr_assert(victim != thief);
                cr_assert(seen.insert(victim).second, "worker %u is in two groups", victim);
                cr_assert(
                    distance_between(workers[thief].cpu, workers[victim].cpu) == group.distance
                );
            }
        }
        cr_assert(seen.size() + 1 == workers.size());
    }
}

Test(placement, default_is_a_worker_per_core) {
    const placement made = placed(synthetic_machine("node:2 l3:2 core:4 pu:2"));
    cr_assert(made.worker_count() == 16);
    cr_assert(homes(made) == (numbers{0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30}));
    cr_assert_str_eq(made.count_reason().c_str(), "one per core");
    check_steal_orders(made);
}

Test(placement, smt_makes_a_worker_per_hardware_thread) {
    const placement made = placed(recorded_machine("two_sockets_smt.xml"), {.use_smt = true});
    cr_assert(made.worker_count() == 32);
    cr_assert(homes(made)[0] == 0 && homes(made)[1] == 16, "siblings are neighbours");
    check_steal_orders(made);
}

Test(placement, neighbours_by_number_are_neighbours_on_the_chip) {
    const placement made = placed(recorded_machine("two_sockets_smt.xml"));
    cr_assert(homes(made) == (numbers{0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15}));
    const auto first = made.workers_of_node(0);
    const auto second = made.workers_of_node(1);
    cr_assert(std::ranges::equal(first, numbers{0, 1, 2, 3, 4, 5, 6, 7}));
    cr_assert(std::ranges::equal(second, numbers{8, 9, 10, 11, 12, 13, 14, 15}));
}

Test(placement, few_workers_sit_together) {
    const placement made =
        placed(synthetic_machine("node:2 l3:2 core:4 pu:2"), {.worker_count = 4});
    cr_assert(homes(made) == (numbers{0, 2, 4, 6}));
    cr_assert(made.workers_of_node(1).empty());
}

Test(placement, second_threads_are_used_after_all_cores) {
    const placement made = placed(synthetic_machine("node:1 core:4 pu:2"), {.worker_count = 5});
    cr_assert(homes(made) == (numbers{0, 1, 2, 4, 6}));
    check_steal_orders(made);
}

Test(placement, more_workers_than_cpus_share_evenly) {
    const placement made = placed(synthetic_machine("node:1 core:2 pu:1"), {.worker_count = 5});
    cr_assert(homes(made) == (numbers{0, 0, 0, 1, 1}));
    check_steal_orders(made);
    const auto order = made.steal_order(0);
    cr_assert(order[0].distance == distance_class::same);
    cr_assert(order[0].workers == (numbers{1, 2}));
}

Test(placement, a_quota_limits_the_default_only) {
    const topology_snapshot seen = synthetic_machine("node:1 core:8 pu:1");
    const cpu_quota quota{2.5, "/sys/fs/cgroup/cpu.max"};
    const placement limited = placed(seen, {.quota = quota});
    cr_assert(limited.worker_count() == 3);
    cr_assert_str_eq(limited.count_reason().c_str(), "limited by /sys/fs/cgroup/cpu.max");
    const placement asked = placed(seen, {.worker_count = 6, .quota = quota});
    cr_assert(asked.worker_count() == 6);
    cr_assert_str_eq(asked.count_reason().c_str(), "as configured");
    const placement ample = placed(seen, {.quota = cpu_quota{64, "x"}});
    cr_assert(ample.worker_count() == 8);
    cr_assert_str_eq(ample.count_reason().c_str(), "one per core");
}

Test(placement, a_cpu_list_is_one_worker_each) {
    const topology_snapshot seen = recorded_machine("two_sockets_smt.xml");
    const placement made = placed(seen, {.cpus = *cpu_set::parse("1,2,18")});
    cr_assert(homes(made) == (numbers{2, 18, 1}));
    cr_assert_str_eq(made.count_reason().c_str(), "one per CPU of the list");
    cr_assert(made.steal_order(0)[0].distance == distance_class::smt);
    check_steal_orders(made);
}

Test(placement, a_count_within_a_list_takes_cores_before_threads) {
    const topology_snapshot seen = recorded_machine("two_sockets_smt.xml");
    const placement made =
        placed(seen, {.worker_count = 3, .cpus = *cpu_set::parse("2,4,6,18,20,22")});
    cr_assert(homes(made) == (numbers{2, 4, 6}));
    // A list of second threads only is a list of cores as well.
    const placement seconds = placed(seen, {.worker_count = 2, .cpus = *cpu_set::parse("18,20")});
    cr_assert(homes(seconds) == (numbers{18, 20}));
}

static void check_refused(const placement_request& request, const char* expected) {
    const auto made = place_workers(synthetic_machine("node:1 core:4 pu:1"), request);
    cr_assert_not(made.has_value());
    cr_assert_str_eq(made.error().c_str(), expected);
}

Test(placement, impossible_requests_are_explained) {
    check_refused(
        {.cpus = *cpu_set::parse("2,9")}, "CPU 9 cannot be used by this process (usable: 0-3)"
    );
    check_refused(
        {.cpus = *cpu_set::parse("3-5")}, "CPUs 4-5 cannot be used by this process (usable: 0-3)"
    );
    check_refused({.cpus = cpu_set()}, "the CPU list is empty");
    check_refused({.worker_count = 8193}, "more than 8192 workers");
}

Test(placement, steal_order_goes_outwards) {
    const placement made =
        placed(synthetic_machine("package:2 node:1 l3:2 l2:2 core:2 pu:2"), {.use_smt = true});
    const auto order = made.steal_order(0);
    cr_assert(order.size() == 5);
    cr_assert(order[0].distance == distance_class::smt && order[0].workers == (numbers{1}));
    cr_assert(order[1].distance == distance_class::l2_cache && order[1].workers == (numbers{2, 3}));
    cr_assert(order[2].distance == distance_class::l3_cache);
    cr_assert(order[2].workers == (numbers{4, 5, 6, 7}));
    cr_assert(order[3].distance == distance_class::node && order[3].workers.size() == 8);
    cr_assert(order[4].distance == distance_class::remote && order[4].workers.size() == 16);
    check_steal_orders(made);
}

Test(placement, steal_order_within_a_group_starts_at_the_next_neighbour) {
    const placement made = placed(synthetic_machine("node:1 l3:1 core:5 pu:1"));
    cr_assert(made.steal_order(3)[0].workers == (numbers{4, 0, 1, 2}));
    cr_assert(made.steal_order(0)[0].workers == (numbers{1, 2, 3, 4}));
}

Test(placement, remote_groups_follow_the_firmware) {
    const placement made = placed(recorded_machine("four_nodes_ring.xml"));
    cr_assert(made.worker_count() == 16);
    const auto order = made.steal_order(0);
    cr_assert(order.size() == 5);
    cr_assert(order[0].distance == distance_class::l3_cache && order[0].node_distance == 10);
    cr_assert(order[1].distance == distance_class::node);
    cr_assert(order[2].node_distance == 12 && order[2].workers == (numbers{4, 5, 6, 7}));
    cr_assert(order[3].node_distance == 22 && order[3].workers == (numbers{12, 13, 14, 15}));
    cr_assert(order[4].node_distance == 32 && order[4].workers == (numbers{8, 9, 10, 11}));
    check_steal_orders(made);
}

// Goal: among equally far CPUs those of the thief's own package come first. Method: one node over
// two packages, and two equally far nodes of which one shares the package.
Test(placement, the_own_package_comes_before_the_other) {
    snapshot_builder builder;
    builder.add_cpu(raw_cpu{0, 0, 0, 0, 0, 0});
    builder.add_cpu(raw_cpu{1, 1, 1, 1, 1, 0}); // same node, other package
    builder.add_cpu(raw_cpu{2, 2, 2, 2, 0, 0}); // same node, same package
    builder.add_cpu(raw_cpu{3, 3, 3, 3, 1, 1}); // another node, other package
    builder.add_cpu(raw_cpu{4, 4, 4, 4, 0, 2}); // another node, same package
    for (const std::uint32_t node : {1U, 2U}) {
        builder.add_distance(0, node, 20);
    }
    builder.describe(false, "test", "");
    const placement made = placed(builder.build());
    const auto order = made.steal_order(0);
    cr_assert(order.size() == 4);
    cr_assert(order[0].workers == (numbers{2}) && order[0].distance == distance_class::node);
    cr_assert(order[1].workers == (numbers{1}) && order[1].distance == distance_class::node);
    cr_assert(order[2].workers == (numbers{4}) && order[2].distance == distance_class::remote);
    cr_assert(order[3].workers == (numbers{3}) && order[3].distance == distance_class::remote);
}

Test(placement, one_worker_has_nobody_to_steal_from) {
    const placement made = placed(synthetic_machine("node:1 core:1 pu:1"));
    cr_assert(made.worker_count() == 1);
    cr_assert(made.steal_order(0).empty());
}

Test(placement, a_foreign_machine_is_never_pinned_to) {
    const placement made = placed(synthetic_machine("node:1 core:4 pu:1"), {.pin = pin_mode::cpu});
    cr_assert(made.pin() == pin_mode::none);
    cr_assert_str_eq(made.pin_reason().c_str(), "the topology is not this machine's");
    for (const worker_place& worker : made.workers()) {
        cr_assert(worker.bound_to.is_empty());
    }
}

Test(placement, alone_means_one_cpu_each) {
    const placement made = placed(real_machine());
    cr_assert(made.pin() == pin_mode::cpu);
    cr_assert(made.pin_reason().find("no sign that others use them") != std::string::npos);
    cr_assert(made.worker_count() == 8);
    for (const worker_place& worker : made.workers()) {
        cr_assert(worker.bound_to == cpu_set::of(worker.cpu.id));
    }
}

Test(placement, no_cpu_without_a_worker_means_sharing) {
    const placement made = placed(real_machine(), {.worker_count = 16});
    cr_assert(made.pin() == pin_mode::cache_group);
    cr_assert(made.pin_reason().find("every CPU has a worker") != std::string::npos);
    const placement dedicated =
        placed(real_machine(), {.worker_count = 2, .cpus = cpu_set::parse("0-1").value()});
    cr_assert(dedicated.pin() == pin_mode::cpu);
}

Test(placement, a_binding_quota_means_sharing) {
    const placement made = placed(real_machine(), {.quota = cpu_quota{2, "cpu.max"}});
    cr_assert(made.worker_count() == 2);
    cr_assert(made.pin() == pin_mode::cache_group);
    cr_assert_str_eq(
        made.pin_reason().c_str(), "the cgroup grants 2.00 of 8 cores, so others use them too"
    );
    cr_assert(made.workers()[0].bound_to.print() == "0-3");
    const placement ample = placed(real_machine(), {.quota = cpu_quota{8, "cpu.max"}});
    cr_assert(ample.pin() == pin_mode::cpu);
}

Test(placement, too_many_workers_mean_sharing) {
    const placement made = placed(real_machine(), {.worker_count = 17});
    cr_assert(made.pin() == pin_mode::cache_group);
    cr_assert(made.pin_reason().find("more workers than CPUs") != std::string::npos);
}

Test(placement, an_explicit_mode_is_obeyed) {
    const placement group = placed(real_machine(), {.pin = pin_mode::cache_group});
    cr_assert(group.workers()[2].bound_to.print() == "4-7");
    const placement node = placed(real_machine(), {.pin = pin_mode::node});
    cr_assert(node.workers()[7].bound_to.print() == "8-15");
    const placement none = placed(real_machine(), {.pin = pin_mode::none});
    cr_assert(none.workers()[0].bound_to.is_empty());
    const placement crowded = placed(real_machine(), {.worker_count = 40, .pin = pin_mode::cpu});
    cr_assert(crowded.workers()[39].bound_to.count() == 1);
    cr_assert_str_eq(crowded.pin_reason().c_str(), "as configured");
}

Test(placement, a_cpu_list_is_never_left) {
    const cpu_set list = *cpu_set::parse("1,2,9");
    const placement made = placed(real_machine(), {.cpus = list, .pin = pin_mode::node});
    cr_assert(made.workers()[0].bound_to.print() == "1-2");
    cr_assert(made.workers()[2].bound_to.print() == "9");
    cr_assert(made.cpus_for(0, pin_mode::cache_group).print() == "1-2");
    cr_assert(made.cpus_for(0, pin_mode::cpu).print() == "1");
    cr_assert(made.cpus_for(0, pin_mode::none) == list);
}

Test(placement, a_long_wait_for_the_cpu_suggests_sharing) {
    constexpr std::uint64_t ms = 1'000'000;
    const run_queue_times begin{100 * ms, 50 * ms};
    const auto after = [&](std::uint64_t running, std::uint64_t waiting) {
        return run_queue_times{begin.running_ns + running, begin.waiting_ns + waiting};
    };
    cr_assert_not(suggests_sharing(begin, begin));
    cr_assert_not(suggests_sharing(begin, after(10 * ms, 9 * ms)), "too little to tell");
    cr_assert_not(suggests_sharing(begin, after(1000 * ms, 20 * ms)), "two per cent are noise");
    cr_assert(suggests_sharing(begin, after(1000 * ms, 100 * ms)));
    cr_assert(suggests_sharing(begin, after(0, 10 * ms)));
}

Test(placement, modes_have_the_words_of_the_configuration) {
    cr_assert_str_eq(pin_mode_name(pin_mode::automatic), "auto");
    cr_assert_str_eq(pin_mode_name(pin_mode::cpu), "cpu");
    cr_assert_str_eq(pin_mode_name(pin_mode::cache_group), "cache");
    cr_assert_str_eq(pin_mode_name(pin_mode::node), "node");
    cr_assert_str_eq(pin_mode_name(pin_mode::none), "none");
    cr_assert_str_eq(pin_mode_name(static_cast<pin_mode>(9)), "unknown");
}

// Goal: the rules above hold for every count on every shape, not only on those that were thought
// of.
Test(placement, every_count_on_every_machine_is_sound) {
    for (const char* shape :
         {"core:1 pu:1",
          "core:3 pu:1",
          "core:2 pu:4",
          "node:2 core:2 pu:2",
          "package:2 node:2 l3:1 core:2 pu:1",
          "package:1 l3:1 node:2 core:3 pu:2",
          "node:8 core:1 pu:1"}) {
        const topology_snapshot seen = synthetic_machine(shape);
        const auto cpu_count = static_cast<std::uint32_t>(seen->cpus().size());
        for (std::uint32_t count = 1; count <= cpu_count + 2; ++count) {
            const placement made = placed(seen, {.worker_count = count});
            cr_assert(made.worker_count() == count, "%s", shape);
            check_steal_orders(made);
            std::set<std::uint32_t> cores;
            std::uint32_t on_nodes = 0;
            for (const worker_place& worker : made.workers()) {
                cores.insert(worker.cpu.core);
            }
            for (std::uint32_t node = 0; node < seen->nodes().size(); ++node) {
                on_nodes += static_cast<std::uint32_t>(made.workers_of_node(node).size());
            }
            cr_assert(cores.size() == std::min(count, seen->core_count()), "%s", shape);
            cr_assert(on_nodes == count);
        }
    }
}

// SPDX-License-Identifier: MIT
//
// Distance classes between CPUs, and the order of nodes.
#include "support/test.h"
#include "topology/distance.h"
#include "topology/machines.h"
#include "topology/snapshot_builder.h"

#include <vector>

using namespace rt::topology;
using rt::test::recorded_machine;
using rt::test::synthetic_machine;
using rt::test::topology_snapshot;

static distance_class between(const topology_snapshot& seen, std::uint32_t a, std::uint32_t b) {
    return distance_between(seen->cpus()[*seen->find_cpu(a)], seen->cpus()[*seen->find_cpu(b)]);
}

Test(distance, classes_widen_step_by_step) {
    const topology_snapshot seen = synthetic_machine("package:2 node:1 l3:2 l2:2 core:2 pu:2");
    cr_assert(between(seen, 0, 0) == distance_class::same);
    cr_assert(between(seen, 0, 1) == distance_class::smt);
    cr_assert(between(seen, 0, 2) == distance_class::l2_cache);
    cr_assert(between(seen, 0, 4) == distance_class::l3_cache);
    cr_assert(between(seen, 0, 8) == distance_class::node);
    cr_assert(between(seen, 0, 16) == distance_class::remote);
}

Test(distance, is_symmetric) {
    const topology_snapshot seen = recorded_machine("two_sockets_smt.xml");
    for (const auto& a : seen->cpus()) {
        for (const auto& b : seen->cpus()) {
            cr_assert(distance_between(a, b) == distance_between(b, a));
            cr_assert((distance_between(a, b) == distance_class::same) == (a.id == b.id));
        }
    }
}

Test(distance, kernel_numbering_does_not_mislead) {
    const topology_snapshot seen = recorded_machine("two_sockets_smt.xml");
    cr_assert(between(seen, 0, 16) == distance_class::smt);
    cr_assert(between(seen, 0, 1) == distance_class::remote);
    cr_assert(between(seen, 0, 2) == distance_class::l3_cache);
}

Test(distance, nodes_follow_the_firmware) {
    const topology_snapshot ring = recorded_machine("four_nodes_ring.xml");
    cr_assert(nodes_by_distance(*ring, 0) == (std::vector<std::uint32_t>{0, 1, 3, 2}));
    cr_assert(nodes_by_distance(*ring, 1) == (std::vector<std::uint32_t>{1, 0, 2, 3}));
    cr_assert(nodes_by_distance(*ring, 2) == (std::vector<std::uint32_t>{2, 3, 1, 0}));
    cr_assert(nodes_by_distance(*ring, 3) == (std::vector<std::uint32_t>{3, 2, 0, 1}));
}

Test(distance, without_firmware_the_package_decides) {
    const topology_snapshot seen = synthetic_machine("package:2 node:2 core:2 pu:1");
    cr_assert(nodes_by_distance(*seen, 2) == (std::vector<std::uint32_t>{2, 3, 0, 1}));
    const topology_snapshot one = synthetic_machine("node:1 core:2 pu:1");
    cr_assert(nodes_by_distance(*one, 0) == (std::vector<std::uint32_t>{0}));
}

/// Three nodes of one CPU; the first and the last share a package.
static topology_snapshot three_nodes(std::uint64_t (*distance)(std::uint32_t, std::uint32_t)) {
    snapshot_builder builder;
    for (std::uint32_t node = 0; node < 3; ++node) {
        builder.add_cpu(raw_cpu{node, node, node, node, node % 2, node});
        for (std::uint32_t other = 0; other < 3; ++other) {
            builder.add_distance(node, other, distance(node, other));
        }
    }
    builder.describe(true, "test", "");
    return builder.build();
}

Test(distance, equally_far_nodes_are_taken_by_package) {
    const topology_snapshot seen =
        three_nodes([](std::uint32_t a, std::uint32_t b) -> std::uint64_t {
            return a == b ? 10 : 20;
        });
    cr_assert(nodes_by_distance(*seen, 0) == (std::vector<std::uint32_t>{0, 2, 1}));
}

Test(distance, a_node_is_nearest_to_itself_whatever_firmware_says) {
    const topology_snapshot seen =
        three_nodes([](std::uint32_t a, std::uint32_t b) -> std::uint64_t {
            return a == b ? 99 : 0;
        });
    cr_assert(nodes_by_distance(*seen, 1).front() == 1);
    cr_assert(seen->node_distance(0, 1) == 1, "a distance of 0 is no distance");
}

Test(distance, absurd_distances_are_capped) {
    const topology_snapshot seen =
        three_nodes([](std::uint32_t, std::uint32_t) -> std::uint64_t { return ~0ULL; });
    cr_assert(seen->node_distance(0, 1) == 1'000'000);
}

Test(distance, classes_have_the_words_of_metrics) {
    cr_assert_str_eq(rt::cpu_distance_name(distance_class::same), "same");
    cr_assert_str_eq(rt::cpu_distance_name(distance_class::smt), "smt");
    cr_assert_str_eq(rt::cpu_distance_name(distance_class::l2_cache), "l2");
    cr_assert_str_eq(rt::cpu_distance_name(distance_class::l3_cache), "l3");
    cr_assert_str_eq(rt::cpu_distance_name(distance_class::node), "node");
    cr_assert_str_eq(rt::cpu_distance_name(distance_class::remote), "remote");
    cr_assert_str_eq(rt::cpu_distance_name(static_cast<distance_class>(9)), "unknown");
    cr_assert(distance_class_count == 6);
}

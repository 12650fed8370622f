// SPDX-License-Identifier: MIT
//
// Discovery: synthetic and recorded machines become the right numbers, restrictions leave things
// out, and every way in which hwloc can fail ends in a flat but usable machine.
#include "base/log.h"
#include "support/test.h"
#include "topology/affinity.h"
#include "topology/machines.h"
#include "topology/topology.h"

#include <cstring>
#include <fstream>
#include <set>
#include <string>

#include <unistd.h>

using namespace rt::topology;
using rt::cpu_info;
using rt::test::recorded_machine;
using rt::test::synthetic_machine;
using rt::test::topology_snapshot;

/// What every snapshot must satisfy, wherever it comes from.
static void check_invariants(const snapshot& seen) {
    cr_assert(!seen.cpus().empty());
    cr_assert(!seen.nodes().empty());
    cr_assert(seen.usable().count() == seen.cpus().size());
    std::set<std::uint32_t> cores;
    std::set<std::uint32_t> l3_groups;
    std::uint32_t cpus_on_nodes = 0;
    for (std::uint32_t position = 0; position < seen.cpus().size(); ++position) {
        const cpu_info& cpu = seen.cpus()[position];
        cr_assert(seen.find_cpu(cpu.id) == position);
        cr_assert(cpu.core < seen.core_count());
        cr_assert(cpu.l2_group < seen.l2_group_count());
        cr_assert(cpu.l3_group < seen.l3_group_count());
        cr_assert(cpu.package < seen.package_count());
        cr_assert(cpu.node < seen.nodes().size());
        cr_assert(seen.cpus_of_core(cpu.core).contains(cpu.id));
        // What shares more also shares less, and nothing crosses a node.
        cr_assert(seen.cpus_of_core(cpu.core).is_subset_of(seen.cpus_of_l3_group(cpu.l3_group)));
        cr_assert(seen.cpus_of_l3_group(cpu.l3_group).is_subset_of(seen.cpus_of_node(cpu.node)));
        cores.insert(cpu.core);
        l3_groups.insert(cpu.l3_group);
    }
    cr_assert(cores.size() == seen.core_count());
    cr_assert(l3_groups.size() == seen.l3_group_count());
    for (std::uint32_t node = 0; node < seen.nodes().size(); ++node) {
        cr_assert(!seen.nodes()[node].cpus.empty());
        cpus_on_nodes += static_cast<std::uint32_t>(seen.nodes()[node].cpus.size());
        for (std::uint32_t other = 0; other < seen.nodes().size(); ++other) {
            cr_assert(seen.node_distance(node, other) >= 1);
        }
    }
    cr_assert(cpus_on_nodes == seen.cpus().size());
}

Test(topology, reads_a_synthetic_machine) {
    const topology_snapshot seen = synthetic_machine("node:2 l3:2 core:4 pu:2");
    check_invariants(*seen);
    cr_assert(seen->cpus().size() == 32);
    cr_assert(seen->core_count() == 16);
    cr_assert(seen->l2_group_count() == 16, "without an L2, a core is its own group");
    cr_assert(seen->l3_group_count() == 4);
    cr_assert(seen->nodes().size() == 2);
    cr_assert_not(seen->is_this_machine());
    const cpu_info& odd = seen->cpus()[19];
    cr_assert(odd.id == 19 && odd.core == 9 && odd.thread == 1);
    cr_assert(odd.l3_group == 2 && odd.node == 1);
    cr_assert(seen->cpus_of_core(9).print() == "18-19");
    cr_assert(seen->cpus_of_l3_group(2).print() == "16-23");
    cr_assert(seen->cpus_of_node(1).print() == "16-31");
    cr_assert(seen->node_distance(0, 0) == node_distance_local);
    cr_assert(seen->node_distance(0, 1) == node_distance_remote);
}

Test(topology, shared_l2_makes_groups_of_cores) {
    const topology_snapshot seen = synthetic_machine("package:1 l3:1 l2:2 core:4 pu:1");
    check_invariants(*seen);
    cr_assert(seen->l2_group_count() == 2);
    cr_assert(seen->cpus()[3].l2_group == 0);
    cr_assert(seen->cpus()[4].l2_group == 1);
}

Test(topology, without_l3_the_package_is_the_group) {
    const topology_snapshot seen = synthetic_machine("package:2 core:4 pu:1");
    check_invariants(*seen);
    cr_assert(seen->l3_group_count() == 2);
    cr_assert(seen->package_count() == 2);
    cr_assert(seen->nodes().size() == 1);
}

Test(topology, a_cache_that_spans_nodes_is_split) {
    const topology_snapshot seen = synthetic_machine("package:1 l3:1 node:2 core:4 pu:1");
    check_invariants(*seen);
    cr_assert(seen->nodes().size() == 2);
    cr_assert(seen->l3_group_count() == 2);
    cr_assert(seen->node_distance(0, 1) == node_distance_same_package);
}

Test(topology, reads_a_recorded_server) {
    const topology_snapshot seen = recorded_machine("two_sockets_smt.xml");
    check_invariants(*seen);
    cr_assert(seen->cpus().size() == 32);
    cr_assert(seen->core_count() == 16);
    cr_assert(seen->l2_group_count() == 16);
    cr_assert(seen->l3_group_count() == 2);
    cr_assert(seen->cpus_of_core(0).print() == "0,16");
    cr_assert(seen->cpus_of_core(1).print() == "2,18");
    cr_assert(seen->cpus()[1].id == 16 && seen->cpus()[1].thread == 1);
    cr_assert(seen->nodes()[1].cpus.front() == 1, "the odd CPUs are on the second node");
    cr_assert(seen->nodes()[0].memory_bytes == 64ULL << 30);
    cr_assert(seen->node_distance(0, 1) == 21);
}

Test(topology, reads_recorded_distances) {
    const topology_snapshot seen = recorded_machine("four_nodes_ring.xml");
    check_invariants(*seen);
    cr_assert(seen->nodes().size() == 4);
    cr_assert(seen->package_count() == 2);
    cr_assert(seen->node_distance(0, 1) == 12);
    cr_assert(seen->node_distance(0, 2) == 32);
    cr_assert(seen->node_distance(0, 3) == 22);
    cr_assert(seen->node_distance(3, 0) == 22);
    cr_assert(seen->node_distance(2, 2) == 10);
}

Test(topology, reads_a_recorded_virtual_machine) {
    const topology_snapshot seen = recorded_machine("one_node_vm.xml");
    check_invariants(*seen);
    cr_assert(seen->cpus().size() == 2);
    cr_assert(seen->core_count() == 2);
    cr_assert(seen->l3_group_count() == 1);
    cr_assert(seen->nodes().size() == 1);
    cr_assert(seen->origin().find("one_node_vm.xml") != std::string::npos);
}

Test(topology, a_restriction_leaves_out_cpus_cores_and_nodes) {
    discovery_options options;
    options.xml_path = rt::test::data_path("two_sockets_smt.xml");
    options.allowed = *cpu_set::parse("3,5,19"); // cores of the second node; 3 and 19 are one
    const topology_snapshot seen = discover(options);
    check_invariants(*seen);
    cr_assert(seen->usable().print() == "3,5,19");
    cr_assert(seen->core_count() == 2);
    cr_assert(seen->nodes().size() == 1);
    cr_assert(seen->nodes()[0].id == 1, "positions are dense, ids are the kernel's");
    cr_assert(seen->cpus()[0].node == 0);
    cr_assert_not(seen->find_cpu(0).has_value());
    cr_assert_not(seen->find_cpu(100'000).has_value());
}

Test(topology, sees_this_machine_within_the_affinity_mask) {
    const topology_snapshot seen = discover();
    check_invariants(*seen);
    const auto mask = affinity_of_this_thread();
    cr_assert(mask.has_value());
    cr_assert(seen->usable().is_subset_of(*mask));
    if (seen->is_this_machine()) {
        const auto after = affinity_of_this_thread();
        cr_assert(*after == *mask, "discovery must leave the mask as it was");
    }
}

static std::string logged;
static void keep_log(rt::base::log_level, std::string_view line) noexcept {
    logged += line;
}

/// Everything that goes wrong ends like this.
static void check_flat(const topology_snapshot& seen, const char* reason) {
    check_invariants(*seen);
    cr_assert(seen->core_count() == seen->cpus().size());
    cr_assert(seen->nodes().size() == 1);
    cr_assert(seen->l3_group_count() == 1);
    cr_assert(seen->is_this_machine());
    cr_assert(seen->problem().find(reason) != std::string::npos, "%s", seen->problem().c_str());
    cr_assert(logged.find(seen->problem()) != std::string::npos, "one warning must be logged");
}

Test(topology, without_hwloc_the_machine_is_flat) {
    rt::base::set_log_sink(keep_log);
    discovery_options options;
    options.use_hwloc = false;
    const topology_snapshot seen = discover(options);
    check_flat(seen, "hwloc not used");
    cr_assert(seen->usable() == *affinity_of_this_thread());
}

Test(topology, a_missing_file_is_a_failure_of_hwloc) {
    rt::base::set_log_sink(keep_log);
    discovery_options options;
    options.xml_path = "/nonexistent/topology.xml";
    check_flat(discover(options), "hwloc_topology_");
}

Test(topology, a_broken_file_is_a_failure_of_hwloc) {
    rt::base::set_log_sink(keep_log);
    char path[] = "/tmp/librt-topology-XXXXXX";
    const int fd = ::mkstemp(path);
    cr_assert(fd >= 0);
    cr_assert(::write(fd, "<topology><object", 17) == 17);
    ::close(fd);
    discovery_options options;
    options.xml_path = path;
    const topology_snapshot seen = discover(options);
    ::unlink(path);
    check_flat(seen, "hwloc_topology_");
}

Test(topology, a_meaningless_description_is_a_failure_of_hwloc) {
    rt::base::set_log_sink(keep_log);
    discovery_options options;
    options.synthetic = "socks:2 shoes:2";
    check_flat(discover(options), "hwloc_topology_set_synthetic");
}

Test(topology, a_mask_that_hwloc_does_not_know_falls_back) {
    rt::base::set_log_sink(keep_log);
    discovery_options options;
    options.allowed = cpu_set::of(8000);
    const topology_snapshot seen = discover(options);
    check_flat(seen, "none of the CPUs");
    cr_assert(seen->usable().print() == "8000");
}

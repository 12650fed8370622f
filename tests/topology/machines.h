// SPDX-License-Identifier: MIT
//
// Machines for the tests of this folder: synthetic ones in hwloc's notation, and recorded XML
// files.
//
// data/two_sockets_smt.xml: 2 packages, a node and an L3 each, 8 cores of 2 threads; the kernel's
// numbers go
//     round the packages first and over the second threads last (0 and 16 are one core), as on many
//     servers.
// data/four_nodes_ring.xml: 2 packages of 2 nodes, 2 L3 of 2 cores on each; firmware distances of a
// ring, where
//     node 0 is nearer to node 3 than to node 2.
// data/one_node_vm.xml: recorded by hwloc on a virtual machine with two CPUs.
#pragma once

#include "support/test.h"
#include "topology/topology.h"

#include <memory>
#include <string>

namespace rt::test {

using topology_snapshot = std::shared_ptr<const topology::snapshot>;

inline topology_snapshot synthetic_machine(const char* description) {
    topology::discovery_options options;
    options.synthetic = description;
    topology_snapshot seen = topology::discover(options);
    cr_assert(seen->problem().empty(), "%s: %s", description, seen->problem().c_str());
    return seen;
}

inline std::string data_path(const char* name) {
    const std::string here = __FILE__;
    return here.substr(0, here.rfind('/')) + "/data/" + name;
}

inline topology_snapshot recorded_machine(const char* name) {
    topology::discovery_options options;
    options.xml_path = data_path(name);
    topology_snapshot seen = topology::discover(options);
    cr_assert(seen->problem().empty(), "%s: %s", name, seen->problem().c_str());
    return seen;
}

} // namespace rt::test

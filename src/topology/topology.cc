// SPDX-License-Identifier: MIT
//
// Discovery: hwloc's tree becomes a snapshot, or, when hwloc fails, the affinity mask does.
//
// All of hwloc is in this file. The topology object is loaded, read and destroyed within
// discover(). hwloc leaves out CPUs that the cgroup's cpuset forbids; the affinity mask is applied
// here, by leaving out CPUs and not by hwloc_topology_restrict, since a snapshot has no objects
// that could become empty.
//
// Whether a topology is this machine is hwloc's answer, not ours: HWLOC_XMLFILE and HWLOC_SYNTHETIC
// in the environment replace the machine, and the affinity mask of this process means nothing
// there.
#include "topology/topology.h"

#include "base/assert.h"
#include "base/log.h"
#include "topology/affinity.h"
#include "topology/snapshot_builder.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <expected>
#include <memory>

#include <hwloc.h>
#include <unistd.h>

namespace rt::topology {

namespace {

struct topology_deleter {
    void operator()(hwloc_topology* loaded) const noexcept { hwloc_topology_destroy(loaded); }
};
using hwloc_handle = std::unique_ptr<hwloc_topology, topology_deleter>;

std::string hwloc_failure(const char* call) {
    std::string text = call;
    text += ": ";
    text += std::strerror(errno); // one thread builds the runtime; the text is copied at once
    return text;
}

std::string hwloc_origin(const discovery_options& options) {
    const unsigned version = hwloc_get_api_version();
    std::string origin = "hwloc API " + std::to_string(version >> 16) + "." +
        std::to_string((version >> 8) & 0xFFU) + "." + std::to_string(version & 0xFFU);
    if (!options.xml_path.empty()) {
        origin += ", file " + options.xml_path;
    } else if (!options.synthetic.empty()) {
        origin += ", synthetic \"" + options.synthetic + "\"";
    }
    return origin;
}

std::expected<hwloc_handle, std::string> load_hwloc(const discovery_options& options) {
    hwloc_topology_t raw = nullptr;
    if (hwloc_topology_init(&raw) != 0) {
        return std::unexpected(hwloc_failure("hwloc_topology_init"));
    }
    hwloc_handle loaded(raw);
    if (!options.xml_path.empty()) {
        if (hwloc_topology_set_xml(raw, options.xml_path.c_str()) != 0) {
            return std::unexpected(hwloc_failure("hwloc_topology_set_xml"));
        }
    } else if (!options.synthetic.empty()) {
        if (hwloc_topology_set_synthetic(raw, options.synthetic.c_str()) != 0) {
            return std::unexpected(hwloc_failure("hwloc_topology_set_synthetic"));
        }
    }
    if (hwloc_topology_load(raw) != 0) {
        return std::unexpected(hwloc_failure("hwloc_topology_load"));
    }
    return loaded;
}

/// The ancestor's identity, or `otherwise` where the machine has none of that type.
std::uint64_t ancestor_key(
    hwloc_topology_t tree, hwloc_obj_t cpu, hwloc_obj_type_t type, std::uint64_t otherwise
) {
    const hwloc_obj_t found = hwloc_get_ancestor_obj_by_type(tree, type, cpu);
    return found != nullptr ? found->gp_index : otherwise;
}

/// The node whose memory is local to a CPU. Where there are several (fast memory beside ordinary
/// memory), the one that covers fewest CPUs, and of those the first, which is the ordinary one.
hwloc_obj_t node_of(hwloc_topology_t tree, hwloc_obj_t cpu) {
    hwloc_obj_t best = nullptr;
    for (hwloc_obj_t node = nullptr;
         (node = hwloc_get_next_obj_by_type(tree, HWLOC_OBJ_NUMANODE, node)) != nullptr;) {
        const bool is_local = hwloc_bitmap_isset(node->cpuset, cpu->os_index) != 0;
        if (is_local &&
            (best == nullptr ||
             hwloc_bitmap_weight(node->cpuset) < hwloc_bitmap_weight(best->cpuset))) {
            best = node;
        }
    }
    return best;
}

void add_cpus(hwloc_topology_t tree, const std::optional<cpu_set>& allowed, snapshot_builder& out) {
    for (hwloc_obj_t cpu = nullptr;
         (cpu = hwloc_get_next_obj_by_type(tree, HWLOC_OBJ_PU, cpu)) != nullptr;) {
        const bool is_allowed = !allowed || allowed->contains(cpu->os_index);
        if (!is_allowed || cpu->os_index >= cpu_count_max) {
            continue;
        }
        const hwloc_obj_t node = node_of(tree, cpu);
        raw_cpu raw{};
        raw.id = cpu->os_index;
        raw.node_id = node != nullptr ? node->os_index : 0;
        // Where packages are not known, each node counts as one.
        raw.package_key =
            ancestor_key(tree, cpu, HWLOC_OBJ_PACKAGE, node != nullptr ? node->gp_index : 0);
        raw.core_key = ancestor_key(tree, cpu, HWLOC_OBJ_CORE, cpu->gp_index);
        raw.l2_key = ancestor_key(tree, cpu, HWLOC_OBJ_L2CACHE, raw.core_key);
        raw.l3_key = ancestor_key(tree, cpu, HWLOC_OBJ_L3CACHE, raw.package_key);
        out.add_cpu(raw);
        if (node != nullptr) {
            out.add_node(node->os_index, node->attr->numanode.local_memory);
        }
    }
}

void add_distances(hwloc_topology_t tree, snapshot_builder& out) {
    hwloc_distances_s* matrix = nullptr;
    unsigned matrix_count = 1; // the first one is the firmware's; in and out
    const int failed = hwloc_distances_get_by_type(
        tree, HWLOC_OBJ_NUMANODE, &matrix_count, &matrix, HWLOC_DISTANCES_KIND_MEANS_LATENCY, 0
    );
    if (failed != 0 || matrix_count == 0 || matrix == nullptr) {
        return;
    }
    for (unsigned from = 0; from < matrix->nbobjs; ++from) {
        for (unsigned to = 0; to < matrix->nbobjs; ++to) {
            const hwloc_uint64_t value = matrix->values[from * matrix->nbobjs + to];
            out.add_distance(matrix->objs[from]->os_index, matrix->objs[to]->os_index, value);
        }
    }
    hwloc_distances_release(tree, matrix);
}

std::optional<cpu_set> allowed_here(const discovery_options& options) {
    if (options.allowed) {
        return options.allowed;
    }
    const result<cpu_set> mask = affinity_unpinned();
    return mask ? std::optional(*mask) : std::nullopt;
}

/// Each CPU a core of its own, all on one node and under one cache.
std::shared_ptr<const snapshot> build_flat(const discovery_options& options, std::string problem) {
    cpu_set cpus = allowed_here(options).value_or(cpu_set());
    if (cpus.is_empty()) {
        const long online = ::sysconf(_SC_NPROCESSORS_ONLN);
        const auto count = static_cast<std::uint32_t>(std::clamp<long>(online, 1, cpu_count_max));
        for (std::uint32_t cpu = 0; cpu < count; ++cpu) {
            cpus.add(cpu);
        }
    }
    snapshot_builder builder;
    for (const std::uint32_t cpu : cpus.members()) {
        builder.add_cpu(raw_cpu{cpu, cpu, cpu, 0, 0, 0});
    }
    builder.describe(true, "sched_getaffinity (" + problem + ")", problem);
    return builder.build();
}

} // namespace

std::uint32_t snapshot::node_distance(std::uint32_t node, std::uint32_t other) const noexcept {
    RT_ASSERT(node < nodes_.size());
    RT_ASSERT(other < nodes_.size());
    return node_distances_[node * nodes_.size() + other];
}

std::optional<std::uint32_t> snapshot::find_cpu(std::uint32_t id) const noexcept {
    if (id >= position_of_.size() || position_of_[id] == not_a_cpu) {
        return std::nullopt;
    }
    return position_of_[id];
}

template<class Predicate>
cpu_set snapshot::select(Predicate wanted) const {
    cpu_set chosen;
    for (const cpu_info& cpu : cpus_) {
        if (wanted(cpu)) {
            chosen.add(cpu.id);
        }
    }
    return chosen;
}

cpu_set snapshot::cpus_of_core(std::uint32_t core) const {
    return select([core](const cpu_info& cpu) { return cpu.core == core; });
}

cpu_set snapshot::cpus_of_l3_group(std::uint32_t group) const {
    return select([group](const cpu_info& cpu) { return cpu.l3_group == group; });
}

cpu_set snapshot::cpus_of_node(std::uint32_t node) const {
    return select([node](const cpu_info& cpu) { return cpu.node == node; });
}

std::shared_ptr<const snapshot> discover(const discovery_options& options) {
    std::string problem = "hwloc not used";
    if (options.use_hwloc) {
        const auto loaded = load_hwloc(options);
        if (loaded) {
            hwloc_topology_t tree = loaded->get();
            const bool is_this_machine = hwloc_topology_is_thissystem(tree) != 0;
            snapshot_builder builder;
            add_cpus(tree, is_this_machine ? allowed_here(options) : options.allowed, builder);
            add_distances(tree, builder);
            if (builder.has_cpus()) {
                builder.describe(is_this_machine, hwloc_origin(options), "");
                return builder.build();
            }
            problem = "hwloc knows none of the CPUs in the affinity mask";
        } else {
            problem = loaded.error();
        }
    }
    base::log(
        base::log_level::warning,
        "topology: %s; every CPU counts as a core of one node",
        problem.c_str()
    );
    return build_flat(options, std::move(problem));
}

} // namespace rt::topology

// SPDX-License-Identifier: MIT
//
// hwloc 2: distances and memory children appeared in that version.
#include <hwloc.h>

static_assert(HWLOC_API_VERSION >= 0x00020000);

int main() {
    hwloc_topology_t topology;
    if (hwloc_topology_init(&topology) != 0 || hwloc_topology_load(topology) != 0) {
        return 1;
    }
    const int units = hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_PU);
    hwloc_topology_destroy(topology);
    return units > 0 ? 0 : 1;
}

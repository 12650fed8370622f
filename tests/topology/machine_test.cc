// SPDX-License-Identifier: MIT
//
// rt::machine, the public view of the machine these tests run on.
#include "support/test.h"
#include "topology/affinity.h"
#include "topology/topology.h"

#include <rt/topology.h>

#include <algorithm>
#include <string>
#include <thread>

Test(machine, describes_where_we_run) {
    const rt::machine& here = rt::machine::current();
    cr_assert(!here.cpus().empty());
    cr_assert(!here.nodes().empty());
    cr_assert(here.core_count() >= 1 && here.core_count() <= here.cpus().size());
    cr_assert(here.cpu_quota() >= 0);
    cr_assert(!here.origin().empty());
    cr_assert(&here == &rt::machine::current());
}

Test(machine, knows_the_cpu_of_this_thread) {
    const rt::machine& here = rt::machine::current();
    if (here.origin().find("synthetic") != std::string::npos) {
        cr_skip_test("the machine is not the real one");
    }
    const std::uint32_t cpu = rt::topology::current_cpu();
    cr_assert(std::ranges::find(here.cpus(), cpu, &rt::cpu_info::id) != here.cpus().end());
}

Test(machine, measures_distance_by_kernel_numbers) {
    const rt::machine& here = rt::machine::current();
    const std::uint32_t first = here.cpus().front().id;
    const std::uint32_t last = here.cpus().back().id;
    cr_assert(here.distance(first, first) == rt::cpu_distance::same);
    cr_assert(here.distance(first, last) == here.distance(last, first));
    cr_assert(here.distance(first, 1'000'000) == rt::cpu_distance::remote);
    cr_assert(here.distance(1'000'000, first) == rt::cpu_distance::remote);
    cr_assert(here.node_distance(0, 0) >= 1);
}

Test(machine, a_first_look_from_a_pinned_thread_sees_everything) {
    const auto before = rt::topology::affinity_of_this_thread();
    cr_assert(before.has_value());
    std::size_t seen = 0;
    std::thread([&] {
        const auto one = rt::topology::cpu_set::of(*before->first());
        cr_assert(rt::topology::pin_this_thread(one).has_value());
        seen = rt::machine::current().cpus().size();
    }).join();
    cr_assert(seen == rt::topology::discover()->cpus().size());
}

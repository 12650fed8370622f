// SPDX-License-Identifier: MIT
//
// Pinning, naming and schedstat of real threads of this process.
#include "support/test.h"
#include "topology/affinity.h"
#include "topology/topology.h"

#include <cerrno>
#include <cstring>
#include <thread>

#include <sys/prctl.h>
#include <unistd.h>

using namespace rt::topology;

static cpu_set mask_here() {
    const auto mask = affinity_of_this_thread();
    cr_assert(mask.has_value());
    cr_assert_not(mask->is_empty());
    return *mask;
}

Test(affinity, pins_to_one_cpu_and_runs_there) {
    const cpu_set before = mask_here();
    for (const std::uint32_t cpu : before.members()) {
        std::thread([&] {
            cr_assert(pin_this_thread(cpu_set::of(cpu)).has_value());
            cr_assert(mask_here() == cpu_set::of(cpu));
            cr_assert(current_cpu() == cpu);
        }).join();
    }
    cr_assert(mask_here() == before, "other threads are not touched");
}

Test(affinity, refuses_cpus_that_do_not_exist) {
    const cpu_set before = mask_here();
    const auto pinned = pin_this_thread(cpu_set::of(cpu_count_max - 1));
    cr_assert_not(pinned.has_value());
    cr_assert(pinned.error().is(EINVAL));
    cr_assert_str_eq(pinned.error().operation(), "sched_setaffinity");
    cr_assert(mask_here() == before);
    cr_assert(*affinity_unpinned() == before, "a refused pin leaves no trace");
}

Test(affinity, remembers_what_was_there_before_pinning) {
    const cpu_set before = mask_here();
    cr_assert(*affinity_unpinned() == before);
    std::thread([&] {
        cr_assert(pin_this_thread(cpu_set::of(*before.first())).has_value());
        cr_assert(*affinity_unpinned() == before);
        // A thread made by a pinned one inherits the pin; pinning it anew shows it the whole
        // machine.
        std::thread([&] {
            cr_assert(mask_here() == cpu_set::of(*before.first()));
            cr_assert(pin_this_thread(before).has_value());
            cr_assert(*affinity_unpinned() == before);
            const auto seen = discover();
            cr_assert(!seen->is_this_machine() || seen->usable().is_subset_of(before));
        }).join();
        const auto seen = discover();
        if (seen->is_this_machine()) {
            cr_assert(seen->usable() == discover({.allowed = before})->usable());
        }
    }).join();
}

static void check_name(const char* given, const char* kept) {
    name_this_thread(given);
    char name[16] = {};
    cr_assert(::prctl(PR_GET_NAME, name) == 0);
    cr_assert_str_eq(name, kept);
}

Test(affinity, names_are_cut_at_fifteen_bytes_between_characters) {
    check_name("rt-worker-3", "rt-worker-3");
    check_name("123456789012345", "123456789012345");
    check_name("1234567890123456", "123456789012345");
    check_name("12345678901234\xC3\xA9", "12345678901234");
    check_name("1234567890123\xC3\xA9", "1234567890123\xC3\xA9");
    check_name("", "");
}

Test(affinity, reads_how_long_a_thread_ran) {
    const auto first = read_run_queue_times(::gettid());
    if (!first) {
        cr_assert(first.error().is(ENOENT), "%s", first.error().message().c_str());
        cr_skip_test("this kernel keeps no schedstat");
    }
    // The kernel brings a running thread's figures up to date at ticks and switches; yielding gets
    // there.
    auto later = read_run_queue_times(::gettid());
    while (later && later->running_ns == first->running_ns) {
        std::this_thread::yield();
        later = read_run_queue_times(::gettid());
    }
    cr_assert(later.has_value());
    cr_assert(later->running_ns > first->running_ns);
    cr_assert(later->waiting_ns >= first->waiting_ns);
}

Test(affinity, a_thread_that_does_not_exist_has_no_figures) {
    const auto times = read_run_queue_times(0x7FFFFFF0);
    cr_assert_not(times.has_value());
    cr_assert(times.error().is(ENOENT));
}

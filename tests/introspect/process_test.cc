// SPDX-License-Identifier: MIT
#include "base/clock.h"
#include "base/unique_fd.h"
#include "introspect/process.h"
#include "support/test.h"

#include <vector>

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

using rt::introspect::process;
using rt::introspect::read_process_usage;

Test(process, the_facts_are_this_processes) {
    cr_assert_eq(process().pid, static_cast<std::uint32_t>(::getpid()));
    cr_assert_eq(process().uid, ::geteuid());
    cr_assert(!process().comm.empty());
    cr_assert(process().started_ns <= rt::base::monotonic_ns());
    cr_assert(process().started_realtime_ns <= rt::base::realtime_ns());
}

Test(process, a_child_of_fork_has_facts_of_its_own) {
    const std::uint32_t parent = process().pid;
    const pid_t child = ::fork();
    if (child == 0) {
        ::_exit(process().pid != parent ? 0 : 1);
    }
    int status = 0;
    cr_assert_eq(::waitpid(child, &status, 0), child);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

Test(process, descriptors_are_counted) {
    const std::uint64_t before = read_process_usage().open_fds;
    std::vector<rt::base::unique_fd> held;
    for (int i = 0; i < 5; ++i) {
        held.emplace_back(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    }
    cr_assert_eq(read_process_usage().open_fds, before + 5);
    held.clear();
    cr_assert_eq(read_process_usage().open_fds, before);
}

Test(process, usage_is_plausible) {
    const auto usage = read_process_usage();
    cr_assert(usage.resident_bytes > 100'000);
    cr_assert(usage.virtual_bytes >= usage.resident_bytes);
    cr_assert(usage.threads >= 1);
    cr_assert(usage.max_fds > usage.open_fds);
}

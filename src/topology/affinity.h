// SPDX-License-Identifier: MIT
//
// The calling thread's CPUs, its name, and how long it waits for a CPU.
//
// Pinning and naming are for threads of the library, at their start; a thread only ever changes
// itself. What a thread could use before the library pinned it is remembered (affinity_unpinned),
// so that a pool thread or a second runtime created from a pinned worker does not inherit a single
// CPU as its whole machine.
//
// Rejected: pthread_attr_setaffinity_np, which makes thread creation fail where pinning would only
// be refused, and hwloc_set_cpubind, which needs the hwloc topology kept alive.
#pragma once

#include "topology/cpu_set.h"

#include <rt/result.h>

#include <cstdint>
#include <string_view>

#include <sys/types.h>

namespace rt::topology {

/// The CPUs the calling thread may run on.
[[nodiscard]] result<cpu_set> affinity_of_this_thread();

/// Binds the calling thread. EINVAL when none of the CPUs exists or the cpuset allows none of them.
/// REQUIRES: not empty.
[[nodiscard]] result<void> pin_this_thread(const cpu_set& cpus);

/// The mask this thread would have if the library had not pinned it: its present one, or, after
/// pin_this_thread, what the first thread that was pinned had before.
[[nodiscard]] result<cpu_set> affinity_unpinned();

/// At most 15 bytes are kept, which is the kernel's limit; the cut never splits a UTF-8 sequence.
void name_this_thread(std::string_view name) noexcept;

/// Where the calling thread runs at this moment; a hint unless it is pinned to one CPU. From the
/// vDSO.
[[nodiscard]] std::uint32_t current_cpu() noexcept;

/// /proc/<pid>/task/<tid>/schedstat, which never resets.
struct run_queue_times {
    std::uint64_t running_ns; ///< On a CPU.
    std::uint64_t waiting_ns; ///< Runnable, and waiting for one.
};

/// Of a thread of this process. ENOENT where the kernel keeps no schedstat or the thread is gone.
[[nodiscard]] result<run_queue_times> read_run_queue_times(pid_t thread);

} // namespace rt::topology

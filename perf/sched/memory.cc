// SPDX-License-Identifier: MIT
//
// What a task costs that waits: a million of them, each with one int of its own, all waiting for
// one rt::notify. The row's line has bytes_per_task, the growth of the process's resident memory
// divided by the tasks; the times are those of spawning one and getting it to wait.
#include "sched/rows.h"

#include <rt/detail/atomic.h>
#include <rt/sync/notify.h>

#include <chrono>
#include <cstdio>
#include <memory>

#include <unistd.h>

namespace sched {
namespace {

// Resident memory of this process now.
double resident_bytes() {
    std::uint64_t pages = 0;
    if (std::FILE* const file = std::fopen("/proc/self/statm", "re"); file != nullptr) {
        unsigned long long size = 0;
        unsigned long long resident = 0;
        if (std::fscanf(file, "%llu %llu", &size, &resident) == 2) {
            pages = resident;
        }
        std::fclose(file);
    }
    return static_cast<double>(pages) * static_cast<double>(sysconf(_SC_PAGESIZE));
}

struct hall {
    rt::notify doors;
    rt::atomic<std::uint64_t> sum{0};
    rt::atomic<std::uint32_t> awaited{0};
    rt::atomic<std::uint32_t> remaining{0};
    signal all_wait{0};
    signal all_gone{0};
};

rt::task<void> wait_idle(hall* in, int number) {
    if (in->awaited.sub_relaxed(1) == 1) {
        in->all_wait.release();
    }
    co_await in->doors.notified();
    in->sum.add_relaxed(static_cast<std::uint64_t>(number));
    // acq_rel: pairs with itself; the last one has seen what the others added.
    if (in->remaining.sub_acq_rel(1) == 1) {
        in->all_gone.release();
    }
}

rt::task<void> spawn_idle(hall* in, std::uint32_t count) {
    for (std::uint32_t i = 0; i < count; ++i) {
        rt::spawn(wait_idle(in, static_cast<int>(i))).detach();
        if (i % 64 == 0) {
            co_await rt::yield();
        }
    }
}

// Spawns and waits until all are idle. Returns by how much that made the process grow.
double fill_hall(rt::runtime& runtime, hall& in, std::uint32_t count) {
    const double before = resident_bytes();
    in.sum.store_relaxed(0);
    in.awaited.store_relaxed(count);
    in.remaining.store_relaxed(count);
    runtime.block_on(spawn_idle(&in, count));
    in.all_wait.acquire();
    return resident_bytes() - before;
}

void empty_hall(hall& in) {
    // The last to count itself in has not begun to wait yet: notify until nobody is left.
    do {
        in.doors.notify_waiters();
    } while (!in.all_gone.try_acquire_for(std::chrono::milliseconds(1)));
}

void idle_task_memory(perf::bench& b) {
    const std::uint32_t count = b.is_smoke() ? 10'000 : 1'000'000;
    const auto in = std::make_unique<hall>();
    rt::runtime runtime(config_for(b.workers()));
    fill_hall(runtime, *in, 1000); // stacks, rings and first slabs are the runtime's, not a task's
    empty_hall(*in);
    double bytes = 0;
    b.measure_once(count, [&] { bytes = fill_hall(runtime, *in, count); });
    b.note("bytes_per_task", bytes / count);
    empty_hall(*in);
    if (in->sum.load_relaxed() != std::uint64_t{count} * (count - 1) / 2) {
        b.fail("the sum is wrong");
    }
}

constexpr perf::row rows[] = {
    {"idle_task_memory", idle_task_memory},
};
const perf::table table(rows);

} // namespace
} // namespace sched

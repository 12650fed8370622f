// SPDX-License-Identifier: MIT
//
// Rows about spawning from threads that are no workers, onto a runtime that is idle or busy, and
// about closures for the blocking pool. The tasks that keep the workers busy go on until a flag
// says otherwise, so that a row leaves none behind. All tasks are joined by handle.
#include "sched/rows.h"

#include <rt/detail/atomic.h>

#include <barrier>
#include <chrono>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

namespace sched {
namespace {

using handles = std::vector<rt::join_handle<void>>;

rt::task<void> empty() {
    co_return;
}

// The vector stays the caller's, who keeps its memory for the next iteration.
rt::task<void> join_all(handles& children) {
    for (auto& child : children) {
        co_await std::move(child);
    }
    children.clear();
}

void spawn_and_join(rt::runtime& runtime, handles& children, std::uint32_t count) {
    const rt::handle handle = runtime.get_handle();
    for (std::uint32_t i = 0; i < count; ++i) {
        children.push_back(handle.spawn(empty()));
    }
    runtime.block_on(join_all(children));
}

// Keeps a worker busy for a moment, in the manner of a task that computes.
void stall() {
    constexpr std::uint64_t stall_ns = 10'000;
    const std::uint64_t begin = perf::now_ns();
    while (perf::now_ns() - begin < stall_ns) {
        std::this_thread::yield();
    }
}

using flag = rt::atomic<bool>;

void spawn_many_remote_idle(perf::bench& b) {
    constexpr std::uint32_t count = 10'000;
    rt::runtime runtime(config_for(b.workers()));
    handles children;
    children.reserve(count);
    b.measure([&] { spawn_and_join(runtime, children, count); });
}

rt::task<void> yield_and_stall(std::shared_ptr<flag> goes_on) {
    while (goes_on->load_relaxed()) {
        co_await rt::yield();
        stall();
    }
}

void spawn_many_remote_busy1(perf::bench& b) {
    constexpr std::uint32_t count = 10'000;
    rt::runtime runtime(config_for(b.workers()));
    const rt::handle handle = runtime.get_handle();
    const auto goes_on = std::make_shared<flag>(true);
    for (std::uint32_t i = 0; i < 2 * b.workers(); ++i) {
        handle.spawn(yield_and_stall(goes_on)).detach();
    }
    handles children;
    children.reserve(count);
    b.measure([&] { spawn_and_join(runtime, children, count); });
    goes_on->store_relaxed(false);
}

rt::task<void> stall_and_respawn(std::shared_ptr<flag> goes_on) {
    if (goes_on->load_relaxed()) {
        stall();
        rt::spawn(stall_and_respawn(std::move(goes_on))).detach();
    }
    co_return;
}

void spawn_many_remote_busy2(perf::bench& b) {
    constexpr std::uint32_t count = 1000;
    rt::runtime runtime(config_for(b.workers()));
    const rt::handle handle = runtime.get_handle();
    const auto goes_on = std::make_shared<flag>(true);
    for (std::uint32_t i = 0; i < b.workers(); ++i) {
        handle.spawn(stall_and_respawn(goes_on)).detach();
    }
    handles children;
    children.reserve(count);
    b.measure([&] { spawn_and_join(runtime, children, count); });
    goes_on->store_relaxed(false);
}

// The threads are made in the timed part, as Tokio's bench has it; joining the tasks is outside.
std::uint64_t spawn_from_threads(rt::runtime& runtime, std::vector<handles>& children) {
    constexpr std::uint32_t count = 12'800;
    const auto thread_count = static_cast<std::uint32_t>(children.size());
    const rt::handle handle = runtime.get_handle();
    const std::uint64_t begin = perf::now_ns();
    {
        std::barrier start(static_cast<std::ptrdiff_t>(thread_count));
        std::vector<std::jthread> threads;
        for (handles& own : children) {
            threads.emplace_back([&own, &start, handle, thread_count] {
                start.arrive_and_wait();
                for (std::uint32_t i = 0; i < count / thread_count; ++i) {
                    own.push_back(handle.spawn(empty()));
                }
            });
        }
    }
    const std::uint64_t ns = perf::now_ns() - begin;
    for (handles& own : children) {
        runtime.block_on(join_all(own));
    }
    return ns;
}

template<std::uint32_t thread_count>
void remote_spawn(perf::bench& b) {
    rt::runtime runtime(config_for(b.workers()));
    std::vector<handles> children(thread_count);
    b.measure_batches([&](std::uint64_t count) {
        std::uint64_t ns = 0;
        for (std::uint64_t i = 0; i < count; ++i) {
            ns += spawn_from_threads(runtime, children);
        }
        return ns;
    });
}

rt::task<void> submit_batches() {
    constexpr std::uint32_t batches = 100;
    constexpr std::uint32_t batch_size = 16;
    handles batch;
    batch.reserve(batch_size);
    for (std::uint32_t i = 0; i < batches; ++i) {
        for (std::uint32_t j = 0; j < batch_size; ++j) {
            batch.push_back(rt::spawn_blocking([] {}));
        }
        co_await join_all(batch);
    }
}

rt::task<void> submit_from_tasks(std::uint32_t count) {
    handles submitters;
    for (std::uint32_t i = 0; i < count; ++i) {
        submitters.push_back(rt::spawn(submit_batches()));
    }
    co_await join_all(submitters);
}

template<std::uint32_t submitters>
void spawn_blocking(perf::bench& b) {
    rt::runtime runtime(config_for(b.workers()));
    b.measure([&] { runtime.block_on(submit_from_tasks(submitters)); });
}

constexpr perf::row rows[] = {
    {"spawn_many_remote_idle", spawn_many_remote_idle},
    {"spawn_many_remote_busy1", spawn_many_remote_busy1},
    {"spawn_many_remote_busy2", spawn_many_remote_busy2},
    {"remote_spawn_t1", remote_spawn<1>},
    {"remote_spawn_t2", remote_spawn<2>},
    {"spawn_blocking_c1", spawn_blocking<1>},
    {"spawn_blocking_c2", spawn_blocking<2>},
    {"spawn_blocking_c64", spawn_blocking<64>},
};
const perf::table table(rows);

} // namespace
} // namespace sched

// SPDX-License-Identifier: MIT
//
// Rows about entering the runtime: block_on with a few tasks inside, on a runtime of worker threads
// and on one of the calling thread alone (the rows basic_ and ct_, whose workers count as 0). Each
// iteration enters anew, from the main thread; that way in is what the small ones measure.
#include "sched/rows.h"

#include <utility>
#include <vector>

namespace sched {
namespace {

using handles = std::vector<rt::join_handle<void>>;

rt::task<int> work() {
    int value = 1 + 1;
    co_await rt::yield();
    perf::keep(value);
    co_return value;
}

rt::task<void> spawn_work(std::uint32_t count) {
    std::vector<rt::join_handle<int>> children;
    children.reserve(count);
    for (std::uint32_t i = 0; i < count; ++i) {
        children.push_back(rt::spawn(work()));
    }
    for (auto& child : children) {
        perf::keep(co_await std::move(child));
    }
}

template<std::uint32_t count>
void threaded_scheduler_spawn(perf::bench& b) {
    rt::runtime runtime(config_for(b.workers()));
    b.measure([&] { runtime.block_on(spawn_work(count)); });
}

template<std::uint32_t count>
void basic_scheduler_spawn(perf::bench& b) {
    b.set_workers(0);
    threaded_scheduler_spawn<count>(b);
}

constexpr std::uint32_t ct_count = 1000;

rt::task<void> empty() {
    co_return;
}

rt::task<void> join_all(handles& children) {
    for (auto& child : children) {
        co_await std::move(child);
    }
    children.clear();
}

rt::task<void> spawn_and_join(handles& children) {
    for (std::uint32_t i = 0; i < ct_count; ++i) {
        children.push_back(rt::spawn(empty()));
    }
    co_await join_all(children);
}

void ct_spawn_many_local(perf::bench& b) {
    b.set_workers(0);
    rt::runtime runtime(config_for(0));
    handles children;
    children.reserve(ct_count);
    b.measure([&] { runtime.block_on(spawn_and_join(children)); });
}

// Spawned before the runtime runs, by the thread that will run it.
void spawn_outside(perf::bench& b, rt::runtime& runtime) {
    const rt::handle handle = runtime.get_handle();
    handles children;
    children.reserve(ct_count);
    b.measure([&] {
        for (std::uint32_t i = 0; i < ct_count; ++i) {
            children.push_back(handle.spawn(empty()));
        }
        runtime.block_on(join_all(children));
    });
}

void ct_spawn_many_remote_idle(perf::bench& b) {
    b.set_workers(0);
    rt::runtime runtime(config_for(0));
    spawn_outside(b, runtime);
}

// There is always one of these in the queue, until the flag goes down.
rt::task<void> respawn(const bool* goes_on) {
    if (*goes_on) {
        rt::spawn(respawn(goes_on)).detach();
    }
    co_return;
}

void ct_spawn_many_remote_busy(perf::bench& b) {
    b.set_workers(0);
    bool goes_on = true; // plain: the runtime runs on this thread
    rt::runtime runtime(config_for(0));
    runtime.get_handle().spawn(respawn(&goes_on)).detach();
    spawn_outside(b, runtime);
    goes_on = false;
}

constexpr perf::row rows[] = {
    {"threaded_scheduler_spawn", threaded_scheduler_spawn<1>},
    {"threaded_scheduler_spawn10", threaded_scheduler_spawn<10>},
    {"basic_scheduler_spawn", basic_scheduler_spawn<1>, perf::needs::any_runtime},
    {"basic_scheduler_spawn10", basic_scheduler_spawn<10>, perf::needs::any_runtime},
    {"ct_spawn_many_local", ct_spawn_many_local, perf::needs::any_runtime},
    {"ct_spawn_many_remote_idle", ct_spawn_many_remote_idle, perf::needs::any_runtime},
    {"ct_spawn_many_remote_busy", ct_spawn_many_remote_busy, perf::needs::any_runtime},
};
const perf::table table(rows);

} // namespace
} // namespace sched

// SPDX-License-Identifier: MIT
//
// Rows about spawning and yielding: tasks that live for a moment, made by the main thread (which is
// no worker) or by a worker. Those that end by a countdown own a reference to it each, as in
// Tokio's benches; the others are joined by handle.
#include "sched/rows.h"

#include <memory>
#include <utility>
#include <vector>

namespace sched {
namespace {

constexpr std::uint32_t many = 10'000;

rt::task<void> finish_one(countdown with) {
    with.finish_one();
    co_return;
}

rt::task<void> spawn_finishers(countdown with) {
    for (std::uint32_t i = 0; i < many; ++i) {
        rt::spawn(finish_one(with)).detach();
    }
    co_return;
}

void spawn_many_local(perf::bench& b) {
    rt::runtime runtime(config_for(b.workers()));
    const rt::handle handle = runtime.get_handle();
    const countdown with;
    b.measure([&] {
        with.remaining->store_relaxed(many);
        for (std::uint32_t i = 0; i < many; ++i) {
            handle.spawn(finish_one(with)).detach();
        }
        with.done->acquire();
    });
}

void spawn_many_from_worker(perf::bench& b) {
    rt::runtime runtime(config_for(b.workers()));
    const rt::handle handle = runtime.get_handle();
    const countdown with;
    b.measure([&] {
        with.remaining->store_relaxed(many);
        handle.spawn(spawn_finishers(with)).detach();
        with.done->acquire();
    });
}

rt::task<void> empty() {
    co_return;
}

rt::task<void> spawn_and_join(std::uint32_t count) {
    std::vector<rt::join_handle<void>> children;
    children.reserve(count);
    for (std::uint32_t i = 0; i < count; ++i) {
        children.push_back(rt::spawn(empty()));
    }
    for (auto& child : children) {
        co_await std::move(child);
    }
}

void spawn_join_from_worker(perf::bench& b) {
    rt::runtime runtime(config_for(b.workers()));
    b.measure([&] { runtime.block_on(spawn_and_join(many)); });
}

rt::task<void> spawn_and_join_one_by_one(std::uint64_t count) {
    for (std::uint64_t i = 0; i < count; ++i) {
        co_await rt::spawn(empty());
    }
}

// Always on one worker: what the two operations cost when nobody helps or disturbs.
void spawn_join_empty(perf::bench& b) {
    b.set_workers(1);
    rt::runtime runtime(config_for(1));
    b.measure_batches([&](std::uint64_t count) {
        const std::uint64_t begin = perf::now_ns();
        runtime.block_on(spawn_and_join_one_by_one(count));
        return perf::now_ns() - begin;
    });
}

constexpr std::uint32_t yielders = 200;
constexpr std::uint32_t yields = 1000;

rt::task<void> yield_and_signal(std::shared_ptr<signal> done) {
    for (std::uint32_t i = 0; i < yields; ++i) {
        co_await rt::yield();
    }
    done->release();
}

void yield_many(perf::bench& b) {
    rt::runtime runtime(config_for(b.workers()));
    const rt::handle handle = runtime.get_handle();
    const auto done = std::make_shared<signal>(0);
    b.measure([&] {
        for (std::uint32_t i = 0; i < yielders; ++i) {
            handle.spawn(yield_and_signal(done)).detach();
        }
        for (std::uint32_t i = 0; i < yielders; ++i) {
            done->acquire();
        }
    });
}

constexpr std::uint32_t chain_length = 1000;

rt::task<void> spawn_next(std::shared_ptr<signal> done, std::uint32_t left) {
    if (left == 0) {
        done->release();
    } else {
        rt::spawn(spawn_next(std::move(done), left - 1)).detach();
    }
    co_return;
}

void chained_spawn(perf::bench& b) {
    rt::runtime runtime(config_for(b.workers()));
    const rt::handle handle = runtime.get_handle();
    const auto done = std::make_shared<signal>(0);
    b.measure([&] {
        handle.spawn(spawn_next(done, chain_length)).detach();
        done->acquire();
    });
}

constexpr perf::row rows[] = {
    {"spawn_many_local", spawn_many_local},
    {"spawn_many_from_worker", spawn_many_from_worker},
    {"spawn_join_from_worker", spawn_join_from_worker, perf::needs::any_runtime},
    {"spawn_join_empty", spawn_join_empty},
    {"yield_many", yield_many},
    {"chained_spawn", chained_spawn},
};
const perf::table table(rows);

} // namespace
} // namespace sched

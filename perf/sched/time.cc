// SPDX-License-Identifier: MIT
//
// Rows about timers that never fire: a timeout around something that is ready, a sleep that is made
// and dropped, a timeout that is armed and cancelled. As many tasks as workers share the operations
// of a batch; with one worker the runtime is one of the calling thread, as the definition has it.
#include "sched/rows.h"

#include <chrono>
#include <utility>
#include <vector>

using namespace std::chrono_literals;

namespace sched {
namespace {

rt::task<std::size_t> answer_at_once() {
    co_return 1;
}

rt::task<std::size_t> answer_after_a_turn() {
    co_await rt::yield();
    co_return 1;
}

rt::task<void> time_out_at_once(std::uint64_t count) {
    for (std::uint64_t i = 0; i < count; ++i) {
        perf::keep(rt::or_throw(co_await rt::timeout(1s, answer_at_once())));
    }
}

rt::task<void> time_out_after_a_turn(std::uint64_t count) {
    for (std::uint64_t i = 0; i < count; ++i) {
        perf::keep(rt::or_throw(co_await rt::timeout(1s, answer_after_a_turn())));
    }
}

rt::task<void> create_sleeps(std::uint64_t count) {
    for (std::uint64_t i = 0; i < count; ++i) {
        const auto sleep = rt::sleep(1s);
        perf::keep(sleep);
    }
    co_return;
}

using operations = rt::task<void> (*)(std::uint64_t count);

rt::task<void> share_out(operations run, std::uint64_t count, std::uint32_t tasks) {
    std::vector<rt::join_handle<void>> children;
    children.reserve(tasks);
    for (std::uint32_t i = 0; i < tasks; ++i) {
        children.push_back(rt::spawn(run(count / tasks + (i < count % tasks ? 1 : 0))));
    }
    for (auto& child : children) {
        co_await std::move(child);
    }
}

template<operations run>
void measure_shared(perf::bench& b) {
    rt::runtime runtime(config_for(b.workers() == 1 ? 0 : b.workers()));
    b.measure_batches([&](std::uint64_t count) {
        const std::uint64_t begin = perf::now_ns();
        runtime.block_on(share_out(run, count, b.workers()));
        return perf::now_ns() - begin;
    });
}

constexpr perf::row rows[] = {
    {"time_timeout", measure_shared<time_out_at_once>},
    {"time_sleep_create", measure_shared<create_sleeps>},
    {"time_register_cancel", measure_shared<time_out_after_a_turn>},
};
const perf::table table(rows);

} // namespace
} // namespace sched

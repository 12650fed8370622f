// SPDX-License-Identifier: MIT
//
// Fork-join rows by plain spawn and join: every node of the tree, leaves included, is a task with a
// handle of its own, and nothing tells the runtime that it is a tree. Peers that know (TBB) need
// not schedule a parent that waits; that is what they are faster by. Every result is checked.
#include "sched/rows.h"

#include <array>
#include <cstdint>
#include <utility>

namespace sched {
namespace {

constexpr std::uint64_t leaves = 1'000'000;
constexpr std::uint32_t fan_out = 10;

// The sum of the ordinals of the leaves below a node.
rt::task<std::uint64_t> skynet(std::uint64_t first, std::uint64_t size) {
    if (size == 1) {
        co_return first;
    }
    std::array<rt::join_handle<std::uint64_t>, fan_out> children;
    for (std::uint32_t i = 0; i < fan_out; ++i) {
        children[i] = rt::spawn(skynet(first + i * (size / fan_out), size / fan_out));
    }
    std::uint64_t sum = 0;
    for (auto& child : children) {
        sum += co_await std::move(child);
    }
    co_return sum;
}

void skynet_1m(perf::bench& b) {
    rt::runtime runtime(config_for(b.workers()));
    const std::uint64_t size = b.is_smoke() ? leaves / 100 : leaves;
    b.measure([&] {
        if (runtime.block_on(skynet(0, size)) != size * (size - 1) / 2) {
            b.fail("the sum is wrong");
        }
    });
}

rt::task<std::uint64_t> fib_both(std::uint32_t n) {
    if (n < 2) {
        co_return n;
    }
    rt::join_handle<std::uint64_t> first = rt::spawn(fib_both(n - 1));
    rt::join_handle<std::uint64_t> second = rt::spawn(fib_both(n - 2));
    const std::uint64_t a = co_await std::move(first);
    co_return a + co_await std::move(second);
}

rt::task<std::uint64_t> fib_one(std::uint32_t n) {
    if (n < 2) {
        co_return n;
    }
    rt::join_handle<std::uint64_t> first = rt::spawn(fib_one(n - 1));
    const std::uint64_t b = co_await fib_one(n - 2);
    co_return b + co_await std::move(first);
}

template<rt::task<std::uint64_t> (*fib)(std::uint32_t)>
void fib25(perf::bench& b) {
    rt::runtime runtime(config_for(b.workers()));
    const std::uint32_t n = b.is_smoke() ? 15 : 25;
    const std::uint64_t expected = b.is_smoke() ? 610 : 75'025;
    b.measure([&] {
        if (runtime.block_on(fib(n)) != expected) {
            b.fail("the number is wrong");
        }
    });
}

constexpr perf::row rows[] = {
    {"skynet_1m", skynet_1m, perf::needs::any_runtime},
    {"fib25_both", fib25<fib_both>, perf::needs::any_runtime},
    {"fib25_spawn_one", fib25<fib_one>, perf::needs::any_runtime},
};
const perf::table table(rows);

} // namespace
} // namespace sched

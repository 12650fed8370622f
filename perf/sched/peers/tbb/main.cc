// SPDX-License-Identifier: MIT
//
// sched-tbb: the fork-join rows of perf-sched on oneTBB, written from the same definitions. TBB has
// no coroutines: a task that waits for its children runs others on its own stack meanwhile. Its
// workers are those of an arena of as many slots, and the main thread is one of them.
#include "support/bench.h"

#include <array>
#include <cstdint>
#include <vector>

#include <tbb/global_control.h>
#include <tbb/task_arena.h>
#include <tbb/task_group.h>

namespace {

constexpr std::uint64_t leaves = 1'000'000;
constexpr std::uint32_t fan_out = 10;
constexpr std::uint32_t many = 10'000;

// The threads of a row.
struct workers {
    explicit workers(const perf::bench& b)
        : limit(tbb::global_control::max_allowed_parallelism, b.workers())
        , arena(static_cast<int>(b.workers())) {}

    tbb::global_control limit;
    tbb::task_arena arena;
};

std::uint64_t skynet(std::uint64_t first, std::uint64_t size) {
    if (size == 1) {
        return first;
    }
    std::array<std::uint64_t, fan_out> sums = {};
    tbb::task_group children;
    const std::uint64_t share = size / fan_out;
    for (std::uint32_t i = 0; i < fan_out; ++i) {
        children.run([&sums, first, share, i] { sums[i] = skynet(first + i * share, share); });
    }
    children.wait();
    std::uint64_t sum = 0;
    for (const std::uint64_t each : sums) {
        sum += each;
    }
    return sum;
}

void skynet_1m(perf::bench& b) {
    workers with(b);
    const std::uint64_t size = b.is_smoke() ? leaves / 100 : leaves;
    b.measure([&] {
        if (with.arena.execute([size] { return skynet(0, size); }) != size * (size - 1) / 2) {
            b.fail("the sum is wrong");
        }
    });
}

std::uint64_t fib_both(std::uint32_t n) {
    if (n < 2) {
        return n;
    }
    std::uint64_t first = 0;
    std::uint64_t second = 0;
    tbb::task_group children;
    children.run([&first, n] { first = fib_both(n - 1); });
    children.run([&second, n] { second = fib_both(n - 2); });
    children.wait();
    return first + second;
}

std::uint64_t fib_one(std::uint32_t n) {
    if (n < 2) {
        return n;
    }
    std::uint64_t first = 0;
    tbb::task_group child;
    child.run([&first, n] { first = fib_one(n - 1); });
    const std::uint64_t second = fib_one(n - 2);
    child.wait();
    return first + second;
}

template<std::uint64_t (*fib)(std::uint32_t)>
void fib25(perf::bench& b) {
    workers with(b);
    const std::uint32_t n = b.is_smoke() ? 15 : 25;
    const std::uint64_t expected = b.is_smoke() ? 610 : 75'025;
    b.measure([&] {
        if (with.arena.execute([n] { return fib(n); }) != expected) {
            b.fail("the number is wrong");
        }
    });
}

void spawn_join_from_worker(perf::bench& b) {
    workers with(b);
    b.measure([&] {
        with.arena.execute([] {
            tbb::task_group children;
            for (std::uint32_t i = 0; i < many; ++i) {
                children.run([] {});
            }
            children.wait();
        });
    });
}

constexpr perf::row rows[] = {
    {"skynet_1m", skynet_1m},
    {"fib25_both", fib25<fib_both>},
    {"fib25_spawn_one", fib25<fib_one>},
    {"spawn_join_from_worker", spawn_join_from_worker},
};

} // namespace

int main(int argc, char** argv) {
    return perf::run_rows(argc, argv, rows);
}

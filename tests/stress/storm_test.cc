// SPDX-License-Identifier: MIT
//
// Storms: everything a task can do, at random, for a bounded time, with counts that must come out
// even.
//
// Each member of a storm draws from a seed of its own what it does next: spawn and join, spawn and
// leave, abort, time out, sleep, yield, wait at a gate that somebody else opens, throw, call
// blocking code. Nothing is asserted about the order. At the end every object must be gone, every
// task that was joined must have told the truth, and the runtime must shut down. The seed is
// printed; RT_STRESS_SEED repeats it (the decisions, not the interleaving), RT_STRESS_SECONDS lasts
// longer, and with RT_STRESS_ROOTS more trees grow at once, so that no worker sleeps. So is the
// number of operations: a spawn, join, abort, yield, sleep, timeout, wait, opening or blocking call
// counts as one each.
#include "base/random.h"
#include "memory/frame_pool.h"
#include "stress/seed.h"
#include "support/test.h"
#include "task/gate.h"

#include <rt/blocking.h>
#include <rt/detail/atomic.h>
#include <rt/runtime.h>
#include <rt/spawn.h>
#include <rt/time.h>
#include <rt/yield.h>

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <stdexcept>
#include <thread>
#include <vector>

namespace {

using namespace std::chrono_literals;
using rt::task;
using rt::base::random_source;
using rt::test::census;
using rt::test::gate;
using rt::test::member;
using rt::test::with_workers;

TestSuite(storm, .timeout = 120);

struct planned : std::runtime_error {
    planned()
        : std::runtime_error("as planned") {}
};

struct totals {
    census objects;
    rt::atomic<std::uint64_t> operations{0};
    rt::atomic<std::uint64_t> begun{0};
    rt::atomic<std::uint64_t> joined{0};
    rt::atomic<std::uint64_t> cancelled{0};
    rt::atomic<std::uint64_t> thrown{0};
    rt::atomic<std::uint64_t> timed_out{0};
    rt::clock::time_point end;

    [[nodiscard]] bool is_over() const { return rt::clock::now() >= end; }
    void count(std::uint64_t more = 1) { operations.add_relaxed(more); }
};

constexpr std::uint32_t depth_max = 4;

task<std::uint64_t> act(totals* all, std::uint64_t seed, std::uint32_t depth, member owned);

// Joins, and checks the answer: a task returns its seed.
task<void> join_checked(totals* all, rt::join_handle<std::uint64_t> child, std::uint64_t seed) {
    all->count();
    try {
        cr_assert_eq(co_await std::move(child), seed);
        all->joined.add_relaxed(1);
    } catch (const planned&) {
        all->thrown.add_relaxed(1);
    } catch (const rt::join_error&) {
        all->cancelled.add_relaxed(1);
    }
}

task<void> spawn_and_join(totals* all, random_source* random, std::uint32_t depth) {
    std::vector<rt::join_handle<std::uint64_t>> children;
    std::vector<std::uint64_t> seeds;
    for (std::uint32_t count = random->below(4) + 1; count != 0; --count) {
        seeds.push_back(random->next());
        children.push_back(rt::spawn(act, all, seeds.back(), depth + 1, member(all->objects)));
    }
    all->count(children.size());
    for (std::size_t i = 0; i < children.size(); ++i) {
        if (random->below(4) == 0) {
            all->count();
            children[i].abort();
        }
        if (random->below(8) == 0) {
            children[i].detach();
            continue;
        }
        co_await join_checked(all, std::move(children[i]), seeds[i]);
    }
}

task<std::uint64_t> wait_at(totals* all, std::shared_ptr<gate> at, member /*owned*/) {
    all->count();
    co_await at->wait();
    co_return 0;
}

task<std::uint64_t> open_gate(std::shared_ptr<gate> at) {
    at->open();
    co_return 0;
}

// Lets the waiter go even if the one that owns this is cancelled: destructors wake tasks, too.
struct opens_at_the_end {
    std::shared_ptr<gate> at;
    ~opens_at_the_end() { at->open(); }
};

// A child waits at a gate; it is let through, aborted, or both at once.
task<void> gate_race(totals* all, random_source* random) {
    const opens_at_the_end owner{std::make_shared<gate>()};
    auto child = rt::spawn(wait_at, all, owner.at, member(all->objects));
    all->count(2); // the spawn and the opening
    const std::uint32_t what = random->below(4);
    if (random->below(2) == 0) {
        all->count();
        co_await rt::yield();
    }
    all->count(what == 3 ? 0 : 1); // the abort
    if (what == 0) {
        child.abort();
        owner.at->open();
    } else if (what == 1) {
        owner.at->open();
        child.abort();
    } else if (what == 2) {
        auto opener = rt::spawn(open_gate, owner.at);
        all->count();
        child.abort();
        co_await join_checked(all, std::move(opener), 0);
    } else {
        owner.at->open();
    }
    co_await join_checked(all, std::move(child), 0);
}

task<std::uint64_t> sleep_long(member /*owned*/) {
    co_await rt::sleep(1h);
    co_return 0;
}

task<std::uint64_t> nested_timeouts(totals* all, std::uint64_t a_us, std::uint64_t b_us) {
    all->count(2); // a timeout and its sleep
    const auto inner =
        co_await rt::timeout(std::chrono::microseconds(a_us), sleep_long(member(all->objects)));
    if (!inner) {
        all->timed_out.add_relaxed(1);
    }
    all->count(2);
    const auto second =
        co_await rt::timeout(std::chrono::microseconds(b_us), sleep_long(member(all->objects)));
    co_return second ? 1 : 0;
}

task<void> time_out(totals* all, random_source* random) {
    const std::chrono::microseconds limit(random->below(3000));
    all->count();
    const auto got =
        co_await rt::timeout(limit, nested_timeouts(all, random->below(3000), random->below(3000)));
    if (!got) {
        all->timed_out.add_relaxed(1);
    }
}

task<void> act_once(totals* all, random_source* random, std::uint32_t depth) {
    const std::uint32_t dice = random->below(100);
    if (dice < 35) {
        if (depth < depth_max) {
            co_await spawn_and_join(all, random, depth);
        }
    } else if (dice < 55) {
        all->count();
        co_await rt::yield();
    } else if (dice < 70) {
        co_await gate_race(all, random);
    } else if (dice < 80) {
        co_await time_out(all, random);
    } else if (dice < 90) {
        all->count();
        co_await rt::sleep(std::chrono::microseconds(random->below(2000)));
    } else if (dice < 92) {
        all->count();
        co_await rt::blocking([] { std::this_thread::yield(); });
    } else {
        const std::vector<int> work(random->below(1000)); // some turns are longer
    }
}

task<std::uint64_t> act(totals* all, std::uint64_t seed, std::uint32_t depth, member owned) {
    all->begun.add_relaxed(1);
    random_source random(seed);
    const member local(owned);
    for (std::uint32_t count = random.below(6); count != 0 && !all->is_over(); --count) {
        co_await act_once(all, &random, depth);
    }
    if (random.below(50) == 0 && depth > 1) {
        throw planned();
    }
    co_return seed;
}

// One of the storm's roots: starts a tree again and again.
task<void> blow(totals* all, std::uint64_t seed) {
    random_source random(seed);
    while (!all->is_over()) {
        const std::uint64_t next = random.next();
        all->count();
        auto tree = rt::spawn(act, all, next, 0U, member(all->objects));
        co_await join_checked(all, std::move(tree), next);
    }
}

std::uint64_t roots() {
    return rt::test::number_from_environment("RT_STRESS_ROOTS", 8);
}

task<void> blow_from_many(totals* all, std::uint64_t seed, std::uint64_t roots) {
    std::vector<rt::join_handle<void>> children;
    for (std::uint64_t i = 0; i < roots; ++i) {
        children.push_back(rt::spawn(blow, all, seed + i));
    }
    for (auto& each : children) {
        co_await std::move(each);
    }
}

void expect_balance(const totals& all) {
    cr_assert_eq(
        all.objects.live.load_acquire(), 0, "%ld objects are left", all.objects.live.load_acquire()
    );
    cr_assert(all.begun.load_relaxed() > 0);
    cr_assert(all.joined.load_relaxed() > 0);
}

void storm(std::uint32_t workers, rt::driver_kind driver) {
    const std::uint64_t seed = rt::test::stress_seed("storm");
    totals all;
    all.end = rt::clock::now() + rt::test::stress_time(1s);
    {
        rt::runtime runtime(with_workers(workers, driver));
        runtime.block_on(blow_from_many(&all, seed, roots()));
    }
    expect_balance(all);
    rt::test::report_operations("storm", all.operations.load_relaxed());
}

} // namespace

Test(storm, on_current_thread) {
    storm(0, rt::driver_kind::automatic);
}
Test(storm, on_one_worker) {
    storm(1, rt::driver_kind::automatic);
}
Test(storm, on_two_workers) {
    storm(2, rt::driver_kind::automatic);
    storm(2, rt::driver_kind::epoll);
}
Test(storm, on_four_workers) {
    storm(4, rt::driver_kind::automatic);
    storm(4, rt::driver_kind::epoll);
}
Test(storm, on_eight_workers) {
    storm(8, rt::driver_kind::automatic);
}

// The same, cut off in the middle: the runtime is destroyed while the storm blows.
Test(storm, b083_is_cut_off_and_leaves_nothing) {
    const std::uint64_t seed = rt::test::stress_seed("storm, cut off");
    random_source random(seed);
    const rt::clock::time_point end = rt::clock::now() + rt::test::stress_time(3s);
    std::uint64_t operations = 0;
    for (std::uint64_t round = 0; rt::clock::now() < end; ++round) {
        totals all;
        all.end = rt::clock::now() + 1h;
        {
            rt::runtime runtime(with_workers(random.below(5)));
            for (std::uint64_t i = 0; i < 4; ++i) {
                runtime.get_handle().spawn(blow(&all, seed + 100 * round + i)).detach();
            }
            runtime.block_on([](std::uint32_t us) -> task<void> {
                co_await rt::sleep(std::chrono::microseconds(us));
            }(random.below(5000)));
        }
        cr_assert_eq(
            all.objects.live.load_acquire(), 0, "round %llu", static_cast<unsigned long long>(round)
        );
        operations += all.operations.load_relaxed();
    }
    rt::test::report_operations("storm, cut off", operations);
}

// Memory: what a storm used once is enough for the next.
Test(storm, grows_no_memory_from_round_to_round) {
    const std::uint64_t seed = rt::test::stress_seed("storm, memory");
    rt::runtime runtime(with_workers(2));
    std::uint64_t warm = 0;
    for (int round = 0; round < 6; ++round) {
        totals all;
        all.end = rt::clock::now() + rt::test::stress_time(300ms);
        runtime.block_on(blow_from_many(&all, seed, roots()));
        while (all.objects.live.load_acquire() != 0) {
            std::this_thread::yield(); // detached tasks go on, with `all` in their hands
        }
        rt::test::report_operations("storm, memory", all.operations.load_relaxed());
        if (round == 2) {
            warm = rt::memory::counters().chunks;
        }
    }
    if (!rt::detail::frames_from_malloc) {
        cr_assert_leq(rt::memory::counters().chunks, warm + 8);
    }
}

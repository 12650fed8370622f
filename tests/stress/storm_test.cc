// SPDX-License-Identifier: MIT
//
// Storms: everything a task can do, at random, for a bounded time or number of operations, with
// counts that must come out even.
//
// Each member of a storm draws from a seed of its own what it does next: spawn and join, spawn and
// leave, abort, time out, sleep, yield, wait at a gate that somebody else opens, throw, call
// blocking code, or meet others at a lock or a channel (lock_storm.cc, channel_storm.cc,
// group_storm.cc). Members abort one another at any moment. Nothing is asserted about the order. At
// the end every object must be gone, every task that was joined must have told the truth, every
// count must be even, and the runtime must shut down; a storm that does not come to its end is
// killed by the time limit of the test (--timeout). The seed is printed, and so is what was done:
// storm.h says what counts as an operation. RT_STRESS_SEED repeats the decisions (not the
// interleaving); see seed.h for the size.
#include "base/random.h"
#include "memory/frame_pool.h"
#include "stress/seed.h"
#include "stress/storm.h"
#include "support/test.h"
#include "task/gate.h"

#include <rt/blocking.h>
#include <rt/detail/atomic.h>
#include <rt/runtime.h>
#include <rt/spawn.h>
#include <rt/time.h>
#include <rt/yield.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <memory>
#include <span>
#include <thread>
#include <vector>

namespace {

using namespace std::chrono_literals;
using rt::task;
using rt::base::random_source;
using rt::test::actor;
using rt::test::gate;
using rt::test::joined;
using rt::test::planned;
using rt::test::token;
using rt::test::totals;
using rt::test::with_workers;

constexpr std::uint32_t depth_max = 4;

// What an actor may do, and how often it does beside the others.
struct action {
    std::uint32_t weight;
    task<void> (*run)(actor* self);
};
using mix = std::span<const action>;

task<std::uint64_t> act_deeper(totals* all, std::uint64_t seed, std::uint32_t depth, token owned);

// Part of the tree: children that do the same as their parent, as long as they are not too deep.
task<void> spawn_and_join(actor* self) {
    if (self->depth >= depth_max) {
        co_return;
    }
    co_await rt::test::race(
        self,
        [all = self->all, depth = self->depth](std::uint32_t /*index*/, std::uint64_t seed) {
            return rt::spawn(act_deeper, all, seed, depth + 1, token(all));
        }
    );
}

task<std::uint64_t> yield_and_return(token /*owned*/, std::uint64_t seed) {
    if (seed % 2 == 0) {
        co_await rt::yield();
    }
    co_return seed;
}

// Small tasks, one at a time: what most programs do most.
task<void> spawn_leaves(actor* self) {
    for (std::uint32_t left = 1 + self->random.below(8); left != 0; --left) {
        const std::uint64_t seed = self->random.next();
        auto child = rt::spawn(yield_and_return, token(self->all), seed);
        self->count();
        if (self->one_in(16)) {
            self->count();
            child.abort();
        }
        co_await joined(self, child, seed);
    }
}

task<void> yield_some(actor* self) {
    for (std::uint32_t left = 1 + self->random.below(16); left != 0; --left) {
        self->count();
        co_await rt::yield();
    }
}

task<std::uint64_t> wait_at(std::shared_ptr<gate> at, token /*owned*/) {
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
task<void> gate_race(actor* self) {
    const opens_at_the_end owner{std::make_shared<gate>()};
    auto child = rt::spawn(wait_at, owner.at, token(self->all));
    self->count(2); // the spawn and the opening
    const std::uint32_t what = self->random.below(4);
    if (self->one_in(2)) {
        self->count();
        co_await rt::yield();
    }
    self->count(what == 3 ? 0 : 1); // the abort
    if (what == 0) {
        child.abort();
        owner.at->open();
    } else if (what == 1) {
        owner.at->open();
        child.abort();
    } else if (what == 2) {
        auto opener = rt::spawn(open_gate, owner.at);
        self->count();
        child.abort();
        co_await joined(self, opener, 0);
    } else {
        owner.at->open();
    }
    co_await joined(self, child, 0);
}

task<std::uint64_t> sleep_long(token /*owned*/) {
    co_await rt::sleep(1h);
    co_return 0;
}

task<std::uint64_t> nested_timeouts(actor* self, std::uint64_t a_us, std::uint64_t b_us) {
    self->count(2); // a timeout and its sleep
    const auto inner =
        co_await rt::timeout(std::chrono::microseconds(a_us), sleep_long(token(self->all)));
    self->count(2);
    const auto second =
        co_await rt::timeout(std::chrono::microseconds(b_us), sleep_long(token(self->all)));
    co_return inner || second ? 1 : 0;
}

task<void> time_out(actor* self) {
    const std::chrono::microseconds limit(self->random.below(3000));
    self->count();
    const auto got = co_await rt::timeout(
        limit, nested_timeouts(self, self->random.below(3000), self->random.below(3000))
    );
    cr_assert(!got || *got == 0);
}

task<void> sleep_some(actor* self) {
    self->count();
    co_await rt::sleep(std::chrono::microseconds(self->random.below(2000)));
}

task<void> block(actor* self) {
    self->count();
    co_await rt::blocking([] { std::this_thread::yield(); });
}

// Some turns are longer.
task<void> work(actor* self) {
    for (std::uint32_t left = self->random.below(1000); left != 0; --left) {
        static_cast<void>(self->random.next());
    }
    co_return;
}

constexpr std::array all_parts{
    action{14, &spawn_and_join},
    action{12, &spawn_leaves},
    action{12, &yield_some},
    action{6, &gate_race},
    action{3, &time_out},
    action{2, &sleep_some},
    action{1, &block},
    action{2, &work},
    action{6, &rt::test::mutex_storm},
    action{6, &rt::test::semaphore_storm},
    action{5, &rt::test::rwlock_storm},
    action{6, &rt::test::notify_storm},
    action{4, &rt::test::oneshot_storm},
    action{6, &rt::test::mpsc_storm},
    action{5, &rt::test::unbounded_storm},
    action{3, &rt::test::broadcast_storm},
    action{3, &rt::test::watch_storm},
    action{3, &rt::test::join_set_storm},
    action{3, &rt::test::select_storm},
    action{2, &rt::test::scope_storm},
};
constexpr mix everything{all_parts};

task<void> act_once(mix actions, actor* self) {
    std::uint32_t sum = 0;
    for (const action& each : actions) {
        sum += each.weight;
    }
    std::uint32_t dice = self->random.below(sum);
    for (const action& each : actions) {
        if (dice < each.weight) {
            return each.run(self);
        }
        dice -= each.weight;
    }
    return {};
}

task<std::uint64_t>
act(totals* all, mix actions, std::uint64_t seed, std::uint32_t depth, token /*owned*/) {
    actor self(all, seed, depth);
    const token local(all);
    for (std::uint32_t count = self.random.below(6); count != 0; --count) {
        if (all->is_over.load_relaxed()) {
            break;
        }
        co_await act_once(actions, &self);
    }
    if (depth > 1 && self.one_in(200)) {
        throw planned();
    }
    co_return seed;
}

task<std::uint64_t> act_deeper(totals* all, std::uint64_t seed, std::uint32_t depth, token owned) {
    return act(all, everything, seed, depth, std::move(owned));
}

// One of the storm's roots: starts a tree again and again.
task<void> blow(totals* all, mix actions, std::uint64_t seed) {
    random_source random(seed);
    while (!all->is_over.load_relaxed()) {
        actor self(all, random.next(), 0);
        const std::uint64_t next = random.next();
        auto tree = rt::spawn(act, all, actions, next, 0U, token(all));
        self.count();
        co_await joined(&self, tree, next);
    }
}

task<void> end_after(totals* all, std::chrono::nanoseconds limit) {
    co_await rt::sleep(limit);
    all->is_over.store_relaxed(true);
}

task<void>
blow_from_many(totals* all, mix actions, std::uint64_t seed, std::chrono::nanoseconds limit) {
    auto clock = rt::spawn(end_after, all, limit);
    std::vector<rt::join_handle<void>> children;
    for (std::uint64_t i = 0; i < rt::test::stress_roots(); ++i) {
        children.push_back(rt::spawn(blow, all, actions, seed + i));
    }
    for (auto& each : children) {
        co_await std::move(each);
    }
    clock.abort();
    try {
        co_await std::move(clock);
    } catch (const rt::join_error&) { // as a rule
    }
}

void expect_balance(const totals& all) {
    const auto left = static_cast<long>(all.tokens.load_acquire());
    cr_assert_eq(left, 0, "%ld objects are left", left);
    cr_assert(all.joined.load_relaxed() > 0);
}

void storm(
    const char* name,
    std::uint32_t workers,
    rt::driver_kind driver,
    mix actions = everything,
    std::chrono::nanoseconds limit = 1s
) {
    const std::uint64_t seed = rt::test::stress_seed(name);
    const rt::clock::time_point start = rt::clock::now();
    totals all;
    all.operations_wanted = rt::test::stress_operations();
    {
        rt::runtime runtime(with_workers(workers, driver));
        runtime.block_on(blow_from_many(&all, actions, seed, rt::test::storm_time(limit)));
    }
    expect_balance(all);
    rt::test::report_operations(name, all.operations.load_relaxed(), rt::clock::now() - start);
}

// One part of the mix alone, which meets its own races more often.
void storm_of(const char* name, task<void> (*part)(actor* self)) {
    const std::array alone{action{9, part}, action{1, &yield_some}};
    storm(name, 2, rt::driver_kind::automatic, alone, 200ms);
}

} // namespace

Test(storm, on_current_thread) {
    storm("storm, 0 workers", 0, rt::driver_kind::automatic);
    storm("storm, 0 workers, epoll", 0, rt::driver_kind::epoll);
}
Test(storm, on_one_worker) {
    storm("storm, 1 worker", 1, rt::driver_kind::automatic);
    storm("storm, 1 worker, epoll", 1, rt::driver_kind::epoll);
}
Test(storm, on_two_workers) {
    storm("storm, 2 workers", 2, rt::driver_kind::automatic);
    storm("storm, 2 workers, epoll", 2, rt::driver_kind::epoll);
}
Test(storm, on_four_workers) {
    storm("storm, 4 workers", 4, rt::driver_kind::automatic);
    storm("storm, 4 workers, epoll", 4, rt::driver_kind::epoll);
}
Test(storm, on_eight_workers) {
    storm("storm, 8 workers", 8, rt::driver_kind::automatic);
    storm("storm, 8 workers, epoll", 8, rt::driver_kind::epoll);
}

Test(storm, of_mutexes) {
    storm_of("storm of mutexes", &rt::test::mutex_storm);
}
Test(storm, of_semaphores) {
    storm_of("storm of semaphores", &rt::test::semaphore_storm);
}
Test(storm, of_rwlocks) {
    storm_of("storm of rwlocks", &rt::test::rwlock_storm);
}
Test(storm, of_notifications) {
    storm_of("storm of notifications", &rt::test::notify_storm);
}
Test(storm, of_oneshots) {
    storm_of("storm of oneshots", &rt::test::oneshot_storm);
}
Test(storm, of_bounded_channels) {
    storm_of("storm of bounded channels", &rt::test::mpsc_storm);
}
Test(storm, of_unbounded_channels) {
    storm_of("storm of unbounded channels", &rt::test::unbounded_storm);
}
Test(storm, of_broadcasts) {
    storm_of("storm of broadcasts", &rt::test::broadcast_storm);
}
Test(storm, of_watches) {
    storm_of("storm of watches", &rt::test::watch_storm);
}
Test(storm, of_join_sets) {
    storm_of("storm of join sets", &rt::test::join_set_storm);
}
Test(storm, of_selects) {
    storm_of("storm of selects", &rt::test::select_storm);
}
Test(storm, of_scopes) {
    storm_of("storm of scopes", &rt::test::scope_storm);
}

// The same, cut off in the middle: the runtime is destroyed while the storm blows.
Test(storm, b083_is_cut_off_and_leaves_nothing) {
    const std::uint64_t seed = rt::test::stress_seed("storm, cut off");
    random_source random(seed);
    const rt::clock::time_point start = rt::clock::now();
    const rt::clock::time_point end = start + rt::test::storm_time(3s);
    const std::uint64_t wanted = rt::test::stress_operations();
    std::uint64_t operations = 0;
    for (std::uint64_t round = 0; rt::clock::now() < end && operations < wanted; ++round) {
        totals all;
        all.is_cut_off = true;
        {
            rt::runtime runtime(with_workers(random.below(5)));
            for (std::uint64_t i = 0; i < 4; ++i) {
                runtime.get_handle().spawn(blow(&all, everything, seed + 100 * round + i)).detach();
            }
            runtime.block_on([](std::uint32_t us) -> task<void> {
                co_await rt::sleep(std::chrono::microseconds(us));
            }(random.below(5000)));
        }
        cr_assert_eq(
            all.tokens.load_acquire(), 0, "round %llu", static_cast<unsigned long long>(round)
        );
        operations += all.operations.load_relaxed();
    }
    rt::test::report_operations("storm, cut off", operations, rt::clock::now() - start);
}

// Memory: what a storm used once is enough for the next.
Test(storm, grows_no_memory_from_round_to_round) {
    const std::uint64_t seed = rt::test::stress_seed("storm, memory");
    rt::runtime runtime(with_workers(2));
    std::uint64_t warm = 0;
    for (int round = 0; round < 6; ++round) {
        const rt::clock::time_point start = rt::clock::now();
        totals all;
        all.operations_wanted = rt::test::stress_operations();
        runtime.block_on(blow_from_many(&all, everything, seed, rt::test::storm_time(300ms)));
        while (all.tokens.load_acquire() != 0) {
            std::this_thread::yield(); // detached tasks go on, with `all` in their hands
        }
        const std::uint64_t done = all.operations.load_relaxed();
        rt::test::report_operations("storm, memory", done, rt::clock::now() - start);
        if (round == 2) {
            warm = rt::memory::counters().chunks;
        }
    }
    if (!rt::detail::frames_from_malloc) {
        cr_assert_leq(rt::memory::counters().chunks, warm + 8);
    }
}

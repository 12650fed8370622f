// SPDX-License-Identifier: MIT
//
// Members of a join set that are bound to a worker: where they run, where they die, and that they
// are joined like all others.
#include "base/captured.h"
#include "support/test.h"
#include "task/gate.h"

#include <rt/detail/atomic.h>
#include <rt/join_set.h>
#include <rt/runtime.h>
#include <rt/spawn_on.h>
#include <rt/time.h>
#include <rt/yield.h>

#include <chrono>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
using rt::task;
using rt::test::everywhere;
using rt::test::gate;

// How many turns of `rounds` were on another worker than `wanted`.
task<int> strays(std::uint32_t wanted, int rounds) {
    int astray = 0;
    for (int i = 0; i < rounds; ++i) {
        astray += rt::worker_index() == wanted ? 0 : 1;
        if (i % 5 == 0) {
            co_await rt::sleep(1ms);
        } else {
            co_await rt::yield();
        }
    }
    co_return astray;
}

task<int> strays_from_here(int rounds) {
    return strays(rt::worker_index().value_or(UINT32_MAX), rounds);
}

task<int> anything() {
    co_return 0;
}

task<int> sum(rt::join_set<int> set) {
    int total = 0;
    while (auto ended = co_await set.join_next()) {
        total += ended.take();
    }
    co_return total;
}

// Notes where it was destroyed.
struct witness {
    witness(std::uint32_t index, rt::atomic<int>* wrong, rt::atomic<int>* total)
        : worker(index)
        , astray(wrong)
        , destroyed(total) {}
    witness(witness&& other) noexcept
        : worker(other.worker)
        , astray(std::exchange(other.astray, nullptr))
        , destroyed(other.destroyed) {}
    ~witness() {
        if (astray != nullptr) {
            astray->add_acq_rel(rt::worker_index() == worker ? 0 : 1);
            destroyed->add_acq_rel(1);
        }
    }
    std::uint32_t worker;
    rt::atomic<int>* astray;
    rt::atomic<int>* destroyed;
};

task<void> waits(gate* at, witness /*owned*/) {
    co_await at->wait();
}

// Runs where its parent's children are bound: a task with one local child.
task<int> has_a_local_child() {
    rt::join_set<int> own;
    own.spawn_local(strays_from_here, 3);
    const std::vector<int> values = co_await own.join_all();
    co_return values.at(0);
}

} // namespace

Test(join_set_bound, b133_members_stay_on_their_worker) {
    everywhere([](rt::runtime& runtime) {
        const int astray = runtime.block_on([](std::uint32_t workers) -> task<int> {
            rt::join_set<int> set;
            for (std::uint32_t i = 0; i < 4 * workers; ++i) {
                set.spawn_on(i % workers, strays, i % workers, 10);
                set.spawn_on(i % workers, {.name = "named"}, strays, i % workers, 10);
                set.spawn(anything);
            }
            co_return co_await sum(std::move(set));
        }(runtime.worker_count()));
        cr_assert_eq(astray, 0);
    });
}

Test(join_set_bound, b133_local_members_stay_where_they_were_spawned) {
    everywhere([](rt::runtime& runtime) {
        const int astray = runtime.block_on([]() -> task<int> {
            rt::join_set<int> set;
            for (int i = 0; i < 20; ++i) {
                const std::uint32_t here = *rt::worker_index();
                set.spawn_local(strays, here, 10);
                set.spawn_local({.name = "named"}, strays, here, 10);
                set.spawn_local(strays(here, 10));
                co_await rt::yield();
            }
            co_return co_await sum(std::move(set));
        }());
        cr_assert_eq(astray, 0);
    });
}

Test(join_set_bound, b140_many_tasks_each_with_a_local_child_are_joined_by_join_all) {
    everywhere([](rt::runtime& runtime) {
        const auto all = runtime.block_on([]() -> task<std::vector<int>> {
            rt::join_set<int> set;
            for (int i = 0; i < 128; ++i) {
                set.spawn(has_a_local_child);
            }
            co_return co_await set.join_all();
        }());
        cr_assert_eq(all.size(), 128U);
        cr_assert(all == std::vector<int>(128, 0));
    });
}

Test(join_set_bound, b133_dropping_the_set_destroys_them_on_their_worker) {
    everywhere([](rt::runtime& runtime) {
        rt::atomic<int> astray{0};
        rt::atomic<int> destroyed{0};
        gate never;
        const auto workers = static_cast<int>(runtime.worker_count());
        runtime.block_on([](int count, gate* at, auto* wrong, auto* total) -> task<void> {
            {
                rt::join_set<void> set;
                for (int i = 0; i < 3 * count; ++i) {
                    const auto worker = static_cast<std::uint32_t>(i % count);
                    set.spawn_on(worker, waits, at, witness(worker, wrong, total));
                }
                while (at->waiting() < static_cast<std::size_t>(count)) {
                    co_await rt::yield();
                }
            }
            while (total->load_acquire() != 3 * count) {
                co_await rt::yield();
            }
        }(workers, &never, &astray, &destroyed));
        cr_assert_eq(astray.load_acquire(), 0);
    });
}

Test(join_set_bound, a_worker_that_does_not_exist_and_a_thread_that_is_none_abort_with_advice) {
    const auto beyond = rt::test::capture([] {
        rt::runtime runtime(rt::test::exactly(2));
        runtime.block_on([]() -> task<void> {
            rt::join_set<int> set;
            set.spawn_on(2, anything);
            co_return;
        }());
    });
    cr_assert(beyond.was_aborted(), "%s", beyond.text.c_str());
    cr_assert(beyond.says("spawn_on worker 2"), "%s", beyond.text.c_str());
    const auto outside = rt::test::capture([] {
        rt::join_set<int> set;
        set.spawn_local(anything);
    });
    cr_assert(outside.was_aborted(), "%s", outside.text.c_str());
    cr_assert(outside.says("rt::spawn_local outside a worker"), "%s", outside.text.c_str());
}

// SPDX-License-Identifier: MIT
//
// Ids of tasks: who has which, and that none is given twice.
//
// Threads take ids from the process in blocks. So what matters is not only that threads spawn at
// the same time, but also that one does as a guest of one runtime, as a worker of another and as
// what it was before, in turns.
#include "support/test.h"
#include "task/gate.h"

#include <rt/block_in_place.h>
#include <rt/blocking.h>
#include <rt/runtime.h>
#include <rt/spawn.h>
#include <rt/task.h>
#include <rt/yield.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <set>
#include <thread>
#include <utility>
#include <vector>

namespace {

using rt::task;
using rt::test::everywhere;
using rt::test::gate;
using rt::test::with_workers;

task<void> nothing() {
    co_return;
}

task<std::uint64_t> own_id() {
    co_await rt::yield();
    co_return rt::detail::this_thread.task->id.load_relaxed();
}

task<bool> knows_its_id() {
    auto child = rt::spawn(own_id);
    const std::uint64_t id = child.id();
    co_return co_await std::move(child) == id&& id != 0;
}

task<std::vector<std::uint64_t>> ids_of_children(int count) {
    std::vector<std::uint64_t> ids;
    for (int i = 0; i < count; ++i) {
        auto child = rt::spawn(nothing);
        ids.push_back(child.id());
        child.detach();
    }
    co_return ids;
}

} // namespace

Test(task_id, b118_the_id_of_a_task_is_that_of_its_handle) {
    everywhere([](rt::runtime& runtime) { cr_assert(runtime.block_on(knows_its_id())); });
}

namespace {

// Notes the id that is current when it is destroyed.
class notes_id {
public:
    explicit notes_id(std::optional<std::uint64_t>* into) noexcept
        : into_(into) {}
    notes_id(notes_id&& other) noexcept
        : into_(std::exchange(other.into_, nullptr)) {}
    ~notes_id() {
        if (into_ != nullptr) {
            *into_ = rt::current_task_id();
        }
    }

private:
    std::optional<std::uint64_t>* into_;
};

task<void> never_ends(notes_id /*owned*/, gate* never) {
    co_await never->wait();
}

task<void> asks_everywhere() {
    rt::join_handle<std::optional<std::uint64_t>> child =
        rt::spawn([]() -> task<std::optional<std::uint64_t>> {
            co_await rt::yield();
            co_return rt::current_task_id();
        });
    const std::uint64_t of_child = child.id();
    const std::optional<std::uint64_t> own = rt::current_task_id();
    cr_assert(co_await std::move(child) == of_child);
    cr_assert(own.has_value() && own != of_child);
    cr_assert(rt::current_task_id() == own, "also after a child that ran inside of this turn");
    cr_assert(!co_await rt::blocking([] { return rt::current_task_id(); }));

    gate never;
    std::optional<std::uint64_t> at_the_end;
    auto aborted = rt::spawn(never_ends, notes_id(&at_the_end), &never);
    const std::uint64_t of_aborted = aborted.id();
    while (never.waiting() == 0) {
        co_await rt::yield();
    }
    aborted.abort();
    try {
        co_await std::move(aborted);
    } catch (const rt::join_error&) {
        cr_assert(at_the_end == of_aborted);
        co_return;
    }
    cr_assert(false, "it was aborted");
}

} // namespace

Test(task_id, b118_current_task_id_is_that_of_the_handle) {
    everywhere([](rt::runtime& runtime) { runtime.block_on(asks_everywhere()); });
}

Test(task_id, b121_there_is_no_current_task_id_outside_of_a_task) {
    cr_assert(!rt::current_task_id());
    rt::runtime runtime(with_workers(2));
    const auto inside = runtime.get_handle().enter();
    cr_assert(!rt::current_task_id());
    runtime.block_on([]() -> task<void> {
        const std::optional<std::uint64_t> own = rt::current_task_id();
        rt::block_in_place([&] {
            cr_assert(rt::current_task_id() == own);
            rt::handle::current().block_on([](std::uint64_t outer) -> task<void> {
                cr_assert(rt::current_task_id() && rt::current_task_id() != outer);
                co_return;
            }(*own));
            cr_assert(rt::current_task_id() == own);
        });
        cr_assert(rt::current_task_id() == own);
        co_return;
    }());
}

Test(task_id, b118_ids_are_unique_over_threads_and_runtimes) {
    constexpr int threads = 4;
    constexpr int per_thread = 3000; // several blocks of ids for each thread
    rt::runtime first(with_workers(2));
    rt::runtime second(with_workers(1));
    std::vector<std::vector<std::uint64_t>> seen(threads + 2);
    std::vector<std::thread> spawners;
    for (int t = 0; t < threads; ++t) {
        spawners.emplace_back([&, t] {
            const rt::handle onto = (t % 2 == 0 ? first : second).get_handle();
            for (int i = 0; i < per_thread; ++i) {
                rt::join_handle<void> child = onto.spawn(nothing());
                seen[static_cast<std::size_t>(t)].push_back(child.id());
            }
        });
    }
    seen[threads] = first.block_on(ids_of_children(per_thread));
    seen[threads + 1] = second.block_on(ids_of_children(per_thread));
    for (std::thread& each : spawners) {
        each.join();
    }
    std::set<std::uint64_t> all;
    for (const auto& ids : seen) {
        all.insert(ids.begin(), ids.end());
    }
    cr_assert_eq(all.size(), static_cast<std::size_t>((threads + 2) * per_thread));
    cr_assert(!all.contains(0));
}

namespace {

void add_children_to(std::vector<std::uint64_t>& seen, const rt::handle& onto) {
    for (int i = 0; i < 3; ++i) {
        auto child = onto.spawn(nothing());
        seen.push_back(child.id());
        child.detach();
    }
}

// A thread that is a guest, the only worker, and the worker of another runtime in between.
task<void> spawn_around_a_block_in_place(std::vector<std::uint64_t>* seen) {
    const rt::handle here = rt::handle::current();
    add_children_to(*seen, here);
    rt::block_in_place([&] {
        add_children_to(*seen, here);
        for (const std::uint64_t id : rt::block_on(with_workers(0), ids_of_children(3))) {
            seen->push_back(id);
        }
        add_children_to(*seen, here);
    });
    add_children_to(*seen, here);
    co_return;
}

} // namespace

Test(task_id, b118_ids_stay_unique_when_a_thread_changes_its_runtime) {
    std::vector<std::uint64_t> seen;
    rt::runtime other(with_workers(1));
    rt::runtime own(with_workers(0));
    for (int round = 0; round < 3; ++round) {
        add_children_to(seen, other.get_handle());
        for (const std::uint64_t id : own.block_on(ids_of_children(3))) {
            seen.push_back(id);
        }
        other.block_on(spawn_around_a_block_in_place(&seen));
    }
    cr_assert_eq(std::set<std::uint64_t>(seen.begin(), seen.end()).size(), seen.size());
}

// SPDX-License-Identifier: MIT
//
// Bad input to the runtime itself, one test for each kind: what a program may get wrong has a
// result that the manual names. What aborts with advice beside this: tests/task/context_test.cc,
// tests/runtime/enter_test.cc; hooks that throw: hooks_test.cc.
#include "base/captured.h"
#include "support/test.h"
#include "task/gate.h"

#include <rt/blocking.h>
#include <rt/detail/atomic.h>
#include <rt/detail/context.h>
#include <rt/detail/header.h>
#include <rt/runtime.h>
#include <rt/spawn.h>
#include <rt/spawn_blocking.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
using rt::task;
using rt::test::capture;
using rt::test::captured;
using rt::test::census;
using rt::test::gate;
using rt::test::member;
using rt::test::with_workers;

task<int> seven() {
    co_return 7;
}

task<void> owns(member /*owned*/) {
    co_return;
}

template<typename Handle>
void expect_cancelled(Handle handle) {
    cr_assert(handle.is_finished());
    cr_assert_throw(handle.take(), rt::join_error);
}

} // namespace

// In code 0 stands for the default; an operator who writes 0 is told the range.
Test(bad_input, zero_workers_are_the_default_in_code_and_a_fault_in_the_environment) {
    rt::config wanted = rt::test::settings();
    wanted.workers = 0;
    {
        rt::runtime runtime(wanted);
        cr_assert(runtime.worker_count() >= 1);
    }
    ::setenv("LIBRT_WORKERS", "0", 1);
    std::string text;
    try {
        const rt::runtime runtime(wanted);
    } catch (const std::invalid_argument& caught) {
        text = caught.what();
    }
    ::unsetenv("LIBRT_WORKERS");
    cr_assert(text.find("LIBRT_WORKERS") != std::string::npos, "%s", text.c_str());
    cr_assert(text.find("1024") != std::string::npos, "%s", text.c_str());
}

Test(bad_input, cpus_that_cannot_be_used_are_named_beside_all_other_faults) {
    rt::config wanted = rt::test::settings();
    wanted.cpus = "4000-4001";
    for (const std::uint32_t interval : {0U, 61U}) { // of these one is a fault
        wanted.event_interval = interval;
        std::string text;
        try {
            const rt::runtime runtime(wanted);
        } catch (const std::invalid_argument& caught) {
            text = caught.what();
        }
        const bool has_other = text.find("event_interval") != std::string::npos;
        cr_assert_eq(has_other, interval == 0, "%s", text.c_str());
        cr_assert(text.find("4000-4001 cannot be used") != std::string::npos, "%s", text.c_str());
    }
}

Test(bad_input, whatever_a_handle_is_asked_for_after_its_runtime_is_cancelled) {
    for (const std::uint32_t workers : {0U, 1U, 2U, 8U}) {
        census counted;
        auto runtime = std::make_unique<rt::runtime>(with_workers(workers));
        const rt::handle kept = runtime->get_handle();
        runtime.reset();
        expect_cancelled(kept.spawn(seven()));
        expect_cancelled(kept.spawn({.name = "late"}, seven()));
        expect_cancelled(kept.spawn_on(0, seven()));
        expect_cancelled(kept.spawn_blocking([] { return 7; }));
        expect_cancelled(kept.spawn(owns(member(counted))));
        cr_assert_eq(kept.worker_count(), std::max(workers, 1U));
        cr_assert_eq(counted.live.load_acquire(), 0);
        kept.spawn(owns(member(counted))).detach();
        cr_assert_eq(counted.live.load_acquire(), 0);
    }
}

// A message of misuse says where: which line of the program has to be changed.
Test(bad_input, misuse_is_reported_with_the_line_of_the_call) {
    const std::string here = "bad_input_test.cc:";
    const captured spawned = capture([] { rt::spawn(seven()).detach(); });
    cr_assert(spawned.was_aborted());
    cr_assert(spawned.says("rt::spawn outside a runtime, at"), "%s", spawned.text.c_str());
    const captured nested = capture([] {
        rt::block_on(with_workers(1), []() -> task<void> {
            rt::block_on(seven());
            co_return;
        }());
    });
    cr_assert(nested.was_aborted());
    cr_assert(nested.says("block_on inside a task, at"), "%s", nested.text.c_str());
    const captured taken = capture([] {
        rt::runtime runtime(with_workers(0)); // nobody drives it
        static_cast<void>(runtime.get_handle().spawn(seven()).take());
    });
    cr_assert(taken.was_aborted());
    cr_assert(taken.says("has not ended"), "%s", taken.text.c_str());
    const captured labelled = capture([] {
        rt::runtime runtime(with_workers(0));
        const rt::handle handle = runtime.get_handle();
        static_cast<void>(handle.spawn({.name = "answer", .label = "request 7"}, seven()).take());
    });
    cr_assert(labelled.says(" \"answer\" [request 7] (spawned at "), "%s", labelled.text.c_str());
    for (const captured* each : {&spawned, &nested, &taken, &labelled}) {
        cr_assert(each->text.find(here) != std::string::npos, "%s", each->text.c_str());
    }
}

Test(bad_input, a_worker_that_does_not_exist_is_named) {
    const captured got = capture([] {
        rt::runtime runtime(with_workers(2));
        runtime.get_handle().spawn_on(2, seven()).detach();
    });
    cr_assert(got.was_aborted(), "%s", got.text.c_str());
    cr_assert(got.says("spawn_on worker 2 of a runtime that has 2"), "%s", got.text.c_str());
}

Test(bad_input, block_on_after_shut_down_throws_join_error) {
    for (const std::uint32_t workers : {0U, 1U, 2U, 8U}) {
        rt::runtime runtime(with_workers(workers));
        cr_assert(runtime.shut_down(10s).is_complete);
        cr_assert_throw(runtime.block_on(seven()), rt::join_error);
        cr_assert(runtime.shut_down(10s).is_complete); // again: nothing is left to do
    }
}

// A task's destructor spawns when the runtime's end cancels it: the new one does not begin.
namespace {

// What tasks found that were spawned in a destructor.
struct late_spawns {
    rt::atomic<int> made{0};
    rt::atomic<int> begun{0};
    rt::atomic<int> dropped{0}; // their arguments are gone
};

struct counts_drop {
    void operator()(late_spawns* seen) const { seen->dropped.add_acq_rel(1); }
};
using argument = std::unique_ptr<late_spawns, counts_drop>;

task<void> begins(argument owned) {
    owned->begun.add_acq_rel(1);
    co_return;
}

struct spawns_late {
    void operator()(late_spawns* seen) const {
        seen->made.add_acq_rel(1);
        rt::spawn(begins(argument(seen))).detach(); // nobody aborts it
    }
};
using spawns_at_end = std::unique_ptr<late_spawns, spawns_late>;

task<void> waits_for_ever(gate* at, spawns_at_end /*owned*/) {
    co_await at->wait();
}

} // namespace

Test(bad_input, a_spawn_during_the_end_is_cancelled) {
    for (const std::uint32_t workers : {0U, 1U, 2U, 8U}) {
        late_spawns seen;
        gate never;
        auto runtime = std::make_unique<rt::runtime>(with_workers(workers));
        for (int i = 0; i < 20; ++i) {
            runtime->get_handle().spawn(waits_for_ever(&never, spawns_at_end(&seen))).detach();
        }
        runtime->block_on(seven());
        cr_assert_eq(seen.made.load_acquire(), 0, "it is the end that makes them");
        runtime.reset();
        cr_assert_eq(seen.made.load_acquire(), 20);
        cr_assert_eq(seen.begun.load_acquire(), 0);
        cr_assert_eq(seen.dropped.load_acquire(), 20);
    }
}

Test(bad_input, block_on_in_a_task_aborts_and_in_a_closure_works) {
    for (const std::uint32_t workers : {0U, 1U, 2U, 8U}) {
        const captured got = capture([=] {
            rt::runtime runtime(with_workers(workers));
            runtime.block_on([](rt::runtime* own) -> task<void> {
                own->block_on(seven());
                co_return;
            }(&runtime));
        });
        cr_assert(got.was_aborted(), "%s", got.text.c_str());
        cr_assert(got.says("block_on inside a task"), "%s", got.text.c_str());
    }
    rt::runtime runtime(with_workers(1));
    rt::runtime other(with_workers(0));
    cr_assert_eq(
        runtime.block_on([](rt::runtime* own, rt::runtime* second) -> task<int> {
            co_return co_await rt::blocking([=] {
                return own->block_on(seven()) + second->block_on(seven());
            });
        }(&runtime, &other)),
        14
    );
}

// ---- tasks that are destroyed while they are queued ---------------------------------------------

namespace {

struct queued_task {
    rt::atomic<int> turns{0};
    rt::atomic<int> ended_as_task{0}; // its arguments were destroyed on a worker, as this task's
};

// Notes what the turn or the end of a queued task looks like.
class noting {
public:
    explicit noting(queued_task* at) noexcept
        : at_(at) {}
    noting(noting&& other) noexcept
        : at_(std::exchange(other.at_, nullptr)) {}
    ~noting() {
        if (at_ != nullptr && rt::detail::this_thread.task != nullptr &&
            rt::handle::try_current()) {
            at_->ended_as_task.add_relaxed(1);
        }
    }

private:
    queued_task* at_;
};

task<void> counts_its_turns(queued_task* self, noting /*owned*/, member /*owned*/) {
    self->turns.add_relaxed(1);
    co_return;
}

// Keeps each worker of a runtime in one turn, so that nothing that is queued from outside is taken,
// until they are let go. Outlives the runtime.
class held_workers {
public:
    void hold(const rt::handle& onto, std::uint32_t count) {
        for (std::uint32_t i = 0; i < count; ++i) {
            onto.spawn_on(i, wait(&arrived_, &is_held_)).detach();
        }
        while (arrived_.load_acquire() != count) {
            std::this_thread::yield();
        }
    }
    void let_go() { is_held_.store_release(false); }

private:
    static task<void> wait(rt::atomic<std::uint32_t>* arrived, const rt::atomic<bool>* is_held) {
        arrived->add_acq_rel(1);
        while (is_held->load_acquire()) {
            std::this_thread::yield();
        }
        co_return;
    }

    rt::atomic<std::uint32_t> arrived_{0};
    rt::atomic<bool> is_held_{true};
};

bool is_cancelled(rt::join_handle<void> handle) {
    try {
        handle.take();
    } catch (const rt::join_error&) {
        return true;
    }
    return false;
}

// A task that is spawned on a runtime that ends is marked before it is queued.
bool has_begun_to_end(const rt::handle& onto) {
    const rt::join_handle<void> late = onto.spawn([]() -> task<void> {
        co_return;
    }());
    return (late.header()->state.load_relaxed() & rt::detail::state_aborted) != 0;
}

constexpr std::size_t queued_count = 600; // more than a ring takes

std::vector<rt::join_handle<void>>
queue_up(const rt::handle& onto, std::vector<queued_task>& tasks, census& counted) {
    std::vector<rt::join_handle<void>> handles;
    for (queued_task& each : tasks) {
        handles.push_back(onto.spawn(counts_its_turns(&each, noting(&each), member(counted))));
    }
    return handles;
}

} // namespace

// Every second task is aborted while it is queued, and none of these has a turn; the others, which
// stand between them, have one each.
Test(bad_input, a_task_that_is_aborted_while_it_is_queued_never_runs) {
    for (const std::uint32_t workers : {0U, 1U, 2U, 8U}) {
        census counted;
        std::vector<queued_task> tasks(queued_count);
        held_workers held;
        rt::runtime runtime(with_workers(workers));
        held.hold(runtime.get_handle(), workers);
        std::vector<rt::join_handle<void>> handles = queue_up(runtime.get_handle(), tasks, counted);
        for (std::size_t i = 0; i < queued_count; i += 2) {
            handles[i].abort();
            handles[i].abort(); // again: nothing is destroyed or queued twice
        }
        for (std::size_t i = 0; i < queued_count; ++i) {
            cr_assert_not(handles[i].is_finished(), "nobody has taken %zu yet", i);
        }
        cr_assert_eq(counted.live.load_acquire(), long{queued_count});
        held.let_go();
        runtime.block_on([](std::vector<rt::join_handle<void>>* all) -> task<void> {
            for (std::size_t i = 1; i < all->size(); i += 2) {
                co_await std::move((*all)[i]);
            }
        }(&handles));
        for (std::size_t i = 0; i < queued_count; i += 2) {
            while (!handles[i].is_finished()) {
                runtime.block_on(seven());
            }
            cr_assert(is_cancelled(std::move(handles[i])), "task %zu", i);
        }
        for (std::size_t i = 0; i < queued_count; ++i) {
            cr_assert_eq(tasks[i].turns.load_relaxed(), i % 2 == 0 ? 0 : 1, "task %zu", i);
            cr_assert_eq(tasks[i].ended_as_task.load_relaxed(), 1, "task %zu", i);
        }
        cr_assert_eq(counted.live.load_acquire(), 0);
    }
}

// Their runtime begins to end while they are queued, and from then on none has a turn: each is
// destroyed once, in its own context on a worker, and its handle says so.
Test(bad_input, a_task_whose_runtime_ends_while_it_is_queued_never_runs) {
    for (const std::uint32_t workers : {0U, 1U, 2U, 8U}) {
        census counted;
        std::vector<queued_task> tasks(queued_count);
        held_workers held;
        auto runtime = std::make_unique<rt::runtime>(with_workers(workers));
        const rt::handle onto = runtime->get_handle();
        held.hold(onto, workers);
        std::vector<rt::join_handle<void>> handles = queue_up(onto, tasks, counted);
        std::thread ender([&] { runtime.reset(); });
        while (!has_begun_to_end(onto)) {
            std::this_thread::yield();
        }
        held.let_go();
        ender.join();
        for (std::size_t i = 0; i < queued_count; ++i) {
            cr_assert(is_cancelled(std::move(handles[i])), "task %zu", i);
            cr_assert_eq(tasks[i].turns.load_relaxed(), 0, "task %zu", i);
            cr_assert_eq(tasks[i].ended_as_task.load_relaxed(), 1, "task %zu", i);
        }
        cr_assert_eq(counted.live.load_acquire(), 0);
    }
}

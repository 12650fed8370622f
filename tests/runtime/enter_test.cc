// SPDX-License-Identifier: MIT
//
// rt::handle::enter: what a thread beside a runtime may do while it is inside, and in which order
// it leaves.
#include "base/captured.h"
#include "support/test.h"
#include "task/gate.h"

#include <rt/block_in_place.h>
#include <rt/blocking.h>
#include <rt/runtime.h>
#include <rt/spawn.h>
#include <rt/spawn_blocking.h>
#include <rt/spawn_on.h>

#include <memory>
#include <optional>
#include <thread>

namespace {

using rt::task;
using rt::test::capture;
using rt::test::captured;
using rt::test::with_workers;

task<int> seven() {
    co_return 7;
}

template<typename T>
task<T> joins(rt::join_handle<T> child) {
    co_return co_await std::move(child);
}

task<bool> runs_on(const rt::runtime* runtime) {
    co_return rt::handle::current().worker_count() == runtime->worker_count();
}

// A guard that can be destroyed early, or elsewhere.
std::unique_ptr<rt::enter_guard> entered(const rt::runtime& runtime) {
    return std::unique_ptr<rt::enter_guard>(new rt::enter_guard(runtime.get_handle().enter()));
}

bool is_inside() {
    return static_cast<bool>(rt::handle::try_current());
}

} // namespace

Test(enter, spawns_go_to_the_runtime_that_was_entered) {
    rt::test::on_each_flavor([](rt::runtime& runtime) {
        cr_assert(!is_inside());
        {
            const auto inside = runtime.get_handle().enter();
            cr_assert(is_inside());
            cr_assert_eq(runtime.block_on(joins(rt::spawn(seven))), 7);
            cr_assert_eq(runtime.block_on(joins(rt::spawn_on(0, seven))), 7);
            cr_assert_eq(runtime.block_on(joins(rt::spawn_blocking([] { return 8; }))), 8);
        }
        cr_assert(!is_inside());
    });
}

// The end of a block_on leaves the guard as it was.
Test(enter, block_on_and_the_end_of_the_runtime_are_allowed_inside) {
    for (const std::uint32_t workers : {0U, 1U, 2U}) {
        auto runtime = std::make_unique<rt::runtime>(with_workers(workers));
        const auto inside = runtime->get_handle().enter();
        cr_assert_eq(runtime->block_on(seven()), 7);
        cr_assert(is_inside());
        cr_assert_eq(runtime->block_on(joins(rt::spawn_blocking([] { return 8; }))), 8);
        runtime.reset();
        auto late = rt::spawn(seven);
        cr_assert(late.is_finished());
        cr_assert_throw(late.take(), rt::join_error);
    }
}

Test(enter, b034_guards_are_nested) {
    rt::runtime one(with_workers(1));
    rt::runtime two(with_workers(2));
    const auto first = one.get_handle().enter();
    {
        const auto second = two.get_handle().enter();
        const auto again = two.get_handle().enter();
        cr_assert(two.block_on(joins(rt::spawn(runs_on, &two))));
    }
    cr_assert(one.block_on(joins(rt::spawn(runs_on, &one))));
}

Test(enter, b034_guards_that_leave_in_another_order_abort_with_advice) {
    for (const bool is_same : {true, false}) {
        const captured got = capture([=] {
            rt::runtime one(with_workers(1));
            rt::runtime two(with_workers(1));
            auto first = entered(one);
            auto second = entered(is_same ? one : two);
            first.reset();
        });
        cr_assert(got.was_aborted(), "%s", got.text.c_str());
        cr_assert(got.says("before one that was made later"), "%s", got.text.c_str());
    }
}

Test(enter, a_guard_that_leaves_on_another_thread_aborts_with_advice) {
    const captured got = capture([] {
        rt::runtime runtime(with_workers(1));
        auto inside = entered(runtime);
        std::thread other([&] { inside.reset(); });
        other.join();
    });
    cr_assert(got.was_aborted(), "%s", got.text.c_str());
    cr_assert(got.says("on another thread"), "%s", got.text.c_str());
}

Test(enter, inside_a_task_aborts_with_advice) {
    const captured got = capture([] {
        rt::runtime runtime(with_workers(1));
        runtime.block_on([](rt::handle self) -> task<void> {
            const auto inside = self.enter();
            co_return;
        }(runtime.get_handle()));
    });
    cr_assert(got.was_aborted(), "%s", got.text.c_str());
    cr_assert(got.says("use rt::handle::spawn"), "%s", got.text.c_str());
}

// In a closure, whose thread is its runtime's by nature.
Test(enter, closures_may_enter_another_runtime) {
    rt::runtime outer(with_workers(1));
    rt::runtime inner(with_workers(2));
    const auto visits = [&] {
        const auto inside = inner.get_handle().enter();
        return inner.block_on(joins(rt::spawn(runs_on, &inner)));
    };
    cr_assert(outer.block_on([](auto closure) -> task<bool> {
        const bool by_pool = co_await rt::blocking(closure);
        const bool in_place = rt::block_in_place(closure);
        co_return by_pool&& in_place&& co_await rt::spawn(seven) == 7;
    }(visits)));
}

Test(enter, a_runtime_that_dies_in_its_own_closure_is_told_whatever_was_entered) {
    const captured got = capture([] {
        rt::runtime other(with_workers(1));
        auto runtime = std::make_unique<rt::runtime>(with_workers(1));
        auto child = runtime->get_handle().spawn_blocking([&] {
            const auto inside = other.get_handle().enter();
            runtime.reset();
        });
        while (!child.is_finished()) {
            std::this_thread::yield();
        }
    });
    cr_assert(got.was_aborted(), "%s", got.text.c_str());
    cr_assert(got.says("on one of its own workers"), "%s", got.text.c_str());
}

Test(enter, spawn_local_finds_no_worker) {
    const captured got = capture([] {
        rt::runtime runtime(with_workers(1));
        const auto inside = runtime.get_handle().enter();
        rt::spawn_local(seven).detach();
    });
    cr_assert(got.was_aborted(), "%s", got.text.c_str());
    cr_assert(got.says("rt::spawn_local outside a worker"), "%s", got.text.c_str());
}

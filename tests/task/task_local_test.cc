// SPDX-License-Identifier: MIT
//
// rt::task_local: who sees which value, and for how long.
#include "support/test.h"
#include "task/gate.h"

#include <rt/blocking.h>
#include <rt/runtime.h>
#include <rt/scope.h>
#include <rt/select.h>
#include <rt/spawn.h>
#include <rt/task_local.h>
#include <rt/time.h>
#include <rt/yield.h>

#include <chrono>
#include <memory>
#include <optional>
#include <stdexcept>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
using rt::task;
using rt::test::everywhere;
using rt::test::gate;
using rt::test::on_each_flavor;

const rt::task_local<int> number;
const rt::task_local<int> other;
const rt::task_local<std::unique_ptr<int>> owned;

int seen() {
    const int* const value = number.get();
    return value == nullptr ? -1 : *value;
}

task<int> sees() {
    co_return seen();
}

// What is seen in a destructor.
struct witness {
    explicit witness(int* into) noexcept
        : into_(into) {}
    witness(const witness&) = delete;
    witness& operator=(const witness&) = delete;
    ~witness() { *into_ = seen(); }

private:
    int* into_;
};

task<bool> keeps(int value) {
    for (int i = 0; i < 50; ++i) {
        if (seen() != value) {
            co_return false;
        }
        co_await rt::yield();
        co_await rt::spawn(sees);
    }
    co_return other.get() == nullptr;
}

task<bool> is_independent_per_task() {
    std::vector<rt::join_handle<bool>> children;
    for (int i = 0; i < 50; ++i) {
        children.push_back(rt::spawn(number.scope(i, keeps(i))));
    }
    bool all = seen() == -1;
    for (rt::join_handle<bool>& child : children) {
        all = co_await std::move(child) && all;
    }
    co_return all&& seen() == -1;
}

task<bool> nests() {
    const int inner = co_await number.scope(2, sees());
    auto bounded = co_await rt::timeout(1h, other.scope(9, sees()));
    const int sync = number.sync_scope(3, [] { return seen(); });
    co_return seen() == 1 && inner == 2 && bounded&&* bounded == 1 && sync == 3;
}

task<void> throws() {
    co_await rt::yield();
    throw std::runtime_error("as planned");
}

task<bool> ends_with_its_scope() {
    bool thrown = false;
    try {
        co_await number.scope(4, throws());
    } catch (const std::runtime_error&) {
        thrown = true;
    }
    auto late = co_await rt::timeout(1ms, number.scope(5, []() -> task<void> {
        auto never = co_await rt::timeout(1h, []() -> task<void> {
            co_await rt::sleep(std::chrono::hours::max());
        }());
        static_cast<void>(never);
    }()));
    co_return thrown && !late && seen() == -1;
}

task<bool> is_not_inherited() {
    const int spawned = co_await rt::spawn(sees);
    const int handed_on = co_await rt::spawn(number.scope(*number.get(), sees()));
    const int blocking = co_await rt::blocking([] { return seen(); });
    int child = 0;
    int body = 0;
    co_await rt::scope::run([&](rt::scope& children) -> task<void> {
        body = seen();
        children.spawn(
            [](int* into) -> task<void> {
                *into = seen();
                co_return;
            },
            &child
        );
        co_return;
    });
    co_return spawned == -1 && handed_on == 6 && blocking == -1 && child == -1 && body == 6;
}

task<bool> parts_see_it() {
    auto [first, second, third] =
        co_await rt::join(sees(), number.scope(8, sees()), []() -> task<int> {
            auto inner = co_await rt::select(sees(), rt::sleep(1h));
            co_return std::get<0>(inner);
        }());
    // A deadline around the group is not a deadline of the parts.
    auto late = co_await rt::timeout(
        1ms,
        rt::join(
            []() -> task<void> {
                for (;;) {
                    static_cast<void>(co_await rt::timeout(1ms, rt::sleep(1h)));
                    co_await number.scope(1, rt::join(rt::sleep(1ms)));
                }
            }(),
            rt::sleep(1h)
        )
    );
    co_return first == 7 && second == 8 && third == 7 && !late && seen() == 7;
}

task<void> leaves_at(gate* at, int* into) {
    const witness local(into);
    co_await at->wait();
}

task<bool> seen_in_destructors() {
    gate open;
    open.open();
    int completed = 0;
    co_await number.scope(10, leaves_at(&open, &completed));
    gate closed;
    int aborted = 0;
    rt::join_handle<void> victim = rt::spawn(number.scope(11, leaves_at(&closed, &aborted)));
    while (closed.waiting() == 0) {
        co_await rt::yield();
    }
    victim.abort();
    try {
        co_await std::move(victim);
    } catch (const rt::join_error&) {
    }
    co_return completed == 10 && aborted == 11;
}

task<bool> taken_once() {
    std::optional<std::unique_ptr<int>> first = owned.take();
    co_return first&&** first == 12 && owned.get() == nullptr && !owned.take();
}

} // namespace

Test(task_local, b123_is_independent_per_task_and_survives_suspension) {
    everywhere([](rt::runtime& runtime) { cr_assert(runtime.block_on(is_independent_per_task())); }
    );
}

Test(task_local, b123_the_innermost_scope_wins) {
    on_each_flavor([](rt::runtime& runtime) {
        cr_assert(runtime.block_on(number.scope(1, nests())));
        cr_assert(runtime.block_on(ends_with_its_scope()));
    });
}

Test(task_local, b123_is_inherited_only_explicitly) {
    on_each_flavor([](rt::runtime& runtime) {
        cr_assert(runtime.block_on(number.scope(6, is_not_inherited())));
    });
}

Test(task_local, parts_of_a_join_and_a_select_see_it) {
    on_each_flavor([](rt::runtime& runtime) {
        cr_assert(runtime.block_on(number.scope(7, parts_see_it())));
    });
}

Test(task_local, b123_is_seen_in_destructors_on_completion_and_abort) {
    everywhere([](rt::runtime& runtime) { cr_assert(runtime.block_on(seen_in_destructors())); });
}

Test(task_local, b123_can_be_taken_out_once) {
    on_each_flavor([](rt::runtime& runtime) {
        cr_assert(runtime.block_on(owned.scope(std::make_unique<int>(12), taken_once())));
    });
}

Test(task_local, there_is_none_outside_of_tasks) {
    cr_assert_null(number.get());
}

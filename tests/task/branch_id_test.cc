// SPDX-License-Identifier: MIT
//
// The number of a branch of a join, select, scope or shield: that of its task, as dumps show it.
#include "support/test.h"
#include "task/gate.h"
#include "task/parent.h"

#include <rt/detail/context.h>
#include <rt/scope.h>
#include <rt/select.h>
#include <rt/shield.h>
#include <rt/spawn.h>
#include <rt/task.h>

#include <cstdint>
#include <optional>
#include <utility>
#include <variant>

namespace {

struct ids {
    std::optional<std::uint64_t> own = rt::current_task_id();
    std::uint64_t parent_of_child = 0;
};

// In a branch of whichever kind.
rt::task<ids> asks_in_a_branch() {
    ids found;
    rt::join_handle<void> child = rt::spawn([]() -> rt::task<void> { co_return; });
    found.parent_of_child = rt::test::parent_of(child.header());
    co_await std::move(child);
    cr_assert(rt::current_task_id() == found.own);
    co_return found;
}

rt::task<void> asks_in_every_branch() {
    const std::optional<std::uint64_t> own = rt::current_task_id();
    const auto is_ours = [&](const ids& found) {
        return found.own == own && found.parent_of_child == own;
    };
    const auto [first, second] = co_await rt::join(asks_in_a_branch(), asks_in_a_branch());
    cr_assert(is_ours(first) && is_ours(second));
    const auto won = co_await rt::select(rt::shield(asks_in_a_branch()));
    cr_assert(is_ours(std::get<0>(won)), "in a branch of a branch");
    const ids body = co_await rt::scope::run([](rt::scope& children) -> rt::task<ids> {
        std::optional<std::uint64_t> of_child;
        children.spawn(
            [](auto* into) -> rt::task<void> {
                *into = rt::test::parent_of(rt::detail::this_thread.task);
                co_return;
            },
            &of_child
        );
        co_await children.join();
        cr_assert(of_child == rt::current_task_id(), "the body is a branch");
        co_return co_await asks_in_a_branch();
    });
    cr_assert(is_ours(body));
}

} // namespace

Test(branch_id, is_that_of_the_task_which_is_the_parent_of_what_it_spawns) {
    rt::test::on_each_flavor_run(&asks_in_every_branch);
}

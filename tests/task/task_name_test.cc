// SPDX-License-Identifier: MIT
//
// Names of tasks: where they are kept. How they are shown: tests/introspect/snapshot_test.cc.
#include "support/test.h"

#include <rt/detail/context.h>
#include <rt/runtime.h>
#include <rt/scope.h>
#include <rt/spawn.h>
#include <rt/task_name.h>

#include <string>
#include <string_view>

namespace {

using rt::task;

std::string_view own_name() {
    const char* const name = rt::detail::this_thread.task->name;
    return name == nullptr ? "" : name;
}

unsigned own_line() {
    return std::bit_cast<rt::detail::site>(rt::detail::this_thread.task->spawn_site).line();
}

task<std::string> named() {
    co_return std::string(own_name());
}

task<unsigned> line_after(int /*argument*/) {
    co_return own_line();
}

task<bool> names_tasks() {
    const std::string made = "shard " + std::to_string(7);
    bool is_right = co_await rt::spawn(named()) == "";
    is_right = is_right && co_await rt::spawn({.name = "reader"}, named) == "reader";
    is_right = is_right && co_await rt::spawn({.name = "reader"}, named()) == "reader";
    is_right =
        is_right && co_await rt::spawn({.name = rt::task_name::of(made)}, named) == "shard 7";
    std::string in_scope;
    co_await rt::scope::run([&](rt::scope& children) -> task<void> {
        children.spawn(
            {.name = "child"},
            [](std::string* into) -> task<void> {
                *into = own_name();
                co_return;
            },
            &in_scope
        );
        co_return;
    });
    co_return is_right&& in_scope == "child";
}

task<bool> site_is_the_callers() {
    const unsigned here = __LINE__;
    const unsigned line = co_await rt::spawn({.name = "located"}, line_after, 1);
    co_return line == here + 1;
}

} // namespace

Test(task_name, b122_tasks_are_spawned_with_and_without_a_name) {
    cr_assert(rt::block_on(names_tasks()));
}

Test(task_name, b077_options_carry_the_line_of_the_call) {
    cr_assert(rt::block_on(site_is_the_callers()));
}

Test(task_name, equal_texts_are_one) {
    const std::string text = "a text";
    cr_assert(
        rt::task_name::of(text).text() ==
        rt::task_name::of("a "
                          "text")
            .text()
    );
    cr_assert(rt::task_name::of(text).text() != text.data());
    cr_assert_null(rt::task_name::of("").text());
    cr_assert_eq(std::string_view(rt::task_name::of(std::string(100, 'x')).text()).size(), 63);
}

Test(task_name, the_table_is_bounded) {
    for (int i = 0; i < 5000; ++i) {
        cr_assert_not_null(rt::task_name::of("name " + std::to_string(i)).text());
    }
    cr_assert_str_eq(rt::task_name::of("one more").text(), "(unnamed)");
    cr_assert_str_eq(rt::task_name::of("name 5").text(), "name 5");
}

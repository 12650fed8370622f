// SPDX-License-Identifier: MIT
//
// How a scope ends when several things have happened to it: which of two exceptions it throws, that
// what is spawned too late does not begin, and that a task that is cancelled in it is not taken for
// one that has all it waited for.
//
// On one thread, where the scope's task sees several ends in one turn.
#include "support/test.h"
#include "sync/waiting.h"
#include "task/gate.h"

#include <rt/runtime.h>
#include <rt/scope.h>
#include <rt/spawn.h>
#include <rt/task.h>
#include <rt/yield.h>

#include <stdexcept>
#include <string>
#include <utility>

namespace {

using rt::task;
using rt::test::gate;
using rt::test::until_waiting;
using rt::test::was_cancelled;
using rt::test::with_workers;

task<void> counts(int* begun) {
    ++*begun;
    co_return;
}

task<void> passes(gate* at) {
    co_await at->wait();
}

// Notes whether it was the first.
task<void> fails(std::string* first, const char* text) {
    if (first->empty()) {
        *first = text;
    }
    throw std::runtime_error(text);
    co_return; // it is a coroutine
}

task<void> fails_later(gate* at, std::string* first, const char* text) {
    co_await at->wait();
    co_await fails(first, text);
}

// What it wakes is ready before the scope's task is.
task<void> opens_and_fails(gate* at, std::string* first, const char* text) {
    at->open();
    co_await fails(first, text);
}

template<typename Body>
task<std::string> what_is_thrown(Body body) {
    try {
        co_await rt::scope::run(body);
    } catch (const std::exception& error) {
        co_return error.what();
    }
    co_return "nothing";
}

task<void> cancels_and_spawns() {
    int begun = 0;
    co_await rt::scope::run([&begun](rt::scope& children) -> task<void> {
        children.spawn(counts, &begun);
        co_await children.join();
        children.cancel();
        children.spawn(counts, &begun);
        co_return;
    });
    cr_assert_eq(begun, 1);
}

task<void> goes_behind_a_scope(gate* never, bool* has_gone_on) {
    co_await rt::scope::run([never](rt::scope& children) -> task<void> {
        children.spawn(passes, never);
        co_return;
    });
    *has_gone_on = true;
}

task<void> aborts_one_whose_body_has_ended() {
    gate never;
    bool has_gone_on = false;
    auto child = rt::spawn(goes_behind_a_scope, &never, &has_gone_on);
    co_await until_waiting(child);
    child.abort();
    cr_assert(co_await was_cancelled(std::move(child)));
    cr_assert_not(has_gone_on);
}

} // namespace

Test(scope_end, of_two_children_that_fail_the_first_has_its_exception_thrown) {
    std::string first;
    gate at;
    const auto body = [&](rt::scope& children) -> task<void> {
        children.spawn(opens_and_fails, &at, &first, "first"); // the newest has its turn first
        children.spawn(fails_later, &at, &first, "second");
        children.spawn(passes, &at);
        co_return;
    };
    cr_assert_eq(rt::block_on(with_workers(0), what_is_thrown(body)), "first");
    cr_assert_eq(first, "first");
}

Test(scope_end, a_body_that_fails_before_a_child_has_its_exception_thrown) {
    std::string first;
    const auto body = [&first](rt::scope& children) -> task<void> {
        children.spawn(fails, &first, "child");
        co_await rt::yield(); // the child has failed, and this goes on before that is seen
        throw std::runtime_error("body");
    };
    cr_assert_eq(rt::block_on(with_workers(0), what_is_thrown(body)), "body");
    cr_assert_eq(first, "child");
}

Test(scope_end, what_is_spawned_after_cancel_does_not_begin) {
    rt::block_on(with_workers(0), cancels_and_spawns());
}

Test(scope_end, a_task_that_is_aborted_while_only_children_run_does_not_go_on) {
    rt::block_on(with_workers(0), aborts_one_whose_body_has_ended());
}

// SPDX-License-Identifier: MIT
//
// Scopes in the hands of tasks that are not their body: the end of the program.
#include "base/captured.h"
#include "support/test.h"
#include "task/gate.h"

#include <rt/runtime.h>
#include <rt/scope.h>
#include <rt/spawn.h>
#include <rt/task.h>

namespace {

using rt::task;

task<void> nothing() {
    co_return;
}

task<void> spawns_into(rt::scope* children) {
    children->spawn(nothing);
    co_return;
}

task<void> joins(rt::scope* children) {
    co_await children->join();
}

task<void> gives_itself(rt::scope& children, task<void> (*to)(rt::scope*)) {
    children.spawn({.name = "child"}, to, &children);
    co_return;
}

task<void> lends_itself(rt::scope& children, task<void> (*to)(rt::scope*)) {
    co_await rt::spawn({.name = "child"}, to, &children);
}

struct misuse {
    task<void> (*body)(rt::scope&, task<void> (*)(rt::scope*));
    task<void> (*child)(rt::scope*);
    const char* text;
};

constexpr misuse misuses[] = {
    {gives_itself, spawns_into, "rt::scope::spawn by task"},
    {gives_itself, joins, "rt::scope::join by task"},
    {lends_itself, spawns_into, "rt::scope::spawn by task"},
};

} // namespace

Test(scope_misuse, a_task_that_is_not_the_body_ends_the_program) {
    for (const misuse& each : misuses) {
        const rt::test::captured got = rt::test::capture([&] {
            rt::runtime runtime(rt::test::with_workers(2));
            runtime.block_on(rt::scope::run(each.body, each.child));
        });
        cr_assert(got.was_aborted(), "%s", each.text);
        cr_assert(got.says(each.text), "%s", got.text.c_str());
        cr_assert(got.says(" \"child\" (spawned at "), "%s", got.text.c_str());
        cr_assert(got.says("which is not the body of the scope"), "%s", got.text.c_str());
    }
}

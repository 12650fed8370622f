// SPDX-License-Identifier: MIT
//
// Exceptions that nobody awaits are reported on descriptor 2, once each, and end nothing.
#include "base/captured.h"
#include "support/test.h"
#include "task/gate.h"

#include <rt/runtime.h>
#include <rt/spawn.h>
#include <rt/yield.h>

#include <stdexcept>
#include <string>

namespace {

using rt::task;
using rt::test::capture;
using rt::test::captured;
using rt::test::gate;

task<int> throws(gate* at, bool is_standard) {
    co_await at->wait();
    if (is_standard) {
        throw std::runtime_error("the text of it");
    }
    throw 42;
}

// The handle goes before the task ends, or after.
task<void> leaves_it(bool drops_first, bool is_standard) {
    gate at;
    auto child = rt::spawn(throws, &at, is_standard);
    const rt::abort_handle watch = child.abort_handle();
    if (drops_first) {
        child.detach();
    }
    at.open();
    while (!watch.is_finished()) {
        co_await rt::yield();
    }
}

task<void> joins_it() {
    gate at;
    auto child = rt::spawn(throws, &at, true);
    at.open();
    try {
        co_await std::move(child);
    } catch (const std::runtime_error&) {
    }
}

captured run(bool drops_first, bool is_standard, std::uint32_t workers) {
    return capture([=] {
        rt::runtime runtime(rt::test::with_workers(workers));
        runtime.block_on(leaves_it(drops_first, is_standard));
    });
}

} // namespace

Test(unobserved, exceptions_of_detached_tasks_are_reported_with_the_task_and_its_line) {
    for (const std::uint32_t workers : {0U, 1U, 2U}) {
        for (const bool drops_first : {true, false}) {
            const captured got = run(drops_first, true, workers);
            cr_assert(got.has_exited(), "the program goes on: %s", got.text.c_str());
            cr_assert(got.says("the text of it"), "%s", got.text.c_str());
            cr_assert(got.says("unobserved_test.cc:"), "%s", got.text.c_str());
            cr_assert_eq(rt::test::occurrences(got.text, "ended with an exception"), 1U);
        }
    }
}

Test(unobserved, the_report_names_the_task) {
    const captured got = capture([] {
        rt::runtime runtime(rt::test::with_workers(1));
        runtime.block_on([]() -> rt::task<void> {
            rt::spawn({.name = "reader"}, []() -> rt::task<void> {
                throw std::runtime_error("the text of it");
                co_return;
            }).detach();
            co_await rt::yield();
        }());
    });
    cr_assert(got.says("\"reader\" (spawned at"), "%s", got.text.c_str());
}

Test(unobserved, the_report_shows_the_label_and_escapes_it) {
    const captured got = capture([] {
        rt::runtime runtime(rt::test::with_workers(1));
        runtime.block_on([]() -> rt::task<void> {
            auto child = rt::spawn({.label = "GET /\nforged line \x1b"}, []() -> rt::task<void> {
                throw std::runtime_error("the text of it");
                co_return;
            });
            const rt::abort_handle watch = child.abort_handle();
            while (!watch.is_finished()) {
                co_await rt::yield();
            }
            child.detach(); // the label is there until the last handle goes
        }());
    });
    cr_assert(got.says(" [GET /\\nforged line \\x1b] (spawned at"), "%s", got.text.c_str());
    cr_assert_eq(rt::test::occurrences(got.text, "\n"), 1U);
}

Test(unobserved, exceptions_of_other_types_are_reported_as_such) {
    const captured got = run(true, false, 1);
    cr_assert(got.has_exited());
    cr_assert(got.says("not a std::exception"), "%s", got.text.c_str());
}

Test(unobserved, exceptions_that_somebody_joins_are_not_reported) {
    const captured got = capture([] {
        rt::runtime runtime(rt::test::with_workers(2));
        runtime.block_on(joins_it());
    });
    cr_assert(got.has_exited());
    cr_assert(got.text.empty(), "%s", got.text.c_str());
}

Test(unobserved, cancelled_tasks_are_not_reported) {
    const captured got = capture([] {
        rt::runtime runtime(rt::test::with_workers(2));
        runtime.block_on([]() -> task<void> {
            gate never;
            auto child = rt::spawn(throws, &never, true);
            const rt::abort_handle watch = child.abort_handle();
            child.abort();
            child.detach();
            while (!watch.is_finished()) {
                co_await rt::yield();
            }
        }());
    });
    cr_assert(got.has_exited());
    cr_assert(got.text.empty(), "%s", got.text.c_str());
}

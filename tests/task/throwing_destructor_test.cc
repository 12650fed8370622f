// SPDX-License-Identifier: MIT
//
// Destructors that throw: the end of the program while their task is cancelled, and the exception
// of their coroutine while it runs.
#include "base/captured.h"
#include "support/test.h"
#include "sync/waiting.h"
#include "task/gate.h"

#include <rt/runtime.h>
#include <rt/select.h>
#include <rt/spawn.h>
#include <rt/task.h>
#include <rt/time.h>
#include <rt/yield.h>

#include <chrono>
#include <stdexcept>
#include <string>
#include <utility>

namespace {

using namespace std::chrono_literals;
using rt::task;
using rt::test::on_each_flavor;

struct throws_when_destroyed {
    ~throws_when_destroyed() noexcept(false) { throw std::runtime_error("from a destructor"); }
};

task<std::string> holds_it_for_ever() {
    const std::string below(40, 'b');
    const throws_when_destroyed local;
    const std::string above(40, 'a');
    co_await rt::sleep(std::chrono::hours::max());
    co_return above + below;
}

task<void> ends_a_block_with_it() {
    co_await rt::yield();
    {
        const throws_when_destroyed local;
        co_await rt::yield();
    }
}

task<void> aborts_it() {
    auto child = rt::spawn({.name = "holder", .label = "peer"}, holds_it_for_ever);
    co_await rt::yield();
    child.abort();
    co_await std::move(child);
}

task<void> lets_it_time_out() {
    static_cast<void>(co_await rt::timeout(1ms, holds_it_for_ever()));
}

task<void> lets_it_lose() {
    static_cast<void>(co_await rt::select(rt::sleep(1ms), holds_it_for_ever()));
}

} // namespace

Test(throwing_destructor, a_destructor_that_throws_meanwhile_ends_the_program_with_its_text) {
    for (task<void> (*const body)() : {aborts_it, lets_it_time_out, lets_it_lose}) {
        const rt::test::captured got = rt::test::capture([=] {
            rt::runtime runtime(rt::test::with_workers(1));
            runtime.block_on(body());
        });
        cr_assert(got.was_aborted());
        cr_assert(got.says("a destructor has thrown while task"), "%s", got.text.c_str());
        cr_assert(got.says("was being cancelled: from a destructor"), "%s", got.text.c_str());
        cr_assert(got.says("_test.cc:"), "%s", got.text.c_str());
        cr_assert(body != aborts_it || got.says("\"holder\" [peer]"), "%s", got.text.c_str());
    }
}

namespace {

task<void> serves_for_ever() {
    for (;;) {
        try {
            const throws_when_destroyed local;
            co_await rt::sleep(1h);
        } catch (const std::runtime_error&) { // entered while the frame is being destroyed
        }
        co_await rt::sleep(1ms);
    }
}

task<int> catches_and(bool yields) {
    try {
        const throws_when_destroyed local;
        co_await rt::sleep(1h);
    } catch (const std::runtime_error&) {
    }
    if (yields) {
        co_await rt::yield();
    }
    co_return 7;
}

task<int> awaits_one_that_catches() {
    co_return 1 + co_await catches_and(false);
}

task<void> aborts_while_it_waits(auto body) {
    auto child = rt::spawn(std::move(body));
    co_await rt::test::until_waiting(child);
    child.abort();
    co_await std::move(child);
}

task<void> aborts_a_server() {
    return aborts_while_it_waits(serves_for_ever());
}
task<void> aborts_one_that_returns() {
    return aborts_while_it_waits(catches_and(false));
}
task<void> aborts_one_that_yields() {
    return aborts_while_it_waits(catches_and(true));
}
task<void> aborts_what_awaits_one_that_returns() {
    return aborts_while_it_waits(awaits_one_that_catches());
}
task<void> lets_one_that_returns_time_out() {
    static_cast<void>(co_await rt::timeout(1ms, catches_and(false)));
    co_await rt::sleep(1h);
}
task<void> lets_one_that_yields_time_out() {
    static_cast<void>(co_await rt::timeout(1ms, catches_and(true)));
}
task<void> lets_a_server_lose() {
    static_cast<void>(co_await rt::select(rt::sleep(1ms), serves_for_ever()));
}

} // namespace

Test(throwing_destructor, a_coroutine_that_catches_what_is_thrown_meanwhile_ends_the_program) {
    for (task<void> (*const body)() :
         {aborts_a_server,
          aborts_one_that_returns,
          aborts_one_that_yields,
          aborts_what_awaits_one_that_returns,
          lets_one_that_returns_time_out,
          lets_one_that_yields_time_out,
          lets_a_server_lose}) {
        const rt::test::captured got = rt::test::capture([=] {
            rt::runtime runtime(rt::test::with_workers(1));
            runtime.block_on(body());
        });
        cr_assert(got.was_aborted());
        cr_assert(
            got.says("was being cancelled: its coroutine has caught"), "%s", got.text.c_str()
        );
        cr_assert(got.says("_test.cc:"), "%s", got.text.c_str());
    }
}

Test(throwing_destructor, a_destructor_that_throws_in_a_running_task_is_the_tasks_exception) {
    on_each_flavor([](rt::runtime& runtime) {
        cr_assert_throw(runtime.block_on(ends_a_block_with_it()), std::runtime_error);
    });
}

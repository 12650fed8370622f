// SPDX-License-Identifier: MIT
//
// Destructors that throw: the end of the program while their task is cancelled, and the exception
// of their coroutine while it runs.
#include "base/captured.h"
#include "support/test.h"
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
    auto child = rt::spawn(holds_it_for_ever);
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
        cr_assert(got.says("_test.cc:") || got.says("select.h:"), "%s", got.text.c_str());
    }
}

Test(throwing_destructor, a_destructor_that_throws_in_a_running_task_is_the_tasks_exception) {
    on_each_flavor([](rt::runtime& runtime) {
        cr_assert_throw(runtime.block_on(ends_a_block_with_it()), std::runtime_error);
    });
}

// SPDX-License-Identifier: MIT
//
// What happens to calls that need a task or a runtime where there is none: the process ends with a
// sentence that names the call and says what to do instead.
#include "base/captured.h"
#include "support/test.h"
#include "task/gate.h"

#include <rt/blocking.h>
#include <rt/runtime.h>
#include <rt/spawn.h>
#include <rt/time.h>
#include <rt/yield.h>

#include <chrono>
#include <thread>

namespace {

using namespace std::chrono_literals;
using rt::task;
using rt::test::capture;
using rt::test::captured;

// A coroutine type that is not of the library and runs on the spot.
struct foreign {
    struct promise_type {
        foreign get_return_object() noexcept { return {}; }
        std::suspend_never initial_suspend() const noexcept { return {}; }
        std::suspend_never final_suspend() const noexcept { return {}; }
        void return_void() const noexcept {}
        void unhandled_exception() const noexcept {}
    };
};

foreign sleeps_outside() {
    co_await rt::sleep(1ms);
}
foreign yields_outside() {
    co_await rt::yield();
}
foreign blocks_outside() {
    co_await rt::blocking([] {});
}
foreign joins_outside(rt::join_handle<void> child) {
    co_await std::move(child);
}

task<void> nothing() {
    co_return;
}

void expect_advice(const captured& got, const char* call) {
    cr_assert(got.was_aborted(), "%s", got.text.c_str());
    cr_assert(got.says(call), "%s", got.text.c_str());
    cr_assert(got.says("outside"), "%s", got.text.c_str());
}

} // namespace

Test(context, spawn_outside_a_runtime_aborts_with_advice) {
    expect_advice(capture([] { rt::spawn(nothing).detach(); }), "rt::spawn");
}

Test(context, awaiting_outside_a_task_aborts_with_advice) {
    expect_advice(capture([] { sleeps_outside(); }), "rt::sleep");
    expect_advice(capture([] { yields_outside(); }), "rt::yield");
    expect_advice(capture([] { blocks_outside(); }), "rt::blocking");
    expect_advice(
        capture([] {
            rt::runtime runtime(rt::test::with_workers(0));
            // It cannot end: nobody drives this runtime.
            joins_outside(runtime.get_handle().spawn(nothing()));
        }),
        "join handle"
    );
}

Test(context, b033_handle_current_outside_a_runtime_aborts_with_advice) {
    expect_advice(
        capture([] { static_cast<void>(rt::handle::current()); }), "rt::handle::current()"
    );
    cr_assert(!rt::handle::try_current());
}

Test(context, a_thread_beside_the_runtime_is_outside) {
    rt::runtime runtime(rt::test::with_workers(2));
    bool has_one = true;
    std::thread beside([&] { has_one = static_cast<bool>(rt::handle::try_current()); });
    beside.join();
    cr_assert(!has_one);
}

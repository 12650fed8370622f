// SPDX-License-Identifier: MIT
//
// What a handle tells of its runtime, and block_on by a handle. Spawning by one: enter_test.cc,
// tests/scheduler.
#include "base/captured.h"
#include "support/test.h"
#include "task/gate.h"

#include <rt/blocking.h>
#include <rt/runtime.h>
#include <rt/spawn.h>
#include <rt/time.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <set>
#include <stdexcept>
#include <thread>

namespace {

using namespace std::chrono_literals;
using rt::task;
using rt::test::capture;
using rt::test::captured;
using rt::test::everywhere;
using rt::test::with_workers;

task<int> seven_after_a_sleep() {
    co_await rt::sleep(1ms);
    co_return 7;
}

task<std::uint64_t> id_of_runtime() {
    co_return rt::handle::current().id();
}

} // namespace

Test(handle, b037_ids_tell_runtimes_apart) {
    std::set<std::uint64_t> seen;
    for (int i = 0; i < 4; ++i) { // one after the other, and two at a time
        rt::runtime one(with_workers(static_cast<std::uint32_t>(i % 3)));
        rt::runtime other(with_workers(0));
        for (rt::runtime* const each : {&one, &other}) {
            const rt::handle handle = each->get_handle();
            cr_assert_neq(handle.id(), 0U);
            cr_assert_eq(handle.id(), each->get_handle().id());
            cr_assert_eq(handle.id(), each->block_on(id_of_runtime()));
            cr_assert(seen.insert(handle.id()).second);
        }
    }
}

Test(handle, b038_a_handle_knows_the_name_of_its_runtime) {
    rt::config wanted = with_workers(1);
    wanted.name = "frontend";
    rt::handle late = rt::handle::try_current();
    {
        rt::runtime runtime(wanted);
        late = runtime.get_handle();
        cr_assert(late.name() == "frontend");
        cr_assert(rt::runtime(with_workers(0)).get_handle().name() == "rt");
    }
    cr_assert(late.name() == "frontend", "it keeps what it needs");
}

Test(handle, block_on_runs_a_task_from_any_thread) {
    everywhere([](rt::runtime& runtime) {
        const rt::handle handle = runtime.get_handle();
        cr_assert_eq(handle.block_on(seven_after_a_sleep()), 7);
        std::thread([&] { cr_assert_eq(handle.block_on(seven_after_a_sleep()), 7); }).join();
        cr_assert_eq(
            runtime.block_on([]() -> task<int> {
                co_return co_await rt::blocking([] {
                    return rt::handle::current().block_on(seven_after_a_sleep());
                });
            }()),
            7
        );
        cr_assert_throw(
            handle.block_on([]() -> task<void> {
                throw std::runtime_error("as planned");
                co_return;
            }()),
            std::runtime_error
        );
    });
}

Test(handle, block_on_after_the_end_throws_and_never_begins) {
    for (const std::uint32_t workers : {0U, 1U, 2U}) {
        auto runtime = std::make_unique<rt::runtime>(with_workers(workers));
        const rt::handle late = runtime->get_handle();
        runtime.reset();
        bool has_begun = false;
        cr_assert_throw(
            late.block_on([](bool* begun) -> task<void> {
                *begun = true;
                co_return;
            }(&has_begun)),
            rt::join_error
        );
        cr_assert(!has_begun);
    }
}

Test(handle, b020_block_on_of_a_handle_inside_a_task_aborts_with_advice) {
    for (const std::uint32_t workers : {0U, 2U}) {
        const captured got = capture([=] {
            rt::block_on(with_workers(workers), []() -> task<void> {
                rt::handle::current().block_on(seven_after_a_sleep());
                co_return;
            }());
        });
        cr_assert(got.was_aborted(), "%s", got.text.c_str());
        cr_assert(got.says("block_on inside a task"), "%s", got.text.c_str());
    }
}

// SPDX-License-Identifier: MIT
//
// config::unhandled: what an exception does that leaves a task whose join handle is gone.
#include "support/test.h"
#include "task/gate.h"

#include <rt/runtime.h>
#include <rt/spawn.h>
#include <rt/time.h>
#include <rt/yield.h>

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>

namespace {

using rt::task;
using rt::test::census;
using rt::test::member;

constexpr std::uint32_t flavors[] = {0, 1, 2, 4};

rt::config with_policy(std::uint32_t workers, rt::unhandled_exception policy) {
    rt::config made = rt::test::with_workers(workers);
    made.unhandled = policy;
    return made;
}

task<void> throws() {
    co_await rt::yield();
    throw std::runtime_error("as planned");
}

task<void> throws_with(member /*owned*/, census* counted) {
    const member local(*counted);
    co_await throws();
}

task<int> for_ever(census* counted) {
    const member local(*counted);
    co_await rt::sleep(std::chrono::hours::max());
    co_return 0;
}

// What they owned is destroyed while the runtime goes on.
task<int> goes_on(int count, census* counted) {
    for (int i = 0; i < count; ++i) {
        rt::spawn(throws_with, member(*counted), counted).detach();
    }
    while (counted->live.load_acquire() != 0) {
        co_await rt::yield();
    }
    co_return 5;
}

// Whoever joins it finds all of it destroyed already.
task<int> joins_one_that_throws(census* counted) {
    auto child = rt::spawn(throws_with, member(*counted), counted);
    try {
        co_await std::move(child);
    } catch (const std::runtime_error&) {
        co_return counted->live.load_acquire() == 0 ? 6 : 7;
    }
    co_return 8;
}

task<int> is_shut_down(census* counted) {
    const member local(*counted);
    for (int i = 0; i < 10; ++i) {
        rt::spawn(for_ever, counted).detach();
    }
    rt::spawn(throws).detach();
    rt::spawn(throws).detach();
    co_return co_await for_ever(counted);
}

// Nobody drives the runtime meanwhile.
bool is_cancelled(rt::join_handle<int> late) {
    while (!late.is_finished()) {
        std::this_thread::yield();
    }
    try {
        late.take();
    } catch (const rt::join_error&) {
        return true;
    }
    return false;
}

std::string outcome_of(rt::runtime& runtime, task<int> body) {
    try {
        return std::to_string(runtime.block_on(std::move(body)));
    } catch (const std::exception& error) {
        return error.what();
    }
}

} // namespace

Test(unhandled, b023_the_runtime_goes_on_unless_told_otherwise) {
    for (const auto policy : {rt::unhandled_exception::ignore, rt::unhandled_exception::report}) {
        for (const std::uint32_t workers : flavors) {
            rt::runtime runtime(with_policy(workers, policy));
            census counted;
            cr_assert(outcome_of(runtime, goes_on(3, &counted)) == "5");
            cr_assert(outcome_of(runtime, joins_one_that_throws(&counted)) == "6");
            cr_assert_geq(counted.made.load_relaxed(), 2 * 4);
        }
    }
}

Test(unhandled, b101_shut_down_cancels_all_and_block_on_throws_it) {
    for (const std::uint32_t workers : flavors) {
        census counted;
        {
            rt::runtime runtime(with_policy(workers, rt::unhandled_exception::shut_down));
            cr_assert(outcome_of(runtime, is_shut_down(&counted)) == "as planned");
            // What comes later does not begin, and says why.
            cr_assert(outcome_of(runtime, for_ever(&counted)) == "as planned");
            const rt::handle onto = runtime.get_handle();
            cr_assert(is_cancelled(onto.spawn(for_ever(&counted))));
            cr_assert(is_cancelled(onto.spawn_on(0, for_ever(&counted))));
            bool was_called = false;
            cr_assert(is_cancelled(onto.spawn_blocking([&was_called] {
                was_called = true;
                return 1;
            })));
            cr_assert_not(was_called);
        }
        cr_assert_eq(counted.live.load_acquire(), 0);
    }
}

Test(unhandled, the_environment_decides) {
    ::setenv("LIBRT_UNHANDLED", "shutdown", 1);
    census counted;
    rt::runtime runtime(rt::test::with_workers(2));
    cr_assert(outcome_of(runtime, is_shut_down(&counted)) == "as planned");
}

// SPDX-License-Identifier: MIT
//
// config::unhandled: what an exception does that leaves a task whose join handle is gone.
#include "base/captured.h"
#include "support/test.h"
#include "task/gate.h"

#include <rt/detail/atomic.h>
#include <rt/join_set.h>
#include <rt/runtime.h>
#include <rt/scope.h>
#include <rt/spawn.h>
#include <rt/spawn_on.h>
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
#include <vector>

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

task<void> nothing() {
    co_return;
}

// Ends its turn with an exception once it finds that the runtime shuts down: spawns are refused.
task<void> throws_too_late(rt::atomic<bool>* holds) {
    holds->store_release(true);
    for (bool is_refused = false; !is_refused; std::this_thread::yield()) {
        const rt::join_handle<void> late = rt::spawn(nothing);
        is_refused = (late.header()->state.load_acquire() & rt::detail::state_aborted) != 0;
    }
    throw std::runtime_error("second");
    co_return; // it is a coroutine
}

task<void> throws_beside(rt::atomic<bool>* holds) {
    while (!holds->load_acquire()) {
        co_await rt::yield();
    }
    throw std::runtime_error("first");
}

task<int> two_fail() {
    rt::atomic<bool> holds{false};
    rt::spawn_on(0, throws_too_late, &holds).detach();
    rt::spawn_on(1, throws_beside, &holds).detach();
    co_await rt::sleep(std::chrono::hours::max());
    co_return 0;
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

Test(unhandled, one_that_is_ignored_is_not_reported_either) {
    for (const std::uint32_t workers : flavors) {
        for (const auto policy :
             {rt::unhandled_exception::ignore, rt::unhandled_exception::report}) {
            const rt::test::captured got = rt::test::capture([=] {
                rt::runtime runtime(with_policy(workers, policy));
                census counted;
                static_cast<void>(outcome_of(runtime, goes_on(1, &counted)));
            });
            cr_assert(got.has_exited());
            const bool is_reported = policy == rt::unhandled_exception::report;
            cr_assert_eq(got.says("as planned"), is_reported, "%s", got.text.c_str());
        }
    }
}

Test(unhandled, the_first_one_is_the_reason) {
    for (const std::uint32_t workers : {2U, 4U}) {
        rt::runtime runtime(with_policy(workers, rt::unhandled_exception::shut_down));
        cr_assert(outcome_of(runtime, two_fail()) == "first");
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

// ---- several that fail close together -----------------------------------------------------------
//
// Eight end before whoever waits for them has its next turn, so that one exception is rethrown and
// seven have nobody to be rethrown to. They are handled with the first.

namespace {

constexpr int together = 8;

task<void> fails_in_a_scope() {
    co_await rt::scope::run([](rt::scope& children) -> task<void> {
        for (int i = 0; i < together; ++i) {
            children.spawn(throws);
        }
        co_return;
    });
}

rt::join_set<void> many_that_throw() {
    rt::join_set<void> members;
    for (int i = 0; i < together; ++i) {
        members.spawn(throws);
    }
    return members;
}

task<void> fails_in_a_set() {
    rt::join_set<void> members = many_that_throw();
    co_await members.join_all();
}

task<void> fails_in_a_loop_over_a_set() {
    rt::join_set<void> members = many_that_throw();
    while (rt::join_handle<void> ended = co_await members.join_next()) {
        ended.take();
    }
}

// Waits until each has failed.
task<rt::join_set<void>> failed_members() {
    rt::join_set<void> members;
    std::vector<rt::abort_handle> watched;
    for (int i = 0; i < together; ++i) {
        watched.push_back(members.spawn(throws));
    }
    for (const rt::abort_handle& each : watched) {
        while (!each.is_finished()) {
            co_await rt::yield();
        }
    }
    co_return members;
}

task<bool> catches(task<void> failing) {
    try {
        co_await std::move(failing);
    } catch (const std::runtime_error&) {
        co_return true;
    }
    co_return false;
}

// Goes on, and gives what has failed the time to be dropped.
task<bool> handles_all_of_them() {
    bool all_thrown = true;
    for (int i = 0; i < 20; ++i) {
        all_thrown = co_await catches(fails_in_a_scope()) && all_thrown;
        all_thrown = co_await catches(fails_in_a_set()) && all_thrown;
        all_thrown = co_await catches(fails_in_a_loop_over_a_set()) && all_thrown;
        rt::join_set<void> members = co_await failed_members();
        co_await members.shut_down();
        members = co_await failed_members(); // and dropped at the end of the round
        rt::join_set<void> aborted = co_await failed_members();
        aborted.abort_all();
        rt::join_handle<void> one = co_await aborted.join_next();
        try {
            one.take();
            all_thrown = false;
        } catch (const std::runtime_error&) { // those that have ended keep their result
        }
    }
    co_await rt::sleep(std::chrono::milliseconds(1));
    co_return all_thrown;
}

task<void> lets_go_of_a_set_that_has_failed() {
    rt::join_set<void> members = co_await failed_members();
    members.detach_all();
}

} // namespace

Test(unhandled, what_fails_together_with_what_is_rethrown_is_handled_with_it) {
    for (const std::uint32_t workers : flavors) {
        rt::runtime runtime(with_policy(workers, rt::unhandled_exception::shut_down));
        cr_assert(runtime.block_on(handles_all_of_them()));
    }
    const rt::test::captured got = rt::test::capture([] {
        rt::runtime runtime(with_policy(2, rt::unhandled_exception::report));
        cr_assert(runtime.block_on(handles_all_of_them()));
    });
    cr_assert(got.has_exited() && got.text.empty(), "%s", got.text.c_str());
}

Test(unhandled, the_exception_of_a_member_that_was_let_go_is_not_handled) {
    const rt::test::captured got = rt::test::capture([] {
        rt::runtime runtime(with_policy(2, rt::unhandled_exception::report));
        runtime.block_on(lets_go_of_a_set_that_has_failed());
    });
    cr_assert(got.has_exited() && got.says("as planned"), "%s", got.text.c_str());
}

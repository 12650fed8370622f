// SPDX-License-Identifier: MIT
//
// rt::blocking inside a runtime: values, exceptions, cancellation, shutdown.
//
// Closures that must be running say so through a gate, and go on when it is opened; that one is
// queued is seen in the pool's own counts. Nothing sleeps to let something happen.
#include "blocking/closures.h"
#include "blocking/pool.h"
#include "blocking/test_job.h"
#include "support/runtimes.h"
#include "support/test.h"

#include <rt/blocking.h>
#include <rt/detail/atomic.h>
#include <rt/runtime.h>
#include <rt/select.h>
#include <rt/spawn.h>
#include <rt/spawn_blocking.h>
#include <rt/spawn_on.h>
#include <rt/time.h>
#include <rt/yield.h>

#include <cerrno>
#include <chrono>
#include <coroutine>
#include <latch>
#include <memory>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <type_traits>
#include <vector>

#include <sys/resource.h>
#include <unistd.h>

namespace {

using namespace std::chrono_literals;

using rt::test::gate;
using rt::test::is_cancelled;
using rt::test::run;
using rt::test::settings;
using rt::test::wait_for_start;
using rt::test::witness;

rt::task<pid_t> thread_of_closure() {
    co_return co_await rt::blocking([] { return gettid(); });
}

rt::task<std::pair<pid_t, pid_t>> both_threads() {
    const pid_t closure = co_await thread_of_closure();
    co_return std::pair(closure, gettid());
}

rt::task<int> move_only_value() {
    std::unique_ptr<int> number = co_await rt::blocking([owned = std::make_unique<int>(41)] {
        return std::make_unique<int>(*owned + 1);
    });
    co_return *number;
}

rt::task<std::string> exception_text() {
    try {
        co_await rt::blocking([] { throw std::runtime_error("from the closure"); });
    } catch (const std::runtime_error& error) {
        co_return error.what();
    }
    co_return "nothing was thrown";
}

rt::task<int> yields_then_gives(int value) {
    co_await rt::yield();
    co_return value;
}

rt::task<rt::join_handle<int>> branch_whose_closure_spawns() {
    co_return co_await rt::blocking([] { return rt::spawn(yields_then_gives(42)); });
}

rt::task<void> yields_once() {
    co_await rt::yield();
}

rt::task<int> sum_of_many(int count) {
    std::vector<rt::join_handle<int>> children;
    for (int i = 0; i < count; ++i) {
        children.push_back(rt::spawn(
            [](int number) -> rt::task<int> {
                co_return co_await rt::blocking([number] { return number; });
            },
            i
        ));
    }
    int sum = 0;
    for (rt::join_handle<int>& child : children) {
        sum += co_await std::move(child);
    }
    co_return sum;
}

rt::task<int> five() {
    co_return 5;
}

rt::task<int> use_runtimes_in_closures() {
    rt::join_handle<int> child = co_await rt::blocking([] { return rt::spawn(five); });
    const int inner = co_await rt::blocking([] { return run(five()) + 1; });
    co_return co_await std::move(child) * 10 + inner;
}

rt::task<bool> catch_refusal() {
    rlimit before{};
    getrlimit(RLIMIT_AS, &before);
    rlimit none = before;
    none.rlim_cur = 1 << 20;
    setrlimit(RLIMIT_AS, &none);
    bool has_run = false;
    bool is_refused = false;
    try {
        co_await rt::blocking([&has_run] { has_run = true; });
    } catch (const rt::system_error& error) {
        is_refused = error.why().is(EAGAIN) || error.why().is(ENOMEM);
    }
    setrlimit(RLIMIT_AS, &before);
    co_return is_refused && !has_run;
}

rt::task<int> hold_thread(gate* through) {
    co_return co_await rt::blocking([through] {
        through->started.count_down();
        through->go_on.wait();
        return 7;
    });
}

rt::task<void> never_called(rt::atomic<int>* calls, rt::atomic<int>* destroyed) {
    const witness local(destroyed);
    co_await rt::blocking([calls, captured = witness(destroyed)] { calls->add_relaxed(1); });
}

rt::task<void> wait_until_queued(std::size_t count) {
    while (rt::offload::current_pool()->read().queued != count) {
        co_await rt::yield();
    }
}

// One thread, held by the first task; the second task's closure is queued when it is aborted.
rt::task<bool> abort_queued(rt::atomic<int>* calls, rt::atomic<int>* destroyed) {
    gate through;
    rt::join_handle<int> holder = rt::spawn(hold_thread, &through);
    co_await wait_for_start(&through);
    rt::join_handle<void> victim = rt::spawn(never_called, calls, destroyed);
    co_await wait_until_queued(1);
    victim.abort();
    const bool cancelled = co_await is_cancelled(std::move(victim));
    through.go_on.count_down();
    const int seven = co_await std::move(holder);
    co_return cancelled&& seven == 7;
}

rt::task<void> keep_going(gate* through, rt::atomic<int>* value, rt::atomic<int>* after) {
    const int held = co_await hold_thread(through);
    value->store_relaxed(held);
    co_await rt::yield();
    after->add_relaxed(1);
}

// The closure has started: its value is delivered, and the task unwinds at the next suspension.
rt::task<bool> abort_running(rt::atomic<int>* value, rt::atomic<int>* after) {
    gate through;
    rt::join_handle<void> victim = rt::spawn(keep_going, &through, value, after);
    co_await wait_for_start(&through);
    victim.abort();
    co_await rt::yield();
    const bool has_waited = !victim.is_finished();
    through.go_on.count_down();
    const bool cancelled = co_await is_cancelled(std::move(victim));
    co_return has_waited&& cancelled;
}

rt::task<rt::result<int>> time_out_while_queued() {
    gate through;
    rt::join_handle<int> holder = rt::spawn(hold_thread, &through);
    co_await wait_for_start(&through);
    gate second;
    rt::result<int> outcome = co_await rt::timeout(1ms, hold_thread(&second));
    through.go_on.count_down();
    co_await std::move(holder);
    if (second.started.try_wait()) {
        co_return 0; // the closure was called
    }
    co_return outcome;
}

rt::task<void> end_after_closure(gate* through, rt::atomic<int>* ended) {
    const int value = co_await hold_thread(through);
    ended->add_relaxed(value);
}

rt::task<void> spawn_and_leave(gate* through, rt::atomic<int>* ended) {
    rt::spawn(end_after_closure, through, ended).detach();
    co_await wait_for_start(through);
}

// On which threads a bound task and its closures are, and on which the task goes on.
rt::task<std::vector<pid_t>> threads_of_closures() {
    std::vector<pid_t> seen{gettid()};
    seen.push_back(co_await rt::blocking([] { return gettid(); }));
    seen.push_back(gettid());
    seen.push_back(co_await rt::spawn_blocking([] { return gettid(); }));
    seen.push_back(gettid());
    co_return seen;
}

rt::task<std::vector<pid_t>> threads_of_local_closures() {
    co_return co_await rt::spawn_local(threads_of_closures);
}

} // namespace

Test(blocking, runs_the_closure_on_another_thread) {
    const auto [closure, task] = run(both_threads());
    cr_assert(closure != task);
    cr_assert(closure != gettid());
}

Test(blocking, b136_closures_of_local_tasks_run_on_another_thread) {
    rt::test::on_every_runtime([](const rt::config& config) {
        const std::vector<pid_t> seen = rt::block_on(config, threads_of_local_closures());
        const pid_t worker = seen[0];
        cr_assert(seen[2] == worker && seen[4] == worker);
        for (const pid_t closure : {seen[1], seen[3]}) {
            cr_assert(closure != worker && closure != gettid());
        }
    });
}

Test(blocking, moves_captures_and_value) {
    cr_assert_eq(run(move_only_value()), 42);
}

Test(blocking, rethrows_what_the_closure_threw) {
    const std::string text = run(exception_text());
    cr_assert_str_eq(text.c_str(), "from the closure");
}

Test(blocking, works_on_a_current_thread_runtime) {
    const auto [closure, task] = rt::block_on(rt::test::single(), both_threads());
    cr_assert(closure != task);
    cr_assert(task == gettid());
}

Test(blocking, thousands_of_closures_share_a_few_threads) {
    rt::config config = settings();
    config.blocking_threads_max = 3;
    constexpr int count = 3000;
    cr_assert_eq(rt::block_on(config, sum_of_many(count)), count * (count - 1) / 2);
}

Test(blocking, closure_may_spawn_and_may_run_another_runtime) {
    cr_assert_eq(run(use_runtimes_in_closures()), 56);
}

// The branch's own scheduler is its group, which is gone when the child wakes.
Test(blocking, b148_closure_in_a_branch_may_spawn) {
    run([]() -> rt::task<void> {
        auto [child, nothing] = co_await rt::join(branch_whose_closure_spawns(), yields_once());
        cr_assert_eq(co_await std::move(child), 42);
    }());
}

Test(blocking, abort_withdraws_a_queued_closure) {
    rt::config config = settings();
    config.blocking_threads_max = 1;
    rt::atomic<int> calls{0};
    rt::atomic<int> destroyed{0};
    cr_assert(rt::block_on(config, abort_queued(&calls, &destroyed)));
    cr_assert_eq(calls.load_relaxed(), 0);
    cr_assert_eq(destroyed.load_relaxed(), 2, "the local and the capture are destroyed");
}

Test(blocking, abort_waits_for_a_running_closure) {
    rt::atomic<int> value{0};
    rt::atomic<int> after{0};
    cr_assert(run(abort_running(&value, &after)));
    cr_assert_eq(value.load_relaxed(), 7);
    cr_assert_eq(after.load_relaxed(), 0);
}

Test(blocking, timeout_withdraws_a_queued_closure) {
    rt::config config = settings();
    config.blocking_threads_max = 1;
    const rt::result<int> outcome = rt::block_on(config, time_out_while_queued());
    cr_assert_not(outcome.has_value());
    cr_assert(outcome.error() == rt::errc::timed_out);
}

// The runtime is destroyed while a closure runs: it is waited for, and its task gets the value.
Test(blocking, shutdown_waits_for_running_closures) {
    gate through;
    rt::atomic<int> ended{0};
    std::thread opener([&] {
        through.started.wait();
        std::this_thread::yield();
        through.go_on.count_down();
    });
    {
        rt::runtime runtime(settings());
        runtime.block_on(spawn_and_leave(&through, &ended));
    }
    opener.join();
    cr_assert_eq(ended.load_relaxed(), 7);
}

// What rt::blocking would throw; it cannot come so far, for the pool of a runtime ends after its
// tasks. Neither the number nor the words alone make such an error.
Test(blocking, b103_the_refusal_of_a_pool_that_has_ended_is_like_no_other_error) {
    rt::offload::pool ended(1, std::chrono::milliseconds(1h), "t");
    ended.shut_down();
    test_job late([] {});
    const rt::error refused = ended.submit(late).error();
    cr_assert(refused.is_shut_down());
    cr_assert(refused.as("elsewhere").is_shut_down());
    cr_assert(rt::system_error(refused).why().is_shut_down());
    const std::string text = refused.message();
    cr_assert(text == "rt::blocking: the runtime is shutting down", "%s", text.c_str());
    const char* const words = "the runtime is shutting down";
    for (const rt::error& other : {
             rt::error(static_cast<int>(rt::errc::shut_down), "rt::blocking"),
             rt::error(ESHUTDOWN, words),
             rt::error(ECANCELED, words),
             rt::error(rt::errc::cancelled, words),
             rt::error(rt::errc::timed_out, text.c_str()),
             rt::error(rt::errc::closed, text.c_str()),
         }) {
        cr_assert_not(other.is_shut_down());
        cr_assert_not(other == refused);
    }
}

// A task that the end has cancelled is told of by another type.
Test(blocking, b103_the_error_of_a_join_is_no_refusal) {
    static_assert(!std::is_base_of_v<std::system_error, rt::join_error>);
    auto runtime = std::make_unique<rt::runtime>(settings());
    const rt::handle left = runtime->get_handle();
    runtime.reset();
    cr_assert_throw(left.spawn(five()).take(), rt::join_error);
    cr_assert_throw(left.spawn_blocking([] { return 5; }).take(), rt::join_error);
}

// The pool refuses when it has no thread and cannot make one; the task learns it as an exception.
Test(blocking, refusal_is_thrown_as_system_error) {
#if defined(RT_SANITIZED)
    cr_skip_test("a sanitizer's address space cannot be limited");
#endif
    cr_assert(run(catch_refusal()));
}

Test(blocking, outside_a_task_aborts_with_advice, .signal = SIGABRT) {
    auto awaiter = rt::blocking([] {});
    static_cast<void>(awaiter.await_suspend(std::noop_coroutine()));
}

// SPDX-License-Identifier: MIT
//
// Shutdown with a deadline and in the background: what is reported, and what ends all the same.
#include "support/runtimes.h"
#include "support/test.h"
#include "task/gate.h"

#include <rt/blocking.h>
#include <rt/detail/atomic.h>
#include <rt/runtime.h>
#include <rt/spawn.h>
#include <rt/spawn_blocking.h>
#include <rt/time.h>
#include <rt/yield.h>

#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <latch>
#include <memory>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
using rt::test::settings;

// A closure that is running until it is let go, and tells when it is gone.
struct held {
    std::latch started{1};
    std::latch go_on{1};
    std::latch gone{1};
};

struct on_exit {
    std::latch* gone;
    explicit on_exit(std::latch* told) noexcept
        : gone(told) {}
    on_exit(on_exit&& other) noexcept
        : gone(std::exchange(other.gone, nullptr)) {}
    ~on_exit() {
        if (gone != nullptr) {
            gone->count_down();
        }
    }
};

rt::task<void> hold_a_thread(std::shared_ptr<held> shared) {
    const on_exit local(&shared->gone);
    co_await rt::blocking([&shared] {
        shared->started.count_down();
        shared->go_on.wait();
    });
}

rt::task<void> sleep_long() {
    co_await rt::sleep(1h);
}

rt::task<void> spin_until(std::shared_ptr<held> shared) {
    const on_exit local(&shared->gone);
    shared->started.count_down();
    shared->go_on.wait(); // what a task must not do
    co_return;
}

rt::task<int> one() {
    co_return 1;
}

rt::task<void> end_own_runtime(rt::runtime* runtime, bool with_zero_timeout) {
    if (with_zero_timeout) {
        static_cast<void>(runtime->shut_down(0ns));
    } else {
        runtime->shut_down_in_background();
    }
    co_await rt::sleep(1h);
}

rt::task<void> end_own_runtime_in_time(rt::runtime* runtime) {
    static_cast<void>(runtime->shut_down(1s));
    co_return;
}

bool has_threads_of_librt() {
    std::error_code error;
    for (const auto& each : std::filesystem::directory_iterator("/proc/self/task", error)) {
        std::string name;
        std::ifstream(each.path() / "comm") >> name;
        if (name.starts_with("rt-")) {
            return true;
        }
    }
    return false;
}

// The thread that a shutdown leaves behind ends by itself, soon, and joins the workers.
// ThreadSanitizer calls them leaks if the process ends before.
void wait_for_what_was_left() {
    while (has_threads_of_librt()) {
        std::this_thread::yield();
    }
}

TestSuite(shutdown, .fini = wait_for_what_was_left);

} // namespace

Test(shutdown, b091_returns_at_the_deadline_and_reports_the_closure) {
    auto shared = std::make_shared<held>();
    {
        rt::runtime runtime(settings());
        const rt::handle handle = runtime.get_handle();
        rt::join_handle<void> task = handle.spawn({.name = "holder"}, hold_a_thread(shared));
        handle.spawn(sleep_long()).detach();
        shared->started.wait();
        const rt::shutdown_report report = runtime.shut_down(100ms);
        cr_assert_not(report.is_complete);
        cr_assert_eq(report.left.size(), 1, "the sleeper has ended");
        const rt::unfinished_task& left = report.left.front();
        cr_assert_eq(left.id, task.id());
        cr_assert_str_eq(left.name, "holder");
        cr_assert(std::strstr(left.spawned_at.file_name(), "shutdown_test.cc") != nullptr);
        cr_assert(left.is_in_blocking_closure);
        const std::string text = report.text();
        cr_assert(text.find("\"holder\" (spawned at ") != std::string::npos);
        cr_assert(text.find(") is in a blocking closure\n") != std::string::npos);
        cr_assert(runtime.shut_down(1h).is_complete, "a second call does nothing");
        shared->go_on.count_down();
        task.detach();
    }
    shared->gone.wait(); // the thread that was left behind ends the task
}

Test(shutdown, the_report_shows_labels) {
    auto shared = std::make_shared<held>();
    {
        rt::runtime runtime(settings());
        const rt::handle handle = runtime.get_handle();
        handle.spawn({.name = "holder", .label = "/var/log\n"}, hold_a_thread(shared)).detach();
        shared->started.wait();
        const rt::shutdown_report report = runtime.shut_down(1ms);
        for (const rt::unfinished_task& left : report.left) {
            cr_assert_str_eq(left.label.text(), "/var/log\n");
        }
        cr_assert_eq(report.left.size(), 1);
        const std::string text = report.text();
        cr_assert(text.find("\"holder\" [/var/log\\n] (") != std::string::npos, "%s", text.c_str());
        shared->go_on.count_down();
    }
    shared->gone.wait();
}

Test(shutdown, b092_with_a_timeout_of_0_it_does_not_wait) {
    auto shared = std::make_shared<held>();
    rt::runtime runtime(settings());
    rt::join_handle<void> task = runtime.get_handle().spawn_blocking([shared] {
        shared->started.count_down();
        shared->go_on.wait();
    });
    shared->started.wait();
    cr_assert_not(runtime.shut_down(0ns).is_complete);
    shared->go_on.count_down();
    while (!task.is_finished()) {
        std::this_thread::yield();
    }
}

Test(shutdown, b093_with_nothing_running_a_long_timeout_is_not_used) {
    rt::test::on_every_runtime([](const rt::config& config) {
        rt::runtime runtime(config);
        cr_assert_eq(runtime.block_on(one()), 1);
        runtime.get_handle().spawn(sleep_long()).detach();
        const rt::shutdown_report report = runtime.shut_down(24h);
        cr_assert(report.is_complete);
        cr_assert(report.left.empty());
        cr_assert(report.text().empty());
    });
}

Test(shutdown, reports_a_task_that_never_suspends) {
    auto shared = std::make_shared<held>();
    {
        rt::runtime runtime(settings());
        runtime.get_handle().spawn({.name = "spinner"}, spin_until(shared)).detach();
        shared->started.wait();
        const rt::shutdown_report report = runtime.shut_down(1ms);
        cr_assert_not(report.is_complete);
        const auto is_spinner = [](const rt::unfinished_task& task) {
            return std::strcmp(task.name, "spinner") == 0 && !task.is_in_blocking_closure;
        };
        cr_assert_eq(report.left.size(), 1);
        cr_assert(is_spinner(report.left.front()));
        shared->go_on.count_down();
    }
    shared->gone.wait();
}

Test(shutdown, in_the_background_everything_ends) {
    auto shared = std::make_shared<held>();
    rt::join_handle<void> task;
    {
        rt::runtime runtime(settings());
        task = runtime.get_handle().spawn(hold_a_thread(shared));
        shared->started.wait();
        runtime.shut_down_in_background();
        runtime.shut_down_in_background();
    }
    cr_assert_not(task.is_finished());
    shared->go_on.count_down();
    shared->gone.wait();
}

Test(shutdown, what_is_spawned_once_it_has_begun_in_the_background_does_not_begin) {
    for (int round = 0; round < 50; ++round) {
        rt::runtime runtime(settings());
        const rt::handle handle = runtime.get_handle();
        runtime.shut_down_in_background();
        bool has_begun = false;
        const auto late = handle.spawn(
            [](bool* begun) -> rt::task<void> {
                *begun = true;
                co_return;
            },
            &has_begun
        );
        while (!late.is_finished()) {
            std::this_thread::yield();
        }
        cr_assert_not(has_begun);
    }
}

Test(shutdown, b095_in_a_task_of_its_own_in_the_background) {
    rt::runtime runtime(settings());
    rt::join_handle<void> task = runtime.get_handle().spawn(end_own_runtime(&runtime, false));
    while (!task.is_finished()) {
        std::this_thread::yield();
    }
}

Test(shutdown, b095_in_a_task_of_its_own_with_a_timeout_of_0) {
    rt::runtime runtime(settings());
    rt::join_handle<void> task = runtime.get_handle().spawn(end_own_runtime(&runtime, true));
    while (!task.is_finished()) {
        std::this_thread::yield();
    }
}

namespace {

using ending = void (*)(std::unique_ptr<rt::runtime>*);

rt::task<void> wait_at(rt::test::gate* at, rt::test::member /*owned*/) {
    co_await at->wait();
}

// Ends a runtime and goes on, in the context of its own.
rt::task<int> end_another(std::uint32_t workers, ending end, bool waits) {
    rt::test::census counted;
    rt::test::gate never;
    auto other = std::make_unique<rt::runtime>(rt::test::with_workers(workers));
    for (int i = 0; i < 10; ++i) {
        other->get_handle().spawn(wait_at(&never, rt::test::member(counted))).detach();
    }
    end(&other);
    cr_assert(!waits || counted.live.load_acquire() == 0);
    while (counted.live.load_acquire() != 0) {
        co_await rt::yield();
    }
    co_await rt::sleep(1ms);
    co_return co_await rt::spawn(one());
}

} // namespace

// Tokio refuses to drop a runtime there. Here the worker waits, as for anything that blocks.
Test(shutdown, b095_of_another_runtime_in_a_task) {
    const std::pair<ending, bool> all[] = {
        {[](auto* other) { other->reset(); }, true},
        {[](auto* other) { cr_assert((*other)->shut_down(1h).is_complete); }, true},
        {[](auto* other) { static_cast<void>((*other)->shut_down(0ns)); }, false},
        {[](auto* other) { (*other)->shut_down_in_background(); }, false},
    };
    for (const auto& [end, waits] : all) {
        for (const std::uint32_t inner : {0U, 1U, 2U}) {
            for (const std::uint32_t outer : {0U, 1U, 2U}) {
                rt::runtime runtime(rt::test::with_workers(outer));
                cr_assert_eq(runtime.block_on(end_another(inner, end, waits)), 1);
            }
        }
    }
}

Test(shutdown, after_it_a_spawn_is_cancelled) {
    rt::runtime runtime(settings());
    cr_assert(runtime.shut_down(1h).is_complete);
    rt::join_handle<int> late = runtime.get_handle().spawn(one());
    cr_assert(late.is_finished());
    bool is_cancelled = false;
    try {
        static_cast<void>(runtime.block_on(one()));
    } catch (const rt::join_error&) {
        is_cancelled = true;
    }
    cr_assert(is_cancelled);
}

Test(shutdown, b095_waiting_on_an_own_thread_aborts_with_advice, .signal = SIGABRT) {
    rt::runtime runtime(settings());
    runtime.block_on(end_own_runtime_in_time(&runtime));
}

Test(shutdown, dropping_it_in_its_own_closure_aborts_with_advice, .signal = SIGABRT) {
    auto runtime = std::make_unique<rt::runtime>(settings());
    rt::join_handle<void> task =
        runtime->get_handle().spawn_blocking([&runtime] { runtime.reset(); });
    while (!task.is_finished()) {
        std::this_thread::yield();
    }
}

namespace {

rt::task<void> tell_and_sleep(std::latch* begun) {
    begun->count_down();
    co_await rt::sleep(1h);
}

// Yields, so that on current_thread the worker is never asleep.
rt::task<void> tell_and_yield(std::latch* begun) {
    begun->count_down();
    for (;;) {
        co_await rt::yield();
    }
}

} // namespace

// Their tasks are cancelled like any other, on every flavour; on current_thread the thread that is
// the worker makes room for the one that ends the runtime.
Test(shutdown, cancels_what_other_threads_block_on) {
    constexpr int threads_max = 4;
    for (const auto& make : {&tell_and_sleep, &tell_and_yield}) {
        rt::test::on_every_runtime([&](const rt::config& wanted) {
            rt::runtime runtime(wanted);
            std::latch begun(threads_max);
            rt::atomic<int> cancelled{0};
            std::vector<std::thread> threads;
            for (int t = 0; t < threads_max; ++t) {
                threads.emplace_back([&] {
                    try {
                        runtime.block_on(make(&begun));
                    } catch (const rt::join_error&) {
                        cancelled.add_relaxed(1);
                    }
                });
            }
            begun.wait();
            cr_assert(runtime.shut_down(1h).is_complete);
            for (std::thread& each : threads) {
                each.join();
            }
            cr_assert_eq(cancelled.load_relaxed(), threads_max);
        });
    }
}

Test(shutdown, of_current_thread_inside_block_on_aborts_with_advice, .signal = SIGABRT) {
    rt::runtime runtime(rt::test::single());
    runtime.block_on(end_own_runtime(&runtime, false));
}

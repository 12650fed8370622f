// SPDX-License-Identifier: MIT
//
// rt::spawn_blocking: values, where it may be called from, abort, and the end of the runtime.
//
// As in blocking_test.cc: a closure that must be running says so through a gate, and that one is
// queued is seen in the pool's counts.
#include "blocking/closures.h"
#include "blocking/pool.h"
#include "support/runtimes.h"
#include "support/test.h"

#include <rt/detail/atomic.h>
#include <rt/runtime.h>
#include <rt/spawn_blocking.h>
#include <rt/time.h>
#include <rt/yield.h>

#include <array>
#include <latch>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <sys/resource.h>

namespace {

using namespace std::chrono_literals;

using rt::test::gate;
using rt::test::is_cancelled;
using rt::test::run;
using rt::test::settings;
using rt::test::wait_for_start;
using rt::test::witness;

rt::task<int> five() {
    co_return 5;
}

rt::task<int> nested() {
    rt::join_handle<int> outer = rt::spawn_blocking([] { return 1; });
    const int one = co_await std::move(outer);
    rt::join_handle<rt::join_handle<int>> two_levels =
        rt::spawn_blocking([] { return rt::spawn_blocking([] { return 10; }); });
    const int ten = co_await co_await std::move(two_levels);
    co_return one + ten;
}

rt::task<bool> large_result() {
    std::array<int, 64> got = co_await rt::spawn_blocking([] {
        std::array<int, 64> made{};
        made.back() = 7;
        return made;
    });
    co_return got.back() == 7;
}

rt::task<std::string> exception_text() {
    try {
        co_await rt::spawn_blocking([owned = std::make_unique<int>(1)] {
            throw std::runtime_error("from the closure");
        });
    } catch (const std::runtime_error& error) {
        co_return error.what();
    }
    co_return "nothing was thrown";
}

rt::task<void> nap() {
    co_await rt::sleep(1ms);
}

rt::task<int> use_runtime_in_closure() {
    rt::join_handle<int> child = co_await rt::spawn_blocking([] { return rt::spawn(five); });
    rt::join_handle<int> other =
        co_await rt::spawn_blocking([] { return rt::handle::current().spawn(five()); });
    rt::join_handle<rt::join_handle<void>> timer =
        rt::spawn_blocking([] { return rt::spawn(nap()); });
    co_await co_await std::move(timer);
    co_return co_await std::move(child) + co_await std::move(other);
}

rt::task<bool> abort_queued(rt::atomic<int>* calls, rt::atomic<int>* destroyed) {
    gate through;
    rt::join_handle<void> holder = rt::spawn_blocking([&through] { through.pass(); });
    co_await wait_for_start(&through);
    rt::join_handle<void> victim =
        rt::spawn_blocking([calls, captured = witness(destroyed)] { calls->add_relaxed(1); });
    victim.abort();
    const bool cancelled = co_await is_cancelled(std::move(victim));
    const bool is_gone = destroyed->load_relaxed() == 1;
    through.go_on.count_down();
    co_await std::move(holder);
    co_return cancelled&& is_gone;
}

rt::task<int> abort_running() {
    gate through;
    rt::join_handle<int> victim = rt::spawn_blocking([&through] {
        through.pass();
        return 7;
    });
    co_await wait_for_start(&through);
    victim.abort();
    co_await rt::yield();
    through.go_on.count_down();
    co_return co_await std::move(victim);
}

rt::task<int> sum_of_many(int count) {
    std::vector<rt::join_handle<int>> children;
    for (int i = 0; i < count; ++i) {
        children.push_back(rt::spawn_blocking([i] { return i; }));
    }
    int sum = 0;
    for (rt::join_handle<int>& child : children) {
        sum += co_await std::move(child);
    }
    co_return sum;
}

// Spawned, aborted at once: called or not, each ends, and each capture is destroyed.
rt::task<void> abort_storm(int count, rt::atomic<int>* destroyed) {
    std::vector<rt::join_handle<void>> children;
    for (int i = 0; i < count; ++i) {
        children.push_back(rt::spawn_blocking([captured = witness(destroyed)] {}));
        if (i % 3 != 0) {
            children.back().abort();
        }
        if (i % 5 == 0) {
            children.back().detach();
            children.pop_back();
        }
    }
    for (rt::join_handle<void>& child : children) {
        static_cast<void>(co_await is_cancelled(std::move(child)));
    }
}

rt::task<rt::handle> own_handle() {
    co_return rt::handle::current();
}

rt::task<bool> catch_refusal() {
    rlimit before{};
    getrlimit(RLIMIT_AS, &before);
    rlimit none = before;
    none.rlim_cur = 1 << 20;
    setrlimit(RLIMIT_AS, &none);
    rt::join_handle<void> refused = rt::spawn_blocking([] {});
    setrlimit(RLIMIT_AS, &before);
    try {
        co_await std::move(refused);
    } catch (const rt::system_error& error) {
        co_return error.why().is(EAGAIN) || error.why().is(ENOMEM);
    }
    co_return false;
}

} // namespace

Test(spawn_blocking, b147_gives_the_value_from_tasks_and_from_closures) {
    for (int round = 0; round < 100; ++round) {
        cr_assert_eq(run(nested()), 11);
    }
    cr_assert_eq(rt::block_on(rt::test::single(), nested()), 11);
    cr_assert(run(large_result()));
}

Test(spawn_blocking, b147_rethrows_what_the_closure_threw) {
    const std::string text = run(exception_text());
    cr_assert_str_eq(text.c_str(), "from the closure");
}

Test(spawn_blocking, b148_closures_can_spawn_and_make_timers) {
    rt::test::on_every_runtime([](const rt::config& config) {
        cr_assert_eq(rt::block_on(config, use_runtime_in_closure()), 10);
    });
}

Test(spawn_blocking, works_from_any_thread_through_a_handle) {
    rt::runtime runtime(settings());
    rt::join_handle<int> seven = runtime.get_handle().spawn_blocking([] { return 7; });
    rt::join_handle<int> eight =
        runtime.get_handle().spawn_blocking({.name = "eight"}, [] { return 8; });
    const auto sum = [](rt::join_handle<int> a, rt::join_handle<int> b) -> rt::task<int> {
        co_return co_await std::move(a) + co_await std::move(b);
    };
    cr_assert_eq(runtime.block_on(sum(std::move(seven), std::move(eight))), 15);
}

Test(spawn_blocking, thousands_of_closures_share_a_few_threads) {
    rt::config config = settings();
    config.blocking_threads_max = 3;
    constexpr int count = 3000;
    cr_assert_eq(rt::block_on(config, sum_of_many(count)), count * (count - 1) / 2);
}

Test(spawn_blocking, abort_destroys_a_queued_closure) {
    rt::config config = settings();
    config.blocking_threads_max = 1;
    rt::atomic<int> calls{0};
    rt::atomic<int> destroyed{0};
    cr_assert(rt::block_on(config, abort_queued(&calls, &destroyed)));
    cr_assert_eq(calls.load_relaxed(), 0);
    cr_assert_eq(destroyed.load_relaxed(), 1);
}

Test(spawn_blocking, abort_of_a_running_closure_keeps_its_value) {
    cr_assert_eq(run(abort_running()), 7);
}

Test(spawn_blocking, aborts_race_with_the_pool) {
    rt::config config = settings();
    config.blocking_threads_max = 2;
    constexpr int count = 3000;
    rt::atomic<int> destroyed{0};
    rt::block_on(config, abort_storm(count, &destroyed)); // which ends with the runtime
    cr_assert_eq(destroyed.load_relaxed(), count);
}

Test(spawn_blocking, b149_after_the_end_of_the_runtime_it_is_cancelled) {
    auto runtime = std::make_unique<rt::runtime>(settings());
    const rt::handle left = runtime->block_on(own_handle());
    runtime.reset();
    rt::atomic<int> destroyed{0};
    rt::join_handle<void> late = left.spawn_blocking([captured = witness(&destroyed)] {});
    cr_assert(late.is_finished());
    cr_assert_eq(destroyed.load_relaxed(), 1);
    cr_assert(run(is_cancelled(std::move(late))));
}

Test(spawn_blocking, b149_what_has_started_completes) {
    gate through;
    rt::join_handle<int> started;
    std::thread opener([&] {
        through.started.wait();
        std::this_thread::yield();
        through.go_on.count_down();
    });
    {
        rt::runtime runtime(settings());
        started = runtime.get_handle().spawn_blocking([&] {
            through.pass();
            return 7;
        });
        through.started.wait();
    }
    opener.join();
    cr_assert(started.is_finished());
    cr_assert_eq(started.take(), 7);
}

// One thread, held: what is queued behind it is destroyed with the runtime.
Test(spawn_blocking, b156_the_end_of_the_runtime_destroys_what_is_queued) {
    rt::config config = settings();
    config.blocking_threads_max = 1;
    gate through;
    rt::atomic<int> calls{0};
    rt::atomic<int> destroyed{0};
    std::vector<rt::join_handle<void>> queued;
    std::thread opener;
    {
        rt::runtime runtime(config);
        const rt::handle handle = runtime.get_handle();
        handle.spawn_blocking([&] { through.pass(); }).detach();
        through.started.wait();
        for (int i = 0; i < 100; ++i) {
            queued.push_back(handle.spawn_blocking([&calls, captured = witness(&destroyed)] {
                calls.add_relaxed(1);
            }));
        }
        opener = std::thread([&] {
            while (destroyed.load_relaxed() != 100) {
                std::this_thread::yield();
            }
            through.go_on.count_down();
        });
    }
    opener.join();
    cr_assert_eq(calls.load_relaxed(), 0);
    for (const rt::join_handle<void>& one : queued) {
        cr_assert(one.is_finished());
    }
}

Test(spawn_blocking, b153_a_spawn_that_races_with_the_end_always_ends) {
    for (int round = 0; round < 50; ++round) {
        auto runtime = std::make_unique<rt::runtime>(settings());
        const rt::handle handle = runtime->get_handle();
        std::latch begun(1);
        std::vector<rt::join_handle<void>> spawned;
        std::thread spawner([&] {
            for (int i = 0; i < 200; ++i) {
                spawned.push_back(handle.spawn_blocking([] {}));
                if (i == 20) {
                    begun.count_down();
                }
            }
        });
        begun.wait();
        runtime.reset();
        spawner.join();
        for (const rt::join_handle<void>& one : spawned) {
            cr_assert(one.is_finished());
        }
    }
}

Test(spawn_blocking, refusal_is_thrown_by_the_handle) {
#if defined(RT_SANITIZED)
    cr_skip_test("a sanitizer's address space cannot be limited");
#endif
    cr_assert(run(catch_refusal()));
}

Test(spawn_blocking, outside_a_runtime_aborts_with_advice, .signal = SIGABRT) {
    rt::spawn_blocking([] {}).detach();
}

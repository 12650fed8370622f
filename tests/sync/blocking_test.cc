// SPDX-License-Identifier: MIT
//
// The calls that put a thread to sleep which runs no task, as far as the tests of each type do not
// have them: they wait beside tasks and other threads and do what the awaited form does. Inside a
// task they end the program with advice: misuse_test.cc.
#include "support/runtimes.h"
#include "support/test.h"
#include "sync/sleeper.h"
#include "sync/waiting.h"

#include <rt/result.h>
#include <rt/runtime.h>
#include <rt/sync/mpsc.h>
#include <rt/sync/notify.h>
#include <rt/sync/once.h>
#include <rt/sync/watch.h>
#include <rt/yield.h>

#include <cstddef>
#include <exception>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

namespace {

using rt::test::counted;
using rt::test::run;

} // namespace

// ---- rt::mpsc -----------------------------------------------------------------------------------

Test(blocking, recv_many_takes_what_is_there) {
    auto [tx, rx] = rt::mpsc::channel<int>(8);
    for (int i = 0; i < 5; ++i) {
        cr_assert(tx.try_send(i));
    }
    std::vector<int> got;
    cr_assert_eq(rx.blocking_recv_many(got, 0), 0U);
    cr_assert_eq(rx.blocking_recv_many(got, 3), 3U);
    cr_assert_eq(rx.blocking_recv_many(got, 100), 2U);
    cr_assert((got == std::vector<int>{0, 1, 2, 3, 4}));
    cr_assert_eq(tx.capacity(), 8U, "the room was given back");
    tx = {};
    cr_assert_eq(rx.blocking_recv_many(got, 3), 0U, "there will be no more");
    cr_assert_eq(decltype(rx)().blocking_recv_many(got, 3), 0U);
    cr_assert_eq(got.size(), 5U);
}

Test(blocking, recv_many_waits_for_tasks_and_lets_them_in) {
    auto [tx, rx] = rt::mpsc::channel<int>(2);
    std::vector<int> got;
    rt::test::sleeper receiving([&got, from = std::move(rx)]() mutable {
        while (from.blocking_recv_many(got, 3) != 0) {
        }
    });
    receiving.until_asleep();
    run([](rt::mpsc::sender<int> to) -> rt::task<void> {
        for (int i = 0; i < 1000; ++i) {
            cr_assert(co_await to.send(i));
        }
    }(std::move(tx)));
    receiving.join();
    cr_assert_eq(got.size(), 1000U);
    for (int i = 0; i < 1000; ++i) {
        cr_assert_eq(got[static_cast<std::size_t>(i)], i);
    }
}

// ---- rt::once -----------------------------------------------------------------------------------

namespace {

struct scene {
    rt::once once;
    rt::once_cell<counted> cell;
    rt::notify go;
    int calls = 0; // by whoever is inside
};

// Is inside of the cell until it is let go, and fails then if it shall.
rt::task<counted> makes(scene* of, bool shall_fail) {
    ++of->calls;
    co_await of->go.notified();
    if (shall_fail) {
        throw std::runtime_error("not today");
    }
    co_return counted(1);
}
rt::task<int> number_of(scene* of, bool shall_fail) {
    co_return (co_await of->cell.get_or_init([=] { return makes(of, shall_fail); })).number();
}

template<typename T>
void until_waiting(const rt::join_handle<T>& task) {
    while (!rt::test::is_waiting(task)) {
        std::this_thread::yield();
    }
}

rt::task<int> value_of(rt::join_handle<int> task) {
    co_return co_await std::move(task);
}
rt::task<void> ended(rt::join_handle<int> task) {
    try {
        static_cast<void>(co_await std::move(task));
    } catch (const std::exception&) {
        // As it shall.
    }
}

// What the thread that waits behind a task finds.
template<typename Release>
int found_behind_a_task(bool shall_fail, Release release) {
    scene shared;
    rt::runtime runtime(rt::test::settings());
    rt::join_handle<int> first = runtime.get_handle().spawn(number_of(&shared, shall_fail));
    until_waiting(first);
    int found = 0;
    rt::test::sleeper second([&] {
        found = shared.cell
                    .blocking_get_or_init([&] {
                        ++shared.calls;
                        return counted(2);
                    })
                    .number();
    });
    second.until_asleep();
    release(shared, first);
    second.join();
    cr_assert_eq(shared.calls, found, "each of the calls before was in vain");
    cr_assert_eq(shared.cell.get()->number(), found);
    runtime.block_on(ended(std::move(first)));
    return found;
}

} // namespace

Test(blocking, once_finds_what_a_task_makes_meanwhile) {
    const int found =
        found_behind_a_task(false, [](scene& shared, auto&) { shared.go.notify_one(); });
    cr_assert_eq(found, 1);
    cr_assert_eq(counted::alive.load_relaxed(), 0);
}

Test(blocking, once_has_its_turn_when_the_task_throws) {
    const int found =
        found_behind_a_task(true, [](scene& shared, auto&) { shared.go.notify_one(); });
    cr_assert_eq(found, 2);
    cr_assert_eq(counted::alive.load_relaxed(), 0);
}

Test(blocking, once_has_its_turn_when_the_task_is_cancelled) {
    const int found = found_behind_a_task(false, [](scene&, auto& first) { first.abort(); });
    cr_assert_eq(found, 2);
    cr_assert_eq(counted::alive.load_relaxed(), 0);
}

Test(blocking, once_exception_of_a_thread_leaves_its_call_and_the_task_has_its_turn) {
    scene shared;
    rt::runtime runtime(rt::test::settings());
    rt::join_handle<int> task;
    const auto fails = [&]() -> counted {
        ++shared.calls;
        task = runtime.get_handle().spawn(number_of(&shared, false));
        until_waiting(task); // for this one
        cr_assert(task.header()->waits_for == rt::detail::wait_kind::mutex);
        throw std::runtime_error("not today");
    };
    bool is_thrown = false;
    try {
        static_cast<void>(shared.cell.blocking_get_or_init(fails));
    } catch (const std::runtime_error&) {
        is_thrown = true;
    }
    cr_assert(is_thrown);
    shared.go.notify_one();
    cr_assert_eq(runtime.block_on(value_of(std::move(task))), 1);
    cr_assert_eq(shared.calls, 2);
}

Test(blocking, once_calls_until_one_has_succeeded) {
    rt::once once;
    int calls = 0;
    const auto attempt = [&](bool shall_fail) {
        return [&calls, shall_fail] {
            ++calls;
            if (shall_fail) {
                throw std::runtime_error("again");
            }
        };
    };
    cr_assert_throw(once.blocking_call(attempt(true)), std::runtime_error);
    cr_assert(!once.is_done());
    once.blocking_call(attempt(false));
    cr_assert(once.is_done());
    once.blocking_call(attempt(true));
    cr_assert_eq(calls, 2);
    run([](rt::once* of) -> rt::task<void> {
        of->blocking_call([] { cr_assert(false, "it has been done"); });
        co_await of->call([]() -> rt::task<void> {
            cr_assert(false, "it has been done");
            co_return;
        });
    }(&once));
}

namespace {

// The first to make the value fails.
struct contested {
    counted make() {
        if (calls.add_acq_rel(1) == 0) {
            throw std::runtime_error("not the first");
        }
        return counted(7);
    }
    rt::task<counted> make_later() {
        co_await rt::yield();
        co_return make();
    }
    rt::task<void> get_as_task() {
        try {
            cr_assert_eq((co_await cell.get_or_init([this] { return make_later(); })).number(), 7);
        } catch (const std::runtime_error&) {
            failures.add_relaxed(1);
        }
    }
    void get_as_thread() {
        try {
            cr_assert_eq(cell.blocking_get_or_init([this] { return make(); }).number(), 7);
        } catch (const std::runtime_error&) {
            failures.add_relaxed(1);
        }
    }

    rt::once_cell<counted> cell;
    rt::atomic<int> calls{0};
    rt::atomic<int> failures{0};
};

} // namespace

Test(blocking, once_is_done_by_one_of_many_threads_and_tasks) {
    for (int round = 0; round < 50; ++round) {
        contested shared;
        std::vector<std::thread> threads;
        for (int i = 0; i < 3; ++i) {
            threads.emplace_back([&shared] { shared.get_as_thread(); });
        }
        run(shared.get_as_task());
        for (std::thread& each : threads) {
            each.join();
        }
        cr_assert_eq(shared.calls.load_relaxed(), 2);
        cr_assert_eq(shared.failures.load_relaxed(), 1, "the exception is for one of them");
    }
    cr_assert_eq(counted::alive.load_relaxed(), 0);
}

// ---- rt::watch ----------------------------------------------------------------------------------

Test(blocking, watch_waits_until_a_condition_holds) {
    auto [tx, rx] = rt::watch::channel<int>(0);
    const auto now = rx.blocking_wait_for([](int value) { return value == 0; });
    cr_assert(now.has_value() && **now == 0, "it may be the present value");
    rt::test::sleeper waiting([from = rx]() mutable {
        const auto got = from.blocking_wait_for([](int value) { return value >= 3; });
        cr_assert(got.has_value() && **got == 3);
        cr_assert_not(from.has_changed(), "it counts as seen");
    });
    waiting.until_asleep();
    run([](rt::watch::sender<int>* to) -> rt::task<void> {
        for (int i = 1; i <= 3; ++i) {
            cr_assert(to->send(i));
            co_await rt::yield();
        }
    }(&tx));
    waiting.join();
}

Test(blocking, watch_is_told_that_a_condition_cannot_hold_any_more) {
    auto [tx, rx] = rt::watch::channel<int>(0);
    rt::test::sleeper waiting([from = rx]() mutable {
        const auto got = from.blocking_wait_for([](int value) { return value == 9; });
        cr_assert(got.error().is(rt::errc::closed));
    });
    waiting.until_asleep();
    cr_assert(tx.send(1));
    waiting.until_asleep();
    tx = {};
    waiting.join();
    const auto never = decltype(rx)().blocking_wait_for([](int) { return true; });
    cr_assert(never.error().is(rt::errc::closed));
}

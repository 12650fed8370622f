// SPDX-License-Identifier: MIT
//
// rt::once and rt::once_cell: one initialiser at a time, exceptions, cancellation, set and get.
#include "support/runtimes.h"
#include "support/test.h"
#include "sync/waiting.h"

#include <rt/runtime.h>
#include <rt/sync/notify.h>
#include <rt/sync/once.h>

#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

using rt::test::counted;
using rt::test::run;
using rt::test::single;
using rt::test::until_waiting;
using rt::test::was_cancelled;

struct scene {
    rt::once once;
    rt::once_cell<counted> cell;
    rt::notify go;
    int calls = 0;
};

rt::task<counted> make(scene& shared, int number) {
    ++shared.calls;
    co_await shared.go.notified();
    co_return counted(number);
}

rt::task<int> number_of(scene& shared, int number) {
    counted& value =
        co_await shared.cell.get_or_init([&shared, number] { return make(shared, number); });
    co_return value.number();
}

Test(once, runs_one_function_for_all) {
    run([]() -> rt::task<void> {
        scene shared;
        std::vector<rt::join_handle<int>> tasks;
        for (int i = 0; i < 5; ++i) {
            tasks.push_back(rt::spawn(number_of, std::ref(shared), 10 + i));
            co_await until_waiting(tasks.back());
        }
        cr_assert(tasks[0].header()->waits_for == rt::detail::wait_kind::notify);
        cr_assert(tasks[1].header()->waits_for == rt::detail::wait_kind::mutex);
        const auto* const gate =
            static_cast<const rt::detail::owned_object*>(tasks[1].header()->live.wait_object);
        cr_assert_eq(gate->owner.load_relaxed(), tasks[0].header(), "who is making the value");
        cr_assert_null(shared.cell.get());
        shared.go.notify_one();
        for (auto& each : tasks) {
            cr_assert_eq(co_await std::move(each), 10);
        }
        cr_assert_eq(shared.calls, 1);
        cr_assert_eq(shared.cell.get()->number(), 10);
        cr_assert_eq(co_await number_of(shared, 99), 10);
    }());
    cr_assert_eq(counted::alive.load_relaxed(), 0);
}

Test(once, exception_goes_to_its_task_and_the_next_one_tries) {
    rt::block_on(single(), []() -> rt::task<void> {
        rt::once_cell<std::string> cell;
        bool thrown = false;
        try {
            co_await cell.get_or_init([]() -> rt::task<std::string> {
                throw std::runtime_error("not today");
                co_return "";
            });
        } catch (const std::runtime_error&) {
            thrown = true;
        }
        cr_assert(thrown);
        cr_assert_null(cell.get());
        const std::string& value =
            co_await cell.get_or_init([]() -> rt::task<std::string> { co_return "made"; });
        cr_assert(value == "made");
    }());
}

Test(once, cancelled_initialiser_hands_over_to_the_next_in_line) {
    run([]() -> rt::task<void> {
        scene shared;
        auto first = rt::spawn(number_of, std::ref(shared), 1);
        co_await until_waiting(first);
        auto second = rt::spawn(number_of, std::ref(shared), 2);
        co_await until_waiting(second);
        auto third = rt::spawn(number_of, std::ref(shared), 3);
        co_await until_waiting(third);
        first.abort();
        cr_assert(co_await was_cancelled(std::move(first)));
        shared.go.notify_one();
        cr_assert_eq(co_await second, 2);
        cr_assert_eq(co_await third, 2);
        cr_assert_eq(shared.calls, 2);
    }());
    cr_assert_eq(counted::alive.load_relaxed(), 0);
}

Test(once, cancelled_waiter_changes_nothing) {
    run([]() -> rt::task<void> {
        scene shared;
        auto first = rt::spawn(number_of, std::ref(shared), 1);
        co_await until_waiting(first);
        auto second = rt::spawn(number_of, std::ref(shared), 2);
        co_await until_waiting(second);
        second.abort();
        cr_assert(co_await was_cancelled(std::move(second)));
        shared.go.notify_one();
        cr_assert_eq(co_await first, 1);
        cr_assert_eq(shared.calls, 1);
    }());
}

Test(once, cell_can_be_set_once) {
    run([]() -> rt::task<void> {
        rt::once_cell<int> cell;
        cr_assert(cell.set(1));
        cr_assert(!cell.set(2));
        cr_assert_eq(*cell.get(), 1);
        cr_assert_eq(co_await cell.get_or_init([]() -> rt::task<int> { co_return 3; }), 1);
    }());
}

Test(once, set_fails_while_somebody_is_making_the_value) {
    run([]() -> rt::task<void> {
        scene shared;
        auto maker = rt::spawn(number_of, std::ref(shared), 1);
        co_await until_waiting(maker);
        cr_assert(!shared.cell.set(counted(2)));
        shared.go.notify_one();
        cr_assert_eq(co_await maker, 1);
    }());
    cr_assert_eq(counted::alive.load_relaxed(), 0);
}

Test(once, call_runs_until_one_succeeds) {
    rt::block_on(single(), []() -> rt::task<void> {
        rt::once once;
        int calls = 0;
        const auto attempt = [&calls](bool succeeds) {
            return [&calls, succeeds]() -> rt::task<void> {
                ++calls;
                if (!succeeds) {
                    throw std::runtime_error("again");
                }
                co_return;
            };
        };
        bool thrown = false;
        try {
            co_await once.call(attempt(false));
        } catch (const std::runtime_error&) {
            thrown = true;
        }
        cr_assert(thrown && !once.is_done());
        co_await once.call(attempt(true));
        cr_assert(once.is_done());
        co_await once.call(attempt(true));
        cr_assert_eq(calls, 2);
    }());
}

rt::task<int> racer(rt::once_cell<counted>& cell, rt::atomic<int>& calls) {
    counted& value = co_await cell.get_or_init([&calls]() -> rt::task<counted> {
        const int number = calls.add_acq_rel(1);
        co_await rt::yield();
        co_return counted(number);
    });
    co_return value.number();
}

Test(once, many_racers_see_one_value) {
    run([]() -> rt::task<void> {
        for (int round = 0; round < 100; ++round) {
            rt::once_cell<counted> cell;
            rt::atomic<int> calls{0};
            std::vector<rt::join_handle<int>> tasks;
            for (int i = 0; i < 10; ++i) {
                tasks.push_back(rt::spawn(racer, std::ref(cell), std::ref(calls)));
            }
            tasks[static_cast<std::size_t>(round % 10)].abort();
            int seen = -1;
            for (auto& each : tasks) {
                try {
                    const int number = co_await std::move(each);
                    cr_assert(seen == -1 || seen == number);
                    seen = number;
                } catch (const rt::join_error&) {
                    // The one that was aborted.
                }
            }
            cr_assert_eq(cell.get()->number(), seen);
        }
    }());
    cr_assert_eq(counted::alive.load_relaxed(), 0);
}

} // namespace

// SPDX-License-Identifier: MIT
//
// The calls that put a thread to sleep which runs no task, as far as the tests of each type do not
// have them: they wait beside tasks and other threads and do what the awaited form does. Inside a
// task they end the program with advice.
#include "support/runtimes.h"
#include "support/test.h"
#include "sync/sleeper.h"
#include "sync/waiting.h"

#include <rt/runtime.h>
#include <rt/sync/mpsc.h>

#include <csignal>
#include <cstddef>
#include <utility>
#include <vector>

namespace {

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

Test(blocking, recv_many_in_a_task_aborts_with_advice, .signal = SIGABRT) {
    run([]() -> rt::task<void> {
        auto [tx, rx] = rt::mpsc::channel<int>(1);
        std::vector<int> got;
        static_cast<void>(rx.blocking_recv_many(got, 1));
        co_return;
    }());
}

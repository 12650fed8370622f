// SPDX-License-Identifier: MIT
//
// One end of a channel, used by two parts of one task. The parts take turns, so each use by itself
// is allowed; but two waits at an end that gives each value away once, or a value that is received
// behind the back of the one that waits for it, end the program with advice. What must not happen
// is an end of the stream that has not come, or a wait that does not end.
#include "base/captured.h"
#include "support/runtimes.h"
#include "support/test.h"

#include <rt/join.h>
#include <rt/runtime.h>
#include <rt/select.h>
#include <rt/sync.h>
#include <rt/time.h>
#include <rt/yield.h>

#include <chrono>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
using rt::test::captured;
using rt::test::run;
using rt::test::single;

void expect_stopped(rt::task<void> (*function)(), const char* end, const char* why) {
    const captured child = rt::test::capture([function] { rt::block_on(single(), function()); });
    cr_expect(child.was_aborted(), "%s went through: %s", end, child.text.c_str());
    cr_expect(child.says(end), "%s: %s", end, child.text.c_str());
    cr_expect(child.says(why), "%s: %s", end, child.text.c_str());
}

constexpr char twice[] = "wait at the same time";
constexpr char elsewhere[] = "was received by another";

// The other part of the task: sends once the first one waits, and receives it in the same step.
template<typename Sender, typename Receiver>
rt::task<void> takes_it_away(Sender* tx, Receiver* rx) {
    co_await rt::yield();
    static_cast<void>(tx->send(1));
    static_cast<void>(rx->try_recv());
}

// Does nothing with what the parts got: they must not come so far.
template<typename... Parts>
rt::task<void> all_of(Parts... parts) {
    static_cast<void>(co_await rt::join(std::move(parts)...));
}

} // namespace

// ---- rt::mpsc -----------------------------------------------------------------------------------

Test(shared_end, two_receives_of_an_mpsc_at_the_same_time) {
    expect_stopped(
        []() -> rt::task<void> {
            auto [tx, rx] = rt::mpsc::channel<int>(1);
            co_await all_of(rx.recv(), rx.recv());
        },
        "rt::mpsc::receiver",
        twice
    );
}

Test(shared_end, an_mpsc_value_that_another_part_received_is_not_the_end) {
    expect_stopped(
        []() -> rt::task<void> {
            auto [tx, rx] = rt::mpsc::unbounded_channel<int>();
            co_await all_of(rx.recv(), takes_it_away(&tx, &rx));
        },
        "rt::mpsc::receiver",
        elsewhere
    );
    expect_stopped(
        []() -> rt::task<void> {
            auto [tx, rx] = rt::mpsc::unbounded_channel<int>();
            std::vector<int> got;
            co_await all_of(rx.recv_many(got, 2), takes_it_away(&tx, &rx));
        },
        "rt::mpsc::receiver",
        elsewhere
    );
}

// The end has come, though something else was there before.
Test(shared_end, the_end_of_an_mpsc_is_the_end_for_each_part) {
    run([]() -> rt::task<void> {
        auto ends = rt::mpsc::unbounded_channel<int>();
        const auto got = co_await rt::join(
            ends.rx.recv(),
            [](rt::mpsc::unbounded_ends<int>* of) -> rt::task<int> {
                co_await rt::yield();
                rt::or_throw(of->tx.send(1));
                const int value = of->rx.try_recv().value();
                of->tx = {};
                co_return value;
            }(&ends)
        );
        cr_assert(std::get<0>(got).error().is(rt::errc::closed));
        cr_assert_eq(std::get<1>(got), 1);
    }());
}

// ---- rt::broadcast ------------------------------------------------------------------------------

Test(shared_end, two_receives_of_a_broadcast_at_the_same_time) {
    expect_stopped(
        []() -> rt::task<void> {
            auto [tx, rx] = rt::broadcast::channel<int>(1);
            co_await all_of(rx.recv(), rx.recv());
        },
        "rt::broadcast::receiver",
        twice
    );
}

Test(shared_end, a_broadcast_value_that_another_part_received_is_not_an_empty_channel) {
    expect_stopped(
        []() -> rt::task<void> {
            auto [tx, rx] = rt::broadcast::channel<int>(1);
            co_await all_of(rx.recv(), takes_it_away(&tx, &rx));
        },
        "rt::broadcast::receiver",
        elsewhere
    );
}

// ---- rt::oneshot --------------------------------------------------------------------------------

Test(shared_end, two_waits_at_an_end_of_a_oneshot_at_the_same_time) {
    expect_stopped(
        []() -> rt::task<void> {
            auto [tx, rx] = rt::oneshot::channel<int>();
            co_await all_of(rx.recv(), rx.recv());
        },
        "rt::oneshot::receiver",
        twice
    );
    expect_stopped(
        []() -> rt::task<void> {
            auto [tx, rx] = rt::oneshot::channel<int>();
            co_await all_of(tx.closed(), tx.closed());
        },
        "rt::oneshot::sender",
        twice
    );
}

// ---- what is allowed ----------------------------------------------------------------------------

namespace {

// A wait that is over, however it ended, is none.
template<typename Wait>
rt::task<void> waits_again_and_again(Wait wait) {
    for (int i = 0; i < 3; ++i) {
        const auto late = co_await rt::timeout(0ms, wait());
        cr_assert_not(late.has_value());
        const auto won = co_await rt::select(rt::yield(), wait());
        cr_assert_eq(won.index(), 0);
    }
}

} // namespace

Test(shared_end, waits_one_after_another) {
    run([]() -> rt::task<void> {
        auto [mpsc_tx, mpsc_rx] = rt::mpsc::channel<int>(1);
        co_await waits_again_and_again([&from = mpsc_rx] { return from.recv(); });
        auto [all_tx, all_rx] = rt::broadcast::channel<int>(1);
        co_await waits_again_and_again([&from = all_rx] { return from.recv(); });
        auto [once_tx, once_rx] = rt::oneshot::channel<int>();
        co_await waits_again_and_again([&from = once_rx] { return from.recv(); });
        co_await waits_again_and_again([&of = once_tx] { return of.closed(); });
        rt::or_throw(mpsc_tx.try_send(1));
        rt::or_throw(all_tx.send(2));
        rt::or_throw(once_tx.send(3));
        cr_assert_eq((co_await mpsc_rx.recv()).value(), 1);
        cr_assert_eq((co_await all_rx.recv()).value(), 2);
        cr_assert_eq((co_await once_rx.recv()).value(), 3);
    }());
}

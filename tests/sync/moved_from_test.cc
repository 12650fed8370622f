// SPDX-License-Identifier: MIT
//
// Ends of channels that were moved from: each is the end of a closed channel, whose waits are over,
// and what cannot be an answer of such a one ends the program with advice. Assigning to an end lets
// go of the channel that it had.
#include "base/captured.h"
#include "support/runtimes.h"
#include "support/test.h"

#include <rt/runtime.h>
#include <rt/sync.h>

#include <string>
#include <utility>
#include <vector>

namespace {

using rt::test::captured;
using rt::test::run;
using rt::test::single;

void expect_no_channel(void (*function)(), const char* call) {
    const captured child = rt::test::capture(function);
    cr_expect(child.was_aborted(), "%s went through: %s", call, child.text.c_str());
    cr_expect(child.says(call), "%s: %s", call, child.text.c_str());
    cr_expect(child.says("moved from"), "%s", child.text.c_str());
}

} // namespace

Test(moved_from, watch_sender_that_was_moved_from_is_closed) {
    auto [tx, rx] = rt::watch::channel<int>(1);
    const auto other = std::move(tx);
    cr_assert_not(static_cast<bool>(tx));
    cr_assert(tx.send(2).error().is(rt::errc::closed));
    cr_assert(tx.send_always(2).error().is(rt::errc::closed));
    cr_assert(tx.update([](int& value) { ++value; }).error().is(rt::errc::closed));
    cr_assert(tx.update_if([](int&) { return true; }).error().is(rt::errc::closed));
    cr_assert(tx.is_closed());
    rt::block_on(single(), [](rt::watch::sender<int>* from) -> rt::task<void> {
        co_await from->closed();
    }(&tx));
    cr_assert_not(static_cast<bool>(tx.borrow()));
    cr_assert_eq(tx.receiver_count(), 0U);
    cr_assert_eq(*other.borrow(), 1);
    cr_assert_not(rx.has_changed());
}

Test(moved_from, no_receiver_is_made_by_an_end_that_was_moved_from) {
    expect_no_channel(
        [] { static_cast<void>(rt::watch::sender<int>().subscribe()); },
        "rt::watch::sender::subscribe()"
    );
    expect_no_channel(
        [] {
            auto [tx, rx] = rt::broadcast::channel<int>(1);
            const auto other = std::move(tx);
            static_cast<void>(tx.subscribe());
        },
        "rt::broadcast::sender::subscribe()"
    );
    expect_no_channel(
        [] {
            auto [tx, rx] = rt::broadcast::channel<int>(1);
            const auto other = std::move(rx);
            static_cast<void>(rx.resubscribe());
        },
        "rt::broadcast::receiver::resubscribe()"
    );
}

Test(moved_from, reference_to_no_value_is_not_looked_through) {
    expect_no_channel(
        [] { static_cast<void>(*rt::watch::receiver<int>().borrow() + 1); }, "rt::watch::ref"
    );
    expect_no_channel(
        [] {
            auto [tx, rx] = rt::watch::channel<std::string>("value");
            auto value = rx.borrow();
            const auto other = std::move(value);
            static_cast<void>(value->size());
        },
        "rt::watch::ref"
    );
}

Test(moved_from, unbounded_mpsc_sender_is_closed) {
    run([]() -> rt::task<void> {
        auto [tx, rx] = rt::mpsc::unbounded_channel<int>();
        auto other = std::move(tx);
        cr_assert_not(static_cast<bool>(tx));
        cr_assert(tx.send(1).error().is(rt::errc::closed));
        cr_assert(tx.is_closed());
        cr_assert_eq(tx.size(), 0U);
        co_await tx.closed();
        cr_assert_not(static_cast<bool>(tx.downgrade().upgrade()));
        cr_assert(other.send(2));
        cr_assert_eq(rx.try_recv().value(), 2);
        other = {};
        cr_assert(rx.try_recv().error().is(rt::errc::closed), "it was the last one");
    }());
}

Test(moved_from, mpsc_ends_that_are_assigned_to_let_go) {
    auto [tx, rx] = rt::mpsc::channel<int>(1);
    auto [other_tx, other_rx] = rt::mpsc::channel<int>(1);
    cr_assert(tx.try_send(1));
    tx = std::move(other_tx);
    cr_assert_eq(rx.try_recv().value(), 1);
    cr_assert(rx.try_recv().error().is(rt::errc::closed));
    cr_assert(tx.try_send(2));
    rx = std::move(other_rx);
    cr_assert_eq(rx.try_recv().value(), 2);
    cr_assert(other_rx.try_recv().error().is(rt::errc::closed));
    rx = {};
    cr_assert(tx.is_closed());
}

Test(moved_from, oneshot_ends_are_closed_and_let_go_when_they_are_assigned_to) {
    run([]() -> rt::task<void> {
        auto [tx, rx] = rt::oneshot::channel<int>();
        auto [other_tx, other_rx] = rt::oneshot::channel<int>();
        tx = std::move(other_tx);
        cr_assert((co_await rx).error().is(rt::errc::closed));
        rx = std::move(other_rx);
        cr_assert(other_tx.send(1).error().is(rt::errc::closed));
        cr_assert(other_tx.is_closed());
        co_await other_tx.closed();
        cr_assert(other_rx.try_recv().error().is(rt::errc::closed));
        cr_assert((co_await other_rx.recv()).error().is(rt::errc::closed));
        cr_assert(other_rx.is_closed());
        other_rx.close();
        cr_assert(tx.send(2));
        cr_assert_eq((co_await rx).value(), 2);
    }());
}

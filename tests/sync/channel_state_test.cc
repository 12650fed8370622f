// SPDX-License-Identifier: MIT
//
// What the ends of channels tell of their channel without waiting or taking anything: whether it is
// closed, who is at the other side, and whether two ends belong together.
#include "support/runtimes.h"
#include "support/test.h"
#include "sync/waiting.h"

#include <rt/runtime.h>
#include <rt/spawn.h>
#include <rt/sync.h>
#include <rt/time.h>

#include <chrono>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
using rt::test::run;
using rt::test::until_waiting;

} // namespace

// ---- closed, seen by a receiver -----------------------------------------------------------------

Test(channel_state, an_mpsc_receiver_knows_that_nothing_can_be_sent_any_more) {
    auto [tx, rx] = rt::mpsc::channel<int>(2);
    auto other = tx;
    cr_assert_not(rx.is_closed());
    cr_assert(tx.try_send(1));
    tx = {};
    cr_assert_not(rx.is_closed());
    auto permit = other.try_reserve();
    other = {};
    cr_assert_not(rx.is_closed(), "a permit is a sender");
    permit = {};
    cr_assert(rx.is_closed());
    cr_assert_eq(rx.try_recv().value(), 1, "what was sent is there");
    cr_assert(decltype(rx)().is_closed());

    auto [tx2, rx2] = rt::mpsc::unbounded_channel<int>();
    rx2.close();
    cr_assert(rx2.is_closed());
}

Test(channel_state, a_oneshot_receiver_knows_that_there_will_be_no_value) {
    auto [tx, rx] = rt::oneshot::channel<int>();
    cr_assert_not(rx.is_closed());
    cr_assert(tx.send(1));
    cr_assert_not(rx.is_closed(), "it is there");
    cr_assert_eq(rx.try_recv().value(), 1);
    cr_assert(rx.is_closed());
    auto [tx2, rx2] = rt::oneshot::channel<int>();
    tx2 = {};
    cr_assert(rx2.is_closed());
    auto [tx3, rx3] = rt::oneshot::channel<int>();
    rx3.close();
    cr_assert(rx3.is_closed());
}

Test(channel_state, a_broadcast_receiver_knows_that_the_senders_are_gone) {
    auto [tx, rx] = rt::broadcast::channel<int>(2);
    cr_assert(rx.is_empty());
    cr_assert_not(rx.is_closed());
    cr_assert(tx.send(1));
    cr_assert_not(rx.is_empty());
    tx = {};
    cr_assert(rx.is_closed());
    cr_assert_eq(rx.try_recv().value(), 1, "what was sent is there");
    cr_assert(rx.is_empty());
    cr_assert(decltype(rx)().is_closed());
}

// ---- closed, seen by a sender -------------------------------------------------------------------

Test(channel_state, a_broadcast_sender_waits_for_the_end_of_interest) {
    run([]() -> rt::task<void> {
        auto [tx, rx] = rt::broadcast::channel<int>(2);
        auto other = tx.subscribe();
        auto waiter = rt::spawn(
            [](rt::broadcast::sender<int> to) -> rt::task<void> {
                co_await to.closed();
                cr_assert(to.is_closed());
            },
            tx
        );
        co_await until_waiting(waiter);
        cr_assert_not((co_await rt::timeout(0ms, tx.closed())).has_value());
        rx = {};
        cr_assert_not(tx.is_closed());
        cr_assert_not((co_await rt::timeout(0ms, tx.closed())).has_value());
        other = {};
        co_await std::move(waiter);
        cr_assert(tx.is_closed());
        co_await tx.closed();
        const auto late = tx.subscribe();
        cr_assert_not(tx.is_closed(), "it opens again");
        cr_assert(decltype(tx)().is_closed());
        co_await decltype(tx)().closed();
    }());
}

// ---- who is there -------------------------------------------------------------------------------

Test(channel_state, senders_are_counted) {
    auto [tx, rx] = rt::broadcast::channel<int>(1);
    auto [latest_tx, latest_rx] = rt::watch::channel<int>(1);
    cr_assert_eq(tx.sender_count(), 1U);
    cr_assert_eq(latest_tx.sender_count(), 1U);
    {
        const auto second = tx;
        const auto other = latest_tx;
        cr_assert_eq(second.sender_count(), 2U);
        cr_assert_eq(other.sender_count(), 2U);
    }
    cr_assert_eq(tx.sender_count(), 1U);
    cr_assert_eq(latest_tx.sender_count(), 1U);
    cr_assert_eq(decltype(tx)().sender_count(), 0U);
    cr_assert_eq(decltype(latest_tx)().sender_count(), 0U);
}

namespace {

template<typename Sender>
void knows_its_own(const Sender& one, const Sender& other) {
    const Sender copy = one; // NOLINT: it shall be one
    cr_assert(one.is_same_channel(copy));
    cr_assert_not(one.is_same_channel(other));
    cr_assert_not(Sender().is_same_channel(Sender()), "there is none");
}

} // namespace

Test(channel_state, senders_of_one_channel_know_one_another) {
    knows_its_own(rt::mpsc::channel<int>(1).tx, rt::mpsc::channel<int>(1).tx);
    knows_its_own(rt::mpsc::unbounded_channel<int>().tx, rt::mpsc::unbounded_channel<int>().tx);
    knows_its_own(rt::broadcast::channel<int>(1).tx, rt::broadcast::channel<int>(1).tx);
    knows_its_own(rt::watch::channel<int>(1).tx, rt::watch::channel<int>(1).tx);
}

// ---- rt::watch ----------------------------------------------------------------------------------

Test(channel_state, a_value_that_is_replaced_is_the_senders) {
    auto [tx, rx] = rt::watch::channel<int>(1);
    const auto before = tx.send_replace(2);
    cr_assert_eq(**before, 1);
    cr_assert(rx.has_changed());
    cr_assert_eq(*rx.borrow_and_update(), 2);
    rx = {};
    cr_assert_eq(**tx.send_replace(3), 2, "whether or not there is a receiver");
    cr_assert_eq(*tx.borrow(), 3);
    cr_assert(decltype(tx)().send_replace(4).error().is(rt::errc::closed));
}

Test(channel_state, a_value_can_be_marked_as_seen_or_not) {
    auto [tx, rx] = rt::watch::channel<int>(1);
    rx.mark_changed();
    cr_assert(rx.has_changed());
    cr_assert(rx.blocking_changed(0ms));
    cr_assert_not(rx.has_changed());
    cr_assert(tx.send(2));
    rx.mark_unchanged();
    cr_assert_not(rx.has_changed());
    cr_assert_eq(*rx.borrow(), 2);
    rx.mark_changed();
    tx = {};
    cr_assert(rx.blocking_changed(0ms), "the last value counts");
    cr_assert(rx.blocking_changed(0ms).error().is(rt::errc::closed));
    decltype(rx) none;
    none.mark_changed();
    none.mark_unchanged();
    cr_assert_not(none.has_changed());
}

// SPDX-License-Identifier: MIT
//
// What the ends of channels tell of their channel without waiting or taking anything: whether it is
// closed, who is at the other side, and whether two ends belong together.
#include "support/test.h"

#include <rt/sync.h>

#include <utility>

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

// SPDX-License-Identifier: MIT
//
// What becomes of a message, a lock, a permit or a notification for which a part was woken that has
// lost before it could go on: it stays where it was, or goes back (rule 6 of rt/detail/header.h).
#include "support/test.h"
#include "sync/losing.h"
#include "sync/waiting.h"
#include "task/gate.h"

#include <rt/runtime.h>
#include <rt/spawn.h>
#include <rt/sync.h>
#include <rt/time.h>
#include <rt/yield.h>

#include <chrono>
#include <stdexcept>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
using rt::task;
using rt::test::gate;
using rt::test::lose;
using rt::test::loser;
using rt::test::on_each_flavor;
using rt::test::on_each_flavor_run;
using rt::test::passes;
using rt::test::until_waiting;

// ---- channels -----------------------------------------------------------------------------------

task<void> takes_one(rt::mpsc::receiver<int>* from, int* taken) {
    *taken = (co_await from->recv()).value_or(-1);
}

task<void> messages_stay() {
    auto [tx, rx] = rt::mpsc::channel<int>(4);
    co_await lose([&rx] { return rx.recv(); }, [&tx] { rt::or_throw(tx.try_send(1)); });
    cr_assert_eq(rx.try_recv().value_or(0), 1);

    std::vector<int> into;
    co_await lose(
        [&rx, &into] { return rx.recv_many(into, 2); }, [&tx] { rt::or_throw(tx.try_send(2)); }
    );
    cr_assert(into.empty());
    cr_assert_eq(rx.try_recv().value_or(0), 2);

    // Nor does a coroutine around it go on.
    int taken = 0;
    co_await lose(
        [&rx, &taken] { return takes_one(&rx, &taken); }, [&tx] { rt::or_throw(tx.try_send(3)); }
    );
    cr_assert_eq(taken, 0);
    cr_assert_eq(rx.try_recv().value_or(0), 3);
    co_await lose(
        [&rx] { return rt::timeout(1h, rx.recv()); }, [&tx] { rt::or_throw(tx.try_send(4)); }
    );
    cr_assert_eq(rx.try_recv().value_or(0), 4);
}

task<void> values_of_other_channels_stay() {
    auto [unbounded_tx, unbounded_rx] = rt::mpsc::unbounded_channel<int>();
    co_await lose(
        [&unbounded_rx] { return unbounded_rx.recv(); },
        [&unbounded_tx] { rt::or_throw(unbounded_tx.send(1)); }
    );
    cr_assert_eq(unbounded_rx.try_recv().value_or(0), 1);

    auto [once_tx, once_rx] = rt::oneshot::channel<int>();
    co_await lose(
        [&once_rx] { return once_rx.recv(); }, [&once_tx] { rt::or_throw(once_tx.send(2)); }
    );
    cr_assert_eq(once_rx.try_recv().value_or(0), 2);

    auto [all_tx, all_rx] = rt::broadcast::channel<int>(4);
    co_await lose([&all_rx] { return all_rx.recv(); }, [&all_tx] { rt::or_throw(all_tx.send(3)); });
    cr_assert_eq(all_rx.try_recv().value_or(0), 3);

    auto [latest_tx, latest_rx] = rt::watch::channel<int>(0);
    co_await lose(
        [&latest_rx] { return latest_rx.changed(); },
        [&latest_tx] { rt::or_throw(latest_tx.send(4)); }
    );
    cr_assert(latest_rx.has_changed());
}

task<void> room_is_given_back() {
    auto [tx, rx] = rt::mpsc::channel<int>(2);
    const auto fill = [&tx] {
        while (tx.try_send(7)) {
        }
    };
    const auto drain = [&rx] {
        while (rx.try_recv()) {
        }
    };
    fill();
    co_await lose([&tx] { return tx.reserve(); }, drain);
    cr_assert_eq(tx.capacity(), 2);
    fill();
    co_await lose([&tx] { return tx.reserve_many(2); }, drain);
    cr_assert_eq(tx.capacity(), 2);
    // The channel ends: nothing was granted, and nothing comes back.
    fill();
    co_await lose([&tx] { return tx.reserve(); }, [&rx] { rx.close(); });
    cr_assert_eq(rx.size(), 2);
}

// Once there is room the value is in the channel: it is sent, or the part lost before.
task<void> sent_values_are_sent_once() {
    auto [tx, rx] = rt::mpsc::channel<int>(1);
    rt::or_throw(tx.try_send(1));
    co_await lose([&tx] { return tx.send(2); }, [&rx] { cr_assert(rx.try_recv()); });
    const rt::result<int> second = rx.try_recv();
    cr_assert(!second || *second == 2);
    cr_assert(!rx.try_recv());
    cr_assert_eq(tx.capacity(), 1);
}

// ---- locks --------------------------------------------------------------------------------------

task<void> locks_are_given_back() {
    rt::mutex lock;
    rt::mutex::guard held = co_await lock.lock();
    co_await lose([&lock] { return lock.lock(); }, [&held] { held.unlock(); });
    cr_assert(!lock.is_locked());

    rt::rwlock shared;
    rt::rwlock::write_guard writing = co_await shared.write();
    co_await lose([&shared] { return shared.read(); }, [&writing] { writing.unlock(); });
    cr_assert(shared.try_write());
    rt::rwlock::read_guard reading = co_await shared.read();
    co_await lose([&shared] { return shared.write(); }, [&reading] { reading.unlock(); });
    cr_assert(shared.try_write());

    rt::semaphore slots(2);
    rt::semaphore::permit slot = co_await slots.acquire(2);
    co_await lose([&slots] { return slots.acquire(2); }, [&slot] { slot.release(); });
    cr_assert_eq(slots.available(), 2);
    // Closed: nothing was granted.
    slot = co_await slots.acquire(2);
    co_await lose([&slots] { return slots.acquire(2); }, [&slots] { slots.close(); });
    cr_assert_eq(slots.available(), 0);
}

task<void> holds_once(rt::mutex* lock) {
    const rt::mutex::guard held = co_await lock->lock();
}

// Not to the one that has lost, but to the next that waits.
task<void> locks_are_passed_on() {
    rt::mutex lock;
    rt::mutex::guard held = co_await lock.lock();
    rt::join_handle<void> next;
    gate first;
    const auto wait = [&lock] {
        return lock.lock();
    };
    rt::join_handle<void> loses = rt::spawn(loser<decltype(wait)>, &first, wait);
    co_await until_waiting(loses);
    next = rt::spawn(holds_once, &lock);
    co_await until_waiting(next);
    first.open();
    held.unlock();
    co_await std::move(next);
    co_await std::move(loses);
    cr_assert(!lock.is_locked());
}

task<int> gives_up(gate* begin, gate* first) {
    co_await begin->wait();
    first->open();
    throw std::runtime_error("no value"); // who waits at the cell has a try
}

task<int> makes_nine() {
    co_return 9;
}

task<void> asks(rt::once_cell<int>* cell, gate* begin, gate* first) {
    try {
        co_await cell->get_or_init([begin, first] { return gives_up(begin, first); });
    } catch (const std::runtime_error&) {
        co_return;
    }
    cr_assert_fail("the function throws");
}

task<void> turns_of_a_cell_are_passed_on() {
    rt::once_cell<int> cell;
    gate begin;
    gate first;
    rt::join_handle<void> fails = rt::spawn(asks, &cell, &begin, &first);
    co_await until_waiting(fails);
    int begun = 0;
    const auto get = [&cell, &begun] {
        return cell.get_or_init([&begun] {
            ++begun;
            return makes_nine();
        });
    };
    rt::join_handle<void> loses = rt::spawn(loser<decltype(get)>, &first, get);
    co_await until_waiting(loses);
    begin.open();
    co_await std::move(fails);
    co_await std::move(loses);
    cr_assert_eq(begun, 0);
    const int value = co_await cell.get_or_init(&makes_nine);
    cr_assert_eq(value, 9);
}

// ---- notifications ------------------------------------------------------------------------------

task<bool> has_permit(rt::notify* bell) {
    co_return static_cast<bool>(co_await rt::timeout(0s, bell->notified()));
}

task<void> notifications_are_kept() {
    rt::notify bell;
    const auto wait = [&bell] {
        return bell.notified();
    };
    co_await lose(wait, [&bell] { bell.notify_one(); });
    cr_assert(co_await has_permit(&bell));
    cr_assert(!co_await has_permit(&bell));
    co_await lose(wait, [&bell] { bell.notify_last(); });
    cr_assert(co_await has_permit(&bell));
    // Everybody has been told who waited: nothing is kept.
    co_await lose(wait, [&bell] { bell.notify_waiters(); });
    cr_assert(!co_await has_permit(&bell));
}

task<void> waits(rt::notify* bell) {
    co_await bell->notified();
}

// The notification goes to one that waits: to the oldest, or to the newest if that was asked for.
task<void> notifications_are_passed_on(bool to_newest) {
    rt::notify bell;
    std::vector<rt::join_handle<void>> others;
    gate first;
    const auto wait = [&bell] {
        return bell.notified();
    };
    const auto add = [&bell, &others]() -> rt::join_handle<void>& {
        return others.emplace_back(rt::spawn(waits, &bell));
    };
    if (to_newest) {
        co_await until_waiting(add());
        co_await until_waiting(add());
    }
    rt::join_handle<void> loses = rt::spawn(loser<decltype(wait)>, &first, wait);
    co_await until_waiting(loses);
    if (!to_newest) {
        co_await until_waiting(add());
        co_await until_waiting(add());
    }
    first.open();
    if (to_newest) {
        bell.notify_last();
    } else {
        bell.notify_one();
    }
    co_await std::move(loses);
    co_await std::move(others[to_newest ? 1 : 0]);
    cr_assert(rt::test::is_waiting(others[to_newest ? 0 : 1]));
    bell.notify_one();
    co_await std::move(others[to_newest ? 0 : 1]);
}

// ---- barriers -----------------------------------------------------------------------------------

task<void> arrives(rt::barrier* all, gate* first) {
    if (first != nullptr) {
        first->open();
    }
    co_await all->wait();
}

template<typename Make>
task<void> goes_on_behind(Make make, bool* has_gone_on) {
    static_cast<void>(co_await make());
    *has_gone_on = true;
}

// A coroutine that is the part: it was woken, and does not go on all the same.
template<typename Make, typename Grant>
task<void> does_not_go_on(Make make, Grant grant) {
    bool has_gone_on = false;
    co_await lose([&] { return goes_on_behind(make, &has_gone_on); }, std::move(grant));
    cr_assert_not(has_gone_on);
}

task<void> nothing_behind_it_is_run() {
    auto [tx, rx] = rt::mpsc::channel<int>(1);
    const auto take = [&rx] {
        cr_assert(rx.try_recv().has_value());
    };
    rt::or_throw(tx.try_send(1));
    co_await does_not_go_on([&tx] { return tx.reserve(); }, take);
    rt::or_throw(tx.try_send(2));
    co_await does_not_go_on([&tx] { return tx.closed(); }, [&rx] { rx.close(); });

    gate end;
    rt::join_handle<void> child = rt::spawn(passes(&end));
    const rt::abort_handle ends = child.abort_handle();
    co_await does_not_go_on(
        [&child]() -> auto& { return child; }, [&end] { end.open(); }
    );
    co_await rt::test::until([&ends] { return ends.is_finished(); });
}

} // namespace

Test(lost_parts, no_coroutine_goes_on_behind_what_it_waited_for) {
    on_each_flavor_run(&nothing_behind_it_is_run);
}

Test(lost_parts, a_message_stays_in_its_channel) {
    on_each_flavor_run(&messages_stay);
    on_each_flavor_run(&values_of_other_channels_stay);
}

Test(lost_parts, room_in_a_channel_is_given_back) {
    on_each_flavor_run(&room_is_given_back);
    on_each_flavor_run(&sent_values_are_sent_once);
}

Test(lost_parts, locks_and_permits_are_given_back) {
    on_each_flavor_run(&locks_are_given_back);
    on_each_flavor_run(&locks_are_passed_on);
}

Test(lost_parts, the_next_one_fills_a_cell) {
    on_each_flavor_run(&turns_of_a_cell_are_passed_on);
}

Test(lost_parts, a_notification_is_kept_or_passed_on) {
    on_each_flavor_run(&notifications_are_kept);
    on_each_flavor([](rt::runtime& runtime) {
        runtime.block_on(notifications_are_passed_on(false));
        runtime.block_on(notifications_are_passed_on(true));
    });
}

Test(lost_parts, a_barrier_has_let_them_go) {
    on_each_flavor([](rt::runtime& runtime) {
        runtime.block_on([]() -> task<void> {
            rt::barrier all(2);
            gate first;
            bool has_gone_on = false;
            const auto wait = [&] {
                return goes_on_behind([&all] { return all.wait(); }, &has_gone_on);
            };
            rt::join_handle<void> loses = rt::spawn(loser<decltype(wait)>, &first, wait);
            co_await until_waiting(loses);
            rt::join_handle<void> other = rt::spawn(arrives, &all, &first);
            co_await std::move(loses);
            cr_assert_not(has_gone_on);
            // If it lost before the other one came, that one waits still.
            while (!other.is_finished() && !rt::test::is_waiting(other)) {
                co_await rt::yield();
            }
            if (!other.is_finished()) {
                co_await all.wait();
            }
            co_await std::move(other);
            rt::join_handle<void> next = rt::spawn(arrives, &all, nullptr);
            co_await all.wait();
            co_await std::move(next);
        }());
    });
}

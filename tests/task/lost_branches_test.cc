// SPDX-License-Identifier: MIT
//
// Branches that have lost after they were woken, and such as are cancelled together with their
// task: what they would have taken is not taken (rule 6 of rt/detail/header.h). What locks and
// channels have to do with it is in tests/sync/lost_parts_test.cc.
#include "support/test.h"
#include "sync/losing.h"
#include "sync/waiting.h"
#include "task/gate.h"

#include <rt/interval.h>
#include <rt/join_set.h>
#include <rt/net/tcp.h>
#include <rt/runtime.h>
#include <rt/scope.h>
#include <rt/select.h>
#include <rt/shield.h>
#include <rt/spawn.h>
#include <rt/sync/mpsc.h>
#include <rt/time.h>
#include <rt/try_join.h>
#include <rt/yield.h>

#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <utility>

namespace {

using namespace std::chrono_literals;
using rt::task;
using rt::test::everywhere;
using rt::test::gate;
using rt::test::lose;
using rt::test::loser;
using rt::test::on_each_flavor;
using rt::test::on_each_flavor_run;
using rt::test::until_waiting;
using rt::test::was_cancelled;

// ---- results, ticks, bytes ----------------------------------------------------------------------

task<int> ends_with_five(gate* begin, gate* first) {
    co_await begin->wait();
    first->open();
    co_return 5;
}

task<void> members_stay_in_their_set() {
    rt::join_set<int> set;
    gate begin;
    gate first;
    set.spawn(ends_with_five, &begin, &first);
    const auto wait = [&set] {
        return set.join_next();
    };
    rt::join_handle<void> loses = rt::spawn(loser<decltype(wait)>, &first, wait);
    co_await until_waiting(loses);
    begin.open();
    co_await std::move(loses);
    rt::join_handle<int> ended = co_await set.join_next();
    cr_assert(ended && ended.take() == 5);
}

task<void> ticks_are_not_used_up() {
    const auto due = rt::clock::now() + 2ms;
    rt::interval ticks(due, 1h);
    const auto won = co_await rt::select(rt::biased, rt::sleep_until(due), ticks.tick());
    cr_assert_eq(won.index(), 0);
    cr_assert(co_await ticks.tick() == due);
}

struct connection {
    rt::tcp_stream ours;
    rt::tcp_stream theirs;
};

task<connection> connect() {
    rt::tcp_listener listener = rt::or_throw(rt::tcp_listener::bind("127.0.0.1:0"));
    rt::tcp_stream ours =
        rt::or_throw(co_await rt::tcp_stream::connect(rt::or_throw(listener.local_address())));
    co_return connection{std::move(ours), rt::or_throw(co_await listener.accept())};
}

task<std::size_t> reads_first(connection* a, connection* b, std::byte* into) {
    const auto won =
        co_await rt::select(rt::biased, a->theirs.read({into, 1}), b->theirs.read({into + 1, 1}));
    co_return won.index();
}

// Both sockets are ready when the worker looks, and one of the reads wins.
task<void> bytes_stay_in_their_socket() {
    connection a = co_await connect();
    connection b = co_await connect();
    for (int round = 0; round < 50; ++round) {
        std::byte got[2]{};
        rt::join_handle<std::size_t> reader = rt::spawn(reads_first, &a, &b, got);
        co_await until_waiting(reader);
        const std::byte sent{42};
        rt::or_throw(co_await a.ours.write_all({&sent, 1}));
        rt::or_throw(co_await b.ours.write_all({&sent, 1}));
        const std::size_t index = co_await std::move(reader);
        cr_assert(got[index] == sent && got[1 - index] == std::byte{0});
        const rt::tcp_stream& left = index == 0 ? b.theirs : a.theirs;
        cr_assert(co_await rt::timeout(1h, left.readable()));
        cr_assert(co_await (index == 0 ? b : a).theirs.read({got, 1}));
    }
}

// ---- groups -------------------------------------------------------------------------------------

task<void> takes_one(rt::mpsc::receiver<int>* from, int* taken) {
    *taken = (co_await from->recv()).value_or(-1);
}

task<void> groups_inside_lose_too() {
    auto [tx, rx] = rt::mpsc::channel<int>(4);
    co_await lose(
        [&rx] { return rt::select(rx.recv(), rt::sleep(1h)); },
        [&tx] { rt::or_throw(tx.try_send(1)); }
    );
    cr_assert_eq(rx.try_recv().value_or(0), 1);
    co_await lose(
        [&rx] { return rt::join(rx.recv(), rt::sleep(1h)); },
        [&tx] { rt::or_throw(tx.try_send(2)); }
    );
    cr_assert_eq(rx.try_recv().value_or(0), 2);
    co_await lose(
        [&rx] { return rt::unconstrained(rt::select(rt::join(rx.recv()), rt::sleep(1h))); },
        [&tx] { rt::or_throw(tx.try_send(3)); }
    );
    cr_assert_eq(rx.try_recv().value_or(0), 3);
    // A shield runs to its end, also as a part that has lost.
    int taken = 0;
    co_await lose(
        [&rx, &taken] { return rt::shield(takes_one(&rx, &taken)); },
        [&tx] { rt::or_throw(tx.try_send(4)); }
    );
    cr_assert_eq(taken, 4);
}

// ---- joins, and cancellation from outside -------------------------------------------------------

task<void> throws_at(gate* at) {
    co_await at->wait();
    throw std::runtime_error("a part failed");
}

task<rt::result<void>> fails_at(gate* at) {
    co_await at->wait();
    co_return rt::failure(EIO, "a part");
}

task<void> failing_join(gate* at, rt::mpsc::receiver<int>* from) {
    try {
        static_cast<void>(co_await rt::join(throws_at(at), from->recv()));
    } catch (const std::runtime_error&) {
        co_return;
    }
    cr_assert_fail("a part throws");
}

task<void> failing_try_join(gate* at, rt::mpsc::receiver<int>* from) {
    const auto got = co_await rt::try_join(fails_at(at), from->recv());
    cr_assert(!got && got.error().is(EIO));
}

task<void> a_join_that_fails_takes_no_more() {
    auto [tx, rx] = rt::mpsc::channel<int>(4);
    for (const auto body : {&failing_join, &failing_try_join}) {
        gate at;
        rt::join_handle<void> failing = rt::spawn(body, &at, &rx);
        co_await until_waiting(failing);
        at.open();
        rt::or_throw(tx.try_send(6));
        co_await std::move(failing);
        cr_assert_eq(rx.try_recv().value_or(0), 6);
    }
}

struct two_channels {
    rt::mpsc::ends<int> a = rt::mpsc::channel<int>(4);
    rt::mpsc::ends<int> b = rt::mpsc::channel<int>(4);
    std::uint64_t delivered = 0;
};

task<void> selects_two(two_channels* of) {
    static_cast<void>(co_await rt::select(of->a.rx.recv(), of->b.rx.recv()));
    ++of->delivered;
}

task<void> joins_two(two_channels* of) {
    static_cast<void>(co_await rt::join(of->a.rx.recv(), of->b.rx.recv()));
    of->delivered += 2;
}

// A body that waits for its scope's children is no exception.
task<void> is_short() {
    co_await rt::yield();
}

task<void> waits_for_none(rt::scope* children) {
    while (children->size() != 0) {
        co_await rt::yield();
    }
}

task<void> joins_and_receives(rt::scope* children, rt::mpsc::receiver<int>* from) {
    co_await children->join();
    static_cast<void>(co_await from->recv());
    cr_assert(false, "it has lost");
}

task<void> scopes_lose_too() {
    auto [tx, rx] = rt::mpsc::channel<int>(4);
    rt::or_throw(tx.try_send(1));
    auto* const from = &rx;
    co_await rt::scope::run([from](rt::scope& children) -> task<void> {
        children.spawn(is_short);
        static_cast<void>(co_await rt::select(
            rt::biased, waits_for_none(&children), joins_and_receives(&children, from)
        ));
    });
    cr_assert_eq(rx.size(), 1U);
}

task<void> throws_later() {
    co_await rt::yield();
    throw std::runtime_error("as planned");
}

task<void> bodies_of_scopes_lose_too() {
    bool has_thrown = false;
    try {
        co_await rt::scope::run([](rt::scope& children) -> task<void> {
            children.spawn(throws_later);
            co_await children.join();
            cr_assert(false, "the scope has failed");
        });
    } catch (const std::runtime_error&) {
        has_thrown = true;
    }
    cr_assert(has_thrown);
}

// What an aborted task has not been given is in the channels still.
task<void> abort_takes_nothing(task<void> (*body)(two_channels*), bool to_both) {
    two_channels channels;
    rt::join_handle<void> victim = rt::spawn(body, &channels);
    co_await until_waiting(victim);
    rt::or_throw(channels.a.tx.try_send(1));
    if (to_both) {
        rt::or_throw(channels.b.tx.try_send(2));
    }
    victim.abort();
    static_cast<void>(co_await was_cancelled(std::move(victim)));
    const std::uint64_t left = channels.a.rx.size() + channels.b.rx.size();
    cr_assert_eq(left + channels.delivered, to_both ? 2 : 1);
}

} // namespace

Test(lost_branches, results_and_ticks_stay_where_they_are) {
    on_each_flavor_run(&members_stay_in_their_set);
    on_each_flavor_run(&ticks_are_not_used_up);
}

Test(lost_branches, a_socket_keeps_its_bytes) {
    everywhere([](rt::runtime& runtime) { runtime.block_on(bytes_stay_in_their_socket()); });
}

Test(lost_branches, take_nothing_through_groups_of_their_own) {
    on_each_flavor_run(&groups_inside_lose_too);
}

Test(lost_branches, in_scopes_run_no_more) {
    on_each_flavor_run(&scopes_lose_too);
    on_each_flavor_run(&bodies_of_scopes_lose_too);
}

Test(lost_branches, a_join_that_fails_takes_no_more) {
    on_each_flavor_run(&a_join_that_fails_takes_no_more);
}

Test(lost_branches, a_task_that_is_aborted_takes_nothing_that_it_is_not_given) {
    on_each_flavor([](rt::runtime& runtime) {
        for (int round = 0; round < 20; ++round) {
            runtime.block_on(abort_takes_nothing(&selects_two, false));
            runtime.block_on(abort_takes_nothing(&selects_two, true));
            runtime.block_on(abort_takes_nothing(&joins_two, false));
            runtime.block_on(abort_takes_nothing(&joins_two, true));
        }
    });
}

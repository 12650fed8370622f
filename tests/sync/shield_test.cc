// SPDX-License-Identifier: MIT
//
// rt::shield and rt::unconstrained around operations as they are called: what they yield, that a
// shielded one delivers or has taken nothing, and that an unconstrained one never gives way. That
// they take every operation: parts_test.cc.
#include "support/test.h"
#include "sync/waiting.h"
#include "task/gate.h"

#include <rt/result.h>
#include <rt/runtime.h>
#include <rt/shield.h>
#include <rt/spawn.h>
#include <rt/sync.h>
#include <rt/time.h>
#include <rt/yield.h>

#include <chrono>
#include <coroutine>
#include <functional>
#include <memory>
#include <stdexcept>
#include <type_traits>
#include <utility>

namespace {

using namespace std::chrono_literals;
using rt::task;
using rt::test::on_each_flavor;
using rt::test::on_each_flavor_run;
using rt::test::until_waiting;

// ---- values -------------------------------------------------------------------------------------

// An awaitable of the user's.
struct throwing {
    bool await_ready() const noexcept { return true; }
    void await_suspend(std::coroutine_handle<> /*self*/) const noexcept {}
    int await_resume() const { throw std::runtime_error("not today"); }
};

task<int> five() {
    co_return 5;
}

template<typename Around>
task<void> yields_what_the_operation_yields(Around around) {
    rt::once_cell<int> cell;
    auto made = co_await around(cell.get_or_init(&five));
    static_assert(std::is_same_v<decltype(made), std::reference_wrapper<int>>);
    cr_assert_eq(&made.get(), cell.get());

    auto [tx, rx] = rt::mpsc::channel<std::unique_ptr<int>>(1);
    cr_assert(co_await around(tx.send(std::make_unique<int>(6))));
    cr_assert_eq(**co_await around(rx.recv()), 6);

    cr_assert_eq(co_await around(five()), 5);
    cr_assert_eq(co_await around(rt::spawn(five)), 5);
    co_await around(rt::yield());
    const rt::result<int> in_time = co_await around(rt::timeout(1h, five()));
    cr_assert(in_time && *in_time == 5);

    bool is_thrown = false;
    try {
        static_cast<void>(co_await around(throwing{}));
    } catch (const std::runtime_error&) {
        is_thrown = true;
    }
    cr_assert(is_thrown);
}

struct in_shield {
    template<typename A>
    auto operator()(A&& body) const {
        return rt::shield(std::forward<A>(body));
    }
};
struct without_budget {
    template<typename A>
    auto operator()(A&& body) const {
        return rt::unconstrained(std::forward<A>(body));
    }
};

// ---- rt::shield ---------------------------------------------------------------------------------

constexpr int messages = 2'000;

task<void> sends(rt::mpsc::sender<int> to) {
    for (int i = 0; i < messages; ++i) {
        if (i % 100 == 0) {
            co_await rt::sleep(1ms); // so that deadlines pass while nothing is there
        }
        rt::or_throw(co_await to.send(i));
    }
}

// Whatever the deadline, what has been received is delivered: it is late then.
task<void> deadlines_lose_no_message() {
    auto [tx, rx] = rt::mpsc::channel<int>(2);
    auto sending = rt::spawn(sends, std::move(tx));
    int expected = 0;
    for (;;) {
        const rt::result<int> got = co_await rt::timeout(0s, rt::shield(rx.recv()));
        if (!got && got.error().is(rt::errc::closed)) {
            break;
        }
        cr_assert(got, "a deadline does not reach into a shield");
        cr_assert_eq(*got, expected++);
    }
    cr_assert_eq(expected, messages);
    co_await std::move(sending);
}

task<void> receives_one(rt::mpsc::receiver<int>* from, int* received) {
    if (co_await rt::shield(from->recv())) {
        ++*received;
    }
    co_await rt::yield();
    *received += 1000;
}

// An aborted task has the message before it unwinds, or has not begun.
task<void> aborts_lose_no_message() {
    auto [tx, rx] = rt::mpsc::channel<int>(1);
    int received = 0;
    int left = 0;
    for (int i = 0; i < 200; ++i) {
        auto victim = rt::spawn(receives_one, &rx, &received);
        if (i % 3 != 0) {
            co_await until_waiting(victim);
        }
        victim.abort();
        if (i % 2 == 0) {
            co_await rt::yield();
        }
        rt::or_throw(co_await tx.send(i));
        cr_assert(co_await rt::test::was_cancelled(std::move(victim)));
        left += rx.try_recv() ? 1 : 0;
    }
    cr_assert_eq(received + left, 200);
    cr_assert_geq(received, 100, "each of those that waited has had its message");
}

// ---- rt::unconstrained --------------------------------------------------------------------------

task<void> counts(long* turns, const bool* stop) {
    while (!*stop) {
        ++*turns;
        co_await rt::yield();
    }
}

// How often a neighbour on the only worker got a turn while so many messages were received.
template<typename Around>
task<long> turns_of_a_neighbour(Around around) {
    constexpr int rounds = 1'000;
    auto [tx, rx] = rt::mpsc::unbounded_channel<int>();
    long turns = 0;
    bool stop = false;
    auto neighbour = rt::spawn(counts, &turns, &stop);
    while (turns == 0) {
        co_await rt::yield();
    }
    const long before = turns;
    for (int i = 0; i < rounds; ++i) {
        rt::or_throw(tx.send(i));
        cr_assert_eq((co_await around(rx.recv())).value(), i);
    }
    const long after = turns;
    stop = true;
    co_await std::move(neighbour);
    co_return after - before;
}

} // namespace

Test(shield, yields_what_the_operation_yields) {
    on_each_flavor([](rt::runtime& runtime) {
        runtime.block_on(yields_what_the_operation_yields(in_shield{}));
        runtime.block_on(yields_what_the_operation_yields(without_budget{}));
    });
}

Test(shield, a_deadline_around_a_receive_loses_no_message) {
    on_each_flavor_run(&deadlines_lose_no_message);
}

Test(shield, an_aborted_receive_loses_no_message) {
    on_each_flavor_run(&aborts_lose_no_message);
}

Test(shield, b168_unconstrained_operations_do_not_give_way) {
    rt::runtime runtime(rt::test::with_workers(0));
    cr_assert_eq(runtime.block_on(turns_of_a_neighbour(without_budget{})), 0);
    cr_assert_geq(runtime.block_on(turns_of_a_neighbour(std::identity{})), 7);
}

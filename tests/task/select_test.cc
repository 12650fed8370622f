// SPDX-License-Identifier: MIT
//
// rt::join and rt::select: who wins, what the others come to, and that nothing outlives them.
#include "support/test.h"
#include "sync/losing.h"
#include "sync/waiting.h"
#include "task/gate.h"

#include <rt/net/tcp.h>
#include <rt/runtime.h>
#include <rt/select.h>
#include <rt/spawn.h>
#include <rt/sync/notify.h>
#include <rt/time.h>
#include <rt/yield.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
using rt::task;
using rt::test::census;
using rt::test::everywhere;
using rt::test::gate;
using rt::test::member;
using rt::test::on_each_flavor;

task<int> value(int number) {
    co_return number;
}

task<int> value_after_yields(int number, int yields) {
    for (int i = 0; i < yields; ++i) {
        co_await rt::yield();
    }
    co_return number;
}

task<std::string> text_at(gate* at) {
    co_await at->wait();
    co_return "through";
}

task<void> opens(gate* at) {
    at->open();
    co_return;
}

task<int> for_ever(census* counted) {
    const member local(*counted);
    co_await rt::sleep(std::chrono::hours::max());
    co_return 0;
}

task<int> throws_after(gate* at) {
    co_await at->wait();
    throw std::runtime_error("a part failed");
}

task<void> counts_for_ever(int* counter) {
    for (;;) {
        ++*counter;
        co_await rt::yield();
    }
}

// ---- join ---------------------------------------------------------------------------------------

task<bool> joins_three() {
    gate at;
    auto [number, text, nothing] = co_await rt::join(value(4), text_at(&at), opens(&at));
    static_cast<void>(nothing);
    co_await rt::join(opens(&at), opens(&at));
    co_return number == 4 && text == "through";
}

task<int> joins_many(int count) {
    std::vector<task<int>> parts;
    for (int i = 0; i < count; ++i) {
        parts.push_back(value_after_yields(i, i % 5));
    }
    const std::vector<int> values = co_await rt::join(std::move(parts));
    int wrong = 0;
    for (int i = 0; i < count; ++i) {
        wrong += values[static_cast<std::size_t>(i)] == i ? 0 : 1;
    }
    co_return wrong;
}

// Parts of one task run one at a time: this would be a data race if they did not.
task<void> increments(long* shared, int rounds) {
    for (int i = 0; i < rounds; ++i) {
        const long seen = *shared;
        *shared = seen + 1;
        co_await rt::yield();
        co_await rt::spawn(value, 1);
    }
}

task<long> shares_a_local() {
    long shared = 0;
    co_await rt::join(increments(&shared, 100), increments(&shared, 100), increments(&shared, 100));
    co_return shared;
}

task<std::string> one_part_throws(census* counted) {
    gate at;
    std::string text = "nothing was thrown";
    try {
        static_cast<void>(co_await rt::join(for_ever(counted), throws_after(&at), opens(&at)));
    } catch (const std::runtime_error& error) {
        text = counted->live.load_acquire() == 0 ? error.what() : "a part is left";
    }
    co_return text;
}

task<int> nested(int depth) {
    if (depth == 0) {
        co_await rt::yield();
        co_return 1;
    }
    auto [left, right] = co_await rt::join(nested(depth - 1), nested(depth - 1));
    co_return left + right;
}

// ---- select -------------------------------------------------------------------------------------

task<bool> first_one_wins(census* counted) {
    auto won = co_await rt::select(for_ever(counted), value_after_yields(7, 3));
    co_return won.index() == 1 && std::get<1>(won) == 7 && counted->live.load_acquire() == 0;
}

task<int> winners(bool is_biased, int rounds) {
    int first = 0;
    for (int i = 0; i < rounds; ++i) {
        if (is_biased) {
            first += (co_await rt::select(rt::biased, value(0), value(1))).index() == 0 ? 1 : 0;
        } else {
            first += (co_await rt::select(value(0), value(1))).index() == 0 ? 1 : 0;
        }
    }
    co_return first;
}

task<bool> biased_begins_the_first_only() {
    int begun = 0;
    auto won = co_await rt::select(rt::biased, value(5), counts_for_ever(&begun));
    co_return won.index() == 0 && begun == 0;
}

task<bool> exception_of_the_winner(census* counted) {
    gate at;
    at.open();
    try {
        static_cast<void>(co_await rt::select(throws_after(&at), for_ever(counted)));
    } catch (const std::runtime_error&) {
        co_return counted->live.load_acquire() == 0;
    }
    co_return false;
}

task<bool> sleeps_timeouts_and_handles(census* counted) {
    auto slept = co_await rt::select(for_ever(counted), rt::sleep(1ms));
    auto timed_out = co_await rt::select(for_ever(counted), rt::timeout(1ms, for_ever(counted)));
    auto joined = co_await rt::select(for_ever(counted), rt::spawn(value, 3));
    co_return slept.index() == 1 && timed_out.index() == 1 && !std::get<1>(timed_out) &&
        joined.index() == 1 && std::get<1>(joined) == 3;
}

task<std::size_t> select_of_a_vector(census* counted) {
    std::vector<task<int>> parts;
    for (int i = 0; i < 10; ++i) {
        parts.push_back(i == 6 ? value(60) : for_ever(counted));
    }
    const rt::selected<int> won = co_await rt::select(std::move(parts));
    co_return won.value == 60 ? won.index : 100;
}

// A read that is in flight in the kernel must have come back before its buffer goes.
task<bool> loses_a_read(int rounds) {
    rt::tcp_listener listener = rt::or_throw(rt::tcp_listener::bind("127.0.0.1:0"));
    rt::tcp_stream ours =
        rt::or_throw(co_await rt::tcp_stream::connect(rt::or_throw(listener.local_address())));
    rt::tcp_stream theirs = rt::or_throw(co_await listener.accept());
    for (int i = 0; i < rounds; ++i) {
        auto buffer = std::make_unique<std::byte[]>(64);
        auto won = co_await rt::select(theirs.read({buffer.get(), 64}), value_after_yields(i, 2));
        if (won.index() != 1) {
            co_return false;
        }
    }
    const std::byte sent{42};
    rt::or_throw(co_await ours.write_all({&sent, 1}));
    std::byte got{};
    auto won = co_await rt::select(theirs.read({&got, 1}), rt::sleep(1h));
    co_return won.index() == 0 && got == sent;
}

// ---- cancellation -------------------------------------------------------------------------------

task<void> joins_for_ever(census* counted) {
    const member local(*counted);
    static_cast<void>(co_await rt::join(for_ever(counted), for_ever(counted)));
}

task<void> selects_reads_for_ever(census* counted, gate* arrived) {
    const member local(*counted);
    rt::tcp_listener listener = rt::or_throw(rt::tcp_listener::bind("127.0.0.1:0"));
    rt::tcp_listener other = rt::or_throw(rt::tcp_listener::bind("127.0.0.1:0"));
    auto won = co_await rt::select(
        listener.accept(), rt::join(other.accept(), for_ever(counted)), opens(arrived)
    );
    if (won.index() == 2) {
        static_cast<void>(
            co_await rt::select(listener.accept(), rt::join(other.accept(), for_ever(counted)))
        );
    }
}

task<bool> aborts_all(census* counted) {
    std::vector<rt::join_handle<void>> victims;
    for (int i = 0; i < 50; ++i) {
        victims.push_back(rt::spawn(joins_for_ever, counted));
        gate arrived;
        victims.push_back(rt::spawn(selects_reads_for_ever, counted, &arrived));
        co_await arrived.wait();
        if (i % 2 == 0) {
            co_await rt::yield();
        }
        for (rt::join_handle<void>& victim : victims) {
            victim.abort();
        }
        for (rt::join_handle<void>& victim : victims) {
            try {
                co_await std::move(victim);
                co_return false;
            } catch (const rt::join_error&) {
            }
        }
        victims.clear();
        if (counted->live.load_acquire() != 0) {
            co_return false;
        }
    }
    co_return true;
}

task<bool> times_out(census* counted, int yielding) {
    auto slow = co_await rt::timeout(1ms, rt::join(for_ever(counted), for_ever(counted)));
    int counter = 0;
    auto busy = co_await rt::timeout(
        1ms, rt::join(counts_for_ever(&counter), value_after_yields(1, yielding))
    );
    co_return !slow && !busy && counter > 0 && counted->live.load_acquire() == 0;
}

task<void> plays(rt::notify* own, rt::notify* others, long* rounds) {
    for (;;) {
        others->notify_one();
        co_await own->notified();
        ++*rounds;
    }
}

// Two parts that keep waking each other: some part is ready whenever one looks.
task<bool> stops_ping_pong() {
    rt::notify ping;
    rt::notify pong;
    long rounds = 0;
    auto late = co_await rt::timeout(
        1ms, rt::join(plays(&ping, &pong, &rounds), plays(&pong, &ping, &rounds))
    );
    rt::join_handle<void> victim = rt::spawn(
        [](rt::notify* a, rt::notify* b, long* count) -> task<void> {
            co_await rt::join(plays(a, b, count), plays(b, a, count));
        },
        &ping,
        &pong,
        &rounds
    );
    const long before = rounds;
    while (rounds == before && !victim.is_finished()) {
        co_await rt::yield();
    }
    victim.abort();
    try {
        co_await std::move(victim);
    } catch (const rt::join_error&) {
        co_return !late && rounds > 0;
    }
    co_return false;
}

// Winner and deadline come at about the same time, on and off the worker.
task<int> races_a_deadline(int rounds) {
    int outcomes = 0;
    for (int i = 0; i < rounds; ++i) {
        gate at;
        auto opener = rt::spawn(opens, &at);
        const auto limit = std::chrono::microseconds(i % 2000);
        auto won = co_await rt::timeout(limit, rt::select(text_at(&at), rt::sleep(1ms)));
        outcomes += !won || won->index() < 2 ? 1 : 0;
        co_await std::move(opener);
    }
    co_return outcomes;
}

} // namespace

Test(select, join_yields_the_values_of_all_parts) {
    everywhere([](rt::runtime& runtime) {
        cr_assert(runtime.block_on(joins_three()));
        cr_assert_eq(runtime.block_on(joins_many(200)), 0);
        cr_assert_eq(runtime.block_on(joins_many(0)), 0);
    });
}

Test(select, parts_never_run_in_parallel) {
    everywhere([](rt::runtime& runtime) { cr_assert_eq(runtime.block_on(shares_a_local()), 300); });
}

Test(select, join_ends_with_the_first_exception_once_the_others_are_gone) {
    on_each_flavor([](rt::runtime& runtime) {
        census counted;
        cr_assert(runtime.block_on(one_part_throws(&counted)) == "a part failed");
    });
}

Test(select, joins_nest) {
    on_each_flavor([](rt::runtime& runtime) { cr_assert_eq(runtime.block_on(nested(8)), 256); });
}

Test(select, the_first_part_wins_and_the_others_are_destroyed) {
    everywhere([](rt::runtime& runtime) {
        census counted;
        cr_assert(runtime.block_on(first_one_wins(&counted)));
        cr_assert(runtime.block_on(exception_of_the_winner(&counted)));
        cr_assert_eq(runtime.block_on(select_of_a_vector(&counted)), 6);
        cr_assert_eq(counted.live.load_acquire(), 0);
    });
}

Test(select, b069_fair_unless_it_is_biased) {
    on_each_flavor([](rt::runtime& runtime) {
        cr_assert_eq(runtime.block_on(winners(true, 200)), 200);
        const int first = runtime.block_on(winners(false, 200));
        cr_assert(first > 40 && first < 160, "%d of 200", first);
        cr_assert(runtime.block_on(biased_begins_the_first_only()));
    });
}

namespace {

// Which of two parts that are ready at once won, round by round.
task<std::string> order_of_winners() {
    std::string order;
    for (int i = 0; i < 64; ++i) {
        const auto won = co_await rt::select(value(0), value(1));
        order += won.index() == 0 ? 'a' : 'b';
    }
    co_return order;
}

std::vector<std::string> orders_of(std::uint64_t seed, std::uint32_t workers = 0) {
    rt::config wanted = rt::test::exactly(workers);
    wanted.seed = seed;
    rt::runtime runtime(wanted);
    std::vector<std::string> orders;
    for (int i = 0; i < 3; ++i) {
        orders.push_back(runtime.block_on(order_of_winners()));
    }
    return orders;
}

} // namespace

Test(select, b069_with_a_seed_each_block_on_makes_the_same_choices) {
    const std::vector<std::string> orders = orders_of(7);
    cr_assert(orders[0] != orders[1] && orders[1] != orders[2], "each block_on has its own");
    static_cast<void>(orders_of(0)); // what other runtimes choose on this thread changes nothing
    cr_assert(orders_of(7) == orders);
    std::vector<std::string> elsewhere;
    std::thread([&] { elsewhere = orders_of(7); }).join();
    cr_assert(elsewhere == orders);
    cr_assert(orders_of(8)[0] != orders[0]);
}

Test(select, b069_with_a_seed_a_worker_makes_the_same_choices) {
    const std::vector<std::string> orders = orders_of(7, 1);
    cr_assert(orders_of(7, 1) == orders);
    cr_assert(orders_of(8, 1)[0] != orders[0]);
}

// Both are ready in the same turn, the second for longer.
Test(select, b069_if_it_is_biased_the_first_part_wins_whichever_was_woken_first) {
    rt::block_on(rt::test::with_workers(0), []() -> task<void> {
        gate first;
        gate second;
        auto selects = rt::spawn([one = &first, other = &second]() -> task<std::size_t> {
            const auto won =
                co_await rt::select(rt::biased, rt::test::passes(one), rt::test::passes(other));
            co_return won.index();
        });
        co_await rt::test::until_waiting(selects);
        second.open();
        first.open();
        cr_assert(co_await std::move(selects) == 0);
    }());
}

Test(select, takes_sleeps_timeouts_and_join_handles) {
    on_each_flavor([](rt::runtime& runtime) {
        census counted;
        cr_assert(runtime.block_on(sleeps_timeouts_and_handles(&counted)));
        cr_assert_eq(counted.live.load_acquire(), 0);
    });
}

Test(select, a_read_that_loses_has_let_go_of_its_buffer) {
    everywhere([](rt::runtime& runtime) { cr_assert(runtime.block_on(loses_a_read(50))); });
}

Test(select, abort_unwinds_all_parts_first) {
    everywhere([](rt::runtime& runtime) {
        census counted;
        cr_assert(runtime.block_on(aborts_all(&counted)));
    });
}

Test(select, deadlines_unwind_parts_that_wait_and_parts_that_yield) {
    everywhere([](rt::runtime& runtime) {
        census counted;
        cr_assert(runtime.block_on(times_out(&counted, 1)));
        cr_assert(runtime.block_on(times_out(&counted, 1'000'000)));
    });
}

Test(select, parts_that_keep_waking_each_other_can_be_cancelled) {
    // The rounds are counted without a lock: one worker, so that the test may read them.
    for (const std::uint32_t workers : {0U, 1U}) {
        rt::runtime runtime(rt::test::with_workers(workers));
        cr_assert(runtime.block_on(stops_ping_pong()));
    }
}

Test(select, outcomes_are_whole_when_everything_happens_at_once) {
    on_each_flavor([](rt::runtime& runtime) {
        cr_assert_eq(runtime.block_on(races_a_deadline(500)), 500);
    });
}

Test(select, b084_a_runtime_that_ends_unwinds_them) {
    census counted;
    {
        rt::runtime runtime(rt::test::with_workers(2));
        for (int i = 0; i < 20; ++i) {
            runtime.get_handle().spawn(joins_for_ever(&counted)).detach();
        }
        runtime.block_on([]() -> task<void> {
            co_await rt::sleep(1ms);
        }());
    }
    cr_assert_eq(counted.live.load_acquire(), 0);
}

// SPDX-License-Identifier: MIT
//
// rt::join_set: joins in the order of the ends, and what becomes of members that nobody joins.
#include "support/test.h"
#include "task/gate.h"

#include <rt/join_set.h>
#include <rt/runtime.h>
#include <rt/select.h>
#include <rt/time.h>
#include <rt/yield.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <stdexcept>
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

task<int> value_at(gate* at, int number) {
    co_await at->wait();
    co_return number;
}

task<int> for_ever(census* counted) {
    const member local(*counted);
    co_await rt::sleep(std::chrono::hours::max());
    co_return 0;
}

task<void> throws() {
    co_await rt::yield();
    throw std::runtime_error("a member failed");
}

task<member> big(census* counted, int yields) {
    for (int i = 0; i < yields; ++i) {
        co_await rt::yield();
    }
    co_return member(*counted);
}

task<bool> joins_as_they_end() {
    rt::join_set<int> set;
    if (co_await set.join_next()) {
        co_return false; // empty
    }
    std::array<gate, 3> gates;
    for (int i = 0; i < 3; ++i) {
        set.spawn(value_at, &gates[static_cast<std::size_t>(i)], i);
    }
    bool is_right = set.size() == 3 && !set.try_join_next();
    for (const std::size_t next : {2U, 0U, 1U}) {
        gates[next].open();
        rt::join_handle<int> ended = co_await set.join_next();
        is_right = is_right && ended && ended.take() == static_cast<int>(next);
    }
    is_right = is_right && set.is_empty() && !co_await set.join_next();
    co_return is_right;
}

task<bool> alternates(int rounds) {
    rt::join_set<int> set;
    bool is_right = true;
    set.spawn(value, 0);
    for (int i = 1; i < rounds; ++i) {
        set.spawn(value, i);
        is_right = is_right && set.size() == 2;
        is_right = is_right && co_await set.join_next() && set.size() == 1;
    }
    co_return is_right;
}

task<bool> detaches(census* counted) {
    rt::atomic<int> done{0};
    gate at;
    gate all_done;
    rt::join_set<void> set;
    for (int i = 0; i < 20; ++i) {
        set.spawn(
            [](gate* g, gate* last, rt::atomic<int>* count) -> task<void> {
                co_await g->wait();
                if (count->add_acq_rel(1) == 19) {
                    last->open();
                }
            },
            &at,
            &all_done,
            &done
        );
    }
    set.detach_all();
    const bool was_emptied = set.is_empty() && !co_await set.join_next();
    at.open();
    co_await all_done.wait();
    // It can be used again.
    set.spawn(
        [](census* c) -> task<void> {
            const member local(*c);
            co_return;
        },
        counted
    );
    co_return was_emptied&& static_cast<bool>(co_await set.join_next());
}

task<void> drops_a_set(census* counted, int ended) {
    rt::join_set<int> set;
    rt::join_set<member> with_results;
    for (int i = 0; i < 30; ++i) {
        set.spawn(for_ever, counted);
        with_results.spawn(big, counted, i % 3);
    }
    for (int i = 0; i < ended; ++i) {
        static_cast<void>(co_await with_results.join_next());
    }
}

task<bool> some_are_aborted(census* counted) {
    rt::join_set<int> set;
    gate at;
    for (int i = 0; i < 16; ++i) {
        rt::abort_handle one =
            i % 2 == 0 ? set.spawn(for_ever, counted) : set.spawn(value_at, &at, i);
        if (i % 2 == 0) {
            one.abort();
        }
    }
    at.open();
    int cancelled = 0;
    int values = 0;
    while (rt::join_handle<int> ended = co_await set.join_next()) {
        try {
            static_cast<void>(ended.take());
            ++values;
        } catch (const rt::join_error&) {
            ++cancelled;
        }
    }
    co_return cancelled == 8 && values == 8;
}

task<bool> joins_all() {
    rt::join_set<int> set;
    for (int i = 0; i < 100; ++i) {
        set.spawn(value, i);
    }
    std::vector<int> values = co_await set.join_all();
    std::sort(values.begin(), values.end());
    bool is_right = set.is_empty() && values.size() == 100 && values[42] == 42;
    rt::join_set<void> failing;
    gate never;
    failing.spawn([](gate* g) -> task<void> { co_await g->wait(); }, &never);
    failing.spawn(throws);
    try {
        co_await failing.join_all();
        is_right = false;
    } catch (const std::runtime_error&) {
    }
    while (never.waiting() != 0) { // the others are cancelled
        co_await rt::yield();
    }
    co_return is_right;
}

task<bool> keeps_what_has_ended(census* counted) {
    rt::join_set<int> set;
    rt::abort_handle ended = set.spawn(value, 5);
    while (!ended.is_finished()) {
        co_await rt::yield();
    }
    set.spawn(for_ever, counted);
    set.abort_all();
    bool is_right = set.size() == 2;
    is_right = is_right && (co_await set.join_next()).take() == 5;
    co_await set.shut_down();
    co_return is_right&& set.is_empty() && counted->live.load_acquire() == 0;
}

task<int> drains_thousand(bool is_waiting) {
    rt::join_set<int> set;
    std::vector<rt::abort_handle> handles;
    for (int i = 0; i < 1000; ++i) {
        handles.push_back(set.spawn(value, 1));
    }
    for (const rt::abort_handle& each : handles) {
        while (!each.is_finished()) {
            co_await rt::yield();
        }
    }
    int sum = 0;
    while (rt::join_handle<int> ended =
               is_waiting ? co_await set.join_next() : set.try_join_next()) {
        sum += ended.take();
    }
    co_return sum;
}

// Of a set whose members have all ended, until another task has run.
task<std::uint32_t> drains_beside_another() {
    rt::join_set<int> set;
    std::vector<rt::abort_handle> handles;
    for (std::uint32_t i = 0; i < 10 * rt::detail::poll_budget; ++i) {
        handles.push_back(set.spawn(value, 1));
    }
    for (const rt::abort_handle& each : handles) {
        while (!each.is_finished()) {
            co_await rt::yield();
        }
    }
    bool has_run = false;
    rt::spawn([flag = &has_run]() -> task<void> {
        *flag = true;
        co_return;
    }).detach();
    std::uint32_t count = 0;
    while (!has_run && co_await set.join_next()) {
        ++count;
    }
    co_return count;
}

// A join_next that is given up loses nothing.
task<int> selects_join_next(int rounds) {
    rt::join_set<int> set;
    for (int i = 0; i < rounds; ++i) {
        set.spawn(
            [](int number) -> task<int> {
                for (int y = 0; y < number % 7; ++y) {
                    co_await rt::yield();
                }
                co_return 1;
            },
            i
        );
    }
    int sum = 0;
    while (!set.is_empty()) {
        auto next = co_await rt::timeout(1us, [](rt::join_set<int>* from, int* into) -> task<void> {
            if (rt::join_handle<int> ended = co_await from->join_next()) {
                *into += ended.take();
            }
        }(&set, &sum));
        static_cast<void>(next);
    }
    co_return sum;
}

} // namespace

Test(join_set, b124_joins_in_the_order_of_the_ends) {
    everywhere([](rt::runtime& runtime) { cr_assert(runtime.block_on(joins_as_they_end())); });
}

Test(join_set, b124_detach_all_empties_it_while_the_members_go_on) {
    everywhere([](rt::runtime& runtime) {
        census counted;
        cr_assert(runtime.block_on(detaches(&counted)));
    });
}

Test(join_set, b125_dropping_it_aborts_all_members) {
    for (const std::uint32_t workers : {0U, 1U, 2U, 4U}) {
        for (int ended = 0; ended < 30; ended += 7) {
            census counted;
            {
                rt::runtime runtime(rt::test::with_workers(workers));
                runtime.block_on(drops_a_set(&counted, ended));
            }
            cr_assert_eq(counted.live.load_acquire(), 0);
        }
    }
}

Test(join_set, b126_spawning_and_joining_in_turn_keeps_the_size_right) {
    everywhere([](rt::runtime& runtime) { cr_assert(runtime.block_on(alternates(100))); });
}

Test(join_set, b127_members_that_were_aborted_report_it) {
    everywhere([](rt::runtime& runtime) {
        census counted;
        cr_assert(runtime.block_on(some_are_aborted(&counted)));
    });
}

Test(join_set, b128_members_of_a_runtime_that_is_gone_are_cancelled) {
    on_each_flavor([](rt::runtime& runtime) {
        census counted;
        rt::join_set<int> set;
        {
            rt::runtime other(rt::test::with_workers(1));
            other.block_on([](rt::join_set<int>* into, census* all) -> task<void> {
                for (int i = 0; i < 16; ++i) {
                    into->spawn(for_ever, all);
                }
                co_return;
            }(&set, &counted));
        }
        cr_assert_eq(counted.live.load_relaxed(), 0);
        const int cancelled = runtime.block_on([](rt::join_set<int>* from) -> task<int> {
            int count = 0;
            while (rt::join_handle<int> ended = co_await from->join_next()) {
                try {
                    static_cast<void>(ended.take());
                } catch (const rt::join_error&) {
                    ++count;
                }
            }
            co_return count;
        }(&set));
        cr_assert_eq(cancelled, 16);
    });
}

Test(join_set, b129_join_all_returns_all_or_cancels_the_rest) {
    on_each_flavor([](rt::runtime& runtime) { cr_assert(runtime.block_on(joins_all())); });
}

Test(join_set, b130_abort_all_keeps_what_has_ended) {
    everywhere([](rt::runtime& runtime) {
        census counted;
        cr_assert(runtime.block_on(keeps_what_has_ended(&counted)));
    });
}

Test(join_set, b131_a_thousand_that_have_ended_are_all_delivered) {
    on_each_flavor([](rt::runtime& runtime) {
        cr_assert_eq(runtime.block_on(drains_thousand(true)), 1000);
        cr_assert_eq(runtime.block_on(drains_thousand(false)), 1000);
    });
}

Test(join_set, many_that_have_ended_do_not_keep_others_from_running) {
    const std::uint32_t count = rt::block_on(rt::test::with_workers(0), drains_beside_another());
    cr_assert_leq(count, 2 * rt::detail::poll_budget);
}

Test(join_set, a_join_next_that_is_cancelled_loses_nothing) {
    everywhere([](rt::runtime& runtime) {
        cr_assert_eq(runtime.block_on(selects_join_next(300)), 300);
    });
}

// ---- closures that block ------------------------------------------------------------------------

namespace {

task<void> joins_closures_and_tasks() {
    rt::join_set<int> set;
    cr_assert_neq(set.spawn_blocking([] { return 1; }).id(), 0U);
    set.spawn_blocking({.name = "compress"}, [] { return 2; });
    set.spawn(value, 3);
    std::vector<int> values = co_await set.join_all();
    std::ranges::sort(values);
    cr_assert((values == std::vector{1, 2, 3}));

    set.spawn_blocking([]() -> int { throw std::runtime_error("a closure failed"); });
    rt::join_handle<int> failed = co_await set.join_next();
    cr_assert_throw(failed.take(), std::runtime_error);
    cr_assert(set.is_empty());
}

// One that runs is waited for by the end of the runtime only; one that waits is withdrawn.
task<void> drops_closures(census* counted) {
    {
        rt::join_set<member> set;
        for (int i = 0; i < 20; ++i) {
            set.spawn_blocking([one = member(*counted)] { return one; });
        }
        set.abort_all();
        while (rt::join_handle<member> ended = co_await set.join_next()) {
            ended.detach();
        }
        set.spawn_blocking([one = member(*counted)] { return one; });
    }
    while (counted->live.load_acquire() != 0) {
        co_await rt::yield();
    }
}

} // namespace

Test(join_set, closures_that_block_are_members_like_others) {
    on_each_flavor([](rt::runtime& runtime) {
        runtime.block_on(joins_closures_and_tasks());
        census counted;
        runtime.block_on(drops_closures(&counted));
        cr_assert_eq(counted.live.load_relaxed(), 0);
    });
}

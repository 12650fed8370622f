// SPDX-License-Identifier: MIT
//
// rt::scope, rt::shield, rt::unconstrained and rt::consume_budget.
#include "scheduler/resident.h"
#include "support/test.h"
#include "task/gate.h"

#include <rt/detail/atomic.h>
#include <rt/runtime.h>
#include <rt/scope.h>
#include <rt/select.h>
#include <rt/shield.h>
#include <rt/spawn.h>
#include <rt/spawn_on.h>
#include <rt/time.h>
#include <rt/yield.h>

#include <chrono>
#include <stdexcept>
#include <string>
#include <utility>

namespace {

using namespace std::chrono_literals;
using rt::task;
using rt::test::census;
using rt::test::everywhere;
using rt::test::gate;
using rt::test::member;
using rt::test::on_each_flavor;

task<void> adds(rt::atomic<long>* sum, int number) {
    co_await rt::yield();
    sum->add_relaxed(number);
}

task<void> for_ever(census* counted) {
    const member local(*counted);
    co_await rt::sleep(std::chrono::hours::max());
}

task<void> throws(const char* text) {
    co_await rt::yield();
    throw std::runtime_error(text);
}

task<void> passes(gate* at) {
    co_await at->wait();
}

task<long> sums(int count) {
    rt::atomic<long> sum{0};
    const int returned = co_await rt::scope::run([&](rt::scope& children) -> task<int> {
        for (int i = 0; i < count; ++i) {
            children.spawn(adds, &sum, i);
        }
        co_return 5;
    });
    co_return returned == 5 ? sum.load_relaxed() : -1;
}

task<bool> joins_in_the_body() {
    rt::atomic<long> sum{0};
    bool is_exact = true;
    co_await rt::scope::run([&](rt::scope& children) -> task<void> {
        co_await children.join(); // none yet
        for (int round = 1; round <= 20; ++round) {
            for (int i = 0; i < 10; ++i) {
                children.spawn(adds, &sum, 1);
            }
            co_await children.join();
            is_exact = is_exact && children.size() == 0 && sum.load_relaxed() == round * 10;
        }
    });
    co_return is_exact;
}

// Five parts of the body wait, of which two are cancelled while they do.
task<bool> joins_in_parts_of_the_body() {
    rt::atomic<long> sum{0};
    bool is_exact = true;
    co_await rt::scope::run([&](rt::scope& children) -> task<void> {
        for (int round = 1; round <= 20; ++round) {
            gate at;
            children.spawn(passes, &at);
            children.spawn(adds, &sum, 1);
            auto ended = co_await rt::join(
                children.join(),
                rt::select(children.join(), rt::yield()),
                children.join(),
                rt::timeout(1ms, children.join()),
                [](gate* opened) -> task<void> {
                    co_await rt::sleep(3ms);
                    opened->open();
                }(&at),
                children.join()
            );
            is_exact = is_exact && children.size() == 0 && sum.load_relaxed() == round &&
                std::get<1>(ended).index() == 1 && !std::get<3>(ended);
        }
    });
    co_return is_exact;
}

task<void> cancels_parts_that_join(census* counted) {
    co_await rt::scope::run([&](rt::scope& children) -> task<void> {
        children.spawn(for_ever, counted);
        auto late = co_await rt::timeout(1ms, rt::join(children.join(), children.join()));
        cr_assert(!late);
        children.cancel();
    });
}

task<std::string> fails(census* counted, bool in_body) {
    try {
        co_await rt::scope::run([&](rt::scope& children) -> task<void> {
            for (int i = 0; i < 20; ++i) {
                children.spawn(for_ever, counted);
            }
            if (in_body) {
                co_await throws("body");
            }
            children.spawn(throws, "child");
            co_await for_ever(counted);
        });
    } catch (const std::runtime_error& error) {
        co_return counted->live.load_acquire() == 0 ? error.what() : "somebody is left";
    }
    co_return "nothing was thrown";
}

task<void> nothing() {
    co_return;
}

// The body is a plain function: it throws before there is a coroutine of it.
task<std::string> throws_in_the_call(census* counted, int count, bool child_throws) {
    try {
        co_await rt::scope::run([&](rt::scope& children) -> task<void> {
            for (int i = 0; i < count; ++i) {
                children.spawn(for_ever, counted);
            }
            if (child_throws) {
                children.spawn(throws, "child");
            }
            if (count >= 0) {
                throw std::runtime_error("call");
            }
            return nothing();
        });
    } catch (const std::runtime_error& error) {
        co_return counted->live.load_acquire() == 0 ? error.what() : "somebody is left";
    }
    co_return "nothing was thrown";
}

task<void> scope_for_ever(census* counted, gate* arrived) {
    const member outside(*counted);
    co_await rt::scope::run([&](rt::scope& children) -> task<void> {
        const member inside(*counted);
        for (int i = 0; i < 10; ++i) {
            children.spawn(for_ever, counted);
        }
        arrived->open();
        co_await children.join();
    });
}

task<bool> aborted(census* counted) {
    gate arrived;
    rt::join_handle<void> victim = rt::spawn(scope_for_ever, counted, &arrived);
    co_await arrived.wait();
    victim.abort();
    try {
        co_await std::move(victim);
    } catch (const rt::join_error&) {
        co_return counted->live.load_acquire() == 0;
    }
    co_return false;
}

task<bool> drained_then_cancelled(census* counted) {
    gate never_opened;
    bool is_late = false;
    try {
        co_await rt::scope::run([&](rt::scope& children) -> task<void> {
            children.spawn(for_ever, counted);
            children.spawn(passes, &never_opened);
            auto drained = co_await rt::timeout(1ms, [](rt::scope* all) -> task<void> {
                co_await all->join();
            }(&children));
            is_late = !drained;
            children.cancel();
            co_return;
        });
    } catch (const rt::join_error&) {
        is_late = false;
    }
    co_return is_late && counted->live.load_acquire() == 0;
}

task<int> scopes_in_scopes(int depth) {
    if (depth == 0) {
        co_return 1;
    }
    int found[2] = {};
    co_await rt::scope::run([&](rt::scope& children) -> task<void> {
        for (int& each : found) {
            children.spawn(
                [](int* into, int below) -> task<void> {
                    *into = co_await scopes_in_scopes(below);
                },
                &each,
                depth - 1
            );
        }
        co_return;
    });
    co_return found[0] + found[1];
}

// ---- shield -------------------------------------------------------------------------------------

task<int> shielded_work(gate* begun, gate* at, int* done) {
    begun->open();
    co_await at->wait();
    co_await rt::yield();
    ++*done;
    co_return 9;
}

task<void> shields(gate* begun, gate* at, int* done, census* counted) {
    const member local(*counted);
    *done += co_await rt::shield(shielded_work(begun, at, done)); // delivered all the same
    co_await rt::yield();                                         // and cancelled here
    *done += 1000;
}

task<bool> shield_holds(census* counted) {
    gate begun;
    gate at;
    int done = 0;
    auto victim = rt::spawn(
        [](gate* b, gate* a, int* d, census* c) -> task<void> { co_await shields(b, a, d, c); },
        &begun,
        &at,
        &done,
        counted
    );
    co_await begun.wait();
    victim.abort();
    for (int i = 0; i < 10; ++i) {
        co_await rt::yield();
    }
    const bool was_held = !victim.is_finished() && counted->live.load_acquire() == 1;
    at.open();
    try {
        co_await std::move(victim);
    } catch (const rt::join_error&) {
        co_return was_held&& done == 10 && counted->live.load_acquire() == 0;
    }
    co_return false;
}

task<bool> deadline_waits_for_the_shield() {
    int done = 0;
    gate begun;
    gate at;
    auto late = co_await rt::join(
        [](gate* b, gate* a, int* d) -> task<int> {
            auto got = co_await rt::timeout(1ms, rt::shield(shielded_work(b, a, d)));
            co_return got ? *got : -1;
        }(&begun, &at, &done),
        [](gate* a) -> task<void> {
            co_await rt::sleep(5ms);
            a->open();
        }(&at)
    );
    co_return std::get<0>(late) == 9 && done == 1;
}

// ---- budget -------------------------------------------------------------------------------------

task<void> counts(long* turns, const bool* stop) {
    while (!*stop) {
        ++*turns;
        co_await rt::yield();
    }
}

task<void> consumes(int rounds) {
    for (int i = 0; i < rounds; ++i) {
        co_await rt::consume_budget();
    }
}

// How often a neighbour on the only worker got a turn while `rounds` units were consumed.
task<long> turns_of_a_neighbour(int rounds, bool is_unconstrained) {
    long turns = 0;
    bool stop = false;
    auto neighbour = rt::spawn(counts, &turns, &stop);
    while (turns == 0) {
        co_await rt::yield();
    }
    const long before = turns;
    if (is_unconstrained) {
        co_await rt::unconstrained(consumes(rounds));
    } else {
        co_await consumes(rounds);
    }
    const long after = turns;
    stop = true;
    co_await std::move(neighbour);
    co_return after - before;
}

task<int> budget_of_a_turn() {
    co_await rt::yield();
    int units = 0;
    while (rt::has_budget()) {
        co_await rt::consume_budget();
        ++units;
    }
    co_return units;
}

} // namespace

Test(scope, ends_when_its_last_child_has) {
    everywhere([](rt::runtime& runtime) {
        cr_assert_eq(runtime.block_on(sums(1000)), 999 * 1000 / 2);
        cr_assert_eq(runtime.block_on(sums(0)), 0);
    });
}

Test(scope, the_body_can_wait_for_its_children) {
    everywhere([](rt::runtime& runtime) { cr_assert(runtime.block_on(joins_in_the_body())); });
}

Test(scope, parts_of_the_body_can_wait_for_its_children) {
    on_each_flavor([](rt::runtime& runtime) {
        cr_assert(runtime.block_on(joins_in_parts_of_the_body()));
        census counted;
        runtime.block_on(cancels_parts_that_join(&counted));
        cr_assert_eq(counted.live.load_acquire(), 0);
    });
}

Test(scope, the_first_exception_cancels_and_waits_for_the_others) {
    everywhere([](rt::runtime& runtime) {
        census counted;
        cr_assert(runtime.block_on(fails(&counted, true)) == "body");
        cr_assert(runtime.block_on(fails(&counted, false)) == "child");
        cr_assert_eq(counted.live.load_acquire(), 0);
    });
}

Test(scope, a_plain_function_that_throws_as_a_body_cancels_and_waits_for_its_children) {
    everywhere([](rt::runtime& runtime) {
        census counted;
        for (const int count : {0, 1, 20}) {
            cr_assert(runtime.block_on(throws_in_the_call(&counted, count, false)) == "call");
            cr_assert(runtime.block_on(throws_in_the_call(&counted, count, true)) == "call");
        }
        cr_assert(
            runtime.block_on(throws_in_the_call(&counted, -1, false)) == "nothing was thrown"
        );
    });
}

Test(scope, abort_cancels_and_waits_for_body_and_children) {
    everywhere([](rt::runtime& runtime) {
        for (int i = 0; i < 50; ++i) {
            census counted;
            cr_assert(runtime.block_on(aborted(&counted)));
        }
    });
}

Test(scope, drains_with_a_deadline_and_cancels_what_is_left) {
    on_each_flavor([](rt::runtime& runtime) {
        census counted;
        cr_assert(runtime.block_on(drained_then_cancelled(&counted)));
    });
}

Test(scope, nests) {
    everywhere([](rt::runtime& runtime) {
        cr_assert_eq(runtime.block_on(scopes_in_scopes(8)), 256);
    });
}

Test(scope, b084_a_runtime_that_ends_unwinds_it) {
    census counted;
    {
        gate arrived;
        rt::runtime runtime(rt::test::exactly(2));
        runtime.get_handle().spawn(scope_for_ever(&counted, &arrived)).detach();
        runtime.block_on(passes(&arrived));
    }
    cr_assert_eq(counted.live.load_acquire(), 0);
}

Test(scope, a_shield_defers_cancellation_to_its_end) {
    everywhere([](rt::runtime& runtime) {
        census counted;
        cr_assert(runtime.block_on(shield_holds(&counted)));
        cr_assert(runtime.block_on(deadline_waits_for_the_shield()));
    });
}

Test(scope, b169_consume_budget_yields) {
    rt::runtime runtime(rt::test::with_workers(0));
    cr_assert_geq(runtime.block_on(turns_of_a_neighbour(1000, false)), 7);
}

Test(scope, b168_unconstrained_does_not_yield) {
    rt::runtime runtime(rt::test::with_workers(0));
    cr_assert_eq(runtime.block_on(turns_of_a_neighbour(1000, true)), 0);
}

Test(scope, b170_the_budget_is_128) {
    on_each_flavor([](rt::runtime& runtime) {
        cr_assert_eq(runtime.block_on(budget_of_a_turn()), 128);
    });
}

// ---- children that stay on a worker -------------------------------------------------------------

namespace {

task<void> stays(rt::test::resident self, rt::atomic<int>* ended) {
    for (int i = 0; i < 3; ++i) {
        self.look();
        co_await rt::yield();
    }
    ended->add_relaxed(1);
}

task<void> never_ends(rt::test::resident self) {
    self.look();
    co_await rt::sleep(std::chrono::hours::max());
}

task<int> has_bound_children(rt::test::findings* found, std::uint32_t workers) {
    rt::atomic<int> ended{0};
    co_await rt::scope::run([&](rt::scope& children) -> task<void> {
        for (std::uint32_t i = 0; i < 40; ++i) {
            const std::uint32_t on = i % workers;
            cr_assert(children.spawn_on(on, stays, rt::test::resident(found, on), &ended));
        }
        const std::uint32_t here = *rt::worker_index();
        cr_assert(children.spawn_local(stays, rt::test::resident(found, here), &ended));
        cr_assert(
            children.spawn_local({.name = "local"}, stays, rt::test::resident(found, here), &ended)
        );
        co_return;
    });
    co_return ended.load_relaxed();
}

task<bool> loses_bound_children(rt::test::findings* found, std::uint32_t workers) {
    try {
        co_await rt::scope::run([&](rt::scope& children) -> task<void> {
            for (std::uint32_t i = 0; i < 40; ++i) {
                children.spawn_on(i % workers, never_ends, rt::test::resident(found, i % workers));
            }
            children.spawn_local(throws, "as planned");
            co_return;
        });
    } catch (const std::runtime_error& error) {
        co_return std::string(error.what()) == "as planned";
    }
    co_return false;
}

} // namespace

Test(scope, bound_children_stay_on_their_worker) {
    everywhere([](rt::runtime& runtime) {
        rt::test::findings found;
        cr_assert_eq(runtime.block_on(has_bound_children(&found, runtime.worker_count())), 42);
        cr_assert_eq(found.faults.load_relaxed(), 0);
        cr_assert_eq(found.live.load_acquire(), 0);
    });
}

Test(scope, bound_children_are_cancelled_on_their_worker_by_an_exception) {
    everywhere([](rt::runtime& runtime) {
        rt::test::findings found;
        cr_assert(runtime.block_on(loses_bound_children(&found, runtime.worker_count())));
        cr_assert_eq(found.faults.load_relaxed(), 0);
        cr_assert_eq(found.live.load_acquire(), 0);
    });
}

// SPDX-License-Identifier: MIT
//
// rt::sleep and rt::yield.
//
// A sleep is never early, which is the one thing about time that can be asserted; how late it is
// depends on the machine. Order among sleepers is checked on a single worker.
#include "support/runtimes.h"
#include "support/test.h"

#include <rt/runtime.h>
#include <rt/spawn.h>
#include <rt/time.h>
#include <rt/yield.h>

#include <chrono>
#include <coroutine>
#include <string>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
using rt::test::on_every_runtime;
using rt::test::run;
using rt::test::single;

TestSuite(sleep);

rt::task<bool> never_early() {
    for (const auto duration : {1ns, 999'999ns, 1'000'000ns, 1'000'001ns, 5'500'000ns}) {
        const auto start = rt::clock::now();
        co_await rt::sleep(duration);
        if (rt::clock::now() - start < duration) {
            co_return false;
        }
    }
    const auto deadline = rt::clock::now() + 3ms;
    co_await rt::sleep_until(deadline);
    co_return rt::clock::now() >= deadline;
}

rt::task<void> append(std::string* text, char letter, std::chrono::milliseconds after) {
    co_await rt::sleep(after);
    text->push_back(letter);
}

rt::task<std::string> in_order_of_deadlines() {
    std::string text;
    std::vector<rt::join_handle<void>> sleepers;
    sleepers.push_back(rt::spawn(append, &text, 'c', 30ms));
    sleepers.push_back(rt::spawn(append, &text, 'a', 10ms));
    sleepers.push_back(rt::spawn(append, &text, 'd', 200ms)); // another level of the wheel
    sleepers.push_back(rt::spawn(append, &text, 'b', 20ms));
    for (rt::join_handle<void>& one : sleepers) {
        co_await std::move(one);
    }
    co_return text;
}

rt::task<void> set_after(bool* flag) {
    *flag = true;
    co_return;
}

// On one worker a task that does not suspend lets no other run.
rt::task<bool> zero_does_not_suspend() {
    bool has_run = false;
    rt::join_handle<void> other = rt::spawn(set_after, &has_run);
    co_await rt::sleep(0ms);
    co_await rt::sleep(-5s);
    const bool suspended = has_run;
    co_await std::move(other);
    co_return !suspended && has_run;
}

rt::task<bool> past_deadline_returns() {
    co_await rt::sleep_until(rt::clock::now() - 1h);
    co_await rt::sleep_until(rt::clock::time_point());
    co_return true;
}

struct witness {
    explicit witness(std::string* text, char letter) noexcept
        : text_(text)
        , letter_(letter) {}
    witness(const witness&) = delete;
    witness& operator=(const witness&) = delete;
    ~witness() { text_->push_back(letter_); }

private:
    std::string* text_;
    char letter_;
};

rt::task<void> inner_sleeper(std::string* text) {
    const witness first(text, 'b');
    const witness second(text, 'a');
    co_await rt::sleep(std::chrono::hours::max());
    text->push_back('!');
}

rt::task<void> outer_sleeper(std::string* text) {
    const witness local(text, 'c');
    co_await inner_sleeper(text);
    text->push_back('!');
}

rt::task<std::string> abort_sleeper(bool at_once) {
    std::string text;
    rt::join_handle<void> sleeper = rt::spawn(outer_sleeper, &text);
    if (!at_once) {
        co_await rt::sleep(2ms);
    }
    sleeper.abort();
    try {
        co_await std::move(sleeper);
        text.push_back('?');
    } catch (const rt::join_error&) {
    }
    co_return text;
}

rt::task<int> many_sleepers(int count) {
    std::vector<rt::join_handle<void>> sleepers;
    for (int i = 0; i < count; ++i) {
        sleepers.push_back(rt::spawn(
            [](int number) -> rt::task<void> {
                co_await rt::sleep(std::chrono::milliseconds(number % 97));
            },
            i
        ));
    }
    int ended = 0;
    for (rt::join_handle<void>& one : sleepers) {
        co_await std::move(one);
        ++ended;
    }
    co_return ended;
}

rt::task<void> count_turns(std::string* text, char letter, int turns) {
    for (int i = 0; i < turns; ++i) {
        text->push_back(letter);
        co_await rt::yield();
    }
}

rt::task<std::string> take_turns() {
    std::string text;
    rt::join_handle<void> a = rt::spawn(count_turns, &text, 'a', 3);
    rt::join_handle<void> b = rt::spawn(count_turns, &text, 'b', 3);
    co_await std::move(a);
    co_await std::move(b);
    co_return text;
}

// A task that only yields must neither keep timers from firing nor be immune to abort.
rt::task<void> yield_for_ever() {
    for (;;) {
        co_await rt::yield();
    }
}

rt::task<bool> sleep_beside_a_yielder() {
    rt::join_handle<void> busy = rt::spawn(yield_for_ever);
    co_await rt::sleep(3ms);
    busy.abort();
    try {
        co_await std::move(busy);
    } catch (const rt::join_error&) {
        co_return true;
    }
    co_return false;
}

} // namespace

Test(sleep, is_never_early) {
    on_every_runtime([](const rt::config& config) {
        cr_assert(rt::block_on(config, never_early()));
    });
}

Test(sleep, wakes_in_order_of_deadlines) {
    cr_assert(rt::block_on(single(), in_order_of_deadlines()) == "abcd");
}

Test(sleep, zero_and_negative_durations_do_not_suspend) {
    cr_assert(rt::block_on(single(), zero_does_not_suspend()));
}

Test(sleep, until_a_past_deadline_returns) {
    cr_assert(run(past_deadline_returns()));
}

Test(sleep, abort_unwinds_from_the_leaf_upwards) {
    on_every_runtime([](const rt::config& config) {
        cr_assert(rt::block_on(config, abort_sleeper(false)) == "abc");
    });
}

Test(sleep, abort_at_once_leaves_nothing_behind) {
    for (int round = 0; round < 50; ++round) {
        const std::string text = run(abort_sleeper(true));
        cr_assert(text == "abc" || text.empty(), "%s", text.c_str());
    }
}

Test(sleep, thousands_at_once) {
    on_every_runtime([](const rt::config& config) {
        cr_assert_eq(rt::block_on(config, many_sleepers(5000)), 5000);
    });
}

Test(sleep, outside_a_task_aborts_with_advice, .signal = SIGABRT) {
    rt::sleep_awaiter awaiter = rt::sleep(1ms);
    static_cast<void>(awaiter.await_suspend(std::noop_coroutine()));
}

Test(yield, gives_each_task_its_turn) {
    const std::string text = rt::block_on(single(), take_turns());
    cr_assert(text == "ababab" || text == "bababa", "%s", text.c_str());
}

Test(yield, does_not_starve_timers_and_can_be_aborted) {
    on_every_runtime([](const rt::config& config) {
        cr_assert(rt::block_on(config, sleep_beside_a_yielder()));
    });
}

Test(yield, outside_a_task_aborts_with_advice, .signal = SIGABRT) {
    static_cast<void>(rt::yield().await_suspend(std::noop_coroutine()));
}

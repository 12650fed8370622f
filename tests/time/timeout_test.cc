// SPDX-License-Identifier: MIT
//
// rt::timeout: who wins, what is destroyed and in which order, and what the task can do afterwards.
//
// A body that shall lose waits for ever; one that shall win does not wait at all, or for something
// that happens. No assertion depends on how long anything took.
#include "support/runtimes.h"
#include "support/test.h"

#include <rt/net/tcp.h>
#include <rt/paused_clock.h>
#include <rt/runtime.h>
#include <rt/spawn.h>
#include <rt/sync/oneshot.h>
#include <rt/time.h>
#include <rt/yield.h>

#include <chrono>
#include <memory>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
using rt::test::on_every_runtime;
using rt::test::run;

constexpr auto for_ever = std::chrono::hours::max();

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

rt::task<int> number(int value) {
    co_return value;
}

rt::task<int> number_after(int value, std::chrono::milliseconds duration) {
    co_await rt::sleep(duration);
    co_return value;
}

rt::task<void> nothing() {
    co_return;
}

rt::task<void> never() {
    co_await rt::sleep(for_ever);
}

rt::task<void> fail_with(const char* text) {
    throw std::runtime_error(text);
    co_return;
}

rt::task<rt::result<std::string>> failing_result() {
    co_return rt::failure(ENOENT, "open");
}

static_assert(std::is_same_v<rt::detail::timeout_result<int>, rt::result<int>>);
static_assert(std::is_same_v<rt::detail::timeout_result<void>, rt::result<void>>);
static_assert(std::is_same_v<rt::detail::timeout_result<rt::result<int>>, rt::result<int>>);

// ---- winning and losing
// ---------------------------------------------------------------------------

rt::task<bool> body_wins() {
    const rt::result<int> at_once = co_await rt::timeout(1h, number(1));
    const rt::result<int> later = co_await rt::timeout(1h, number_after(2, 2ms));
    const rt::result<void> empty = co_await rt::timeout(1h, nothing());
    const rt::result<std::string> failed = co_await rt::timeout(1h, failing_result());
    co_return at_once&&* at_once == 1 && later&&* later == 2 && empty && !failed &&
        failed.error().is(ENOENT);
}

// A deadline that has passed does not beat a body that needs no waiting.
rt::task<bool> body_wins_against_the_past() {
    const rt::result<int> zero = co_await rt::timeout(0s, number(1));
    const rt::result<int> negative = co_await rt::timeout(-1h, number(2));
    const rt::result<int> past = co_await rt::timeout_at(rt::clock::now() - 1h, number(3));
    co_return zero&& negative&& past&&* zero + *negative + *past == 6;
}

rt::task<bool> time_wins() {
    const rt::result<void> after = co_await rt::timeout(2ms, never());
    const rt::result<void> at = co_await rt::timeout_at(rt::clock::now() + 2ms, never());
    const rt::result<void> zero = co_await rt::timeout(0s, never());
    const rt::result<void> past = co_await rt::timeout_at(rt::clock::time_point(), never());
    co_return !after && after.error() == rt::errc::timed_out && after.error().is_timed_out() &&
        !at && at.error().is_timed_out() && !zero && zero.error().is_timed_out() && !past &&
        past.error().is_timed_out();
}

rt::task<bool> is_never_early() {
    const auto start = rt::clock::now();
    static_cast<void>(co_await rt::timeout(5ms, never()));
    co_return rt::clock::now() - start >= 5ms;
}

rt::task<std::string> exception_passes() {
    std::string text = "nothing was thrown";
    try {
        static_cast<void>(co_await rt::timeout(1h, fail_with("thrown in the body")));
    } catch (const std::runtime_error& error) {
        text = error.what();
    }
    // The boundary is gone: the task can wait, and time out, as before.
    const rt::result<void> after = co_await rt::timeout(1ms, never());
    co_return after ? "not timed out" : text;
}

rt::task<int> yield_for_ever() {
    for (;;) {
        co_await rt::yield();
    }
}

rt::task<bool> stops_a_body_that_only_yields() {
    const rt::result<int> outcome = co_await rt::timeout(2ms, yield_for_ever());
    co_return !outcome && outcome.error().is_timed_out();
}

rt::task<rt::result<std::size_t>> read_with_deadline() {
    rt::tcp_listener listener = rt::or_throw(rt::tcp_listener::bind("127.0.0.1:0"));
    rt::tcp_stream ours =
        rt::or_throw(co_await rt::tcp_stream::connect(rt::or_throw(listener.local_address())));
    rt::tcp_stream theirs = rt::or_throw(co_await listener.accept());
    std::byte byte{};
    co_return co_await rt::timeout(2ms, theirs.read({&byte, 1}));
}

rt::task<bool> leaves_a_joined_task_running() {
    rt::join_handle<int> child = rt::spawn(number_after, 5, 20ms);
    const rt::result<void> waited =
        co_await rt::timeout(1ms, [](rt::join_handle<int>* handle) -> rt::task<void> {
            while (!handle->is_finished()) {
                co_await rt::sleep(1h);
            }
        }(&child));
    const int value = co_await std::move(child);
    co_return !waited && value == 5;
}

// ---- to the tick, on a paused clock -------------------------------------------------------------

rt::task<void> three_at_once() {
    rt::or_throw(co_await rt::timeout(10ms, rt::sleep(10ms)));
    co_await rt::sleep(1h);
}

rt::task<void> two_around_what_comes_in_time() {
    const auto start = rt::clock::now();
    cr_assert_not(co_await rt::timeout(10ms, three_at_once()));
    cr_assert(rt::clock::now() - start == 10ms);
}

rt::config paused() {
    rt::config made = rt::test::single();
    made.start_paused = true;
    return made;
}

rt::task<rt::result<int>> receive(rt::oneshot::receiver<int> from) {
    co_return co_await from.recv();
}

template<typename Duration>
rt::task<rt::result<int>> receive_within(Duration limit, rt::oneshot::receiver<int> from) {
    co_return co_await rt::timeout(limit, receive(std::move(from)));
}

rt::task<void> ends_at_a_deadline_that_is_now() {
    const auto now = rt::clock::now();
    cr_assert_eq(*co_await rt::timeout_at(now, number(1)), 1);
    cr_assert(rt::clock::now() == now, "it has not waited");
    cr_assert_not((co_await rt::timeout_at(now, never())).has_value());
    cr_assert(rt::clock::now() == now + 1ms, "the next tick");
}

rt::task<void> waits_for_value_or_deadline(bool with_value) {
    const auto start = rt::clock::now();
    auto [tx, rx] = rt::oneshot::channel<int>();
    auto waiting = rt::spawn(receive_within(100ms, std::move(rx)));
    co_await rt::yield();
    co_await rt::advance_clock(99ms);
    co_await rt::yield();
    cr_assert_not(waiting.is_finished());
    if (with_value) {
        cr_assert(tx.send(7).has_value());
    }
    const rt::result<int> got = co_await std::move(waiting);
    if (with_value) {
        cr_assert(got == 7);
        cr_assert(rt::clock::now() == start + 99ms);
    } else {
        cr_assert(got.error() == rt::errc::timed_out);
        cr_assert(rt::clock::now() == start + 100ms);
    }
}

template<typename Duration>
rt::task<void> waits_for_ages(Duration limit) {
    auto [tx, rx] = rt::oneshot::channel<int>();
    auto waiting = rt::spawn(receive_within(limit, std::move(rx)));
    co_await rt::yield();
    for (int decade = 0; decade < 10; ++decade) {
        co_await rt::sleep(10 * 365 * 24h);
        cr_assert_not(waiting.is_finished());
    }
    cr_assert(tx.send(7).has_value());
    cr_assert(co_await std::move(waiting) == 7);
}

// The value is there, and the clock past the deadline, when the task has its turn.
rt::task<void> has_value_and_deadline_in_one_turn() {
    auto [tx, rx] = rt::oneshot::channel<int>();
    auto waiting = rt::spawn(receive_within(10ms, std::move(rx)));
    co_await rt::yield();
    cr_assert(tx.send(7).has_value());
    co_await rt::advance_clock(11ms);
    cr_assert(co_await std::move(waiting) == 7);
}

// The sender and the deadline are due at the same tick. Returns whether the sender had its turn
// first.
rt::task<bool> sends_at_the_deadline(bool is_armed_first) {
    const auto deadline = rt::clock::now() + 10ms;
    auto [tx, rx] = rt::oneshot::channel<int>();
    rt::join_handle<rt::result<int>> waiting;
    rt::abort_handle watch;
    bool was_first = false;
    auto send = [&]() -> rt::task<void> {
        co_await rt::sleep_until(deadline);
        was_first = !watch.is_finished();
        cr_assert(tx.send(7).has_value() == was_first);
    };
    rt::join_handle<void> sender;
    for (const bool is_sender : {is_armed_first, !is_armed_first}) {
        if (is_sender) {
            sender = rt::spawn(send());
        } else {
            waiting = rt::spawn(receive_within(10ms, std::move(rx)));
            watch = waiting.abort_handle();
        }
        co_await rt::yield();
    }
    const rt::result<int> got = co_await std::move(waiting);
    co_await std::move(sender);
    cr_assert(got.has_value() == was_first);
    cr_assert(rt::clock::now() == deadline);
    co_return was_first;
}

// ---- nesting
// --------------------------------------------------------------------------------------

// What came of an inner timeout, as a letter appended by the frame around it.
rt::task<char> with_inner(std::string* text, std::chrono::milliseconds inner) {
    const witness local(text, 'f');
    const rt::result<void> outcome = co_await rt::timeout(inner, never());
    text->push_back(outcome ? '?' : 'i');
    co_return 'v';
}

rt::task<std::string> nested(std::chrono::milliseconds outer, std::chrono::milliseconds inner) {
    std::string text;
    const rt::result<char> outcome = co_await rt::timeout(outer, with_inner(&text, inner));
    text.push_back(outcome ? *outcome : 'o');
    co_await rt::sleep(1ms); // nothing of either timeout is left to hit this
    co_return text;
}

rt::task<int> deep(int depth) {
    if (depth == 0) {
        co_await never();
        co_return 0;
    }
    const rt::result<int> below = co_await rt::timeout(1h, deep(depth - 1));
    co_return below ? *below + 1 : 1000;
}

rt::task<bool> outermost_of_many_wins() {
    const rt::result<int> outcome = co_await rt::timeout(3ms, deep(50));
    co_return !outcome && outcome.error().is_timed_out();
}

// ---- unwinding
// ------------------------------------------------------------------------------------

rt::task<void> leaf(std::string* text) {
    const witness first(text, 'b');
    const witness second(text, 'a');
    co_await never();
    text->push_back('!');
}

rt::task<void> middle(std::string* text) {
    const witness local(text, 'c');
    co_await leaf(text);
    text->push_back('!');
}

rt::task<std::string> unwinding_order() {
    std::string text;
    {
        const witness outside(&text, 'e');
        const rt::result<void> outcome = co_await rt::timeout(2ms, middle(&text));
        text.push_back(outcome ? '?' : 'd'); // the frames are gone before the result is there
    }
    co_return text;
}

rt::task<void> hold_timeout(std::string* text) {
    const witness local(text, 'd');
    static_cast<void>(co_await rt::timeout(1h, middle(text)));
    text->push_back('!');
}

rt::task<std::string> abort_inside_a_timeout() {
    std::string text;
    rt::join_handle<void> victim = rt::spawn(hold_timeout, &text);
    co_await rt::sleep(2ms);
    victim.abort();
    try {
        co_await std::move(victim);
        text.push_back('?');
    } catch (const rt::join_error&) {
    }
    co_return text;
}

rt::task<std::string> arguments_die_with_the_body() {
    std::string text;
    auto owned = std::make_unique<witness>(&text, 'a');
    const rt::result<void> outcome =
        co_await rt::timeout(1ms, [](std::unique_ptr<witness> argument) -> rt::task<void> {
            co_await never();
            argument.reset();
        }(std::move(owned)));
    text.push_back(outcome ? '?' : 'b');
    co_return text;
}

// ---- many
// -----------------------------------------------------------------------------------------

// Deadline and body end at about the same time: whichever wins, the outcome is whole.
rt::task<int> race_once(int seed) {
    const auto length = std::chrono::milliseconds(seed % 3);
    const rt::result<int> outcome = co_await rt::timeout(1ms, number_after(seed, length));
    if (outcome) {
        co_return *outcome == seed ? 1 : 1000;
    }
    co_return outcome.error().is_timed_out() ? 1 : 1000;
}

rt::task<int> race_many(int tasks, int rounds) {
    std::vector<rt::join_handle<int>> children;
    for (int i = 0; i < tasks; ++i) {
        children.push_back(rt::spawn(
            [](int first, int times) -> rt::task<int> {
                int sum = 0;
                for (int round = 0; round < times; ++round) {
                    sum += co_await race_once(first + round);
                }
                co_return sum;
            },
            i,
            rounds
        ));
    }
    int sum = 0;
    for (rt::join_handle<int>& child : children) {
        sum += co_await std::move(child);
    }
    co_return sum;
}

} // namespace

Test(timeout, a_body_that_ends_first_wins) {
    on_every_runtime([](const rt::config& config) { cr_assert(rt::block_on(config, body_wins())); }
    );
}

Test(timeout, a_body_that_does_not_wait_wins_against_a_past_deadline) {
    cr_assert(run(body_wins_against_the_past()));
}

Test(timeout, time_wins_against_a_body_that_waits) {
    on_every_runtime([](const rt::config& config) { cr_assert(rt::block_on(config, time_wins())); }
    );
}

Test(timeout, b216_a_body_that_need_not_wait_wins_over_a_deadline_that_is_now) {
    rt::block_on(paused(), ends_at_a_deadline_that_is_now());
}

Test(timeout, b216_it_waits_until_the_value_or_the_deadline_comes) {
    rt::block_on(paused(), waits_for_value_or_deadline(true));
    rt::block_on(paused(), waits_for_value_or_deadline(false));
}

Test(timeout, b216_may_be_as_long_as_can_be_said) {
    rt::block_on(paused(), waits_for_ages(std::chrono::nanoseconds::max()));
    rt::block_on(paused(), waits_for_ages(std::chrono::hours::max()));
}

Test(timeout, b216_a_value_that_is_there_wins_over_a_deadline_that_has_passed) {
    rt::block_on(paused(), has_value_and_deadline_in_one_turn());
    const bool one = rt::block_on(paused(), sends_at_the_deadline(true));
    const bool other = rt::block_on(paused(), sends_at_the_deadline(false));
    cr_assert(one || other, "the sender was first in one of them");
}

Test(timeout, is_never_early) {
    cr_assert(run(is_never_early()));
}

Test(timeout, exceptions_of_the_body_pass_through) {
    cr_assert(run(exception_passes()) == "thrown in the body");
}

Test(timeout, stops_a_body_that_only_yields) {
    on_every_runtime([](const rt::config& config) {
        cr_assert(rt::block_on(config, stops_a_body_that_only_yields()));
    });
}

Test(timeout, around_a_read) {
    on_every_runtime([](const rt::config& config) {
        const rt::result<std::size_t> outcome = rt::block_on(config, read_with_deadline());
        cr_assert_not(outcome.has_value());
        cr_assert(outcome.error() == rt::errc::timed_out);
    });
}

Test(timeout, leaves_other_tasks_alone) {
    cr_assert(run(leaves_a_joined_task_running()));
}

Test(timeout, inner_one_first) {
    cr_assert(run(nested(std::chrono::hours(1), 2ms)) == "ifv");
}

Test(timeout, outer_one_first) {
    cr_assert(run(nested(2ms, std::chrono::hours(1))) == "fo");
}

Test(timeout, both_at_once) {
    for (int round = 0; round < 30; ++round) {
        const std::string text = run(nested(2ms, 2ms));
        cr_assert(text == "fo" || text == "ifv", "%s", text.c_str());
    }
    cr_assert(rt::block_on(paused(), nested(2ms, 2ms)) == "fo", "over in the same moment");
}

// The inner one returns the value that came in time; the outer one is over all the same.
Test(timeout, an_outer_one_that_is_over_is_not_forgotten_with_the_inner_one) {
    rt::block_on(paused(), two_around_what_comes_in_time());
}

Test(timeout, outermost_of_many_unwinds_them_all) {
    cr_assert(run(outermost_of_many_wins()));
}

Test(timeout, destroys_from_the_leaf_upwards_before_it_returns) {
    on_every_runtime([](const rt::config& config) {
        cr_assert(rt::block_on(config, unwinding_order()) == "abcde");
    });
}

Test(timeout, abort_of_the_task_unwinds_through_it) {
    on_every_runtime([](const rt::config& config) {
        cr_assert(rt::block_on(config, abort_inside_a_timeout()) == "abcd");
    });
}

Test(timeout, arguments_of_the_body_die_with_it) {
    cr_assert(run(arguments_die_with_the_body()) == "ab");
}

Test(timeout, thousands_that_race_their_bodies) {
    on_every_runtime([](const rt::config& config) {
        cr_assert_eq(rt::block_on(config, race_many(200, 20)), 200 * 20);
    });
}

// SPDX-License-Identifier: MIT
//
// The paused clock: time moves only by advance_clock, or to the next timer when nothing else is
// left to do.
#include "support/runtimes.h"
#include "support/test.h"
#include "task/sockets.h"

#include <rt/blocking.h>
#include <rt/detail/atomic.h>
#include <rt/join_set.h>
#include <rt/net/tcp.h>
#include <rt/paused_clock.h>
#include <rt/runtime.h>
#include <rt/select.h>
#include <rt/spawn.h>
#include <rt/spawn_blocking.h>
#include <rt/time.h>

#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <utility>

#include <time.h>

namespace {

using namespace std::chrono_literals;
using rt::task;

rt::config paused(rt::driver_kind driver = rt::driver_kind::automatic) {
    rt::config made = rt::test::single(driver);
    made.start_paused = true;
    return made;
}

task<void> sleeps(std::chrono::nanoseconds duration) {
    co_await rt::sleep(duration);
}

task<std::chrono::nanoseconds> measured(std::chrono::nanoseconds duration) {
    const auto start = rt::clock::now();
    co_await rt::sleep(duration);
    co_return rt::clock::now() - start;
}

task<void> pauses_and_resumes() {
    cr_assert_not(rt::is_clock_paused());
    rt::pause_clock();
    cr_assert(rt::is_clock_paused());
    const auto start = rt::clock::now();
    cr_assert(rt::clock::now() == start);
    co_await rt::sleep(1h);
    cr_assert(rt::clock::now() - start == 1h);
    rt::resume_clock();
    cr_assert_not(rt::is_clock_paused());
    cr_assert(rt::clock::now() - start >= 1h); // it goes on from where it stood
    const auto resumed = rt::clock::now();
    co_await rt::sleep(2ms);
    cr_assert(rt::clock::now() - resumed >= 2ms);
    co_await rt::spawn(measured(1ms));
}

task<void> advances() {
    const auto start = rt::clock::now();
    bool early = false;
    bool late = false;
    auto first = rt::spawn(
        [](bool* fired) -> task<void> {
            co_await rt::sleep(10ms);
            *fired = true;
        },
        &early
    );
    auto second = rt::spawn(
        [](bool* fired) -> task<void> {
            co_await rt::sleep(20ms);
            *fired = true;
        },
        &late
    );
    co_await rt::advance_clock(0ms); // both have begun to sleep
    co_await rt::advance_clock(9ms);
    cr_assert_not(early);
    co_await rt::advance_clock(1ms);
    co_await rt::advance_clock(0ms);
    cr_assert(early && !late);
    cr_assert(rt::clock::now() - start == 10ms);
    co_await rt::advance_clock(300us);
    cr_assert(rt::clock::now() - start == 10ms + 300us);
    co_await std::move(first);
    co_await std::move(second);
    cr_assert(rt::clock::now() - start == 20ms);
}

task<void> rounds_up() {
    cr_assert(co_await measured(1ms + 1ns) == 2ms);
    cr_assert(co_await measured(60ms) == 60ms);
    cr_assert(co_await measured(0ms) == 0ms);
    cr_assert(co_await measured(64ms) == 64ms);
    cr_assert(co_await measured(4097ms) == 4097ms);
}

task<void> sleeps_for_years() {
    constexpr auto year = 365 * 24h;
    for (int i = 0; i < 5; ++i) {
        cr_assert(co_await measured(year) == year);
    }
    const auto start = rt::clock::now();
    co_await rt::sleep_until(start + 10 * year);
    const auto took = rt::clock::now() - start;
    cr_assert(took >= 10 * year && took <= 10 * year + 1ms);
    cr_assert(co_await measured(200 * year) == 200 * year);
}

// What would be beyond the last deadline ends there.
task<void> advances_to_the_end_of_time() {
    using rt::clock;
    constexpr clock::time_point last{std::chrono::nanoseconds(rt::detail::farthest_ns)};
    for (int i = 0; i < 3; ++i) {
        co_await rt::advance_clock(clock::duration::max());
        cr_assert(clock::now() == last);
    }
}

// Longer than the clock can count: each comes to its end, however far the clock has come.
task<void> sleeps_as_long_as_can_be_said(std::chrono::nanoseconds longest) {
    cr_assert(co_await measured(longest) >= 100 * 365 * 24h);
    for (int i = 0; i < 5; ++i) {
        const auto start = rt::clock::now();
        co_await rt::sleep(longest);
        cr_assert(rt::clock::now() >= start);
    }
    co_await rt::sleep_until(rt::clock::time_point::max());
    co_await rt::sleep(1ms);
}

task<std::uint64_t> random_sleeps(int count) {
    rt::join_set<std::uint64_t> set;
    const auto start = rt::clock::now();
    std::uint64_t random = 12345;
    for (int i = 0; i < count; ++i) {
        random = random * 6364136223846793005U + 1442695040888963407U;
        set.spawn(
            [](std::uint64_t us, rt::clock::time_point from) -> task<std::uint64_t> {
                co_await rt::sleep(std::chrono::microseconds(us));
                co_return static_cast<std::uint64_t>((rt::clock::now() - from) / 1ns);
            },
            (random >> 33) % 1'000'000,
            start
        );
    }
    std::uint64_t hash = 0;
    while (rt::join_handle<std::uint64_t> ended = co_await set.join_next()) {
        hash = hash * 31 + ended.take();
    }
    co_return hash;
}

// The closure waits in real time for what only it does; the timer must not be faster.
task<void> waits_for_blocking() {
    const auto start = rt::clock::now();
    rt::atomic<int> turns{0};
    auto won = co_await rt::select(
        [](rt::atomic<int>* count) -> task<void> {
            co_await rt::blocking([count] {
                timespec pause{0, 10'000'000};
                ::clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, nullptr);
                count->add_relaxed(1);
            });
        }(&turns),
        rt::sleep(1h)
    );
    cr_assert_eq(won.index(), 0);
    cr_assert(rt::clock::now() == start);
    co_await rt::sleep(1h); // and afterwards it jumps again
    cr_assert(rt::clock::now() - start == 1h);
}

struct closure_case {
    bool is_awaited;
    bool throws;
    rt::atomic<bool> has_jumped{false};
    rt::atomic<bool> has_jumped_early{false};
};

// Only the end of the closure lets the clock jump, and only the jump ends this.
task<void> sleeps_beside_a_closure(closure_case* of) {
    auto closure = rt::spawn_blocking([of] {
        timespec pause{0, 10'000'000};
        ::clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, nullptr);
        of->has_jumped_early.store_release(of->has_jumped.load_acquire());
        if (of->throws) {
            throw 1;
        }
    });
    const rt::abort_handle watch = closure.abort_handle();
    if (!of->is_awaited) {
        closure.detach();
    }
    const auto start = rt::clock::now();
    co_await rt::sleep(24h);
    of->has_jumped.store_release(true);
    cr_assert(rt::clock::now() - start == 24h);
    cr_assert(watch.is_finished());
    if (of->is_awaited) {
        bool has_thrown = false;
        try {
            co_await std::move(closure);
        } catch (int) {
            has_thrown = true;
        }
        cr_assert(has_thrown == of->throws);
    }
}

task<void> times_out() {
    const auto start = rt::clock::now();
    auto late = co_await rt::timeout(30s, sleeps(1h));
    auto early = co_await rt::timeout(1h, sleeps(30s));
    cr_assert(!late && early && rt::clock::now() - start == 60s);
}

// What the kernel has ready comes before the clock moves.
task<void> sockets_first() {
    rt::tcp_listener listener = rt::or_throw(rt::tcp_listener::bind("127.0.0.1:0"));
    auto [connected, accepted] = co_await rt::join(
        rt::tcp_stream::connect(rt::or_throw(listener.local_address())), listener.accept()
    );
    rt::tcp_stream ours = rt::or_throw(std::move(connected));
    rt::tcp_stream theirs = rt::or_throw(std::move(accepted));
    const std::byte sent{7};
    rt::or_throw(co_await ours.write_all({&sent, 1}));
    std::byte got{};
    auto read = co_await rt::timeout(1h, theirs.read({&got, 1}));
    cr_assert(read && got == sent);
}

// The same when the kernel has it only after everybody has begun to wait.
task<void> sockets_first_when_all_wait() {
    rt::test::sockets pair;
    const auto start = rt::clock::now();
    auto reader = rt::spawn(rt::test::read_one(&pair.near));
    co_await rt::advance_clock(0ms); // it waits
    auto sleeper = rt::spawn(sleeps(1h));
    pair.write('x');
    cr_assert_eq(co_await std::move(reader), 'x');
    cr_assert(rt::clock::now() == start);
    co_await std::move(sleeper);
    cr_assert(rt::clock::now() - start == 1h);
}

} // namespace

Test(paused_clock, b219_pauses_and_resumes_in_tasks_of_current_thread) {
    rt::block_on(rt::test::single(), pauses_and_resumes());
    rt::block_on(rt::test::single(rt::driver_kind::epoll), pauses_and_resumes());
}

Test(paused_clock, b219_aborts_on_multi_thread, .signal = SIGABRT) {
    rt::block_on(rt::test::settings(), []() -> task<void> {
        rt::pause_clock();
        co_return;
    }());
}

Test(paused_clock, b219_aborts_when_it_is_paused_already, .signal = SIGABRT) {
    rt::block_on(paused(), []() -> task<void> {
        rt::pause_clock();
        co_return;
    }());
}

Test(paused_clock, b219_resume_aborts_when_it_runs, .signal = SIGABRT) {
    rt::block_on(rt::test::single(), []() -> task<void> {
        rt::resume_clock();
        co_return;
    }());
}

Test(paused_clock, b220_jumps_to_the_next_timer_and_is_deterministic) {
    const std::uint64_t first = rt::block_on(paused(), random_sleeps(10'000));
    const std::uint64_t second =
        rt::block_on(paused(rt::driver_kind::epoll), random_sleeps(10'000));
    cr_assert_eq(first, second);
}

Test(paused_clock, b221_advance_adds_exactly_its_duration) {
    rt::block_on(paused(), advances());
}

Test(paused_clock, b206_deadlines_round_up_to_the_next_millisecond) {
    rt::block_on(paused(), rounds_up());
}

Test(paused_clock, is_advanced_no_farther_than_to_the_last_deadline) {
    rt::block_on(paused(), advances_to_the_end_of_time());
}

Test(paused_clock, b210_years_pass_at_once) {
    rt::block_on(paused(), sleeps_for_years());
}

Test(paused_clock, b210_durations_beyond_the_clocks_range_pass) {
    using std::chrono::nanoseconds;
    for (const nanoseconds longest : {nanoseconds::max(), nanoseconds::max() - 1ms}) {
        rt::block_on(paused(), sleeps_as_long_as_can_be_said(longest));
    }
}

Test(paused_clock, b222_does_not_jump_while_a_closure_blocks) {
    rt::block_on(paused(), waits_for_blocking());
    rt::block_on(paused(rt::driver_kind::epoll), waits_for_blocking());
}

Test(paused_clock, b222_goes_on_when_the_closure_ends_awaited_or_not_with_a_value_or_not) {
    for (const rt::driver_kind driver : {rt::driver_kind::automatic, rt::driver_kind::epoll}) {
        for (const bool is_awaited : {true, false}) {
            for (const bool throws : {true, false}) {
                closure_case one{is_awaited, throws};
                rt::config wanted = paused(driver);
                wanted.unhandled = rt::unhandled_exception::ignore;
                rt::block_on(wanted, sleeps_beside_a_closure(&one));
                cr_assert_not(one.has_jumped_early.load_acquire());
            }
        }
    }
}

Test(paused_clock, timeouts_go_by_it) {
    rt::block_on(paused(), times_out());
}

Test(paused_clock, what_the_kernel_has_comes_first) {
    for (const rt::driver_kind driver : {rt::driver_kind::automatic, rt::driver_kind::epoll}) {
        rt::block_on(paused(driver), sockets_first());
        rt::block_on(paused(driver), sockets_first_when_all_wait());
    }
}

Test(paused_clock, start_paused_is_for_current_thread) {
    rt::config config = rt::test::settings();
    config.start_paused = true;
    cr_assert_throw(rt::runtime{config}, std::invalid_argument);
}

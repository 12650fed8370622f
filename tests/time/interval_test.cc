// SPDX-License-Identifier: MIT
//
// rt::interval, on a paused clock, so that every tick has an exact time.
#include "base/captured.h"
#include "support/runtimes.h"
#include "support/test.h"

#include <rt/interval.h>
#include <rt/paused_clock.h>
#include <rt/runtime.h>
#include <rt/select.h>
#include <rt/spawn.h>
#include <rt/time.h>

#include <chrono>
#include <csignal>
#include <cstdint>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
using rt::task;
using times = std::vector<long>;

rt::config paused() {
    rt::config made = rt::test::single();
    made.start_paused = true;
    return made;
}

long ms_since(rt::clock::time_point start) {
    return static_cast<long>((rt::clock::now() - start) / 1ms);
}

// When four ticks happen, and a fifth after a stall of 650 ms, and three more.
task<times> after_a_stall(rt::missed_ticks what) {
    times seen;
    const auto start = rt::clock::now();
    rt::interval ticks(300ms);
    ticks.set_on_missed(what);
    for (int i = 0; i < 2; ++i) {
        co_await ticks.tick();
        seen.push_back(ms_since(start));
    }
    co_await rt::sleep(650ms);
    for (int i = 0; i < 4; ++i) {
        co_await ticks.tick();
        seen.push_back(ms_since(start));
    }
    co_return seen;
}

task<times> yields_the_time_it_was_due() {
    times seen;
    const auto start = rt::clock::now();
    rt::interval ticks(10ms);
    co_await ticks.tick();
    co_await rt::advance_clock(14ms);
    for (int i = 0; i < 2; ++i) {
        seen.push_back(static_cast<long>((co_await ticks.tick() - start) / 1ms));
        seen.push_back(ms_since(start));
    }
    co_return seen;
}

task<times> resets() {
    times seen;
    const auto start = rt::clock::now();
    rt::interval ticks(start + 50ms, 100ms);
    co_await ticks.tick();
    seen.push_back(ms_since(start)); // 50
    co_await rt::advance_clock(30ms);
    ticks.reset();
    co_await ticks.tick();
    seen.push_back(ms_since(start)); // 180
    ticks.reset_immediately();
    co_await ticks.tick();
    seen.push_back(ms_since(start)); // 180
    ticks.reset_after(20ms);
    co_await ticks.tick();
    seen.push_back(ms_since(start)); // 200
    ticks.reset_at(start + 1000ms);
    co_await ticks.tick();
    seen.push_back(ms_since(start)); // 1000
    co_await ticks.tick();
    seen.push_back(ms_since(start)); // 1100
    rt::tick_awaiter made_before = ticks.tick();
    ticks.reset_after(5ms);
    co_await made_before;
    seen.push_back(ms_since(start)); // 1105
    co_return seen;
}

// For which times, in ns, the tick that is `late` and the one after it were due. The period is
// shorter than what is still in time, so that each policy has something to do.
task<times> due_around(rt::missed_ticks what, std::chrono::nanoseconds late) {
    times due;
    const auto start = rt::clock::now();
    rt::interval ticks(2ms);
    ticks.set_on_missed(what);
    co_await ticks.tick();
    co_await rt::advance_clock(2ms + late);
    for (int i = 0; i < 2; ++i) {
        due.push_back(static_cast<long>((co_await ticks.tick() - start) / 1ns));
    }
    co_return due;
}

// A tick that loses a select is not used up.
task<times> in_a_select() {
    times seen;
    const auto start = rt::clock::now();
    rt::interval ticks(start + 10ms, 10ms);
    for (int i = 0; i < 3; ++i) {
        static_cast<void>(co_await rt::select(ticks.tick(), rt::sleep(4ms)));
        seen.push_back(ms_since(start));
    }
    co_return seen;
}

using point = rt::clock::time_point;
using duration = rt::clock::duration;

// How many ticks there are within an hour.
task<int> ticks_in_an_hour(rt::interval ticks) {
    const auto end = rt::clock::now() + 1h;
    int count = 0;
    while (count < 10 && (co_await rt::timeout_at(end, ticks.tick())).has_value()) {
        ++count;
    }
    co_return count;
}

task<int> after_a_reset(duration by) {
    rt::interval ticks(1s);
    ticks.reset_after(by);
    co_return co_await ticks_in_an_hour(std::move(ticks));
}

// The first tick was due before there was a clock; for when is the second?
task<bool> keeps_the_phase_of_the_first(rt::missed_ticks what) {
    constexpr std::int64_t period_ns = 1'000'000'007;
    rt::interval ticks(point::min(), duration(period_ns));
    ticks.set_on_missed(what);
    const point first = co_await ticks.tick();
    const point now = rt::clock::now();
    const point second = co_await ticks.tick();
    if (first != point::min()) {
        co_return false;
    }
    switch (what) {
    case rt::missed_ticks::burst:
        co_return second == point::min() + duration(period_ns);
    case rt::missed_ticks::delay:
        co_return second == now + duration(period_ns);
    case rt::missed_ticks::skip:
        break;
    }
    const auto between = static_cast<std::uint64_t>(second.time_since_epoch().count()) -
        static_cast<std::uint64_t>(point::min().time_since_epoch().count());
    co_return second > now&& second <= now + duration(period_ns) && between % period_ns == 0;
}

// A long way behind, and so due each time that it is asked.
task<void> catches_up_beside_another() {
    bool has_run = false;
    rt::interval ticks(1ms);
    co_await ticks.tick();
    co_await rt::advance_clock(100s);
    rt::spawn([flag = &has_run]() -> task<void> {
        *flag = true;
        co_return;
    }).detach();
    std::uint32_t count = 0;
    while (!has_run) {
        co_await ticks.tick();
        ++count;
    }
    cr_assert_leq(count, 2 * rt::detail::poll_budget);
}

} // namespace

Test(interval, one_of_the_longest_period_ticks_once) {
    for (const auto period : {duration::max(), duration(std::chrono::years(200))}) {
        for (const auto what :
             {rt::missed_ticks::burst, rt::missed_ticks::delay, rt::missed_ticks::skip}) {
            rt::interval at_once(point(), period); // which is late
            at_once.set_on_missed(what);
            cr_assert_eq(rt::block_on(paused(), ticks_in_an_hour(std::move(at_once))), 1);
        }
    }
}

namespace {

// Whether a timer that is set for the last point there is fires before the second tick.
task<bool> second_tick_is_out_of_reach(rt::interval ticks) {
    co_await ticks.tick();
    const auto won = co_await rt::select(ticks.tick(), rt::sleep_until(point::max()));
    co_return won.index() == 1;
}

} // namespace

// Nothing else is due on this clock, so it goes on to whatever timer there is.
Test(interval, one_of_the_longest_period_does_not_tick_early) {
    for (const auto period : {duration::max(), duration(std::chrono::years(292))}) {
        for (const auto what :
             {rt::missed_ticks::burst, rt::missed_ticks::delay, rt::missed_ticks::skip}) {
            rt::interval at_once(point(), period);
            at_once.set_on_missed(what);
            cr_assert(rt::block_on(paused(), second_tick_is_out_of_reach(std::move(at_once))));
        }
    }
}

Test(interval, a_reset_by_the_longest_duration_is_the_last) {
    cr_assert_eq(rt::block_on(paused(), after_a_reset(duration::max())), 0);
    cr_assert_eq(rt::block_on(paused(), after_a_reset(59min + 59s + 500ms)), 1);
    cr_assert_eq(rt::block_on(paused(), after_a_reset(duration::min())), 10, "it is late for ever");
}

Test(interval, the_first_tick_may_be_due_at_the_first_point_in_time) {
    for (const auto what :
         {rt::missed_ticks::burst, rt::missed_ticks::delay, rt::missed_ticks::skip}) {
        cr_assert(rt::block_on(paused(), keeps_the_phase_of_the_first(what)));
    }
}

Test(interval, b217_burst_catches_up) {
    const times expected{0, 300, 950, 950, 1200, 1500};
    cr_assert(rt::block_on(paused(), after_a_stall(rt::missed_ticks::burst)) == expected);
}

Test(interval, b217_delay_begins_again_with_the_late_tick) {
    const times expected{0, 300, 950, 1250, 1550, 1850};
    cr_assert(rt::block_on(paused(), after_a_stall(rt::missed_ticks::delay)) == expected);
}

Test(interval, b217_skip_keeps_to_multiples_of_the_period) {
    const times expected{0, 300, 950, 1200, 1500, 1800};
    cr_assert(rt::block_on(paused(), after_a_stall(rt::missed_ticks::skip)) == expected);
}

Test(interval, b217_a_tick_that_is_a_little_late_keeps_the_phase) {
    const times expected{10, 14, 20, 20};
    cr_assert(rt::block_on(paused(), yields_the_time_it_was_due()) == expected);
}

Test(interval, b217_a_tick_is_missed_when_it_is_more_than_5_ms_late) {
    using rt::missed_ticks;
    const auto due_after = [](missed_ticks what, std::chrono::nanoseconds late) {
        return rt::block_on(paused(), due_around(what, late));
    };
    const times in_time{2'000'000, 4'000'000};
    for (const auto what : {missed_ticks::burst, missed_ticks::delay, missed_ticks::skip}) {
        cr_assert(due_after(what, 5ms) == in_time);
    }
    const times delayed{2'000'000, 9'000'001};
    const times skipped{2'000'000, 8'000'000};
    cr_assert(due_after(missed_ticks::burst, 5ms + 1ns) == in_time);
    cr_assert(due_after(missed_ticks::delay, 5ms + 1ns) == delayed);
    cr_assert(due_after(missed_ticks::skip, 5ms + 1ns) == skipped);
}

Test(interval, b217_a_period_that_is_not_positive_aborts_with_advice) {
    for (const auto period : {0ms, -1ms}) {
        const rt::test::captured from_now = rt::test::capture([=] { rt::interval ticks(period); });
        cr_assert(from_now.was_aborted());
        cr_assert(from_now.says("a period that is not positive"), "%s", from_now.text.c_str());
        const rt::test::captured from_then =
            rt::test::capture([=] { rt::interval ticks(rt::clock::now(), period); });
        cr_assert(from_then.was_aborted());
        cr_assert(from_then.says("a period that is not positive"), "%s", from_then.text.c_str());
    }
}

Test(interval, b218_resets_restart_the_phase_as_named) {
    const times expected{50, 180, 180, 200, 1000, 1100, 1105};
    cr_assert(rt::block_on(paused(), resets()) == expected);
}

Test(interval, one_that_catches_up_does_not_keep_others_from_running) {
    rt::block_on(paused(), catches_up_beside_another());
}

Test(interval, a_tick_that_loses_a_select_is_not_used_up) {
    const times expected{4, 8, 10};
    cr_assert(rt::block_on(paused(), in_a_select()) == expected);
}

Test(interval, ticks_in_real_time) {
    rt::test::on_every_runtime([](const rt::config& config) {
        rt::block_on(config, []() -> task<void> {
            const auto start = rt::clock::now();
            rt::interval ticks(2ms);
            for (int i = 0; i < 5; ++i) {
                co_await ticks.tick();
            }
            cr_assert(rt::clock::now() - start >= 8ms);
        }());
    });
}

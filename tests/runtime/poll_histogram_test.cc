// SPDX-License-Identifier: MIT
//
// The times of turns (config::poll_histogram): a sample for each turn, of its own time only, and
// nothing unless it was asked for.
#include "base/clock.h"
#include "metrics/histogram.h"
#include "runtime/core.h"
#include "support/test.h"
#include "task/gate.h"

#include <rt/block_in_place.h>
#include <rt/detail/atomic.h>
#include <rt/runtime.h>
#include <rt/select.h>
#include <rt/spawn.h>
#include <rt/version.h>
#include <rt/yield.h>

#include <cstdint>
#include <memory>
#include <utility>

namespace {

using rt::task;
using rt::test::exactly;

// A runtime whose figures can be read.
class measured {
public:
    measured(std::uint32_t workers, bool is_on)
        : core_(std::make_shared<rt::engine::core>(settings(workers, is_on))) {
        cr_assert(core_->start().text.empty());
    }
    ~measured() { core_->shut_down(); }

    void block_on(task<void> body) {
        rt::detail::block_on(*core_, std::move(body), rt::detail::site::current());
    }
    // Once its workers have ended.
    rt::metrics::histogram_data end() {
        core_->shut_down();
        return core_->workers().read_poll_times();
    }
    std::uint64_t turns() {
        std::uint64_t sum = 0;
        for (std::uint32_t i = 0; i < core_->workers().view_count(); ++i) {
            sum += core_->workers().view(i).counters->polls.load_relaxed();
        }
        return sum;
    }

private:
    static rt::config settings(std::uint32_t workers, bool is_on) {
        rt::config made = exactly(workers);
        made.poll_histogram = is_on;
        return made;
    }

    std::shared_ptr<rt::engine::core> core_;
};

task<void> yields(int times) {
    for (int i = 0; i < times; ++i) {
        co_await rt::yield();
    }
}

// Turns inside of turns, branches, and a function in place.
task<void> does_all_of_it(bool may_block) {
    for (int i = 0; i < 100; ++i) {
        co_await rt::spawn(yields, i % 3);
        co_await rt::join(yields(1), yields(2));
    }
    if (may_block) {
        rt::atomic<int> ran{0};
        rt::spawn(rt::test::adds_one, &ran).detach();
        rt::block_in_place([&ran] { rt::test::hold_until(ran, 1); }); // on a stand-in, if need be
        co_await rt::yield();
    }
}

constexpr std::uint64_t long_ns = 20'000'000;

task<void> takes_long() {
    const std::uint64_t begin_ns = rt::base::monotonic_ns();
    while (rt::base::monotonic_ns() - begin_ns < long_ns) {
    }
    co_return;
}

task<void> takes_long_and_joins() {
    co_await takes_long();
    co_await rt::spawn(yields, 0);
}

task<void> joins_what_takes_long() {
    co_await rt::spawn(takes_long);
}

} // namespace

Test(poll_histogram, b191_every_turn_is_one_sample) {
    if (!rt::features::metrics) {
        cr_skip_test("built without metrics");
    }
    for (const std::uint32_t workers : {0U, 1U, 2U}) {
        measured runtime(workers, true);
        runtime.block_on(does_all_of_it(workers != 0));
        const rt::metrics::histogram_data times = runtime.end();
        cr_assert_gt(times.total(), 300U);
        cr_assert_eq(times.total(), runtime.turns());
    }
}

Test(poll_histogram, b191_nothing_is_measured_unless_asked_for) {
    for (const std::uint32_t workers : {0U, 2U}) {
        measured runtime(workers, false);
        runtime.block_on(does_all_of_it(workers != 0));
        cr_assert_eq(runtime.end().total(), 0U);
        cr_assert_gt(runtime.turns(), 300U);
    }
}

// The child runs inside of its parent's turn, and its time is not the parent's: turns of one worker
// do not take longer together than has passed.
Test(poll_histogram, a_turn_inside_of_a_turn_is_measured_for_itself) {
    if (!rt::features::metrics) {
        cr_skip_test("built without metrics");
    }
    measured runtime(1, true);
    const std::uint64_t begin_ns = rt::base::monotonic_ns();
    runtime.block_on(joins_what_takes_long());
    const std::uint64_t passed_ns = rt::base::monotonic_ns() - begin_ns;
    const rt::metrics::histogram_data times = runtime.end();
    cr_assert_eq(times.total(), 2U);
    cr_assert_geq(times.sum(), long_ns);
    cr_assert_leq(times.sum(), passed_ns);
}

// Nor does the turn inside make the time before it forgotten.
Test(poll_histogram, a_turn_keeps_what_it_took_before_one_inside_of_it) {
    if (!rt::features::metrics) {
        cr_skip_test("built without metrics");
    }
    measured runtime(1, true);
    runtime.block_on(takes_long_and_joins());
    const rt::metrics::histogram_data times = runtime.end();
    cr_assert_eq(times.total(), 2U);
    cr_assert_geq(times.sum(), long_ns);
}

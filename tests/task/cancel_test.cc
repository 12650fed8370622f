// SPDX-License-Identifier: MIT
//
// Unwinding: the order in which a cancelled task's frames die, what destructors find when they run,
// and which boundary wins when several timeouts and an abort meet.
//
// A test that wants a timeout to win gives it a millisecond and an operation that never ends; one
// that wants it to lose gives it an hour. No test measures how long anything took.
#include "support/test.h"
#include "task/gate.h"

#include <rt/blocking.h>
#include <rt/runtime.h>
#include <rt/spawn.h>
#include <rt/task.h>
#include <rt/time.h>
#include <rt/yield.h>

#include <string>
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

template<typename T>
task<bool> is_cancelled(rt::join_handle<T> child) {
    try {
        static_cast<void>(co_await std::move(child));
    } catch (const rt::join_error&) {
        co_return true;
    }
    co_return false;
}

template<typename T>
bool timed_out(const rt::result<T>& got) {
    return !got && got.error() == rt::errc::timed_out;
}

// Writes its name when it dies.
class named {
public:
    named(std::vector<std::string>* log, std::string name)
        : log_(log)
        , name_(std::move(name)) {}
    named(named&& other) noexcept
        : log_(std::exchange(other.log_, nullptr))
        , name_(std::move(other.name_)) {}
    ~named() {
        if (log_ != nullptr) {
            log_->push_back(name_);
        }
    }

private:
    std::vector<std::string>* log_;
    std::string name_;
};

using names = std::vector<std::string>;

task<void> leaf(names* log, gate* at, named /*argument*/) {
    const named first(log, "leaf first");
    const named second(log, "leaf second");
    co_await at->wait();
    log->push_back("not reached");
}

task<void> middle(names* log, gate* at, named /*argument*/) {
    const named local(log, "middle local");
    co_await leaf(log, at, named(log, "leaf argument"));
    log->push_back("not reached");
}

task<void> root(names* log, gate* at, named /*argument*/) {
    const named local(log, "root local");
    co_await middle(log, at, named(log, "middle argument"));
    log->push_back("not reached");
}

const names leaf_to_root{
    "leaf second",
    "leaf first",
    "leaf argument",
    "middle local",
    "middle argument",
    "root local",
    "root argument",
};

task<void> aborts_three_frames(names* log) {
    gate never;
    auto child = rt::spawn(root, log, &never, named(log, "root argument"));
    while (never.waiting() == 0) {
        co_await rt::yield();
    }
    child.abort();
    cr_assert(co_await is_cancelled(std::move(child)));
}

task<void> times_three_frames_out(names* log) {
    gate never;
    cr_assert(timed_out(co_await rt::timeout(1ms, root(log, &never, named(log, "root argument")))));
}

} // namespace

Test(cancel, frames_die_from_the_leaf_upwards_when_a_task_is_aborted) {
    everywhere([](rt::runtime& runtime) {
        names log;
        runtime.block_on(aborts_three_frames(&log));
        cr_assert(log == leaf_to_root);
    });
}

Test(cancel, frames_die_from_the_leaf_upwards_when_a_timeout_ends_them) {
    everywhere([](rt::runtime& runtime) {
        names log;
        runtime.block_on(times_three_frames_out(&log));
        // The argument of the outermost is a temporary of the awaiting expression.
        cr_assert(log == leaf_to_root);
    });
}

// ---- long chains --------------------------------------------------------------------------------

namespace {

task<int> deep(int depth, gate* at, member /*owned*/, census* counted) {
    if (depth == 0) {
        co_await at->wait();
        co_return 0;
    }
    co_return co_await deep(depth - 1, at, member(*counted), counted);
}

task<void> aborts_deep(int depth, census* counted) {
    gate never;
    auto child = rt::spawn(deep, depth, &never, member(*counted), counted);
    while (never.waiting() == 0) {
        co_await rt::yield();
    }
    child.abort();
    cr_assert(co_await is_cancelled(std::move(child)));
}

} // namespace

Test(cancel, a_chain_of_ten_thousand_frames_can_be_unwound) {
    on_each_flavor([](rt::runtime& runtime) {
        census counted;
        runtime.block_on(aborts_deep(10'000, &counted));
        cr_assert_eq(counted.live.load_relaxed(), 0);
        cr_assert(counted.made.load_relaxed() >= 10'000);
    });
}

Test(cancel, a_chain_of_a_hundred_thousand_frames_can_be_unwound) {
#if defined(RT_SANITIZED)
    constexpr int depth = 10'000; // the thread sanitizer keeps 64 Ki calls
#else
    constexpr int depth = 100'000;
#endif
    on_each_flavor([](rt::runtime& runtime) {
        census counted;
        runtime.block_on(aborts_deep(depth, &counted));
        cr_assert_eq(counted.live.load_relaxed(), 0);
    });
}

// ---- what destructors find ----------------------------------------------------------------------

namespace {

struct findings {
    std::uint64_t id = 0;
    bool has_runtime = false;
    bool has_worker = false;
    rt::atomic<int> spawned_ran{0};
    rt::atomic<int> count{0};
};

task<void> is_spawned_by_a_destructor(findings* found) {
    found->spawned_ran.add_relaxed(1);
    co_return;
}

class curious {
public:
    explicit curious(findings* found) noexcept
        : found_(found) {}
    curious(curious&& other) noexcept
        : found_(std::exchange(other.found_, nullptr)) {}
    ~curious() {
        if (found_ == nullptr) {
            return;
        }
        const rt::detail::context& here = rt::detail::this_thread;
        found_->id = here.task != nullptr ? here.task->id.load_relaxed() : 0;
        found_->has_worker = here.worker != nullptr;
        found_->has_runtime = static_cast<bool>(rt::handle::try_current());
        rt::spawn(is_spawned_by_a_destructor, found_).detach();
        found_->count.add_relaxed(1);
    }

private:
    findings* found_;
};

task<void> owns_curious(gate* at, curious /*owned*/) {
    co_await at->wait();
}

task<void> destroys_curious(findings* found, bool starts, bool ends) {
    gate at;
    auto child = rt::spawn(owns_curious, &at, curious(found));
    const std::uint64_t id = child.id();
    if (starts) {
        while (at.waiting() == 0) {
            co_await rt::yield();
        }
    }
    if (ends) {
        at.open();
        co_await std::move(child);
    } else {
        child.abort();
        cr_assert(co_await is_cancelled(std::move(child)));
    }
    cr_assert_eq(found->count.load_acquire(), 1);
    cr_assert_eq(found->id, id);
    cr_assert(found->has_runtime && found->has_worker);
    while (found->spawned_ran.load_acquire() == 0) {
        co_await rt::yield();
    }
}

} // namespace

Test(cancel, b119_destructors_run_on_a_worker_in_the_context_of_their_task) {
    everywhere([](rt::runtime& runtime) {
        for (const bool starts : {false, true}) {
            for (const bool ends : {false, true}) {
                findings found;
                runtime.block_on(destroys_curious(&found, starts, ends));
            }
        }
    });
}

// ---- boundaries ---------------------------------------------------------------------------------

namespace {

task<int> waits(gate* at, member /*owned*/) {
    co_await at->wait();
    co_return 1;
}

task<int> under_inner(gate* at, census* counted, std::chrono::milliseconds limit, int* seen) {
    const member local(*counted);
    const rt::result<int> got = co_await rt::timeout(limit, waits(at, member(*counted)));
    *seen = timed_out(got) ? 1 : 2;
    if (timed_out(got)) {
        co_return 10;
    }
    co_return *got;
}

task<void> inner_timeout_fires(census* counted) {
    gate never;
    int seen = 0;
    const rt::result<int> got = co_await rt::timeout(1h, under_inner(&never, counted, 1ms, &seen));
    cr_assert(got.has_value() && *got == 10);
    cr_assert_eq(seen, 1);
    cr_assert_eq(counted->live.load_relaxed(), 0);
}

task<void> outer_timeout_fires(census* counted) {
    gate never;
    int seen = 0;
    const rt::result<int> got = co_await rt::timeout(1ms, under_inner(&never, counted, 1h, &seen));
    cr_assert(timed_out(got));
    cr_assert_eq(seen, 0, "the inner one is unwound with the rest");
    cr_assert_eq(counted->live.load_relaxed(), 0);
}

// Both are due before the task gets a turn: the outermost wins, and the inner one is not heard of.
task<int> sleeps_through_two_deadlines(int* seen, rt::clock::time_point deadline) {
    gate never;
    census unused;
    const rt::result<int> got = co_await rt::timeout_at(deadline, waits(&never, member(unused)));
    *seen = timed_out(got) ? 1 : 2;
    co_return 5;
}

task<void> both_timeouts_fire() {
    const rt::clock::time_point deadline = rt::clock::now() + 2ms;
    int seen = 0;
    auto body = sleeps_through_two_deadlines(&seen, deadline);
    const rt::result<int> got = co_await rt::timeout_at(deadline, std::move(body));
    cr_assert(timed_out(got) ? seen == 0 : seen == 1 && *got == 5);
    // Whoever won, the task goes on undisturbed.
    co_await rt::yield();
    co_await rt::sleep(1ms);
}

task<void> many_timeouts_in_a_row(census* counted) {
    gate never;
    for (int i = 0; i < 200; ++i) {
        const auto limit = i % 2 == 0 ? 0ms : 1ms;
        cr_assert(timed_out(co_await rt::timeout(limit, waits(&never, member(*counted)))));
        cr_assert_eq(counted->live.load_relaxed(), 0);
        co_await rt::yield(); // a bit that was left behind would unwind the task here
    }
}

} // namespace

Test(cancel, an_inner_timeout_ends_only_what_is_inside) {
    everywhere([](rt::runtime& runtime) {
        census counted;
        runtime.block_on(inner_timeout_fires(&counted));
    });
}

Test(cancel, an_outer_timeout_ends_the_inner_one_too) {
    everywhere([](rt::runtime& runtime) {
        census counted;
        runtime.block_on(outer_timeout_fires(&counted));
    });
}

Test(cancel, two_timeouts_of_one_deadline_leave_the_task_whole) {
    everywhere([](rt::runtime& runtime) {
        for (int i = 0; i < 20; ++i) {
            runtime.block_on(both_timeouts_fire());
        }
    });
}

Test(cancel, timeouts_leave_nothing_behind) {
    on_each_flavor([](rt::runtime& runtime) {
        census counted;
        runtime.block_on(many_timeouts_in_a_row(&counted));
    });
}

// ---- timeouts over bodies that end by themselves ------------------------------------------------

namespace {

task<int> value(int v, bool is_late) {
    if (is_late) {
        co_await rt::yield();
    }
    co_return v;
}
task<int> throws(bool is_late) {
    if (is_late) {
        co_await rt::yield();
    }
    throw 3;
}
task<rt::result<int>> fails() {
    co_await rt::yield();
    co_return std::unexpected(rt::error(ECONNRESET, "read"));
}

task<void> ready_bodies() {
    cr_assert_eq(*co_await rt::timeout(1h, value(1, false)), 1);
    cr_assert_eq(*co_await rt::timeout(1h, value(2, true)), 2);
    // B216: a value that is there wins over a deadline that has passed.
    cr_assert_eq(*co_await rt::timeout(0ms, value(3, false)), 3);
    cr_assert_eq(*co_await rt::timeout(-1h, value(4, false)), 4);
    cr_assert_eq(*co_await rt::timeout(std::chrono::hours::max(), value(5, true)), 5);
    const rt::result<int> failed = co_await rt::timeout(1h, fails());
    cr_assert(!failed && failed.error().code() == ECONNRESET, "results are not nested");
    for (const bool is_late : {false, true}) {
        int caught = 0;
        try {
            static_cast<void>(co_await rt::timeout(1h, throws(is_late)));
        } catch (int code) {
            caught = code;
        }
        cr_assert_eq(caught, 3);
    }
    co_await rt::yield();
}

} // namespace

Test(cancel, b216_a_body_that_ends_wins_over_its_timeout) {
    everywhere([](rt::runtime& runtime) { runtime.block_on(ready_bodies()); });
}

// ---- abort against timeout ----------------------------------------------------------------------

namespace {

task<void> swallows_timeouts(gate* at, census* counted, rt::atomic<int>* rounds) {
    const member local(*counted);
    for (;;) {
        rounds->add_relaxed(1);
        static_cast<void>(co_await rt::timeout(1ms, waits(at, member(*counted))));
    }
}

// An abort is for the whole task: no timeout inside it stops the unwinding, whichever comes first.
task<void> aborts_under_timeouts(census* counted) {
    for (int i = 0; i < 20; ++i) {
        gate never;
        rt::atomic<int> rounds{0};
        auto child = rt::spawn(swallows_timeouts, &never, counted, &rounds);
        while (rounds.load_acquire() < 2) {
            co_await rt::yield();
        }
        child.abort();
        cr_assert(co_await is_cancelled(std::move(child)));
        cr_assert_eq(counted->live.load_acquire(), 0);
    }
}

// The deadline passes while the body runs: it takes effect where the body suspends next, and not
// before. What the body finds ready there is lost to nobody, because nothing was taken.
task<int> runs_past_its_deadline(rt::clock::time_point deadline, gate* at, int* reached) {
    while (rt::clock::now() < deadline + 3ms) {
    }
    *reached = 1;
    co_await at->wait();
    *reached = 2;
    co_return 1;
}

task<void> deadline_passes_meanwhile() {
    gate never;
    int reached = 0;
    const auto deadline = rt::clock::now() + 1ms;
    const auto got =
        co_await rt::timeout_at(deadline, runs_past_its_deadline(deadline, &never, &reached));
    cr_assert(timed_out(got));
    cr_assert_eq(reached, 1);
}

} // namespace

Test(cancel, an_abort_wins_over_every_timeout) {
    everywhere([](rt::runtime& runtime) {
        census counted;
        runtime.block_on(aborts_under_timeouts(&counted));
    });
}

Test(cancel, a_deadline_that_passes_while_the_body_runs_takes_effect_at_its_next_suspension) {
    everywhere([](rt::runtime& runtime) { runtime.block_on(deadline_passes_meanwhile()); });
}

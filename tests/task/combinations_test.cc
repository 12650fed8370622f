// SPDX-License-Identifier: MIT
//
// Every way a task can end, times every moment its handle can be dropped, times every moment it can
// be aborted, times who asks for it: Tokio's test_combinations (B108) without what C++ has no use
// for. Whatever happens, what the task owned and what it returned are destroyed exactly once, and
// who joins learns the truth.
#include "support/test.h"
#include "task/gate.h"

#include <rt/runtime.h>
#include <rt/spawn.h>
#include <rt/task.h>
#include <rt/yield.h>

#include <cstdint>
#include <stdexcept>
#include <utility>

namespace {

using rt::task;
using rt::test::census;
using rt::test::gate;
using rt::test::member;
using rt::test::on_each_flavor;

struct refused : std::runtime_error {
    using std::runtime_error::runtime_error;
};

enum class ending : std::uint8_t { value, exception, never };
enum class moment : std::uint8_t { never, unstarted, waiting, finished };

struct combination {
    ending ends;
    moment dropped;
    moment aborted;
    bool through_abort_handle;
};

struct fixture {
    census owned;
    census results;
    gate begun;
    gate go_on;
};

task<member> subject(fixture* common, ending ends, member /*owned*/) {
    const member local(common->owned);
    common->begun.open();
    if (ends == ending::never) {
        gate closed;
        co_await closed.wait();
    }
    co_await common->go_on.wait();
    if (ends == ending::exception) {
        throw refused("as planned");
    }
    co_return member(common->results);
}

enum class verdict : std::uint8_t { value, exception, cancelled, detached };

verdict expected(const combination& of) {
    if (of.dropped != moment::never) {
        return verdict::detached;
    }
    if (of.aborted == moment::unstarted || of.aborted == moment::waiting) {
        return verdict::cancelled;
    }
    return of.ends == ending::exception ? verdict::exception : verdict::value;
}

task<verdict> judge(rt::join_handle<member> child) {
    try {
        const member got = co_await std::move(child);
    } catch (const refused&) {
        co_return verdict::exception;
    } catch (const rt::join_error&) {
        co_return verdict::cancelled;
    }
    co_return verdict::value;
}

task<verdict> combine(combination chosen, fixture* common) {
    auto child = rt::spawn(subject, common, chosen.ends, member(common->owned));
    const rt::abort_handle other = child.abort_handle();
    const auto at = [&](moment now) {
        if (chosen.aborted == now) {
            if (chosen.through_abort_handle) {
                other.abort();
            } else {
                child.abort();
            }
        }
        if (chosen.dropped == now) {
            child.detach();
        }
    };
    at(moment::unstarted);
    if (chosen.aborted != moment::unstarted) {
        co_await common->begun.wait();
        at(moment::waiting);
    }
    if (chosen.aborted != moment::waiting) {
        common->go_on.open();
    }
    while (!other.is_finished()) {
        co_await rt::yield();
    }
    cr_assert_eq(common->owned.live.load_acquire(), 0, "frames end with the task");
    at(moment::finished);
    if (!child) {
        co_return verdict::detached;
    }
    co_return co_await judge(std::move(child));
}

bool is_possible(const combination& of) {
    const bool is_cut = of.aborted == moment::unstarted || of.aborted == moment::waiting;
    if (of.ends == ending::never && !is_cut) {
        return false;
    }
    if (of.dropped == moment::waiting && of.aborted == moment::unstarted) {
        return false; // it never waits
    }
    const bool has_handle = of.dropped == moment::never || of.dropped >= of.aborted;
    return of.through_abort_handle || of.aborted == moment::never || has_handle;
}

void run_matrix(rt::runtime& runtime, ending ends) {
    for (const moment dropped :
         {moment::never, moment::unstarted, moment::waiting, moment::finished}) {
        for (const moment aborted :
             {moment::never, moment::unstarted, moment::waiting, moment::finished}) {
            for (const bool through_abort_handle : {false, true}) {
                const combination chosen{ends, dropped, aborted, through_abort_handle};
                if (!is_possible(chosen)) {
                    continue;
                }
                fixture common;
                const verdict got = runtime.block_on(combine(chosen, &common));
                cr_assert(
                    got == expected(chosen),
                    "dropped %d aborted %d: %d",
                    static_cast<int>(dropped),
                    static_cast<int>(aborted),
                    static_cast<int>(got)
                );
                cr_assert_eq(common.owned.live.load_acquire(), 0);
                cr_assert_eq(common.results.live.load_acquire(), 0);
            }
        }
    }
}

} // namespace

Test(
    combinations,
    b108_everything_is_destroyed_once_whenever_a_task_with_a_value_is_dropped_or_aborted
) {
    on_each_flavor([](rt::runtime& runtime) { run_matrix(runtime, ending::value); });
}

Test(
    combinations, b108_everything_is_destroyed_once_whenever_a_task_that_waits_is_dropped_or_aborted
) {
    on_each_flavor([](rt::runtime& runtime) { run_matrix(runtime, ending::never); });
}

Test(
    combinations,
    b108_everything_is_destroyed_once_whenever_a_task_that_throws_is_dropped_or_aborted
) {
    on_each_flavor([](rt::runtime& runtime) { run_matrix(runtime, ending::exception); });
}

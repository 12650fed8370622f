// SPDX-License-Identifier: MIT
//
// A task that is shut down by whoever has it in a queue: what a scheduler does with a spawn that
// comes too late. The scheduler here only keeps the task, so that the test decides when.
#include "support/test.h"
#include "task/gate.h"
#include "task/task.h"

#include <rt/detail/header.h>
#include <rt/spawn.h>
#include <rt/task.h>

#include <cstdint>
#include <utility>

namespace {

using rt::task;
using rt::detail::task_header;
using rt::test::census;
using rt::test::member;

class keeper : public rt::detail::scheduler_base {
public:
    void schedule(task_header* task) noexcept override { kept = task; }
    void schedule_joiner(task_header* task) noexcept override { kept = task; }
    void schedule_new(task_header* task) noexcept override { kept = task; }

    task_header* kept = nullptr;
};

struct traces {
    census owned;
    int begun = 0;
};

task<int> body(traces* common, member /*owned*/) {
    ++common->begun;
    co_return 1;
}

rt::join_handle<int> spawn_onto(keeper& scheduler, traces* common) {
    auto handle = rt::detail::launch(
        &scheduler, body(common, member(common->owned)), rt::detail::site::current()
    );
    cr_assert(scheduler.kept == handle.header());
    cr_assert_eq(common->owned.live.load_relaxed(), 1);
    return handle;
}

} // namespace

Test(unstarted, b105_what_it_owns_is_destroyed_at_once_while_its_handle_is_held) {
    keeper scheduler;
    traces common;
    rt::join_handle<int> handle = spawn_onto(scheduler, &common);
    const rt::abort_handle watch = handle.abort_handle();
    rt::tasks::cancel_unstarted(scheduler.kept);
    cr_assert_eq(common.owned.live.load_relaxed(), 0);
    cr_assert_eq(common.begun, 0);
    cr_assert(handle.is_finished() && watch.is_finished());
    cr_assert_throw(handle.take(), rt::join_error);
    watch.abort();
}

Test(unstarted, b105_what_it_owns_is_destroyed_at_once_after_its_handle_has_gone) {
    for (const bool is_watched : {false, true}) {
        keeper scheduler;
        traces common;
        rt::join_handle<int> handle = spawn_onto(scheduler, &common);
        rt::abort_handle watch;
        if (is_watched) {
            watch = handle.abort_handle();
        }
        handle.detach();
        cr_assert_eq(common.owned.live.load_relaxed(), 1, "the queue has it still");
        rt::tasks::cancel_unstarted(scheduler.kept);
        cr_assert_eq(common.owned.live.load_relaxed(), 0);
        cr_assert_eq(common.begun, 0);
        cr_assert(!is_watched || watch.is_finished());
        cr_assert_eq(common.owned.destroyed(), common.owned.made.load_relaxed());
    }
}

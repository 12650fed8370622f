// SPDX-License-Identifier: MIT
//
// When a worker counts as stuck.
//
// Goal: only a worker that is known to have been in one and the same turn is called stuck.
// Method: facts made by hand, and a clock that is a number.
#include "introspect/progress.h"
#include "support/test.h"

using rt::introspect::progress_log;
using rt::introspect::runtime_facts;
using rt::introspect::worker_facts;

namespace {

constexpr std::uint64_t ms = 1'000'000;

// One runtime with one worker, in turn `turn` of a task, or in none if it is 0.
std::vector<runtime_facts> state(std::uint64_t turn, int tid = 5) {
    std::vector<runtime_facts> all(1);
    all[0].scheduler = 0x1000;
    worker_facts worker;
    worker.view.tid = tid;
    worker.view.turn = turn;
    if (turn != 0) {
        worker.view.task = reinterpret_cast<const rt::detail::task_header*>(0x2000);
        worker.view.task_id = 9;
    }
    all[0].workers.push_back(worker);
    return all;
}

worker_facts note(progress_log& log, std::vector<runtime_facts> seen, std::uint64_t now_ns) {
    log.note(seen, now_ns);
    return seen[0].workers[0];
}

} // namespace

Test(progress, the_same_turn_for_100_ms_is_stuck) {
    progress_log log;
    cr_assert_eq(note(log, state(3), 1000 * ms).same_turn_ns, 0U);
    const worker_facts soon = note(log, state(3), 1099 * ms);
    cr_assert(!soon.is_stuck);
    cr_assert_eq(soon.same_turn_ns, 99 * ms);
    cr_assert(note(log, state(3), 1100 * ms).is_stuck);
    // The next request knows of the whole time.
    cr_assert_eq(note(log, state(3), 9000 * ms).same_turn_ns, 8000 * ms);
}

Test(progress, a_new_turn_starts_again) {
    progress_log log;
    (void)note(log, state(3), 1000 * ms);
    const worker_facts moved = note(log, state(4), 5000 * ms);
    cr_assert_eq(moved.same_turn_ns, 0U);
    cr_assert(!moved.is_stuck);
}

Test(progress, a_worker_without_a_task_is_never_stuck) {
    progress_log log;
    (void)note(log, state(0), 1000 * ms);
    cr_assert(!note(log, state(0), 9000 * ms).is_stuck);
    (void)note(log, state(3), 9100 * ms);
    (void)note(log, state(0), 9200 * ms);
    // Turn 3 again can only be another one.
    cr_assert_eq(note(log, state(3), 9900 * ms).same_turn_ns, 0U);
}

Test(progress, another_thread_at_the_same_place_is_another_worker) {
    progress_log log;
    (void)note(log, state(3, 5), 1000 * ms);
    cr_assert(!note(log, state(3, 6), 9000 * ms).is_stuck);
}

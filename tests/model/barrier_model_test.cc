// SPDX-License-Identifier: MIT
//
// rt::barrier under every interleaving: rounds of threads and tasks that wait for one another, and
// a task that is aborted while it waits.
//
// The code under test is src/sync/barrier.cc. Nobody leaves a round before everybody has arrived,
// all of a round leave it, one of them is its leader, and each sees what the others did before they
// arrived. Who is cancelled while it waits has not arrived.
//
// By hand this was also seen to fail when those who wait are let go one arrival too early, when the
// last to arrive begins no new round or does so after waking them, when it does not lead, and when
// who is cancelled is still counted, or is taken out of a round that is over.
#include "model/faults.h"
#include "model/sync_model.h"

#include <cstdint>

namespace {

using rt::model::bounded;
using rt::model::broken;
using rt::model::check;
using rt::model::expect_broken;
using rt::model::expect_good;
using rt::model::fault;
using rt_model::barrier;
using rt_model::detail::state_lost;
using rt_model::scenario::has_ended;
using rt_model::scenario::run_queue;

// `count` threads, at most three, go through `rounds` rounds.
struct rounds {
    static constexpr unsigned threads = 3;
    static constexpr unsigned rounds_max = 3;

    rounds(unsigned parties, unsigned wanted)
        : count(parties)
        , last(wanted)
        , all(parties) {
        rt_model::scenario::set_up_sync();
    }

    void run(unsigned self) {
        if (self >= count) {
            return;
        }
        for (unsigned round = 0; round < last; ++round) {
            done[self].store_relaxed(round + 1);
            ++arrived[round];
            if (all.blocking_wait()) {
                ++leaders[round];
            }
            check(arrived[round] == count, "somebody left before all were there");
            for (unsigned i = 0; i < count; ++i) {
                check(done[i].load_relaxed() > round, "does not see what another did before");
            }
        }
    }

    void at_end(bool is_stuck) {
        check(!is_stuck, "somebody waits though all are there");
        for (unsigned round = 0; round < last; ++round) {
            check(leaders[round] == 1, "a round has one leader");
        }
    }

    const unsigned count;
    const unsigned last;
    barrier all;
    rt_model::atomic<unsigned> done[threads];
    unsigned arrived[rounds_max] = {};
    unsigned leaders[rounds_max] = {};
};

// A task meets a thread.
struct met {
    static constexpr unsigned threads = 2;

    explicit met(bool starved)
        : is_starved(starved)
        , both(2) {
        rt_model::scenario::set_up_sync();
        join = rt_model::detail::launch(&queue, body(this), rt_model::detail::site::current());
    }

    static rt_model::task<void> body(met* self) {
        if (self->is_starved) {
            rt_model::detail::this_thread.budget = 0;
        }
        self->data[0].store_relaxed(1);
        self->leave(co_await self->both.wait(), 1);
    }
    void leave(bool is_leader, unsigned other) {
        leaders += is_leader ? 1 : 0;
        check(data[other].load_relaxed() == 1, "does not see what the other did before");
    }

    void run(unsigned self) {
        if (self == 0) {
            queue.work([this] { return has_ended(join); });
        } else {
            data[1].store_relaxed(1);
            leave(both.blocking_wait(), 0);
        }
    }

    void at_end(bool is_stuck) {
        check(!is_stuck, "somebody waits though both are there");
        check(leaders == 1, "a round has one leader");
        join.detach();
        rt_model::scenario::check_sync_heap();
    }

    const bool is_starved;
    run_queue queue;
    barrier both;
    rt_model::atomic<unsigned> data[2];
    rt_model::join_handle<void> join;
    unsigned leaders = 0;
};

// A task that waits is aborted while a thread arrives. If the two have not met, the thread waits
// for somebody else, who is there at the end. As a branch that is lost the task does not go on even
// if it was let go.
struct cancelled {
    static constexpr unsigned threads = 3;

    explicit cancelled(bool lost)
        : is_lost(lost)
        , both(2) {
        rt_model::scenario::set_up_sync();
        join = rt_model::detail::launch(&queue, body(this), rt_model::detail::site::current());
        abort = join.abort_handle();
    }

    static rt_model::task<void> body(cancelled* self) {
        self->data[0].store_relaxed(1);
        self->leave(co_await self->both.wait(), 1);
        self->has_passed = true;
    }
    void leave(bool is_leader, unsigned other) {
        leaders += is_leader ? 1 : 0;
        check(data[other].load_relaxed() == 1, "does not see what the other did before");
    }
    [[nodiscard]] bool is_over() const { return has_ended(join); }

    void run(unsigned self) {
        if (self == 0) {
            queue.work([this] { return is_over(); });
        } else if (self == 1) {
            const bool is_alone = is_over() && !has_passed;
            data[1].store_relaxed(1);
            leave(both.blocking_wait(), 0);
            has_left = true;
            check(!is_alone, "it met somebody who was gone");
        } else {
            if (is_lost) {
                join.header()->state.or_acq_rel(state_lost);
            }
            abort.abort();
        }
    }

    void at_end(bool is_stuck) {
        check(is_over(), "the task waits for ever");
        if (is_stuck) {
            check(!has_left && !has_passed, "one of two left, and the other waits");
            check(leaders == 0 && both.blocking_wait(), "the thread is not there to be met");
        } else {
            check(has_left && leaders == 1, "a round has one leader");
            meet_again();
        }
        abort = {};
        join.detach();
        rt_model::scenario::check_sync_heap();
    }

    // Another round, after everything: it begins with nobody.
    void meet_again() {
        auto next = rt_model::detail::launch(&queue, body(this), rt_model::detail::site::current());
        queue.run_ready();
        check(both.blocking_wait(), "the first of two leads");
        queue.run_ready();
        check(next.is_finished(), "somebody waits though both are there");
    }

    const bool is_lost;
    run_queue queue;
    barrier both;
    rt_model::atomic<unsigned> data[2];
    rt_model::join_handle<void> join;
    rt_model::abort_handle abort;
    unsigned leaders = 0;
    bool has_passed = false;
    bool has_left = false;
};

} // namespace

Test(barrier_model, all_leave_together_and_one_leads) {
    rt::model::skip_with_sanitizers();
    expect_good<rounds>("2 threads, 1 round", bounded(20), 2U, 1U);
    expect_good<rounds>("2 threads, 3 rounds", bounded(6), 2U, 3U);
    expect_good<rounds>("3 threads, 2 rounds", bounded(3), 3U, 2U);
    expect_good<rounds>("2 threads, 2 rounds, weak", bounded(4, true), 2U, 2U);
    expect_good<rounds>("3 threads, weak", bounded(3, true), 3U, 1U);
    // Not torn_rmw: there is no read-modify-write but the lock's, in which the explorer has no
    // step.
    for (const fault what : {fault::no_wake, fault::no_release, fault::no_acquire}) {
        expect_broken<rounds>("3 threads", broken(what, 4), 3U, 1U);
    }
}

Test(barrier_model, a_task_and_a_thread_meet) {
    rt::model::skip_with_sanitizers();
    expect_good<met>("meet", bounded(20), false);
    expect_good<met>("meet, starved", bounded(20), true);
    expect_good<met>("meet, weak", bounded(4, true), false);
    for (const fault what : {fault::torn_rmw, fault::no_wake, fault::no_release}) {
        expect_broken<met>("meet", broken(what, 4), false);
    }
}

Test(barrier_model, who_is_cancelled_has_not_arrived) {
    rt::model::skip_with_sanitizers();
    expect_good<cancelled>("abort", bounded(5), false);
    expect_good<cancelled>("lost", bounded(5), true);
    expect_good<cancelled>("abort, weak", bounded(3, true), false);
    for (const fault what : {fault::torn_rmw, fault::no_wake, fault::no_release}) {
        expect_broken<cancelled>("abort", broken(what, 4), false);
    }
}

// SPDX-License-Identifier: MIT
//
// The task state word under every interleaving: rules 1 to 5 of rt/detail/header.h.
//
// A real task suspends at real leaves while wakers, cancellers and one or two workers act on it.
// For each suspension exactly one of two things must happen: it is resumed, or its frames are
// unwound; and a waker that has taken the node has delivered something, so then it must have been
// resumed. A wake-up that is lost leaves everybody waiting, which the explorer reports as stuck; a
// task that is run by two workers or scheduled twice trips a check of the run queue or an assert of
// the code. Every scenario must fail on a machine with torn read-modify-writes, which turns each
// rule's one operation into two. By hand, this was also seen to fail with commit_suspend publishing
// waiting by a plain store, with settle_claim ignoring woken, and with request_cancel not clearing
// waiting.
#include "model/faults.h"
#include "model/task_model.h"

namespace {

using rt::model::check;
using rt::model::expect_broken;
using rt::model::expect_good;
using rt::model::fault;
using rt::model::options;
using rt_model::scenario::has_ended;
using rt_model::scenario::leaf_place;
using rt_model::scenario::run_queue;
using rt_model::scenario::witness;

// Bounds of time for `make check`; `make model` has none.
options strong() {
    return {.preemptions_max = rt::model::wanted_depth() > 0 ? ~0U : 6U};
}
constexpr options torn{.broken = fault::torn_rmw, .preemptions_max = 3};

struct cast {
    unsigned leaves;     // suspensions of the task
    unsigned workers;    // fibers that run it
    unsigned wakers;     // 0 or 1
    unsigned cancellers; // fibers that abort it
};

struct storm {
    static constexpr unsigned threads = 4;

    explicit storm(const cast& wanted)
        : who(wanted) {
        rt_model::scenario::set_up();
        rt_model::join_handle<int> handle = rt_model::detail::launch(
            &queue, body(this, witness(&destroyed)), rt_model::detail::site::current()
        );
        for (unsigned i = 0; i < who.cancellers; ++i) {
            abort[i] = handle.abort_handle();
        }
        join = std::move(handle);
    }

    static rt_model::task<int> body(storm* self, witness /*owned*/) {
        ++self->begun;
        const witness local(&self->destroyed);
        for (unsigned i = 0; i < self->who.leaves; ++i) {
            co_await self->leaves[i].wait();
        }
        ++self->returned;
        co_return 7;
    }

    [[nodiscard]] bool is_over() const { return has_ended(join); }

    void run(unsigned self) {
        if (self < who.workers) {
            queue.work([this] { return is_over(); });
        } else if (self < who.workers + who.wakers) {
            for (unsigned i = 0; i < who.leaves; ++i) {
                leaves[i].wake_when_it_waits([this] { return is_over(); });
            }
        } else if (self < who.workers + who.wakers + who.cancellers) {
            abort[self - who.workers - who.wakers].abort();
        }
    }

    void at_end(bool is_stuck) {
        check(!is_stuck, "a wake-up or a cancellation was lost");
        check(destroyed == 1 + begun, "what the task owned was not destroyed exactly once");
        const bool is_value = join.header()->ended == rt_model::detail::outcome::value;
        check(is_value == (returned == 1), "the outcome is not what happened");
        check(is_value || who.cancellers != 0, "cancelled by nobody");
        check(begun <= 1, "begun twice");
        for (unsigned i = 0; i < who.leaves; ++i) {
            check(leaves[i].resumed <= 1, "resumed twice");
            check(leaves[i].delivered == leaves[i].resumed, "what was delivered was lost");
        }
        for (auto& each : abort) {
            each = {};
        }
        join.detach();
        rt_model::scenario::check_heap();
    }

    const cast who;
    run_queue queue;
    leaf_place leaves[3];
    rt_model::abort_handle abort[2];
    rt_model::join_handle<int> join;
    unsigned begun = 0;
    unsigned destroyed = 0;
    unsigned returned = 0;
};

} // namespace

Test(state_model, a_wake_resumes_each_suspension_once) {
    rt::model::skip_with_sanitizers();
    expect_good<storm>("wake, 1 worker", strong(), cast{3, 1, 1, 0});
    expect_good<storm>("wake, 2 workers", strong(), cast{2, 2, 1, 0});
    expect_broken<storm>("wake, torn", torn, cast{2, 2, 1, 0});
}

Test(state_model, holds_in_weak_memory) {
    rt::model::skip_with_sanitizers();
    options weak = strong();
    weak.is_weak = true;
    expect_good<storm>("wake, weak", weak, cast{2, 1, 1, 0});
    expect_good<storm>("wake, 2 workers, weak", weak, cast{1, 2, 1, 0});
    expect_good<storm>("wake and abort, weak", weak, cast{1, 1, 1, 1});
    weak.broken = fault::no_release;
    expect_broken<storm>("wake, no release", weak, cast{2, 2, 1, 0});
}

Test(state_model, an_abort_unwinds_or_comes_too_late) {
    rt::model::skip_with_sanitizers();
    expect_good<storm>("abort, no waker", strong(), cast{1, 1, 0, 1});
    expect_good<storm>("abort, 2 workers", strong(), cast{1, 2, 0, 1});
    expect_good<storm>("abort against end", strong(), cast{0, 1, 0, 2});
    expect_broken<storm>("abort, torn", torn, cast{1, 1, 0, 1});
}

Test(state_model, a_wake_against_an_abort_loses_nothing) {
    rt::model::skip_with_sanitizers();
    expect_good<storm>("wake and abort, 1 leaf", strong(), cast{1, 1, 1, 1});
    expect_good<storm>("wake and abort, 2 leaves", strong(), cast{2, 1, 1, 1});
    expect_good<storm>("wake and abort, 2 workers", strong(), cast{1, 2, 1, 1});
    expect_broken<storm>("wake and abort, torn", torn, cast{1, 1, 1, 1});
}

Test(state_model, two_aborts_are_one) {
    rt::model::skip_with_sanitizers();
    expect_good<storm>("two aborts", strong(), cast{1, 1, 0, 2});
    expect_good<storm>("two aborts and a wake", strong(), cast{1, 1, 1, 2});
}

// ---- boundaries ---------------------------------------------------------------------------------

namespace {

// A timeout without a wheel: what rt::timeout does, with the wheel's lock and without its time.
struct bounded : rt_model::detail::cancel_boundary {
    bounded(rt_model::scenario::leaf_place& at, rt_model::base::spin_lock& guarding, bool* armed)
        : place(at)
        , lock(guarding)
        , is_armed(armed) {}
    ~bounded() { disarm(); }

    void disarm() {
        if (has_armed) {
            has_armed = false;
            {
                const rt_model::base::guard guard(lock);
                *is_armed = false;
            }
            rt_model::detail::pop_boundary(*this);
        }
    }

    rt_model::scenario::leaf_place& place;
    rt_model::base::spin_lock& lock;
    bool* is_armed;
    bool has_armed = false;
};

struct timeout_storm {
    static constexpr unsigned threads = 4;

    explicit timeout_storm(bool with_abort, bool with_waker)
        : aborts(with_abort)
        , wakes(with_waker) {
        rt_model::scenario::set_up();
        join = rt_model::detail::launch(
            &queue, outer(this, witness(&destroyed)), rt_model::detail::site::current()
        );
        abort = join.abort_handle();
    }

    static rt_model::task<int> inner(timeout_storm* self, witness /*owned*/) {
        co_await self->leaf.wait();
        co_return 1;
    }

    // Awaits `inner` under a boundary, as timeout_awaiter does.
    struct awaiter : bounded {
        awaiter(timeout_storm* owner, rt_model::task<int>&& inside)
            : bounded(owner->leaf, owner->timer_lock, &owner->is_armed)
            , self(owner)
            , body(std::move(inside)) {}

        bool await_ready() const noexcept { return false; }
        template<typename Promise>
        std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> awaiting) noexcept {
            rt_model::detail::set_continuation(body.handle().promise(), awaiting);
            const std::coroutine_handle<> first = body.handle();
            inner = first.address();
            continuation = awaiting.address();
            rt_model::detail::push_boundary(*this);
            has_armed = true;
            const rt_model::base::guard guard(lock);
            self->boundary = this;
            self->task = rt_model::detail::this_thread.task;
            self->is_armed = true;
            return first;
        }
        int await_resume() {
            disarm();
            if (unwound) {
                static_cast<void>(body.release());
                return -1;
            }
            return body.await_resume();
        }

        timeout_storm* self;
        rt_model::task<int> body;
    };

    static rt_model::task<int> outer(timeout_storm* self, witness /*owned*/) {
        ++self->begun;
        const int got = co_await awaiter(self, inner(self, witness(&self->inner_destroyed)));
        self->timed_out = got == -1;
        // A second suspension: a request that was left over would unwind here.
        co_await self->after.wait();
        ++self->returned;
        co_return got;
    }

    [[nodiscard]] bool is_over() const { return has_ended(join); }

    void run(unsigned self) {
        const auto over = [this] {
            return is_over();
        };
        if (self == 0) {
            queue.work(over);
        } else if (self == 1) {
            if (wakes) {
                leaf.wake_when_it_waits([this] { return is_over() || has_fired; });
            }
            after.wake_when_it_waits(over);
        } else if (self == 2) {
            fire();
        } else if (aborts) {
            abort.abort();
        }
    }

    // What timer_wheel::advance does: claims under the lock, schedules outside.
    void fire() {
        rt::model::wait_until([this] { return is_armed || is_over(); });
        bool claimed = false;
        {
            const rt_model::base::guard guard(timer_lock);
            if (is_armed) {
                is_armed = false;
                claimed = rt_model::detail::request_scoped(task, *boundary);
            }
            has_fired = true;
        }
        if (claimed) {
            task->scheduler->schedule(task);
        }
    }

    void at_end(bool is_stuck) {
        check(!is_stuck, "a wake-up, a timeout or an abort was lost");
        check(destroyed == 1 && inner_destroyed == begun, "not destroyed exactly once");
        check(leaf.delivered == leaf.resumed, "what was delivered was lost");
        check(after.delivered == after.resumed, "what was delivered afterwards was lost");
        const bool is_value = join.header()->ended == rt_model::detail::outcome::value;
        check(is_value == (returned == 1), "the outcome is not what happened");
        check(is_value || aborts, "the whole task was cancelled by a timeout");
        check(!(timed_out && leaf.resumed != 0), "timed out although it went on");
        abort = {};
        join.detach();
        rt_model::scenario::check_heap();
    }

    const bool aborts;
    const bool wakes;
    run_queue queue;
    leaf_place leaf;
    leaf_place after;
    rt_model::base::spin_lock timer_lock{rt::base::lock_rank::driver_timers};
    rt_model::detail::cancel_boundary* boundary = nullptr;
    rt_model::detail::task_header* task = nullptr;
    rt_model::abort_handle abort;
    rt_model::join_handle<int> join;
    bool is_armed = false;
    bool has_fired = false;
    bool timed_out = false;
    unsigned begun = 0;
    unsigned destroyed = 0;
    unsigned inner_destroyed = 0;
    unsigned returned = 0;
};

} // namespace

Test(state_model, a_timeout_unwinds_its_body_and_nothing_else) {
    rt::model::skip_with_sanitizers();
    expect_good<timeout_storm>("timeout", strong(), false, false);
    expect_good<timeout_storm>("timeout against a wake", strong(), false, true);
    expect_broken<timeout_storm>("timeout, torn", torn, false, true);
}

Test(state_model, a_timeout_against_an_abort_ends_the_whole_task) {
    rt::model::skip_with_sanitizers();
    expect_good<timeout_storm>("timeout and abort", strong(), true, false);
    options bounded = strong();
    bounded.preemptions_max = rt::model::wanted_depth() > 0 ? ~0U : 3U;
    expect_good<timeout_storm>("timeout, wake and abort", bounded, true, true);
}

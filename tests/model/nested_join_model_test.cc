// SPDX-License-Identifier: MIT
//
// A turn inside of a turn under every interleaving: a lone worker runs a child where it is joined
// (run_nested), the child goes away in rt::block_in_place, and from then on its joiners wait like
// any other task (let_joiners_wait), while a stand-in may run them and anybody may abort them.
//
// join.cc, run.cc and state.cc are the library's own. What the worker does around them is repeated
// here after worker::run_at_join (schedule.cc), go_away and come_back (in_place.cc); who changes
// those must change this. What must not happen: that a joiner runs on two threads, or never again;
// that it is told twice, or of a child that has not ended; that a result or a frame is destroyed
// twice or not at all; and that a child which waits for its own joiner to unwind waits for ever.
#include "model/faults.h"
#include "model/task_model.h"

namespace {

using rt::model::bounded;
using rt::model::check;
using rt::model::expect_broken;
using rt::model::expect_good;
using rt::model::fault;
using rt::model::options;
using rt_model::detail::task_header;
using rt_model::detail::this_thread;
using rt_model::scenario::has_ended;
using rt_model::scenario::run_queue;
using rt_model::scenario::witness;

// What is wrong with the way of going away.
enum class flaw : std::uint8_t { none, joiners_stay };

struct cast {
    unsigned depth;       // joiners inside of one another
    bool goes_away;       // the innermost task, once
    bool is_aborted;      // the outermost one, by a thread from outside
    bool waits_for_outer; // the function waits until the outermost task has been unwound
    flaw wrong = flaw::none;
};

struct nesting {
    static constexpr unsigned threads = 3;
    static constexpr unsigned lone = 0; // the others: its stand-in, and who aborts

    // Where the spawns and wake-ups of all go. A spawn of the lone worker's stays with it until its
    // turn ends or it goes away.
    struct places final : rt_model::detail::scheduler_base {
        void schedule(task_header* task) noexcept override { ready.schedule(task); }
        void schedule_joiner(task_header* task) noexcept override { ready.schedule(task); }
        void schedule_new(task_header* task) noexcept override {
            check(fresh == nullptr, "one at a time");
            fresh = task;
            this_thread.newest = task;
        }
        // worker::run_at_join; there is nothing else in the queues
        bool run_at_join(task_header* task, rt_model::detail::join_wait& wait) noexcept override {
            if (!is_lone || task != fresh) {
                return false;
            }
            this_thread.newest = nullptr;
            fresh = nullptr;
            return !rt_model::tasks::run_nested(task, wait);
        }

        run_queue ready;
        task_header* fresh = nullptr; // the lone worker's
        bool is_lone = true;          // and so is this
    };

    explicit nesting(const cast& wanted)
        : who(wanted) {
        rt_model::scenario::set_up();
        outer = rt_model::detail::launch(
            &place, body(this, who.depth, witness(&arguments)), rt_model::detail::site::current()
        );
        this_thread.newest = nullptr;
        abort = outer.abort_handle();
    }

    static rt_model::task<witness> body(nesting* self, unsigned depth, witness /*owned*/) {
        if (depth == 0) {
            if (self->who.goes_away) {
                self->go_away_and_back();
            }
        } else {
            ++self->spawned;
            rt_model::join_handle<witness> child = rt_model::detail::launch(
                &self->place,
                body(self, depth - 1, witness(&self->arguments)),
                rt_model::detail::site::current()
            );
            const unsigned before = self->ended;
            const witness got = co_await std::move(child);
            check(self->ended > before, "told before the child had ended");
        }
        ++self->ended;
        co_return witness(&self->results);
    }

    void go_away_and_back() {
        if (who.wrong != flaw::joiners_stay) {
            rt_model::tasks::let_joiners_wait();
        }
        this_thread.newest = nullptr;
        const rt_model::detail::context before = this_thread;
        this_thread.task = nullptr;
        place.is_lone = false;
        has_stand_in.store_release(1);
        if (who.waits_for_outer) {
            rt::model::wait_until([this] { return has_outer_ended(); });
        }
        this_thread = before;
    }

    [[nodiscard]] bool has_outer_ended() const { return has_ended(outer); }
    [[nodiscard]] bool is_over() const {
        return has_outer_ended() && rt_model::detail::model_heap.headers_live == 1;
    }

    void run(unsigned self) {
        const auto over = [this] {
            return is_over();
        };
        if (self == lone) {
            rt_model::tasks::run(std::exchange(place.fresh, nullptr));
            place.ready.work(over);
        } else if (self == 1) {
            rt::model::wait_until([&] { return has_stand_in.peek() != 0 || is_over(); });
            if (has_stand_in.load_acquire() != 0) {
                place.ready.work(over);
            }
        } else if (who.is_aborted) {
            abort.abort();
        }
    }

    void at_end(bool is_stuck) {
        check(!is_stuck, "somebody waits for ever");
        check(arguments == spawned, "the arguments were not destroyed exactly once each");
        check(place.fresh == nullptr && !place.ready.has_ready(), "a task was not run");
        check(this_thread.joins == nullptr, "the thread is still inside of a join");
        const bool is_value = outer.header()->ended == rt_model::detail::outcome::value;
        check(is_value || who.is_aborted, "cancelled by nobody");
        abort = {};
        outer.detach();
        check(results == ended, "a result was not destroyed exactly once");
        check(!is_value || ended == who.depth + 1, "a child was lost");
        rt_model::scenario::check_heap();
    }

    const cast who;
    places place;
    rt_model::atomic<unsigned> has_stand_in{0};
    rt_model::join_handle<witness> outer;
    rt_model::abort_handle abort;
    unsigned spawned = 1;
    unsigned arguments = 0; // destroyed, and so are the next
    unsigned results = 0;
    unsigned ended = 0;
};

constexpr options torn{.broken = fault::torn_rmw, .preemptions_max = 4};

} // namespace

Test(nested_join_model, a_child_that_stays_is_part_of_its_joiners_turn) {
    rt::model::skip_with_sanitizers();
    expect_good<nesting>("nested", options{}, cast{1, false, false, false});
    expect_good<nesting>("nested, abort", options{}, cast{1, false, true, false});
    expect_good<nesting>("nested twice, abort", options{}, cast{2, false, true, false});
}

Test(nested_join_model, joiners_of_a_child_that_goes_away_wait_for_it) {
    rt::model::skip_with_sanitizers();
    expect_good<nesting>("goes away", options{}, cast{1, true, false, false});
    expect_good<nesting>("goes away, twice nested", options{}, cast{2, true, false, false});
    expect_broken<nesting>("goes away, torn", torn, cast{1, true, false, false});
}

Test(nested_join_model, they_may_be_aborted_meanwhile) {
    rt::model::skip_with_sanitizers();
    expect_good<nesting>("goes away, abort", options{}, cast{1, true, true, false});
    expect_good<nesting>("goes away, twice nested, abort", options{}, cast{2, true, true, false});
    expect_broken<nesting>("goes away, abort, torn", torn, cast{1, true, true, false});
}

Test(nested_join_model, the_child_may_wait_for_that) {
    rt::model::skip_with_sanitizers();
    expect_good<nesting>("waits for its joiner", options{}, cast{1, true, true, true});
    expect_broken<nesting>(
        "waits, joiners stay", bounded(3), cast{1, true, true, true, flaw::joiners_stay}
    );
}

Test(nested_join_model, holds_in_weak_memory) {
    rt::model::skip_with_sanitizers();
    expect_good<nesting>("goes away, weak", bounded(3, true), cast{1, true, false, false});
    expect_good<nesting>("goes away, abort, weak", bounded(3, true), cast{1, true, true, false});
}

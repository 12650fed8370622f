// SPDX-License-Identifier: MIT
//
// rt::once and rt::once_cell under every interleaving: those that come at the same time, those that
// fail, and tasks that are aborted while they run the function or wait for their turn.
//
// The code under test is rt/sync/once.h with src/sync/once.cc. The function is run by one at a time
// and succeeds once; who is told that it has succeeded sees what it did; who fails or is cancelled
// hands its turn to the next one, and nobody waits for a turn that nobody has.
//
// A function that throws is a turn that is dropped here, which is the same to the gate: exceptions
// under way would be one more thing that fibers have in common. By hand this was also seen to fail
// when a turn that is dropped leaves the gate busy, wakes nobody or does not publish what it did,
// when a wait begins without looking once more, when success is published late or without release,
// when a try does not look for it, and when a lost branch does not give its turn back.
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
using rt_model::detail::once_gate;
using rt_model::detail::state_lost;
using rt_model::scenario::has_ended;
using rt_model::scenario::leaf_place;
using rt_model::scenario::run_queue;

// What the function does: it counts its tries, the earlier of which it must see, and its successes.
struct work {
    rt_model::atomic<unsigned> tries;
    unsigned tried = 0;
    unsigned succeeded = 0;
    unsigned inside = 0;

    void begin() {
        check(inside++ == 0 && succeeded == 0, "two have a turn, or one after it was done");
        check(tries.load_relaxed() == tried, "a try does not see the one before");
        tries.store_relaxed(++tried);
    }
    void end(bool is_good) {
        check(--inside == 0, "two have a turn");
        succeeded += is_good ? 1 : 0;
    }
    void check_done() const {
        check(succeeded == 1, "told that it was done");
        check(tries.load_relaxed() == tried, "who is told does not see what was done");
    }
};

// ---- threads ------------------------------------------------------------------------------------

// Threads come; the first `failures` that get a turn fail. The last one, in some scenarios, does
// not wait for its turn.
struct crowd {
    static constexpr unsigned threads = 3;

    crowd(unsigned count, unsigned failing, bool last_only_tries = false)
        : parties(count)
        , failures(failing)
        , is_trying(last_only_tries) {
        rt_model::scenario::set_up_sync();
    }

    void run(unsigned self) {
        if (self >= parties) {
            return;
        }
        const bool waits = !is_trying || self + 1 < parties;
        once_gate::turn mine = waits ? gate.blocking_enter() : gate.try_turn();
        if (!mine) {
            if (waits) {
                what.check_done();
            } else {
                ++without_turn;
            }
            return;
        }
        what.begin();
        const bool is_good = what.tried > failures;
        what.end(is_good);
        if (is_good) {
            mine.complete();
        }
    }

    void at_end(bool is_stuck) {
        check(!is_stuck, "somebody waits for a turn that nobody has");
        const unsigned trying = parties - without_turn;
        const bool is_done = failures < trying;
        check(gate.is_done() == is_done && what.succeeded == (is_done ? 1 : 0), "not done once");
        check(what.tried == (is_done ? failures + 1 : trying), "somebody had no try");
        check(is_done || static_cast<bool>(gate.try_turn()), "a turn was lost");
    }

    const unsigned parties;
    const unsigned failures;
    const bool is_trying;
    once_gate gate;
    work what;
    unsigned without_turn = 0;
};

// One thread makes the value of a cell or waits for it, another sets it if it is the first, and a
// third looks whether it is there.
struct filled {
    static constexpr unsigned threads = 3;

    struct content {
        explicit content(filled* in) noexcept
            : home(in) {
            home->what.begin();
            home->what.end(true);
        }
        ~content() { ++home->destroyed; }
        filled* home;
    };

    filled() {
        rt_model::scenario::set_up_sync();
        cell.emplace();
    }

    void run(unsigned self) {
        if (self == 0) {
            use(&cell->blocking_get_or_init([this] { return this; }));
        } else if (self == 1) {
            is_set = cell->set(this);
            check(!is_set || cell->get() != nullptr, "it was set");
        } else {
            use(cell->get());
        }
    }
    void use(const content* value) const {
        if (value != nullptr) {
            check(value->home == this, "a value that is none");
            what.check_done();
        }
    }

    void at_end(bool is_stuck) {
        check(!is_stuck, "somebody waits for a turn that nobody has");
        check(what.succeeded == 1 && cell->get() != nullptr, "not made once");
        cell.reset();
        check(destroyed == 1, "not destroyed once");
    }

    std::optional<rt_model::once_cell<content>> cell;
    work what;
    unsigned destroyed = 0;
    bool is_set = false;
};

// ---- tasks --------------------------------------------------------------------------------------

enum class manner : std::uint8_t { only_called, aborted, lost };

// A task calls a once, whose function waits for an event, and is aborted; a thread calls it too.
struct runner_cancelled {
    static constexpr unsigned threads = 4;

    explicit runner_cancelled(manner what_happens)
        : how(what_happens) {
        rt_model::scenario::set_up_sync();
        join = rt_model::detail::launch(&queue, body(this), rt_model::detail::site::current());
        abort = join.abort_handle();
    }

    static rt_model::task<void> body(runner_cancelled* self) {
        co_await self->settled.call([self] { return function(self); });
        self->what.check_done();
    }
    static rt_model::task<void> function(runner_cancelled* self) {
        // Ends the try in whatever way the function ends.
        struct attempt {
            explicit attempt(work& of)
                : what(of) {
                what.begin();
            }
            ~attempt() { what.end(is_good); }
            work& what;
            bool is_good = false;
        };
        attempt mine(self->what);
        co_await self->place.wait();
        mine.is_good = true;
    }
    [[nodiscard]] bool is_over() const { return has_ended(join); }

    void run(unsigned self) {
        if (self == 0) {
            queue.work([this] { return is_over(); });
        } else if (self == 1) {
            place.wake_when_it_waits([this] { return is_over(); });
        } else if (self == 2) {
            settled.blocking_call([this] {
                what.begin();
                what.end(true);
            });
            what.check_done();
        } else if (how != manner::only_called) {
            if (how == manner::lost) {
                join.header()->state.or_acq_rel(state_lost);
            }
            abort.abort();
        }
    }

    void at_end(bool is_stuck) {
        check(!is_stuck, "somebody waits for a turn that nobody has");
        check(settled.is_done() && what.succeeded == 1, "not done once");
        abort = {};
        join.detach();
        rt_model::scenario::check_sync_heap();
    }

    const manner how;
    run_queue queue;
    leaf_place place;
    rt_model::once settled;
    work what;
    rt_model::join_handle<void> join;
    rt_model::abort_handle abort;
};

// A task that waits for a turn is aborted while who has it gives up or succeeds; a thread waits as
// well.
struct waiter_cancelled {
    static constexpr unsigned threads = 4;

    waiter_cancelled(manner what_happens, bool succeeds)
        : how(what_happens)
        , is_success(succeeds) {
        rt_model::scenario::set_up_sync();
        held.emplace(gate.try_turn());
        check(static_cast<bool>(*held), "nobody else is there");
        join = rt_model::detail::launch(&queue, body(this), rt_model::detail::site::current());
        abort = join.abort_handle();
    }

    static rt_model::task<void> body(waiter_cancelled* self) {
        once_gate::turn mine = co_await self->gate.enter();
        self->use(mine);
    }
    void use(once_gate::turn& mine) {
        if (!mine) {
            what.check_done();
            return;
        }
        what.begin();
        what.end(true);
        mine.complete();
    }

    void run(unsigned self) {
        if (self == 0) {
            queue.work([this] { return has_ended(join); });
        } else if (self == 1) {
            what.begin();
            what.end(is_success);
            if (is_success) {
                held->complete();
            }
            held.reset();
        } else if (self == 2) {
            once_gate::turn mine = gate.blocking_enter();
            use(mine);
        } else {
            if (how == manner::lost) {
                join.header()->state.or_acq_rel(state_lost);
            }
            abort.abort();
        }
    }

    void at_end(bool is_stuck) {
        check(!is_stuck, "somebody waits for a turn that nobody has");
        check(gate.is_done() && what.succeeded == 1, "not done once");
        abort = {};
        join.detach();
        rt_model::scenario::check_sync_heap();
    }

    const manner how;
    const bool is_success;
    run_queue queue;
    once_gate gate;
    std::optional<once_gate::turn> held;
    work what;
    rt_model::join_handle<void> join;
    rt_model::abort_handle abort;
};

} // namespace

Test(once_model, one_at_a_time_until_one_succeeds) {
    rt::model::skip_with_sanitizers();
    expect_good<crowd>("2, all succeed", bounded(20), 2U, 0U);
    expect_good<crowd>("2, 1 fails", bounded(20), 2U, 1U);
    expect_good<crowd>("3, all succeed", bounded(4), 3U, 0U);
    expect_good<crowd>("3, 1 fails", bounded(4), 3U, 1U);
    expect_good<crowd>("3, all fail", bounded(4), 3U, 3U);
    expect_good<crowd>("3, 1 fails, 1 only tries", bounded(4), 3U, 1U, true);
    expect_good<crowd>("3, 1 fails, weak", bounded(3, true), 3U, 1U);
    expect_good<crowd>("2, 1 fails, 1 only tries, weak", bounded(4, true), 2U, 1U, true);
    for (const fault what : rt::model::common_faults) {
        expect_broken<crowd>("3, 1 fails", broken(what, 4), 3U, 1U);
    }
}

Test(once_model, a_value_is_made_once) {
    rt::model::skip_with_sanitizers();
    expect_good<filled>("get_or_init, set, get", bounded(20));
    expect_good<filled>("get_or_init, set, get, weak", bounded(4, true));
    for (const fault what : rt::model::common_faults) {
        expect_broken<filled>("get_or_init, set, get", broken(what, 4));
    }
}

Test(once_model, a_runner_that_is_cancelled_lets_the_next_one_try) {
    rt::model::skip_with_sanitizers();
    expect_good<runner_cancelled>("called", bounded(4), manner::only_called);
    expect_good<runner_cancelled>("abort", bounded(3), manner::aborted);
    expect_good<runner_cancelled>("lost", bounded(3), manner::lost);
    expect_good<runner_cancelled>("abort, weak", bounded(2, true), manner::aborted);
    for (const fault what : {fault::torn_rmw, fault::no_wake, fault::no_release}) {
        expect_broken<runner_cancelled>("abort", broken(what, 3), manner::aborted);
    }
}

Test(once_model, a_waiter_that_is_cancelled_lets_the_next_one_try) {
    rt::model::skip_with_sanitizers();
    expect_good<waiter_cancelled>("gives up, abort", bounded(3), manner::aborted, false);
    expect_good<waiter_cancelled>("gives up, lost", bounded(3), manner::lost, false);
    expect_good<waiter_cancelled>("succeeds, abort", bounded(3), manner::aborted, true);
    expect_good<waiter_cancelled>("gives up, weak", bounded(2, true), manner::aborted, false);
    for (const fault what : {fault::torn_rmw, fault::no_wake, fault::no_release}) {
        expect_broken<waiter_cancelled>("gives up", broken(what, 3), manner::aborted, false);
    }
}

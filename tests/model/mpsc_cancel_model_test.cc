// SPDX-License-Identifier: MIT
//
// mpsc channels under every interleaving, continued: tasks that are aborted while they wait in one,
// for a value, for room, or for a permit, with and without a thread that stands in line behind
// them. What was sent is received or destroyed, once, and nobody waits for ever.
#include "model/faults.h"
#include "model/mpsc_model.h"

namespace {

using rt::model::bounded;
using rt::model::broken;
using rt::model::check;
using rt::model::expect_broken;
using rt::model::expect_good;
using rt::model::fault;
using rt_model::scenario::channel_base;
using rt_model::scenario::has_ended;
using rt_model::scenario::large;
using rt_model::scenario::run_queue;

enum class errand : std::uint8_t { receives, sends, reserves };

struct cancelled : channel_base<large> {
    static constexpr unsigned threads = 4;

    // `starved`: the task has used up its budget and yields before it tries.
    cancelled(errand what, bool starved, bool with_rival)
        : channel_base(1)
        , how(what)
        , is_starved(starved)
        , has_rival(with_rival) {
        sender[1] = sender[0];
        if (how != errand::receives) {
            send_one(sender[0], 0); // the channel is full
        }
        join = rt_model::detail::launch(
            &queue, body(this, std::move(sender[0])), rt_model::detail::site::current()
        );
        abort = join.abort_handle();
    }

    void send_one(rt_model::mpsc::sender<large>& by, unsigned id) {
        ++made[id];
        sent[id] = by.try_send(large(id)).has_value() ? 1 : 0;
    }

    static rt_model::task<void> body(cancelled* self, rt_model::mpsc::sender<large> mine) {
        if (self->is_starved) {
            rt_model::detail::this_thread.budget = 0;
        }
        switch (self->how) {
        case errand::receives:
            mine = {};
            while (auto got = co_await self->receiver->recv()) {
                self->note(got->id);
            }
            break;
        case errand::sends:
            ++self->made[1];
            self->sent[1] = (co_await mine.send(large(1))).has_value() ? 1 : 0;
            break;
        case errand::reserves:
            if (auto room = co_await mine.reserve()) {
                ++self->made[1];
                self->sent[1] = room->send(large(1)).has_value() ? 1 : 0;
            }
            break;
        }
    }

    [[nodiscard]] bool is_over() const { return has_ended(join); }

    void run(unsigned self) {
        switch (self) {
        case 0:
            queue.work([this] { return is_over(); });
            break;
        case 1:
            abort.abort();
            break;
        case 2:
            act_as_peer();
            break;
        default:
            if (how != errand::receives && has_rival) { // stands in line with the task
                auto mine = std::move(sender[1]);
                ++made[2];
                sent[2] = mine.blocking_send(large(2)).has_value() ? 1 : 0;
                check(sent[2] == 1, "the channel is open");
            }
            break;
        }
    }

    // The other end.
    void act_as_peer() {
        if (how == errand::receives) {
            auto mine = std::move(sender[1]);
            send_one(mine, 0);
            if (has_rival) {
                send_one(mine, 1);
            }
            return;
        }
        if (!has_rival) {
            sender[1] = {};
        }
        while (auto got = receiver->blocking_recv()) {
            note(got->id);
        }
    }

    void at_end(bool is_stuck) {
        check(!is_stuck, "somebody waits for ever");
        abort = {};
        join.detach();
        if (receiver) {
            take_the_rest();
        }
        drop_ends();
        check_values(false);
        rt_model::scenario::check_sync_heap();
    }

    const errand how;
    const bool is_starved;
    const bool has_rival;
    run_queue queue;
    rt_model::join_handle<void> join;
    rt_model::abort_handle abort;
};

// A task that waits for room for two at once, in a channel that holds one and has room for another,
// is aborted. Behind it stands a thread that wants room for one. Without a receiver only the end of
// the task's wait can let it in; with one the task may be granted its room at the same time.
struct many : channel_base<large> {
    static constexpr unsigned threads = 4;

    explicit many(bool with_receiver)
        : channel_base(2)
        , has_receiver(with_receiver) {
        sender[1] = sender[0];
        ++made[0];
        sent[0] = sender[0].try_send(large(0)).has_value() ? 1 : 0;
        join = rt_model::detail::launch(
            &queue, body(this, std::move(sender[0])), rt_model::detail::site::current()
        );
        abort = join.abort_handle();
    }

    static rt_model::task<void> body(many* self, rt_model::mpsc::sender<large> mine) {
        if (auto room = co_await mine.reserve_many(2)) {
            check(mine.size() == 0, "there is not so much room");
            ++self->made[1];
            self->sent[1] = room->send(large(1)).has_value() ? 1 : 0;
            check(room->size() == 1, "not as many as were asked for"); // it is given back
        }
    }

    void run(unsigned self) {
        if (self == 0) {
            queue.work([this] { return has_ended(join); });
        } else if (self == 1) {
            abort.abort();
        } else if (self == 2) {
            auto mine = std::move(sender[1]);
            ++made[2];
            sent[2] = mine.blocking_send(large(2)).has_value() ? 1 : 0;
            check(sent[2] == 1, "the channel is open");
        } else if (has_receiver) {
            while (auto got = receiver->blocking_recv()) {
                note(got->id);
            }
        }
    }

    void at_end(bool is_stuck) {
        check(!is_stuck, "somebody waits beside free room");
        abort = {};
        join.detach();
        take_the_rest();
        drop_ends();
        check_values(false);
        rt_model::scenario::check_sync_heap();
    }

    const bool has_receiver;
    run_queue queue;
    rt_model::join_handle<void> join;
    rt_model::abort_handle abort;
};

} // namespace

Test(mpsc_cancel_model, a_cancelled_receive_loses_nothing) {
    rt::model::skip_with_sanitizers();
    expect_good<cancelled>("receive, abort", bounded(3), errand::receives, false, false);
    expect_good<cancelled>("receive twice, abort", bounded(2), errand::receives, false, true);
    expect_good<cancelled>("receive, starved, abort", bounded(3), errand::receives, true, false);
    expect_good<cancelled>(
        "receive, abort, weak", bounded(2, true), errand::receives, false, false
    );
    expect_broken<cancelled>(
        "receive, torn", broken(fault::torn_rmw, 3), errand::receives, false, false
    );
}

Test(mpsc_cancel_model, a_cancelled_send_is_sent_or_destroyed) {
    rt::model::skip_with_sanitizers();
    expect_good<cancelled>("send, abort", bounded(3), errand::sends, false, false);
    expect_good<cancelled>("send, starved, abort", bounded(3), errand::sends, true, false);
    expect_good<cancelled>("send before another, abort", bounded(2), errand::sends, false, true);
    expect_good<cancelled>("reserve, abort", bounded(3), errand::reserves, false, false);
    expect_good<cancelled>(
        "reserve before another, abort", bounded(2), errand::reserves, false, true
    );
    expect_broken<cancelled>("send, torn", broken(fault::torn_rmw, 3), errand::sends, false, true);
}

Test(mpsc_cancel_model, whoever_gives_up_room_for_many_lets_others_in) {
    rt::model::skip_with_sanitizers();
    expect_good<many>("reserve 2, abort", bounded(4), false);
    expect_good<many>("reserve 2, abort, received", bounded(2), true);
    expect_good<many>("reserve 2, abort, weak", bounded(2, true), false);
    expect_broken<many>("reserve 2, torn", broken(fault::torn_rmw, 3), true);
    expect_broken<many>("reserve 2, no wake", broken(fault::no_wake, 3), false);
}

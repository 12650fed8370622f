// SPDX-License-Identifier: MIT
//
// mpsc channels under every interleaving: senders that wait for room, reserve, and go; a receiver
// that waits, closes or is dropped. What is cancelled is in mpsc_cancel_model_test.cc.
//
// The code under test is src/sync/mpsc_core.cc, mpsc_wait.cc and the templates over them. Values
// are large, so that they are published after the lock was given back and two of them fill a block,
// or small, so that they go in under it. Every value must come out once, in the order of each
// sender, and be destroyed once; nobody may wait for ever; the channel must be freed.
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
using rt_model::scenario::large;
using rt_model::scenario::small;

// ---- threads that wait for room and for values --------------------------------------------------

struct shape {
    unsigned senders;
    unsigned values; // by each
    std::uint64_t capacity;
};

template<typename T>
struct relay : channel_base<T> {
    static constexpr unsigned threads = 3;

    explicit relay(shape wanted)
        : channel_base<T>(wanted.capacity)
        , how(wanted) {
        if (how.senders == 2) {
            this->sender[1] = this->sender[0];
        }
    }

    void run(unsigned self) {
        if (self == 0) {
            while (auto got = this->receiver->blocking_recv()) {
                this->note(got->id);
            }
            return;
        }
        if (self > how.senders) {
            return;
        }
        auto mine = std::move(this->sender[self - 1]);
        for (unsigned i = 0; i < how.values; ++i) {
            const unsigned id = 2 * (self - 1) + i;
            ++this->made[id];
            check(mine.blocking_send(T(id)).has_value(), "the channel is open");
            ++this->sent[id];
        }
    }

    void at_end(bool is_stuck) {
        check(!is_stuck, "somebody waits for ever");
        this->drop_ends();
        this->check_values(false);
        rt_model::scenario::check_sync_heap();
    }

    const shape how;
};

} // namespace

Test(mpsc_model, senders_wait_for_room_and_lose_nothing) {
    rt::model::skip_with_sanitizers();
    expect_good<relay<large>>("1 sender, 2 values, room for 1", bounded(5), shape{1, 2, 1});
    expect_good<relay<large>>("2 senders, room for 1", bounded(3), shape{2, 1, 1});
    expect_good<relay<large>>("2 senders, 2 values, room for 1", bounded(2), shape{2, 2, 1});
    expect_broken<relay<large>>("torn", broken(fault::torn_rmw, 3), shape{2, 1, 1});
    expect_broken<relay<large>>("no wake", broken(fault::no_wake, 3), shape{1, 2, 1});
}

Test(mpsc_model, holds_in_weak_memory) {
    rt::model::skip_with_sanitizers();
    expect_good<relay<large>>("1 sender, weak", bounded(3, true), shape{1, 2, 1});
    expect_good<relay<large>>("2 senders, weak", bounded(2, true), shape{2, 1, 1});
    expect_broken<relay<large>>("no seq_cst", broken(fault::no_seq_cst, 4), shape{1, 2, 1});
    expect_broken<relay<large>>("no release", broken(fault::no_release, 4), shape{1, 2, 1});
    expect_broken<relay<large>>("no acquire", broken(fault::no_acquire, 4), shape{1, 2, 1});
}

// ---- senders that do not wait -------------------------------------------------------------------

namespace {

// Senders retry until there is room; the receiver waits, takes many at a time, or tries.
template<typename T>
struct trying : channel_base<T> {
    static constexpr unsigned threads = 3;

    trying(unsigned values_each, std::uint64_t capacity)
        : channel_base<T>(capacity)
        , values(values_each) {
        this->sender[1] = this->sender[0];
    }

    void run(unsigned self) {
        if (self == 0) {
            while (auto got = this->receiver->blocking_recv()) {
                this->note(got->id);
                take_more();
            }
            return;
        }
        auto mine = std::move(this->sender[self - 1]);
        for (unsigned i = 0; i < values; ++i) {
            const unsigned id = 2 * (self - 1) + i;
            ++this->made[id];
            T value(id);
            const auto got = mine.try_send(std::move(value));
            this->sent[id] = got.has_value() ? 1 : 0;
            check(got.has_value() || got.error().code() == EAGAIN, "refused for no reason");
        }
    }

    // A send that has returned is found, even behind one that is at work.
    void take_more() {
        const bool is_there = this->sent[0] + this->sent[2] > this->received[0] + this->received[2];
        auto got = this->receiver->try_recv();
        check(got.has_value() || !is_there, "a value that was sent was not found");
        if (got) {
            this->note(got->id);
        }
    }

    void at_end(bool is_stuck) {
        check(!is_stuck, "the receiver waits for ever");
        this->drop_ends();
        this->check_values(false);
        rt_model::scenario::check_sync_heap();
    }

    const unsigned values;
};

// ---- ends that go -------------------------------------------------------------------------------

enum class farewell : std::uint8_t { closes, is_dropped };

// The receiver takes one value and closes, or is dropped, while two send.
struct parting : channel_base<large> {
    static constexpr unsigned threads = 4;

    parting(farewell what, bool with_permit, bool with_watcher)
        : channel_base(2)
        , how(what)
        , has_permit(with_permit)
        , has_watcher(with_watcher) {
        sender[1] = sender[0];
        idle_sender = sender[0];
    }

    void run(unsigned self) {
        switch (self) {
        case 0:
            receive();
            break;
        case 1:
            send(std::exchange(sender[0], {}), 0);
            break;
        case 2:
            if (has_permit) {
                send_with_permit(std::exchange(sender[1], {}));
            } else {
                send(std::exchange(sender[1], {}), 2);
            }
            break;
        default:
            break;
        }
    }

    void receive() {
        if (how == farewell::is_dropped) {
            receiver.reset();
            return;
        }
        receiver->close();
        while (auto got = receiver->blocking_recv()) {
            note(got->id);
        }
    }

    void send(rt_model::mpsc::sender<large> mine, unsigned id) {
        ++made[id];
        sent[id] = mine.try_send(large(id)).has_value() ? 1 : 0;
        if (has_watcher) {
            auto end = mine.closed();
            end.block();
            check(mine.is_closed(), "told of the end too early");
        }
    }

    void send_with_permit(rt_model::mpsc::sender<large> mine) {
        if (auto room = mine.try_reserve()) {
            ++made[2];
            sent[2] = room->send(large(2)).has_value() ? 1 : 0;
            check(sent[2] == 1 || how == farewell::is_dropped, "a permit was not honoured");
        }
        if (auto room = mine.try_reserve()) { // and not used
            check(static_cast<bool>(*room), "an empty permit");
        }
    }

    void at_end(bool is_stuck) {
        check(!is_stuck, "somebody waits for ever");
        idle_sender = {};
        drop_ends();
        check_values(how == farewell::is_dropped);
        rt_model::scenario::check_sync_heap();
    }

    const farewell how;
    const bool has_permit;
    const bool has_watcher;
    rt_model::mpsc::sender<large> idle_sender; // so that it is not the senders' going that ends it
};

// Another part of the receiver's task, or another task, closes the channel while the receiver
// waits. A sender is left, so nothing else ends the wait.
struct closed_beside : channel_base<large> {
    static constexpr unsigned threads = 3;

    explicit closed_beside(bool with_permit)
        : channel_base(2)
        , has_permit(with_permit) {
        sender[1] = sender[0];
        if (has_permit) {
            room = *sender[0].try_reserve();
        }
    }

    void run(unsigned self) {
        if (self == 0) {
            while (auto got = receiver->blocking_recv()) {
                note(got->id);
            }
        } else if (self == 1) {
            receiver->close();
        } else if (!has_permit) {
            ++made[0];
            sent[0] = sender[0].try_send(large(0)).has_value() ? 1 : 0;
        } else {
            ++made[0];
            sent[0] = room.send(large(0)).has_value() ? 1 : 0;
            check(sent[0] == 1, "a permit was not honoured");
        }
    }

    void at_end(bool is_stuck) {
        check(!is_stuck, "the receiver waits for ever");
        drop_ends();
        check_values(false);
        rt_model::scenario::check_sync_heap();
    }

    const bool has_permit;
    rt_model::mpsc::permit<large> room;
};

// A weak sender is upgraded while the last sender goes, and outlives the channel.
struct weakly : channel_base<large> {
    static constexpr unsigned threads = 3;

    weakly()
        : channel_base(2)
        , weak(sender[0].downgrade()) {}

    void run(unsigned self) {
        if (self == 0) {
            while (auto got = receiver->blocking_recv()) {
                note(got->id);
            }
            receiver.reset();
        } else if (self == 1) {
            send(std::exchange(sender[0], {}), 0);
        } else {
            const auto mine = std::exchange(weak, {});
            if (auto again = mine.upgrade()) {
                send(std::move(again), 2);
                check(sent[2] == 1, "an upgraded sender was refused");
            }
        }
    }
    void send(rt_model::mpsc::sender<large> mine, unsigned id) {
        ++made[id];
        sent[id] = mine.try_send(large(id)).has_value() ? 1 : 0;
    }
    void at_end(bool is_stuck) {
        check(!is_stuck, "the receiver waits for ever");
        weak = {};
        drop_ends();
        check_values(false);
        rt_model::scenario::check_sync_heap();
    }

    rt_model::mpsc::weak_sender<rt_model::mpsc::sender<large>> weak;
};

} // namespace

Test(mpsc_model, try_send_and_try_recv_find_what_is_there) {
    rt::model::skip_with_sanitizers();
    expect_good<trying<large>>("try, 1 value each", bounded(3), 1U, std::uint64_t{2});
    expect_good<trying<small>>("try, small", bounded(4), 1U, std::uint64_t{2});
    expect_good<trying<small>>("try, small, full", bounded(3), 2U, std::uint64_t{1});
    expect_good<trying<small>>("try, small, weak", bounded(2, true), 1U, std::uint64_t{2});
    expect_broken<trying<large>>("try, torn", broken(fault::torn_rmw, 3), 1U, std::uint64_t{2});
    expect_broken<trying<small>>("try, no wake", broken(fault::no_wake, 3), 1U, std::uint64_t{2});
}

Test(mpsc_model, a_receiver_closes_or_goes) {
    rt::model::skip_with_sanitizers();
    expect_good<parting>("close", bounded(3), farewell::closes, false, false);
    expect_good<parting>("close, permits", bounded(3), farewell::closes, true, false);
    expect_good<parting>("drop", bounded(3), farewell::is_dropped, false, false);
    expect_good<parting>("drop, permits", bounded(3), farewell::is_dropped, true, false);
    expect_good<parting>("drop, told of the end", bounded(2), farewell::is_dropped, false, true);
    expect_good<parting>("drop, weak", bounded(2, true), farewell::is_dropped, false, false);
    expect_broken<parting>(
        "drop, torn", broken(fault::torn_rmw, 3), farewell::is_dropped, false, false
    );
    expect_broken<parting>(
        "drop, no wake", broken(fault::no_wake, 3), farewell::is_dropped, false, true
    );
}

Test(mpsc_model, a_receiver_that_waits_is_told_of_a_close) {
    rt::model::skip_with_sanitizers();
    expect_good<closed_beside>("close beside it", bounded(4), false);
    expect_good<closed_beside>("close beside it, permit", bounded(4), true);
    expect_good<closed_beside>("close beside it, weak", bounded(2, true), true);
    expect_broken<closed_beside>("close beside it, torn", broken(fault::torn_rmw, 3), true);
    expect_broken<closed_beside>("close beside it, no wake", broken(fault::no_wake, 3), false);
}

Test(mpsc_model, a_weak_sender_comes_in_time_or_too_late) {
    rt::model::skip_with_sanitizers();
    expect_good<weakly>("upgrade", bounded(3));
    expect_good<weakly>("upgrade, weak", bounded(2, true));
    expect_broken<weakly>("upgrade, torn", broken(fault::torn_rmw, 3));
}

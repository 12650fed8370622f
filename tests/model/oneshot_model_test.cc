// SPDX-License-Identifier: MIT
//
// The word of a oneshot channel under every interleaving of its two ends, and of a second part of
// the receiver's task that closes while the first one waits. Whoever waits is woken once and by one
// party; the value is received, refused or destroyed, once; and the state is freed by one end.
//
// That a wait gives up because its time has passed is in time_limit_model_test.cc.
//
// Fiber 0 receives. Fiber 1 is the sender. Fiber 2 closes, in some scenarios.
#include "model/faults.h"
#include "model/mpsc_model.h"

#include <cstdint>

namespace {

using rt::model::bounded;
using rt::model::broken;
using rt::model::check;
using rt::model::expect_broken;
using rt::model::expect_good;
using rt::model::fault;
using rt_model::scenario::large;

enum class sender_does : std::uint8_t { send, drop, wait_for_the_end };
enum class receiver_does : std::uint8_t { wait, wait_and_close, close, go };

struct exchanged {
    static constexpr unsigned threads = 3;

    exchanged(sender_does first, receiver_does second)
        : how_sent(first)
        , how_received(second) {
        rt_model::scenario::set_up_sync();
        rt_model::scenario::seen = {};
        auto [tx, rx] = rt_model::oneshot::channel<large>();
        sender.emplace(std::move(tx));
        receiver.emplace(std::move(rx));
    }

    void run(unsigned self) {
        switch (self) {
        case 0:
            receive();
            break;
        case 1:
            send();
            break;
        default:
            if (how_received == receiver_does::wait_and_close) {
                receiver->close();
            }
            break;
        }
    }

    void send() {
        if (how_sent == sender_does::send) {
            data.store_relaxed(1);
            large value(0);
            const bool is_sent = sender->send(std::move(value)).has_value();
            is_refused = !is_sent;
            check(is_sent || how_received != receiver_does::wait, "the receiver is there");
        } else if (how_sent == sender_does::wait_for_the_end) {
            auto wait = sender->closed();
            wait.block();
            check(sender->is_closed(), "woken though it is open");
        }
        sender.reset();
    }

    void receive() {
        switch (how_received) {
        case receiver_does::wait:
        case receiver_does::wait_and_close:
            note(receiver->blocking_recv());
            break;
        case receiver_does::close:
            receiver->close();
            note(receiver->try_recv());
            receiver.reset();
            break;
        case receiver_does::go:
            receiver.reset();
            break;
        }
    }
    void note(rt_model::result<large> got) {
        if (got) {
            check(got->id == 0 && received++ == 0, "it came out twice, or is another");
            check(data.load_relaxed() == 1, "who receives does not see what came before");
            return;
        }
        check(got.error().is(rt_model::errc::closed), "not an answer, and not the end");
        check(
            how_sent != sender_does::send || how_received != receiver_does::wait,
            "closed without a reason"
        );
    }

    void at_end(bool is_stuck) {
        check(!is_stuck, "somebody waits for ever");
        const bool is_there = receiver.has_value();
        if (is_there) {
            check(!receiver->try_recv().has_value() || received == 0, "it came out twice");
        }
        receiver.reset();
        const unsigned made = how_sent == sender_does::send ? 1 : 0;
        check(rt_model::scenario::seen.destroyed[0] == made, "destroyed more or less than once");
        check(received == 0 || !is_refused, "a value came out that was refused");
        const bool may_be_lost = how_received == receiver_does::go;
        check(may_be_lost || received + (is_refused ? 1U : 0U) == made, "the value was lost");
        rt_model::scenario::check_sync_heap();
    }

    const sender_does how_sent;
    const receiver_does how_received;
    std::optional<rt_model::oneshot::sender<large>> sender;
    std::optional<rt_model::oneshot::receiver<large>> receiver;
    rt_model::atomic<unsigned> data;
    unsigned received = 0;
    bool is_refused = false;
};

} // namespace

Test(oneshot_model, a_value_is_received_or_the_end_is_told) {
    rt::model::skip_with_sanitizers();
    expect_good<exchanged>("sent", bounded(20), sender_does::send, receiver_does::wait);
    expect_good<exchanged>("dropped", bounded(20), sender_does::drop, receiver_does::wait);
    expect_good<exchanged>("weak", bounded(5, true), sender_does::send, receiver_does::wait);
    for (const fault what : {fault::torn_rmw, fault::no_wake, fault::no_release}) {
        expect_broken<exchanged>("sent", broken(what, 4), sender_does::send, receiver_does::wait);
    }
}

Test(oneshot_model, a_receiver_that_closes_while_it_waits_is_woken_once) {
    rt::model::skip_with_sanitizers();
    constexpr auto closes = receiver_does::wait_and_close;
    expect_good<exchanged>("sent", bounded(20), sender_does::send, closes);
    expect_good<exchanged>("dropped", bounded(20), sender_does::drop, closes);
    expect_good<exchanged>("waits", bounded(20), sender_does::wait_for_the_end, closes);
    expect_good<exchanged>("sent, weak", bounded(4, true), sender_does::send, closes);
    for (const fault what : {fault::torn_rmw, fault::no_wake}) {
        expect_broken<exchanged>("sent", broken(what, 4), sender_does::send, closes);
        expect_broken<exchanged>("waits", broken(what, 4), sender_does::wait_for_the_end, closes);
    }
}

Test(oneshot_model, a_receiver_that_closes_or_goes_takes_or_refuses) {
    rt::model::skip_with_sanitizers();
    for (const auto how : {receiver_does::close, receiver_does::go}) {
        expect_good<exchanged>("sent", bounded(20), sender_does::send, how);
        expect_good<exchanged>("dropped", bounded(20), sender_does::drop, how);
        expect_good<exchanged>("waits", bounded(20), sender_does::wait_for_the_end, how);
        expect_good<exchanged>("sent, weak", bounded(4, true), sender_does::send, how);
        expect_broken<exchanged>("torn", broken(fault::torn_rmw, 4), sender_does::send, how);
    }
}

// SPDX-License-Identifier: MIT
//
// rt::deadline: a timer that is left where it is must neither pass early nor be forgotten.
//
// Waits that shall time out wait for bytes that nobody sends; waits that shall not have a deadline
// of `patience`, or none. No assertion depends on how long anything took.
#include "net/connections.h"
#include "support/runtimes.h"
#include "support/test.h"

#include <rt/buffer.h>
#include <rt/deadline.h>
#include <rt/join.h>
#include <rt/net/tcp.h>
#include <rt/paused_clock.h>
#include <rt/runtime.h>
#include <rt/spawn.h>
#include <rt/time.h>

#include <cerrno>
#include <chrono>
#include <span>
#include <thread>

#include <sys/socket.h>

namespace {

using namespace std::chrono_literals;
using namespace rt::test;

enum class outcome { got_byte, timed_out, failed };

rt::task<outcome> next_byte(rt::tcp_stream* peer, rt::deadline* limit) {
    rt::buffer one(1);
    for (;;) {
        const rt::result<std::size_t> got = peer->try_read(one);
        if (got) {
            co_return *got == 1 ? outcome::got_byte : outcome::failed;
        }
        if (!got.error().is(EAGAIN)) {
            co_return outcome::failed;
        }
        const rt::result<void> ready = co_await peer->readable(*limit);
        if (!ready) {
            co_return ready.error().is(rt::errc::timed_out) ? outcome::timed_out : outcome::failed;
        }
    }
}

void send_byte(const connection& both) {
    static_cast<void>(::send(both.theirs.get(), "x", 1, MSG_NOSIGNAL));
}

rt::task<void> send_later(const connection* both, std::chrono::milliseconds delay) {
    co_await rt::sleep(delay);
    send_byte(*both);
}

rt::task<outcome> wait_for_nothing() {
    connection both = co_await make_connection();
    rt::deadline limit;
    limit.set(rt::clock::now() + 2ms);
    co_return co_await next_byte(&both.ours, &limit);
}

// The same deadline serves wait after wait, and what comes after a time-out is read.
rt::task<outcome> use_it_again() {
    connection both = co_await make_connection();
    rt::deadline limit;
    for (int i = 0; i < 3; ++i) {
        limit.set(rt::clock::now() + 1ms);
        if (co_await next_byte(&both.ours, &limit) != outcome::timed_out) {
            co_return outcome::failed;
        }
    }
    limit.set(rt::clock::now() + patience);
    rt::join_handle<void> sender = rt::spawn(send_later, &both, 1ms);
    const outcome last = co_await next_byte(&both.ours, &limit);
    co_await sender;
    co_return last;
}

// The timer of the first wait is still armed when the second one, which has longer, begins.
rt::task<outcome> move_it_on() {
    connection both = co_await make_connection();
    rt::deadline limit;
    limit.set(rt::clock::now() + 30ms);
    rt::join_handle<void> sender = rt::spawn(send_later, &both, 1ms);
    if (co_await next_byte(&both.ours, &limit) != outcome::got_byte) {
        co_return outcome::timed_out; // a slow machine: says nothing
    }
    co_await sender;
    limit.set(rt::clock::now() + patience);
    sender = rt::spawn(send_later, &both, 50ms);
    const outcome last = co_await next_byte(&both.ours, &limit);
    co_await sender;
    co_return last == outcome::got_byte ? last : outcome::failed;
}

// The timer is armed for much later than the deadline of the wait that begins.
rt::task<outcome> move_it_back() {
    connection both = co_await make_connection();
    rt::deadline limit;
    limit.set(rt::clock::now() + 1h);
    rt::join_handle<void> sender = rt::spawn(send_later, &both, 1ms);
    if (co_await next_byte(&both.ours, &limit) != outcome::got_byte) {
        co_return outcome::failed;
    }
    co_await sender;
    limit.set(rt::clock::now() + 2ms);
    co_return co_await next_byte(&both.ours, &limit);
}

rt::task<outcome> clear_it() {
    connection both = co_await make_connection();
    rt::deadline limit;
    limit.set(rt::clock::now() + 2ms);
    if (co_await next_byte(&both.ours, &limit) != outcome::timed_out) {
        co_return outcome::failed;
    }
    limit.clear();
    rt::join_handle<void> sender = rt::spawn(send_later, &both, 5ms);
    const outcome last = co_await next_byte(&both.ours, &limit);
    co_await sender;
    co_return last;
}

rt::task<outcome> have_it_pass_with_bytes_there() {
    connection both = co_await make_connection();
    rt::deadline limit;
    limit.set(rt::clock::now() - 1s);
    send_byte(both);
    co_return co_await next_byte(&both.ours, &limit);
}

rt::task<outcome> wait_with_own_deadline(rt::tcp_stream* peer) {
    rt::deadline limit;
    limit.set(rt::clock::now() + 1h);
    co_return co_await next_byte(peer, &limit);
}

// The awaiter and the deadline go while the timer is armed.
rt::task<outcome> abort_the_waiter() {
    connection both = co_await make_connection();
    for (int i = 0; i < 20; ++i) {
        rt::join_handle<outcome> victim = rt::spawn(wait_with_own_deadline, &both.ours);
        co_await rt::sleep(i % 2 == 0 ? 0ms : 1ms);
        victim.abort();
        bool is_cancelled = false;
        try {
            static_cast<void>(co_await std::move(victim));
        } catch (const rt::join_error&) {
            is_cancelled = true;
        }
        if (!is_cancelled) {
            co_return outcome::failed;
        }
    }
    rt::deadline limit;
    limit.set(rt::clock::now() + patience);
    send_byte(both);
    co_return co_await next_byte(&both.ours, &limit);
}

// Bytes that come when the deadline passes: each is read once, in this wait or in the next.
rt::task<int> race(int rounds) {
    connection both = co_await make_connection();
    std::thread sender([&both, rounds] {
        char acknowledged = 0;
        for (int i = 0; i < rounds; ++i) {
            send_byte(both);
            static_cast<void>(::recv(both.theirs.get(), &acknowledged, 1, 0));
        }
    });
    rt::deadline limit;
    int received = 0;
    for (int i = 0; received < rounds; ++i) {
        limit.set(rt::clock::now() + std::chrono::microseconds(i % 7 * 300));
        const outcome seen = co_await next_byte(&both.ours, &limit);
        if (seen == outcome::failed) {
            break;
        }
        if (seen == outcome::got_byte) {
            ++received;
            co_await rt::sleep(std::chrono::milliseconds(i % 3));
            if (!both.ours.try_write(std::as_bytes(std::span("y", 1)))) {
                break;
            }
        }
    }
    both.ours = {};
    sender.join();
    co_return received;
}

// The deadline is on the runtime's clock, not on the machine's.
rt::task<std::chrono::seconds> wait_on_a_paused_clock() {
    connection both = co_await make_connection();
    rt::pause_clock();
    const rt::clock::time_point begin = rt::clock::now();
    rt::deadline limit;
    limit.set(begin + 100s);
    const outcome seen = co_await next_byte(&both.ours, &limit);
    const auto took = std::chrono::duration_cast<std::chrono::seconds>(rt::clock::now() - begin);
    rt::resume_clock();
    co_return seen == outcome::timed_out ? took : -1s;
}

// One deadline on a paused clock, which shows when each wait under it ends, to the millisecond.
class paused_deadline {
public:
    paused_deadline(rt::tcp_stream* peer, rt::clock::time_point start) noexcept
        : peer_(peer)
        , start_(start) {}

    void set(std::chrono::milliseconds at) noexcept { limit_.set(start_ + at); }

    // Waits for nothing, and returns when it ended.
    rt::task<std::chrono::nanoseconds> passes() {
        cr_assert(co_await next_byte(peer_, &limit_) == outcome::timed_out);
        co_return rt::clock::now() - start_;
    }

    // Waits and gives up, which leaves the timer armed.
    rt::task<void> begin_then_give_up(std::chrono::milliseconds at) {
        cr_assert_not((co_await rt::timeout_at(start_ + at, next_byte(peer_, &limit_))).has_value()
        );
        cr_assert(rt::clock::now() == start_ + at);
    }

private:
    rt::tcp_stream* peer_;
    rt::clock::time_point start_;
    rt::deadline limit_;
};

rt::task<void> move_an_armed_one() {
    connection both = co_await make_connection();
    rt::pause_clock();
    paused_deadline limit(&both.ours, rt::clock::now());
    limit.set(100ms);
    co_await limit.begin_then_give_up(50ms);
    limit.set(200ms); // later
    cr_assert(co_await limit.passes() == 200ms);
    limit.set(1000ms);
    co_await limit.begin_then_give_up(250ms);
    limit.set(300ms); // earlier
    cr_assert(co_await limit.passes() == 300ms);
    limit.set(1000ms);
    co_await limit.begin_then_give_up(350ms);
    limit.set(0ms); // into the past: the next tick
    cr_assert(co_await limit.passes() == 351ms);
}

rt::task<void> move_one_that_has_passed() {
    connection both = co_await make_connection();
    rt::pause_clock();
    paused_deadline limit(&both.ours, rt::clock::now());
    limit.set(100ms);
    cr_assert(co_await limit.passes() == 100ms);
    cr_assert(co_await limit.passes() == 101ms, "it stays passed: the next tick");
    cr_assert(co_await limit.passes() == 102ms);
    limit.set(200ms);
    cr_assert(co_await limit.passes() == 200ms);
    limit.set(150ms);
    cr_assert(co_await limit.passes() == 201ms);
    limit.set(5000ms);
    co_await limit.begin_then_give_up(4999ms);
    cr_assert(co_await limit.passes() == 5000ms);
}

void on_each_driver(rt::task<void> (*body)()) {
    for (const rt::driver_kind driver : {rt::driver_kind::uring, rt::driver_kind::epoll}) {
        rt::block_on(single(driver), body());
    }
}

void expect(rt::task<outcome> (*body)(), outcome wanted) {
    on_every_runtime([&](const rt::config& settings) {
        const outcome seen = rt::block_on(settings, body());
        cr_assert_eq(static_cast<int>(seen), static_cast<int>(wanted));
    });
}

} // namespace

Test(deadline, passes_when_nothing_comes) {
    expect(wait_for_nothing, outcome::timed_out);
}

Test(deadline, serves_many_waits) {
    expect(use_it_again, outcome::got_byte);
}

Test(deadline, that_was_moved_on_does_not_pass_when_its_timer_fires) {
    on_every_runtime([](const rt::config& settings) {
        const outcome seen = rt::block_on(settings, move_it_on());
        cr_assert_neq(static_cast<int>(seen), static_cast<int>(outcome::failed));
    });
}

Test(deadline, that_was_moved_back_passes_in_time) {
    expect(move_it_back, outcome::timed_out);
}

Test(deadline, b208_moved_before_it_has_passed_passes_when_it_says) {
    on_each_driver(move_an_armed_one);
}

Test(deadline, b209_stays_passed_until_it_is_set_again) {
    on_each_driver(move_one_that_has_passed);
}

Test(deadline, that_was_cleared_never_passes) {
    expect(clear_it, outcome::got_byte);
}

Test(deadline, does_not_matter_while_there_is_something_to_read) {
    expect(have_it_pass_with_bytes_there, outcome::got_byte);
}

Test(deadline, goes_with_the_task_that_waits_under_it) {
    expect(abort_the_waiter, outcome::got_byte);
}

Test(deadline, races_with_bytes_and_loses_none) {
    on_every_runtime([](const rt::config& settings) {
        cr_assert_eq(rt::block_on(settings, race(300)), 300);
    });
}

Test(deadline, passes_on_a_clock_that_is_paused) {
    for (const rt::driver_kind driver : {rt::driver_kind::uring, rt::driver_kind::epoll}) {
        cr_assert_eq(rt::block_on(single(driver), wait_on_a_paused_clock()).count(), 100);
    }
}

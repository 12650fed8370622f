// SPDX-License-Identifier: MIT
//
// Threads that wait no longer than they say: what cannot be had in time is reported and left to
// others, what can be had at once is had whatever the limit.
//
// A limit that shall pass is over before or soon after the wait begins, one that shall not is an
// hour. That a limit passes while something is being handed over is the matter of
// time_limit_storm_test.cc, and of tests/model.
#include "support/test.h"
#include "sync/sleeper.h"
#include "sync/waiting.h"

#include <rt/result.h>
#include <rt/sync/broadcast.h>
#include <rt/sync/mpsc.h>
#include <rt/sync/mutex.h>
#include <rt/sync/notify.h>
#include <rt/sync/oneshot.h>
#include <rt/sync/rwlock.h>
#include <rt/sync/semaphore.h>
#include <rt/sync/watch.h>
#include <rt/time.h>
#include <rt/time_limit.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <memory>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
using rt::time_limit;

// Limits that pass.
std::array<time_limit, 4> short_limits() {
    return {time_limit(0ms), time_limit(-1h), time_limit(1ms), time_limit(rt::clock::now() - 1h)};
}

} // namespace

// ---- the value ----------------------------------------------------------------------------------

Test(time_limit, is_none_unless_it_is_said) {
    cr_assert(time_limit().is_none());
    cr_assert_not(time_limit(0ms).is_none());
    cr_assert_not(time_limit(std::chrono::nanoseconds::max()).is_none());
}

Test(time_limit, knows_whether_it_has_passed) {
    cr_assert_not(time_limit().has_passed());
    cr_assert_not(time_limit(1h).has_passed());
    cr_assert_not(time_limit(rt::clock::time_point::max()).has_passed());
    cr_assert(time_limit(0ms).has_passed());
    cr_assert(time_limit(rt::clock::now() - 1h).has_passed());
}

Test(time_limit, is_a_duration_from_now_on_or_a_point_in_time) {
    const rt::clock::time_point begin = rt::clock::now();
    const time_limit after(3s);
    const rt::clock::time_point end = rt::clock::now();
    cr_assert_geq(after.at_ns(), time_limit(begin + 3s).at_ns());
    cr_assert_leq(after.at_ns(), time_limit(end + 3s).at_ns());
    cr_assert_eq(time_limit(rt::clock::time_point(7us)).at_ns(), 7'000U);
    const std::chrono::time_point<std::chrono::steady_clock, std::chrono::seconds> coarse(2s);
    cr_assert_eq(time_limit(coarse).at_ns(), 2'000'000'000U);
}

// Not sooner than it says. Nor much later: of a limit whose seconds are wrong, twenty make more
// than any machine is late.
Test(time_limit, passes_when_it_says) {
    auto [tx, rx] = rt::mpsc::channel<int>(1);
    const rt::clock::time_point first = rt::clock::now();
    for (int i = 0; i < 20; ++i) {
        const auto wait = i * 1ms;
        const rt::clock::time_point begin = rt::clock::now();
        cr_assert(rx.blocking_recv(wait).error().is(rt::errc::timed_out));
        cr_assert(rt::clock::now() - begin >= wait);
        const rt::clock::time_point until = rt::clock::now() + 1ms;
        cr_assert(rx.blocking_recv(until).error().is(rt::errc::timed_out));
        cr_assert(rt::clock::now() >= until);
    }
    cr_assert(rt::clock::now() - first < 15s);
}

// ---- locks --------------------------------------------------------------------------------------

Test(time_limit, a_mutex_that_is_held_is_not_had) {
    rt::mutex lock;
    rt::mutex::guard held = lock.try_lock();
    for (const time_limit limit : short_limits()) {
        cr_assert_not(lock.blocking_lock(limit));
    }
    held.unlock();
    cr_assert_not(lock.is_locked(), "who gave up has left nothing behind");
    for (const time_limit limit : short_limits()) {
        cr_assert(lock.blocking_lock(limit), "it is free");
    }
    cr_assert_not(lock.is_locked());
}

Test(time_limit, a_mutex_that_is_given_back_in_time_is_had) {
    rt::mutex lock;
    rt::mutex::guard held = lock.try_lock();
    bool has_had_it = false;
    rt::test::sleeper waiting([&] {
        const rt::mutex::guard mine = lock.blocking_lock(1h);
        has_had_it = static_cast<bool>(mine);
    });
    waiting.until_asleep();
    held.unlock();
    waiting.join();
    cr_assert(has_had_it);
    cr_assert_not(lock.is_locked());
}

Test(time_limit, a_mutex_passes_over_who_gave_up) {
    rt::mutex lock;
    rt::mutex::guard held = lock.try_lock();
    rt::test::sleeper impatient([&] { cr_assert_not(lock.blocking_lock(20ms)); });
    impatient.until_asleep();
    rt::test::sleeper patient([&] { cr_assert(lock.blocking_lock(1h)); });
    patient.until_asleep();
    impatient.join();
    held.unlock();
    patient.join();
    cr_assert_not(lock.is_locked());
}

Test(time_limit, permits_that_are_not_there_are_not_had) {
    rt::semaphore slots(2);
    rt::semaphore::permit held = slots.try_acquire(1);
    for (const time_limit limit : short_limits()) {
        cr_assert_not(slots.blocking_acquire(2, limit));
        cr_assert_eq(slots.blocking_acquire(limit).count(), 1U);
        cr_assert_eq(slots.blocking_acquire(1, limit).count(), 1U);
    }
    held.release();
    cr_assert_eq(slots.available(), 2U);
    cr_assert_eq(slots.blocking_acquire(2, 0ms).count(), 2U);
    slots.close();
    cr_assert_not(slots.blocking_acquire(1h), "closed, which is not to be waited for");
}

// Those behind a large request that gives up are served by its going, though nobody releases.
Test(time_limit, who_gives_up_lets_those_behind_go_on) {
    rt::semaphore slots(2);
    const rt::semaphore::permit held = slots.try_acquire(1);
    rt::test::sleeper large([&] { cr_assert_not(slots.blocking_acquire(2, 20ms)); });
    large.until_asleep();
    cr_assert_eq(slots.blocking_acquire(1, 1h).count(), 1U);
    large.join();
    cr_assert_eq(slots.available(), 1U);
}

Test(time_limit, an_rwlock_that_is_held_is_not_had) {
    rt::rwlock lock;
    for (const time_limit limit : short_limits()) {
        const rt::rwlock::read_guard reading = lock.blocking_read(limit);
        cr_assert(reading);
        cr_assert(lock.blocking_read(limit), "readers go together");
        cr_assert_not(lock.blocking_write(limit));
    }
    for (const time_limit limit : short_limits()) {
        const rt::rwlock::write_guard writing = lock.blocking_write(limit);
        cr_assert(writing);
        cr_assert_not(lock.blocking_read(limit));
        cr_assert_not(lock.blocking_write(limit));
    }
    cr_assert(lock.try_write());
}

Test(time_limit, a_writer_that_gives_up_lets_readers_in) {
    rt::rwlock lock;
    const rt::rwlock::read_guard reading = lock.try_read();
    rt::test::sleeper writer([&] { cr_assert_not(lock.blocking_write(20ms)); });
    writer.until_asleep();
    cr_assert(lock.blocking_read(1h));
    writer.join();
}

// ---- rt::notify ---------------------------------------------------------------------------------

Test(time_limit, a_notification_that_does_not_come_is_not_had) {
    rt::notify news;
    for (const time_limit limit : short_limits()) {
        cr_assert_not(news.blocking_wait(limit));
        news.notify_one();
        cr_assert(news.blocking_wait(limit), "it is kept for the next one, who has not given up");
        cr_assert_not(news.blocking_wait(limit), "there was one");
        news.notify_waiters();
        cr_assert_not(news.blocking_wait(limit), "nobody waited");
    }
}

Test(time_limit, a_notification_in_time_is_had) {
    rt::notify news;
    bool is_told = false;
    rt::test::sleeper first([&] { is_told = news.blocking_wait(1h); });
    first.until_asleep();
    news.notify_one();
    first.join();
    cr_assert(is_told);
    rt::test::sleeper second([&] { is_told = news.blocking_wait(1h); });
    second.until_asleep();
    do {
        news.notify_waiters(); // counts for those who wait already
        second.until_asleep();
    } while (!second.has_ended());
    cr_assert(is_told);
}

// ---- channels -----------------------------------------------------------------------------------

Test(time_limit, an_answer_that_is_late_can_still_be_received) {
    auto [tx, rx] = rt::oneshot::channel<int>();
    for (const time_limit limit : short_limits()) {
        cr_assert(rx.blocking_recv(limit).error().is(rt::errc::timed_out));
    }
    cr_assert(tx.send(7));
    cr_assert_eq(rx.blocking_recv(0ms).value(), 7);
    cr_assert(rx.blocking_recv(1h).error().is(rt::errc::closed), "it was taken");

    auto [other_tx, other_rx] = rt::oneshot::channel<int>();
    cr_assert(other_rx.blocking_recv(0ms).error().is(rt::errc::timed_out));
    rt::test::sleeper waiting([&from = other_rx] {
        cr_assert(from.blocking_recv(1h).error().is(rt::errc::closed));
    });
    waiting.until_asleep();
    auto dropped = std::move(other_tx);
    dropped = {};
    waiting.join();
}

Test(time_limit, messages_that_are_late_can_still_be_received) {
    auto [tx, rx] = rt::mpsc::channel<int>(2);
    for (const time_limit limit : short_limits()) {
        cr_assert(rx.blocking_recv(limit).error().is(rt::errc::timed_out));
        cr_assert(tx.try_send(1));
        cr_assert_eq(rx.blocking_recv(limit).value(), 1);
    }
    rt::test::sleeper waiting([&from = rx] { cr_assert_eq(from.blocking_recv(1h).value(), 2); });
    waiting.until_asleep();
    cr_assert(tx.try_send(2));
    waiting.join();
    tx = {};
    cr_assert(rx.blocking_recv(0ms).error().is(rt::errc::closed), "the end is not waited for");
    cr_assert(decltype(rx)().blocking_recv(1h).error().is(rt::errc::closed));
}

Test(time_limit, many_messages_that_are_late_can_still_be_received) {
    auto [tx, rx] = rt::mpsc::channel<int>(3);
    std::vector<int> got;
    for (const time_limit limit : short_limits()) {
        cr_assert_eq(rx.blocking_recv_many(got, 2, limit), 0U);
        cr_assert_not(rx.is_closed(), "it is not the end");
        cr_assert_eq(rx.blocking_recv_many(got, 0, limit), 0U);
        for (int i = 0; i < 3; ++i) {
            cr_assert(tx.try_send(i));
        }
        cr_assert_eq(rx.blocking_recv_many(got, 2, limit), 2U);
        cr_assert_eq(rx.blocking_recv_many(got, 2, limit), 1U);
    }
    cr_assert_eq(got.size(), 12U);
    cr_assert_eq(got[11], 2);
    tx = {};
    cr_assert_eq(rx.blocking_recv_many(got, 2, 1h), 0U);
    cr_assert(rx.is_closed() && rx.is_empty());
}

Test(time_limit, what_is_not_sent_stays_with_the_sender) {
    auto [tx, rx] = rt::mpsc::channel<std::unique_ptr<int>>(1);
    cr_assert(tx.blocking_send(std::make_unique<int>(1), 0ms), "there is room");
    auto kept = std::make_unique<int>(2);
    for (const time_limit limit : short_limits()) {
        const rt::result<void> sent = tx.blocking_send(std::move(kept), limit);
        cr_assert(sent.error().is(rt::errc::timed_out));
        cr_assert(kept != nullptr && *kept == 2);
        cr_assert(tx.blocking_reserve(limit).error().is(rt::errc::timed_out));
        cr_assert(tx.blocking_reserve_many(1, limit).error().is(rt::errc::timed_out));
    }
    cr_assert(tx.blocking_reserve_many(0, 0ms).has_value());
    cr_assert(tx.blocking_reserve_many(2, 1h).error().is(EINVAL), "there will never be so much");
    rt::test::sleeper waiting([&to = tx, &kept] {
        cr_assert(to.blocking_send(std::move(kept), 1h));
    });
    waiting.until_asleep();
    cr_assert_eq(**rx.blocking_recv(), 1);
    waiting.join();
    cr_assert_eq(**rx.blocking_recv(), 2);
    cr_assert_eq(tx.capacity(), 1U, "no room is lost");
    rx.close();
    kept = std::make_unique<int>(3);
    cr_assert(tx.blocking_send(std::move(kept), 1h).error().is(rt::errc::closed));
    cr_assert_eq(*kept, 3);
    cr_assert(decltype(tx)().blocking_send(std::move(kept), 1h).error().is(rt::errc::closed));
}

Test(time_limit, a_change_that_is_late_can_still_be_waited_for) {
    auto [tx, rx] = rt::watch::channel<int>(0);
    const auto is_positive = [](int value) {
        return value > 0;
    };
    for (const time_limit limit : short_limits()) {
        cr_assert(rx.blocking_changed(limit).error().is(rt::errc::timed_out));
        cr_assert(rx.blocking_wait_for(is_positive, limit).error().is(rt::errc::timed_out));
        cr_assert(tx.send(0));
        cr_assert(rx.blocking_changed(limit));
    }
    rt::test::sleeper waiting([from = rx, is_positive]() mutable {
        cr_assert_eq(**from.blocking_wait_for(is_positive, 1h), 3);
    });
    waiting.until_asleep();
    cr_assert(tx.send(0));
    waiting.until_asleep();
    cr_assert(tx.send(3));
    waiting.join();
    tx = {};
    cr_assert(rx.blocking_changed(0ms), "the last value was not seen yet");
    cr_assert(rx.blocking_changed(1h).error().is(rt::errc::closed));
}

// There is always a change that has not been seen.
Test(time_limit, a_condition_that_never_holds_is_given_up_though_the_value_changes) {
    auto [tx, rx] = rt::watch::channel<int>(0);
    for (const time_limit limit : short_limits()) {
        const auto got = rx.blocking_wait_for(
            [&to = tx](int value) {
                cr_assert(to.send(value + 1));
                return value == 20'000'000;
            },
            limit
        );
        cr_assert(got.error().is(rt::errc::timed_out));
    }
    cr_assert(rx.blocking_wait_for([](int value) { return value > 0; }, 0ms), "it holds at once");
    tx = {};
    const auto never = rx.blocking_wait_for([](int) { return false; }, 1h);
    cr_assert(never.error().is(rt::errc::closed));
}

Test(time_limit, a_value_for_all_that_is_late_can_still_be_received) {
    using rt::broadcast::recv_error;
    auto [tx, rx] = rt::broadcast::channel<int>(2);
    for (const time_limit limit : short_limits()) {
        const rt::broadcast::received<int> none = rx.blocking_recv(limit);
        cr_assert(none.error().is_timed_out());
        cr_assert_not(none.error().is_empty() || none.error().is_closed());
        cr_assert(rt::error(none.error()).is(rt::errc::timed_out));
        cr_assert(tx.send(1));
        cr_assert_eq(rx.blocking_recv(limit).value(), 1);
    }
    for (int i = 0; i < 5; ++i) {
        cr_assert(tx.send(i));
    }
    cr_assert(rx.blocking_recv(0ms).error() == recv_error::lagged(3));
    cr_assert_eq(rx.blocking_recv(0ms).value(), 3);
    cr_assert_eq(rx.blocking_recv(0ms).value(), 4);
    rt::test::sleeper waiting([&from = rx] {
        cr_assert(from.blocking_recv(1h).error().is_closed());
    });
    waiting.until_asleep();
    tx = {};
    waiting.join();
}

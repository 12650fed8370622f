// SPDX-License-Identifier: MIT
//
// Rows about rt::notify: two tasks that wake each other, and a thread that wakes many. In the
// latter the main thread never sleeps: it notifies until enough tasks say that they were woken,
// however many notifications found nobody waiting. The tasks wait until the runtime cancels them.
#include "sched/rows.h"

#include <rt/detail/atomic.h>
#include <rt/sync/notify.h>

#include <memory>
#include <utility>

namespace sched {
namespace {

constexpr std::uint32_t round_trips = 1000;

struct table {
    rt::notify a;
    rt::notify b;
};

rt::task<void> player_b(std::shared_ptr<table> at) {
    for (std::uint32_t i = 0; i < round_trips; ++i) {
        co_await at->b.notified();
        at->a.notify_one();
    }
}

rt::task<void> player_a(std::shared_ptr<table> at) {
    rt::join_handle<void> other = rt::spawn(player_b(at));
    for (std::uint32_t i = 0; i < round_trips; ++i) {
        at->b.notify_one();
        co_await at->a.notified();
    }
    co_await std::move(other);
}

rt::task<void> play() {
    co_await rt::spawn(player_a(std::make_shared<table>()));
}

void notify_pingpong(perf::bench& b) {
    rt::runtime runtime(config_for(b.workers()));
    b.measure([&] { runtime.block_on(play()); });
}

constexpr std::uint32_t wakes = 500;

struct crowd {
    rt::notify wake;
    alignas(128) rt::atomic<std::uint32_t> woken{0}; // an allocation of its own in the twins
};

// Until the runtime ends.
rt::task<void> wait_and_count(std::shared_ptr<crowd> with) {
    for (;;) {
        co_await with->wake.notified();
        with->woken.add_relaxed(1);
    }
}

enum class wake : std::uint8_t { one, all };

// The main thread notifies until enough tasks say that they were woken.
template<std::uint32_t waiters, wake how>
void notify_crowd(perf::bench& b) {
    rt::runtime runtime(config_for(b.workers()));
    const rt::handle handle = runtime.get_handle();
    const auto with = std::make_shared<crowd>();
    for (std::uint32_t i = 0; i < waiters; ++i) {
        handle.spawn(wait_and_count(with)).detach();
    }
    b.measure([&] {
        with->woken.store_relaxed(0);
        do {
            if constexpr (how == wake::one) {
                with->wake.notify_one();
            } else {
                with->wake.notify_waiters();
            }
        } while (with->woken.load_relaxed() < wakes);
    });
}

constexpr perf::row rows[] = {
    {"notify_pingpong_1000rt", notify_pingpong, perf::needs::any_runtime},
    {"notify_one_10", notify_crowd<10, wake::one>},
    {"notify_one_100", notify_crowd<100, wake::one>},
    {"notify_one_500", notify_crowd<500, wake::one>},
    {"notify_waiters_10", notify_crowd<10, wake::all>},
    {"notify_waiters_100", notify_crowd<100, wake::all>},
    {"notify_waiters_500", notify_crowd<500, wake::all>},
};
const perf::table table(rows);

} // namespace
} // namespace sched

// SPDX-License-Identifier: MIT
//
// Rows about the time from a wake-up to the first instruction of the task that was woken, when the
// thread that is to run it sleeps. These are latencies, each timed by itself: median, p90 and p99
// are over single wake-ups, as many as fit into the time: about 2000 a second, so the 5000 that
// others take want --seconds 2.5. On virtual machines the most of it is the way out of the idle
// CPU.
#include "sched/rows.h"

#include <rt/detail/atomic.h>
#include <rt/sync/notify.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <thread>

using namespace std::chrono_literals;

namespace sched {
namespace {

// Long enough for every worker to go to sleep.
constexpr auto pause = 300us;

// What the waking and the woken side share. The task stamps, then acknowledges.
struct target {
    rt::notify wake;
    rt::atomic<std::uint64_t> stamp_ns{0};
    rt::atomic<std::uint64_t> acknowledged{0};
};

// Acknowledges every wake-up until the runtime ends.
rt::task<void> acknowledge(std::shared_ptr<target> with) {
    for (std::uint64_t count = 1;; ++count) {
        co_await with->wake.notified();
        with->stamp_ns.store_relaxed(perf::now_ns());
        with->acknowledged.store_release(count); // release: pairs with is_acknowledged
    }
}

bool is_acknowledged(const target& with, std::uint64_t number) {
    return with.acknowledged.load_acquire() >= number; // acquire: pairs with acknowledge
}

// Spins until the wake-up of that number is acknowledged; false if it takes longer than any does
// when the machine is not taken by others.
bool spin_until_acknowledged(const target& with, std::uint64_t number) {
    constexpr std::uint64_t limit_ns = 20'000'000;
    const std::uint64_t begin = perf::now_ns();
    while (!is_acknowledged(with, number)) {
        if (perf::now_ns() - begin > limit_ns) {
            return false;
        }
    }
    return true;
}

// From a thread that is no worker. The row is the way there; the way back is a note.
void wake_remote(perf::bench& b) {
    rt::runtime runtime(config_for(b.workers()));
    const auto with = std::make_shared<target>();
    runtime.get_handle().spawn(acknowledge(with)).detach();
    std::uint64_t round_trips_ns = 0;
    std::uint64_t count = 0;
    b.start_samples();
    while (b.wants_sample()) {
        std::this_thread::sleep_for(pause);
        const std::uint64_t begin = perf::now_ns();
        with->wake.notify_one();
        ++count;
        while (!is_acknowledged(*with, count)) {
        }
        round_trips_ns += perf::now_ns() - begin;
        b.add_sample(static_cast<double>(with->stamp_ns.load_relaxed() - begin));
    }
    b.note("roundtrip_mean_ns", static_cast<double>(round_trips_ns) / static_cast<double>(count));
}

struct pair {
    rt::notify request;
    rt::notify reply;
};

rt::task<void> reply_always(std::shared_ptr<pair> with) {
    for (;;) {
        co_await with->request.notified();
        with->reply.notify_one();
    }
}

rt::task<void> request_one(std::shared_ptr<pair> with) {
    with->request.notify_one();
    co_await with->reply.notified();
}

void wake_blockon_roundtrip(perf::bench& b) {
    rt::runtime runtime(config_for(b.workers()));
    const auto with = std::make_shared<pair>();
    runtime.get_handle().spawn(reply_always(with)).detach();
    b.start_samples();
    while (b.wants_sample()) {
        std::this_thread::sleep_for(pause);
        const std::uint64_t begin = perf::now_ns();
        runtime.block_on(request_one(with));
        b.add_sample(static_cast<double>(perf::now_ns() - begin));
    }
}

rt::task<void> wait_always(std::shared_ptr<target> with) {
    for (;;) {
        co_await with->wake.notified();
    }
}

// The task on one worker wakes another, which the second worker must be woken for and steal: the
// first does not let go of its own. The decoy is for schedulers that keep the last one woken for
// themselves.
rt::task<void>
wake_other_worker(perf::bench& b, std::shared_ptr<target> with, std::shared_ptr<target> decoy) {
    constexpr std::uint64_t spin_ns = 150'000;
    std::uint64_t count = 0;
    double given_up = 0;
    double round_trips_ns = 0;
    double samples = 0;
    b.start_samples();
    while (b.wants_sample()) {
        for (int i = 0; i < 4; ++i) {
            co_await rt::yield();
        }
        for (const std::uint64_t begin = perf::now_ns(); perf::now_ns() - begin < spin_ns;) {
        }
        const std::uint64_t begin = perf::now_ns();
        with->wake.notify_one();
        decoy->wake.notify_one();
        if (spin_until_acknowledged(*with, ++count)) {
            round_trips_ns += static_cast<double>(perf::now_ns() - begin);
            ++samples;
            b.add_sample(static_cast<double>(with->stamp_ns.load_relaxed() - begin));
        }
        given_up += is_acknowledged(*with, count) ? 0 : 1;
        while (!is_acknowledged(*with, count)) {
            co_await rt::yield();
        }
    }
    b.note("given_up", given_up);
    b.note("roundtrip_mean_ns", round_trips_ns / std::max(samples, 1.0));
}

void wake_worker(perf::bench& b) {
    b.set_workers(2);
    rt::runtime runtime(config_for(2));
    const rt::handle handle = runtime.get_handle();
    const auto with = std::make_shared<target>();
    const auto decoy = std::make_shared<target>();
    handle.spawn(acknowledge(with)).detach();
    handle.spawn(wait_always(decoy)).detach();
    std::this_thread::sleep_for(1ms);
    runtime.block_on(wake_other_worker(b, with, decoy));
}

constexpr perf::row rows[] = {
    {"wake_remote", wake_remote},
    {"wake_blockon_roundtrip", wake_blockon_roundtrip},
    {"wake_worker", wake_worker},
};
const perf::table table(rows);

} // namespace
} // namespace sched

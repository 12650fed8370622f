// SPDX-License-Identifier: MIT
//
// Threads whose time limits pass while they are being served: limits of 0 to 50 us around waits
// that last about as long, so that every moment of a hand-over is met. Nothing may be lost by it:
// permits and messages are counted at the end, and a lock or notification that is missing keeps
// somebody waiting for ever, who has no limit.
#include "base/random.h"
#include "stress/seed.h"
#include "support/runtimes.h"
#include "support/test.h"
#include "sync/waiting.h"

#include <rt/result.h>
#include <rt/runtime.h>
#include <rt/spawn.h>
#include <rt/sync.h>
#include <rt/time.h>
#include <rt/time_limit.h>
#include <rt/yield.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
using rt::base::random_source;
using rt::test::run;

constexpr unsigned threads_max = 4;
constexpr int rounds = 4'000;

rt::time_limit tiny(random_source& random) {
    return std::chrono::nanoseconds(random.below(50'000));
}

// Calls body(random, number) on so many threads, with a source for each.
template<typename Body>
void on_threads(const char* test, unsigned count, Body body) {
    const std::uint64_t seed = rt::test::stress_seed(test);
    std::vector<std::thread> threads;
    for (unsigned i = 0; i < count; ++i) {
        threads.emplace_back([seed, i, &body] {
            random_source random(seed + i);
            body(random, i);
        });
    }
    for (std::thread& each : threads) {
        each.join();
    }
}

// ---- locks --------------------------------------------------------------------------------------

struct lock_ground {
    rt::semaphore slots{3};
    rt::atomic<int> free{3};
    rt::mutex lock;
    long counted = 0; // guarded by lock
    rt::atomic<long> had{0};
    rt::rwlock table;
    long written[2] = {}; // guarded by table; both are the same
};

void use_permits(lock_ground& ground, rt::semaphore::permit mine, random_source& random) {
    if (!mine) {
        return;
    }
    const auto count = static_cast<int>(mine.count());
    cr_assert_geq(ground.free.sub_acq_rel(count), count, "more permits than there are");
    if (random.below(4) == 0) {
        std::this_thread::yield();
    }
    ground.free.add_acq_rel(count);
}

void use_lock(lock_ground& ground, rt::mutex::guard mine) {
    if (mine) {
        ++ground.counted;
        ground.had.add_relaxed(1);
    }
}

void use_table(lock_ground& ground, random_source& random) {
    if (random.below(3) != 0) {
        const rt::rwlock::read_guard reading = ground.table.blocking_read(tiny(random));
        cr_assert(!reading || ground.written[0] == ground.written[1]);
    } else if (const rt::rwlock::write_guard writing = ground.table.blocking_write(tiny(random))) {
        ++ground.written[0];
        std::this_thread::yield();
        ++ground.written[1];
    }
}

// Who has no limit, among those who have.
rt::task<void> takes_turns(lock_ground* ground) {
    for (int i = 0; i < rounds; ++i) {
        const rt::semaphore::permit all = co_await ground->slots.acquire(3);
        cr_assert_eq(ground->free.load_acquire(), 3);
        const rt::mutex::guard held = co_await ground->lock.lock();
        ++ground->counted;
        ground->had.add_relaxed(1);
        const rt::rwlock::write_guard writing = co_await ground->table.write();
        cr_assert_eq(ground->written[0], ground->written[1]);
    }
}

} // namespace

Test(time_limit_storm, no_lock_or_permit_is_lost) {
    lock_ground ground;
    rt::runtime runtime(rt::test::settings());
    rt::join_handle<void> patient = runtime.get_handle().spawn(takes_turns(&ground));
    on_threads("time_limit_storm", threads_max, [&](random_source& random, unsigned) {
        for (int i = 0; i < rounds; ++i) {
            const std::uint32_t count = 1 + random.below(3);
            use_permits(ground, ground.slots.blocking_acquire(count, tiny(random)), random);
            use_lock(ground, ground.lock.blocking_lock(tiny(random)));
            use_table(ground, random);
        }
    });
    runtime.block_on([](rt::join_handle<void> task) -> rt::task<void> {
        co_await std::move(task);
    }(std::move(patient)));
    cr_assert_eq(ground.slots.available(), 3U);
    cr_assert_not(ground.lock.is_locked());
    cr_assert_eq(ground.counted, ground.had.load_relaxed());
    cr_assert(ground.table.try_write());
}

// ---- notifications ------------------------------------------------------------------------------

namespace {

struct bell {
    rt::notify rung;
    rt::notify answered;
    rt::atomic<bool> is_over{false};
};

} // namespace

// Each is answered, by whichever of those who wait, or the ringer waits for ever. It rings about
// when somebody gives up.
Test(time_limit_storm, no_notification_is_lost) {
    bell at;
    std::thread ringer([&at] {
        random_source random(rt::test::stress_seed("time_limit_storm"));
        for (int i = 0; i < 2 * rounds; ++i) {
            const rt::clock::time_point when = rt::clock::now() + 1ns * random.below(50'000);
            while (rt::clock::now() < when) {
            }
            if (i % 3 == 0) {
                at.rung.notify_last();
            } else {
                at.rung.notify_one();
            }
            at.answered.blocking_wait();
        }
        at.is_over.store_release(true);
    });
    rt::atomic<int> answers{0};
    on_threads("time_limit_storm", 3, [&](random_source& random, unsigned) {
        while (!at.is_over.load_acquire()) {
            if (at.rung.blocking_wait(tiny(random))) {
                answers.add_relaxed(1);
                at.answered.notify_one();
            }
        }
    });
    ringer.join();
    cr_assert_eq(answers.load_relaxed(), 2 * rounds);
    cr_assert_not(at.rung.blocking_wait(0ms), "one was delivered and kept");
}

// ---- channels -----------------------------------------------------------------------------------

namespace {

// One that is moved from shows it.
struct message {
    unsigned from;
    std::unique_ptr<int> number;
};

// Repeats each until it is sent.
void send_all(rt::mpsc::sender<message> to, random_source& random, unsigned self) {
    for (int i = 0; i < rounds; ++i) {
        message next{self, std::make_unique<int>(i)};
        for (;;) {
            const rt::result<void> sent = to.blocking_send(std::move(next), tiny(random));
            if (sent) {
                break;
            }
            cr_assert(sent.error().is(rt::errc::timed_out));
            cr_assert(next.number != nullptr && *next.number == i, "it is the sender's still");
        }
    }
}

// Each message once, and those of a sender in their order.
void receive_all(rt::mpsc::receiver<message> from, random_source& random) {
    int expected[threads_max] = {};
    for (;;) {
        const rt::result<message> got = from.blocking_recv(tiny(random));
        if (got) {
            cr_assert_eq(*got->number, expected[got->from]++);
        } else if (got.error().is(rt::errc::closed)) {
            break;
        }
    }
    for (unsigned i = 0; i + 1 < threads_max; ++i) {
        cr_assert_eq(expected[i], rounds, "%d of sender %u", expected[i], i);
    }
}

} // namespace

Test(time_limit_storm, no_message_is_lost) {
    for (const std::uint64_t capacity : {1, 3, 64}) {
        auto [tx, rx] = rt::mpsc::channel<message>(capacity);
        rt::mpsc::sender<message> senders[threads_max - 1] = {tx, tx, tx};
        tx = {};
        rt::mpsc::receiver<message> receiver = std::move(rx);
        on_threads("time_limit_storm", threads_max, [&](random_source& random, unsigned self) {
            if (self + 1 < threads_max) {
                send_all(std::move(senders[self]), random, self);
            } else {
                receive_all(std::move(receiver), random);
            }
        });
    }
}

Test(time_limit_storm, no_answer_is_lost) {
    rt::runtime runtime(rt::test::settings());
    on_threads("time_limit_storm", 2, [&](random_source& random, unsigned) {
        for (int i = 0; i < rounds; ++i) {
            auto [tx, rx] = rt::oneshot::channel<int>();
            runtime.get_handle()
                .spawn([](rt::oneshot::sender<int> to, int number) -> rt::task<void> {
                    cr_assert(to.send(number));
                    co_return;
                }(std::move(tx), i))
                .detach();
            rt::result<int> got = rx.blocking_recv(tiny(random));
            while (!got && got.error().is(rt::errc::timed_out)) {
                got = rx.blocking_recv(tiny(random));
            }
            cr_assert_eq(got.value(), i);
        }
    });
}

Test(time_limit_storm, no_value_for_all_is_lost) {
    auto [values_tx, values_rx] = rt::broadcast::channel<int>(16'384);
    auto [latest_tx, latest_rx] = rt::watch::channel<int>(-1);
    std::vector<rt::broadcast::receiver<int>> each_value;
    std::vector<rt::watch::receiver<int>> each_latest;
    for (unsigned i = 0; i < threads_max; ++i) {
        each_value.push_back(values_tx.subscribe());
        each_latest.push_back(latest_rx);
    }
    auto sender =
        std::thread([values = std::move(values_tx), latest = std::move(latest_tx)]() mutable {
            for (int i = 0; i < rounds; ++i) {
                cr_assert(values.send(i));
                cr_assert(latest.send(i));
                std::this_thread::yield();
            }
        });
    on_threads("time_limit_storm", threads_max, [&](random_source& random, unsigned self) {
        int expected = 0;
        int last = -1;
        while (expected < rounds || last + 1 < rounds) {
            if (const auto got = each_value[self].blocking_recv(tiny(random))) {
                cr_assert_eq(*got, expected++);
            } else {
                cr_assert(got.error().is_timed_out() || expected == rounds);
            }
            if (each_latest[self].blocking_changed(tiny(random))) {
                const int now = *each_latest[self].borrow_and_update();
                cr_assert_geq(now, last);
                last = now;
            }
        }
    });
    sender.join();
}

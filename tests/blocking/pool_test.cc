// SPDX-License-Identifier: MIT
//
// The blocking pool by itself: jobs are submitted from the test's thread, without a runtime.
//
// Where a test needs to know that a job is running, the job says so through a latch; where it needs
// one to go on running, the job waits on one. A pool that forgets a job or counts on the same
// thread twice makes the test hang, and its time limit fails it.
#include "blocking/pool.h"
#include "blocking/test_job.h"
#include "support/test.h"

#include <rt/detail/atomic.h>

#include <chrono>
#include <cstdlib>
#include <latch>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>

namespace {

using namespace std::chrono_literals;
using rt::offload::pool;
using job = test_job;

constexpr auto hours = std::chrono::milliseconds(1h);

} // namespace

Test(pool, runs_jobs_on_named_threads_of_its_own) {
    pool workers(1, hours, "abcdefghij");
    std::string name;
    std::thread::id id;
    std::latch done(1);
    job one(
        [&] {
            char text[16];
            pthread_getname_np(pthread_self(), text, sizeof(text));
            name = text;
            id = std::this_thread::get_id();
        },
        &done
    );
    cr_assert(workers.submit(one).has_value());
    done.wait();
    cr_assert_str_eq(name.c_str(), "abcdefghij-b0");
    cr_assert(id != std::this_thread::get_id());
}

Test(pool, first_come_first_served) {
    constexpr int count = 100;
    pool workers(1, hours, "t");
    std::vector<int> order;
    std::latch done(count);
    std::vector<std::unique_ptr<job>> jobs;
    for (int i = 0; i < count; ++i) {
        jobs.push_back(std::make_unique<job>([&order, i] { order.push_back(i); }, &done));
        cr_assert(workers.submit(*jobs.back()).has_value());
    }
    done.wait();
    for (int i = 0; i < count; ++i) {
        cr_assert(order[static_cast<std::size_t>(i)] == i);
    }
}

Test(pool, never_makes_more_threads_than_allowed) {
    constexpr int count = 200;
    constexpr int cap = 3;
    pool workers(cap, hours, "t");
    rt::atomic<int> running{0};
    rt::atomic<int> most{0};
    std::latch done(count);
    std::vector<std::unique_ptr<job>> jobs;
    for (int i = 0; i < count; ++i) {
        jobs.push_back(std::make_unique<job>(
            [&] {
                const int now = running.add_relaxed(1) + 1;
                int seen = most.load_relaxed();
                while (seen < now && !most.cas_weak_relaxed(seen, now)) {
                }
                std::this_thread::yield();
                running.sub_relaxed(1);
            },
            &done
        ));
        cr_assert(workers.submit(*jobs.back()).has_value());
    }
    done.wait();
    cr_assert(most.load_relaxed() <= cap);
    cr_assert(workers.read().threads <= cap);
}

// Tokio #8056: one idle thread, two jobs in quick succession. Each must get a thread, because each
// waits for the other.
Test(pool, two_jobs_never_count_on_one_idle_thread) {
    pool workers(2, hours, "t");
    for (int round = 0; round < 200; ++round) {
        std::latch both(2);
        std::latch done(2);
        job first([&] { both.arrive_and_wait(); }, &done);
        job second([&] { both.arrive_and_wait(); }, &done);
        cr_assert(workers.submit(first).has_value());
        cr_assert(workers.submit(second).has_value());
        done.wait();
    }
    cr_assert_eq(workers.read().threads, 2);
}

// More jobs at once than threads are called at once: each waits for all others, so each must get a
// thread of its own, first new ones and then idle ones.
Test(pool, every_job_of_a_burst_gets_a_thread) {
    constexpr int count = 40;
    pool workers(count, hours, "t");
    for (int round = 0; round < 20; ++round) {
        std::latch all(count);
        std::latch done(count);
        std::vector<std::unique_ptr<job>> jobs;
        for (int i = 0; i < count; ++i) {
            jobs.push_back(std::make_unique<job>([&] { all.arrive_and_wait(); }, &done));
            cr_assert(workers.submit(*jobs.back()).has_value());
        }
        done.wait();
    }
    cr_assert_eq(workers.read().threads, count);
}

// The job comes at any moment of the thread's way from its last job to sleep.
Test(pool, b151_a_job_is_not_stranded_while_the_only_thread_goes_idle) {
    pool workers(1, hours, "t");
    for (int round = 0; round < 5000; ++round) {
        std::latch done(1);
        job one([] {}, &done);
        cr_assert(workers.submit(one).has_value());
        for (int i = 0; i < round % 64; ++i) {
            rt::compiler_barrier();
        }
        done.wait();
    }
}

// Some threads are held for long while others go idle and are called again.
Test(pool, b152_no_job_is_lost_between_long_ones_and_idle_threads) {
    constexpr int held_count = 4;
    pool workers(8, hours, "t");
    std::latch started(held_count);
    std::latch go_on(1);
    std::latch ended(held_count);
    std::vector<std::unique_ptr<job>> held;
    for (int i = 0; i < held_count; ++i) {
        held.push_back(std::make_unique<job>(
            [&] {
                started.count_down();
                go_on.wait();
            },
            &ended
        ));
        cr_assert(workers.submit(*held.back()).has_value());
    }
    started.wait();
    for (int round = 0; round < 512; ++round) {
        std::latch done(3);
        job a([] {}, &done);
        job b([] {}, &done);
        job c([] {}, &done);
        for (job* one : {&a, &b, &c}) {
            cr_assert(workers.submit(*one).has_value());
        }
        done.wait();
    }
    go_on.count_down();
    ended.wait();
}

Test(pool, reuses_an_idle_thread) {
    pool workers(8, hours, "t");
    for (int round = 0; round < 50; ++round) {
        std::latch done(1);
        job one([] {}, &done);
        cr_assert(workers.submit(one).has_value());
        done.wait();
        while (workers.read().idle == 0) {
            std::this_thread::yield();
        }
    }
    cr_assert_eq(workers.read().threads, 1);
}

Test(pool, withdraws_what_is_queued_and_only_that) {
    pool workers(1, hours, "t");
    std::latch started(1);
    std::latch go_on(1);
    std::latch done(1);
    bool has_run = false;
    job running(
        [&] {
            started.count_down();
            go_on.wait();
        },
        &done
    );
    job queued([&] { has_run = true; });
    cr_assert(workers.submit(running).has_value());
    started.wait();
    cr_assert(workers.submit(queued).has_value());
    cr_assert_eq(workers.read().queued, 1);
    cr_assert(workers.withdraw(queued));
    cr_assert_eq(workers.read().queued, 0);
    cr_assert_not(workers.withdraw(queued));
    cr_assert_not(workers.withdraw(running));
    go_on.count_down();
    done.wait();
    workers.shut_down();
    cr_assert_not(has_run);
}

Test(pool, withdraws_from_the_middle_of_the_queue) {
    pool workers(1, hours, "t");
    std::latch started(1);
    std::latch go_on(1);
    std::latch done(3);
    std::vector<int> order;
    job blocker(
        [&] {
            started.count_down();
            go_on.wait();
        },
        &done
    );
    job a([&] { order.push_back(1); }, &done);
    job b([&] { order.push_back(2); }, &done);
    job c([&] { order.push_back(3); }, &done);
    for (job* one : {&blocker, &a, &b, &c}) {
        cr_assert(workers.submit(*one).has_value());
    }
    started.wait();
    cr_assert(workers.withdraw(b));
    go_on.count_down();
    done.wait();
    cr_assert_eq(order.size(), 2);
    cr_assert(order[0] == 1 && order[1] == 3);
}

Test(pool, idle_threads_leave_after_keep_alive) {
    pool workers(4, 1ms, "t");
    for (int round = 0; round < 5; ++round) {
        std::latch done(4);
        std::latch together(4);
        std::vector<std::unique_ptr<job>> jobs;
        for (int i = 0; i < 4; ++i) {
            jobs.push_back(std::make_unique<job>([&] { together.arrive_and_wait(); }, &done));
            cr_assert(workers.submit(*jobs.back()).has_value());
        }
        done.wait();
        while (workers.read().threads != 0) {
            std::this_thread::yield();
        }
    }
    cr_assert_eq(workers.read().idle, 0);
}

Test(pool, shut_down_runs_what_it_accepted_and_refuses_the_rest) {
    constexpr int count = 50;
    pool workers(2, hours, "t");
    rt::atomic<int> ran{0};
    std::vector<std::unique_ptr<job>> jobs;
    for (int i = 0; i < count; ++i) {
        jobs.push_back(std::make_unique<job>([&] { ran.add_relaxed(1); }));
        cr_assert(workers.submit(*jobs.back()).has_value());
    }
    workers.shut_down();
    cr_assert_eq(ran.load_relaxed(), count);
    job late([&] { ran.add_relaxed(1); });
    const rt::result<void> refused = workers.submit(late);
    cr_assert_not(refused.has_value());
    cr_assert(refused.error() == rt::errc::shut_down);
    workers.shut_down();
    cr_assert_eq(ran.load_relaxed(), count);
    cr_assert_eq(workers.read().threads, 0);
}

Test(pool, threads_block_every_signal) {
    pool workers(1, hours, "t");
    std::latch done(1);
    bool all_blocked = true;
    job one(
        [&] {
            sigset_t mask;
            pthread_sigmask(SIG_SETMASK, nullptr, &mask);
            for (const int number : {SIGINT, SIGTERM, SIGUSR1, SIGCHLD, SIGALRM}) {
                all_blocked = all_blocked && sigismember(&mask, number) == 1;
            }
        },
        &done
    );
    sigset_t before;
    pthread_sigmask(SIG_SETMASK, nullptr, &before);
    cr_assert(workers.submit(one).has_value());
    done.wait();
    cr_assert(all_blocked);
    sigset_t after;
    pthread_sigmask(SIG_SETMASK, nullptr, &after);
    cr_assert(sigismember(&after, SIGINT) == sigismember(&before, SIGINT));
}

// Workers are pinned, and a thread inherits the mask of the one that makes it.
Test(pool, threads_do_not_inherit_the_pin_of_the_submitter) {
    cpu_set_t all;
    cr_assert(sched_getaffinity(0, sizeof(all), &all) == 0);
    if (CPU_COUNT(&all) < 2) {
        cr_skip_test("needs two CPUs");
    }
    pool workers(1, hours, "t");
    int pinned = 0;
    while (!CPU_ISSET(pinned, &all)) {
        ++pinned;
    }
    cpu_set_t one_cpu;
    CPU_ZERO(&one_cpu);
    CPU_SET(pinned, &one_cpu);
    cr_assert(sched_setaffinity(0, sizeof(one_cpu), &one_cpu) == 0);
    cpu_set_t seen;
    CPU_ZERO(&seen);
    std::latch done(1);
    job one([&] { sched_getaffinity(0, sizeof(seen), &seen); }, &done);
    cr_assert(workers.submit(one).has_value());
    done.wait();
    cr_assert(CPU_EQUAL(&seen, &all));
}

// Without address space for a stack pthread_create gives EAGAIN. The first job has no thread to run
// on and is refused; once there is one, further jobs are queued for it.
Test(pool, lives_with_threads_that_cannot_be_made) {
#if defined(RT_SANITIZED)
    cr_skip_test("a sanitizer's address space cannot be limited");
#endif
    pool workers(4, hours, "t");
    bool has_run = false;
    job refused([&] { has_run = true; });
    rlimit before{};
    cr_assert(getrlimit(RLIMIT_AS, &before) == 0);
    rlimit none = before;
    none.rlim_cur = 1 << 20;
    cr_assert(setrlimit(RLIMIT_AS, &none) == 0);
    const rt::result<void> outcome = workers.submit(refused);
    cr_assert(setrlimit(RLIMIT_AS, &before) == 0);
    cr_assert_not(outcome.has_value());
    cr_assert(outcome.error().is(EAGAIN) || outcome.error().is(ENOMEM));
    cr_assert_eq(workers.read().queued, 0);

    std::latch started(1);
    std::latch go_on(1);
    std::latch done(2);
    job first(
        [&] {
            started.count_down();
            go_on.wait();
        },
        &done
    );
    job second([] {}, &done);
    cr_assert(workers.submit(first).has_value());
    started.wait();
    cr_assert(setrlimit(RLIMIT_AS, &none) == 0);
    const rt::result<void> queued = workers.submit(second);
    cr_assert(setrlimit(RLIMIT_AS, &before) == 0);
    cr_assert(queued.has_value());
    cr_assert_eq(workers.read().threads, 1);
    go_on.count_down();
    done.wait();
    cr_assert_not(has_run);
}

// One thread is held while somebody queues many jobs and then somebody else queues one: that one
// does not wait for all of them.
Test(pool, a_backlog_of_one_submitter_does_not_hold_up_another) {
    constexpr int backlog = 100;
    pool workers(1, hours, "t", nullptr, 0, 16);
    std::latch started(1);
    std::latch go_on(1);
    std::latch done(backlog + 2);
    job holder(
        [&] {
            started.count_down();
            go_on.wait();
        },
        &done
    );
    cr_assert(workers.submit(holder).has_value());
    started.wait();
    int before_other = 0;
    int before = 0;
    std::vector<std::unique_ptr<job>> jobs;
    for (int i = 0; i < backlog; ++i) {
        jobs.push_back(std::make_unique<job>([&] { ++before; }, &done));
        cr_assert(workers.submit(*jobs.back()).has_value());
    }
    job other([&] { before_other = before; }, &done);
    bool is_accepted = false;
    std::thread([&] { is_accepted = workers.submit(other).has_value(); }).join();
    go_on.count_down();
    done.wait();
    cr_assert(is_accepted);
    cr_assert(before_other <= 1, "%d jobs went before it", before_other);
}

Test(pool, many_submitters_and_withdrawals) {
    constexpr int rounds = 300;
    for (const std::uint32_t shards : {1U, 2U, 16U}) {
        const int submitters = shards == 16 ? 64 : 3;
        pool workers(4, 1ms, "t", nullptr, 0, shards);
        rt::atomic<int> ran{0};
        rt::atomic<int> withdrawn{0};
        std::vector<std::thread> threads;
        for (int i = 0; i < submitters; ++i) {
            threads.emplace_back([&] {
                for (int round = 0; round < rounds; ++round) {
                    std::latch done(2);
                    job a([&] { ran.add_relaxed(1); }, &done);
                    job b([&] { ran.add_relaxed(1); }, &done);
                    if (!workers.submit(a) || !workers.submit(b)) {
                        std::abort();
                    }
                    if (workers.withdraw(b)) {
                        withdrawn.add_relaxed(1);
                        done.count_down();
                    }
                    done.wait();
                }
            });
        }
        for (std::thread& one : threads) {
            one.join();
        }
        cr_assert_eq(ran.load_relaxed() + withdrawn.load_relaxed(), submitters * rounds * 2);
        cr_assert_eq(workers.read().queued, 0);
    }
}

Test(pool, latency_counts_every_job_that_was_run) {
    constexpr std::uint64_t count = 100;
    pool workers(2, hours, "t");
    std::latch done(count);
    std::vector<std::unique_ptr<job>> jobs;
    for (std::uint64_t i = 0; i < count; ++i) {
        jobs.push_back(std::make_unique<job>([] {}, &done));
        cr_assert(workers.submit(*jobs.back()).has_value());
    }
    done.wait();
    workers.shut_down();
    cr_assert(workers.read_latency().total() == (rt::features::metrics ? count : 0));
}

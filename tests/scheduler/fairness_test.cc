// SPDX-License-Identifier: MIT
//
// Fairness, whole: every way in which work can keep a worker busy without end, beside every way in
// which a task can become ready, on current_thread and on 1, 2 and 8 workers, over both drivers.
//
// There are several of each load for each worker, and a load never ends by itself: a place that is
// not looked at while another one has something makes the test hang, and the time limit is the
// assertion. The loads are ended by the runtime's destruction.
#include "support/test.h"
#include "task/gate.h"
#include "task/sockets.h"

#include <rt/blocking.h>
#include <rt/detail/atomic.h>
#include <rt/runtime.h>
#include <rt/spawn.h>
#include <rt/spawn_on.h>
#include <rt/sync/mpsc.h>
#include <rt/time.h>
#include <rt/yield.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <thread>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
using rt::task;
using rt::test::gate;
using rt::test::read_one;
using rt::test::sockets;
using rt::test::with_workers;

// ---- loads --------------------------------------------------------------------------------------

// The places that each keeps full: the deferred tasks.
task<void> yields() {
    for (;;) {
        co_await rt::yield();
    }
}

// The fresh stack: each spawns the next and ends.
task<void> respawns() {
    rt::spawn(respawns).detach();
    co_return;
}

task<void> does_nothing() {
    co_return;
}

// The LIFO slot: a child's end wakes its parent.
task<void> spawns_and_joins() {
    for (;;) {
        co_await rt::spawn(does_nothing);
    }
}

// The ring: more messages than one go round and wake one task after the other.
task<void> passes_on(rt::mpsc::receiver<int> from, rt::mpsc::unbounded_sender<int> to) {
    while (auto got = co_await from.recv()) {
        static_cast<void>(to.send(*got));
    }
}

constexpr int ring_size = 8;

task<void> sends_round() {
    std::vector<rt::mpsc::unbounded_sender<int>> senders;
    std::vector<rt::mpsc::receiver<int>> receivers;
    for (int i = 0; i < ring_size; ++i) {
        auto [tx, rx] = rt::mpsc::unbounded_channel<int>();
        senders.push_back(std::move(tx));
        receivers.push_back(std::move(rx));
    }
    for (std::size_t i = 0; i < ring_size; ++i) {
        static_cast<void>(senders[i].send(1));
        rt::spawn(passes_on, std::move(receivers[i]), senders[(i + 1) % ring_size]).detach();
    }
    co_return;
}

// The bound tasks of the worker that it is spawned on.
task<void> respawns_locally() {
    rt::spawn_local(respawns_locally).detach();
    co_return;
}

enum class load { yielding, spawning, joining, messages, bound, all };

void put_on(const rt::handle& onto, load what) {
    for (std::uint32_t i = 0; i < 3 * onto.worker_count(); ++i) {
        if (what == load::yielding || what == load::all) {
            onto.spawn(yields()).detach();
        }
        if (what == load::spawning || what == load::all) {
            onto.spawn(respawns()).detach();
        }
        if (what == load::joining || what == load::all) {
            onto.spawn(spawns_and_joins()).detach();
        }
        if (what == load::messages || what == load::all) {
            onto.spawn(sends_round()).detach();
        }
        if (what == load::bound || what == load::all) {
            onto.spawn_on(i % onto.worker_count(), respawns_locally()).detach();
        }
    }
}

// The injection queues: a thread that never lets them run empty, and never fills the memory.
class outside_load {
public:
    explicit outside_load(rt::handle onto)
        : thread_([this, to = std::move(onto)] {
            while (!is_over_.load_acquire()) {
                if (queued_.load_acquire() < 500) {
                    queued_.add_acq_rel(1);
                    to.spawn(counts_down(&queued_)).detach();
                }
            }
        }) {}
    outside_load(const outside_load&) = delete;
    outside_load& operator=(const outside_load&) = delete;
    ~outside_load() {
        is_over_.store_release(true);
        thread_.join();
        while (queued_.load_acquire() != 0) {
            std::this_thread::yield();
        }
    }

private:
    static task<void> counts_down(rt::atomic<int>* count) {
        count->sub_acq_rel(1);
        co_return;
    }

    rt::atomic<int> queued_{0};
    rt::atomic<bool> is_over_{false};
    std::thread thread_;
};

// ---- whoever must not be starved ----------------------------------------------------------------

task<void> opens(gate* at) {
    at->open();
    co_return;
}

// A child, whether it is joined when it has ended or before that.
task<void> is_served_by_tasks() {
    gate at;
    auto child = rt::spawn(opens, &at);
    co_await at.wait();
    co_await std::move(child);
    for (int i = 0; i < 5; ++i) {
        co_await rt::yield();
    }
}

task<void> is_served_from_outside(rt::handle onto) {
    gate begun;
    gate woken;
    std::thread foreign([&] {
        onto.spawn(opens(&begun)).detach();
        while (woken.waiting() == 0) {
            std::this_thread::yield();
        }
        woken.open();
    });
    co_await begun.wait();
    co_await woken.wait();
    foreign.join();
    cr_assert_eq(co_await rt::blocking([] { return 7; }), 7);
}

task<void> is_served_by_the_driver() {
    co_await rt::sleep(1ms);
    sockets pair;
    for (char byte = 'a'; byte < 'd'; ++byte) {
        std::thread writer([&] { pair.write(byte); });
        cr_assert_eq(co_await read_one(&pair.near), byte);
        writer.join();
    }
}

task<void> is_served(rt::handle onto) {
    co_await is_served_by_tasks();
    co_await is_served_from_outside(onto);
    co_await is_served_by_the_driver();
}

// The root, a task of its own, and a bound one on each worker.
task<void> all_are_served(rt::handle onto) {
    std::vector<rt::join_handle<void>> served;
    served.push_back(rt::spawn(is_served, onto));
    for (std::uint32_t worker = 0; worker < onto.worker_count(); ++worker) {
        served.push_back(onto.spawn_on(worker, is_served(onto)));
    }
    co_await is_served(onto);
    for (auto& each : served) {
        co_await std::move(each);
    }
}

template<typename Body>
void everywhere(Body body) {
    for (const rt::driver_kind driver : {rt::driver_kind::automatic, rt::driver_kind::epoll}) {
        for (const std::uint32_t workers : {0U, 1U, 2U, 8U}) {
            rt::runtime runtime(with_workers(workers, driver));
            body(runtime);
        }
    }
}

void check(load what) {
    everywhere([what](rt::runtime& runtime) {
        put_on(runtime.get_handle(), what);
        runtime.block_on(all_are_served(runtime.get_handle()));
    });
}

} // namespace

Test(fairness, b009_b010_b011_beside_tasks_that_yield) {
    check(load::yielding);
}

Test(fairness, b009_b010_b011_beside_chains_of_spawns) {
    check(load::spawning);
}

Test(fairness, b009_b010_b011_beside_tasks_that_spawn_and_join) {
    check(load::joining);
}

Test(fairness, b009_b010_b011_beside_messages_that_go_round) {
    check(load::messages);
}

Test(fairness, b009_b010_b011_beside_chains_of_bound_tasks) {
    check(load::bound);
}

Test(fairness, b009_b010_b011_beside_spawns_from_outside) {
    everywhere([](rt::runtime& runtime) {
        runtime.block_on([](rt::handle onto) -> task<void> {
            // On current_thread it is served only while this task is.
            auto* const flood = new outside_load(onto);
            co_await all_are_served(onto);
            co_await rt::blocking([flood] { delete flood; });
        }(runtime.get_handle()));
    });
}

Test(fairness, b009_b010_b011_beside_all_of_them) {
    check(load::all);
}

// ---- new tasks below others ---------------------------------------------------------------------

namespace {

using flag = rt::atomic<bool>;
using counter = rt::atomic<std::uint32_t>; // acq_rel: its owner ends when it has seen all

task<void> counts(counter* begun) {
    begun->add_acq_rel(1);
    co_return;
}

// The root of a tree: what it spawns comes before the other roots.
task<void> grows(counter* begun) {
    for (int i = 0; i < 3; ++i) {
        rt::spawn(counts, begun).detach();
    }
    begun->add_acq_rel(1);
    co_return;
}

task<void> respawns_until(const flag* is_over, counter* chains) {
    if (!is_over->load_relaxed()) {
        rt::spawn(respawns_until, is_over, chains).detach();
    } else {
        chains->sub_acq_rel(1);
    }
    co_return;
}

// Chains that never end beside many tasks that were spawned before them on the same worker.
task<void> all_begin(std::uint32_t workers) {
    constexpr std::uint32_t roots = 40;
    constexpr std::uint32_t leaves = 400;
    counter begun{0};
    flag is_over{false};
    counter chains{2 * workers};
    for (std::uint32_t i = 0; i < leaves; ++i) {
        rt::spawn(counts, &begun).detach();
    }
    for (std::uint32_t i = 0; i < roots; ++i) {
        rt::spawn(grows, &begun).detach();
    }
    for (std::uint32_t i = 0; i < 2 * workers; ++i) {
        rt::spawn(respawns_until, &is_over, &chains).detach();
    }
    while (begun.load_acquire() != leaves + 4 * roots) {
        co_await rt::yield();
    }
    is_over.store_relaxed(true);
    while (chains.load_acquire() != 0) {
        co_await rt::yield();
    }
}

} // namespace

// Newest first would let neither the leaves nor the roots below the chains begin.
Test(fairness, new_tasks_begin_below_chains_of_spawns) {
    everywhere([](rt::runtime& runtime) {
        runtime.block_on(all_begin(runtime.get_handle().worker_count()));
    });
}

// ---- how long a place may be preferred ----------------------------------------------------------

namespace {

struct pair_state {
    static constexpr std::size_t rounds = 1000;
    std::vector<gate> ping = std::vector<gate>(rounds);
    std::vector<gate> pong = std::vector<gate>(rounds);
};

task<void> answers(pair_state* shared) {
    for (std::size_t i = 0; i < pair_state::rounds; ++i) {
        co_await shared->ping[i].wait();
        shared->pong[i].open();
    }
}

task<void> notes_delay(const std::size_t* round, std::size_t spawned, std::size_t* longest) {
    *longest = std::max(*longest, *round - spawned);
    co_return;
}

// How many rounds of a pair a task that is spawned meanwhile waits for its first turn, at most.
task<std::size_t> rounds_until_a_spawn_runs() {
    pair_state pair;
    std::size_t round = 0;
    std::size_t longest = 0;
    auto other = rt::spawn(answers, &pair);
    for (; round < pair_state::rounds; ++round) {
        if (round % 37 == 0) {
            rt::spawn(notes_delay, &round, round, &longest).detach();
        }
        pair.ping[round].open();
        co_await pair.pong[round].wait();
    }
    co_await std::move(other);
    co_return longest;
}

} // namespace

// Two that wake each other have 7 turns in a row, not the whole of a private streak.
Test(fairness, what_was_woken_last_has_a_few_turns_in_a_row) {
    rt::runtime runtime(with_workers(0));
    const std::size_t rounds = runtime.block_on(rounds_until_a_spawn_runs());
    cr_assert(rounds <= 5, "%zu", rounds);
}

namespace {

task<void> notes_turn(gate* at, std::vector<int>* order, int number) {
    co_await at->wait();
    order->push_back(number);
}

// In which order three tasks run that one turn wakes one after the other.
std::vector<int> order_of_the_woken(bool lifo_slot, std::uint32_t workers) {
    rt::config config = with_workers(workers);
    config.lifo_slot = lifo_slot;
    rt::runtime runtime(config);
    return runtime.block_on([]() -> task<std::vector<int>> {
        std::vector<int> order;
        std::vector<gate> gates(3);
        std::vector<rt::join_handle<void>> waiting;
        for (int i = 0; i < 3; ++i) {
            waiting.push_back(rt::spawn(notes_turn, &gates[static_cast<std::size_t>(i)], &order, i)
            );
        }
        for (int i = 0; i < 5; ++i) {
            co_await rt::yield(); // until they wait
        }
        for (gate& each : gates) {
            each.open();
        }
        for (auto& each : waiting) {
            co_await std::move(each);
        }
        co_return order;
    }());
}

} // namespace

Test(fairness, what_was_woken_last_comes_first_unless_the_slot_is_off) {
    const std::vector<int> last_first{2, 0, 1};
    const std::vector<int> in_order{0, 1, 2};
    for (const std::uint32_t workers : {0U, 1U}) {
        cr_assert(order_of_the_woken(true, workers) == last_first);
        cr_assert(order_of_the_woken(false, workers) == in_order);
    }
}

// SPDX-License-Identifier: MIT
//
// The run queue under every interleaving: an owner that pushes, pops and spills, against one or two
// thieves, on a ring of four. Every task must come out exactly once (B049, B050).
//
// The code under test is scheduler/local_queue.h itself. Each scenario runs with sequentially
// consistent and with weak memory, and must fail on machines whose read-modify-writes are torn or
// whose release and acquire order nothing.
#include "model/faults.h"
#include "model/production.h"

#include <cstdint>

// clang-format off
#define rt rt_model
#include "scheduler/local_queue.h"
#undef rt
// clang-format on

namespace {

using rt::model::check;
using rt::model::expect_broken;
using rt::model::expect_good;
using rt::model::fault;
using rt::model::options;
using rt_model::detail::task_header;
using rt_model::scheduler::basic_local_queue;
using rt_model::scheduler::task_chain;

constexpr unsigned tasks_max = 12;

// Tasks are only addresses and links here; the number of each is its place.
struct pool_of_tasks {
    [[nodiscard]] task_header* operator[](unsigned index) {
        return reinterpret_cast<task_header*>(blocks[index]);
    }
    void take(const task_header* task) {
        const auto offset = reinterpret_cast<const unsigned char*>(task) - &blocks[0][0];
        const auto index = static_cast<unsigned>(offset / 128);
        check(task != nullptr && index < tasks_max, "something that is no task came out");
        check(taken[index]++ == 0, "a task came out twice");
    }
    void take(const task_chain& chain) {
        const task_header* task = chain.first;
        for (std::uint32_t i = 0; i < chain.count; ++i) {
            take(task);
            task = task->queue_next;
        }
    }
    void check_all(unsigned count) const {
        for (unsigned i = 0; i < tasks_max; ++i) {
            check(taken[i] == (i < count ? 1 : 0), "a task was lost");
        }
    }

    alignas(64) unsigned char blocks[tasks_max][128];
    int taken[tasks_max] = {};
};

// What the owner does, one letter each: P push (spills when the ring is full), O pop.
struct storm {
    static constexpr unsigned threads = 3;

    storm(const char* owner_script, unsigned thief_count, unsigned steals_each)
        : script(owner_script)
        , thieves(thief_count)
        , steals(steals_each) {}

    void run(unsigned self) {
        if (self == 0) {
            for (const char* step = script; *step != '\0'; ++step) {
                if (*step == 'P') {
                    push();
                } else if (task_header* const task = queue.pop()) {
                    tasks.take(task);
                }
            }
        } else if (self <= thieves) {
            for (unsigned i = 0; i < steals; ++i) {
                std::uint32_t moved = 0;
                if (task_header* const task = queue.steal_into(loot[self - 1], moved)) {
                    tasks.take(task);
                } else {
                    check(moved == 0, "nothing was stolen, and counted");
                }
            }
        }
    }

    void at_end(bool is_stuck) {
        check(!is_stuck, "stuck");
        drain(queue);
        drain(loot[0]);
        drain(loot[1]);
        tasks.check_all(pushed);
    }

    void push() {
        task_header* const task = tasks[pushed++];
        for (int attempt = 0; attempt < 2; ++attempt) { // as worker::push does
            if (queue.try_push(task)) {
                return;
            }
            const task_chain chain = queue.take_overflow(task);
            if (chain.count != 0) {
                tasks.take(chain);
                return;
            }
        }
        tasks.take(task);
    }

    void drain(basic_local_queue<4>& from) {
        while (task_header* const task = from.pop()) {
            tasks.take(task);
        }
    }

    const char* script;
    unsigned thieves;
    unsigned steals;
    unsigned pushed = 0;
    pool_of_tasks tasks;
    basic_local_queue<4> queue;
    basic_local_queue<4> loot[2];
};

// A thief that is stolen from: 0 owns the first queue, 1 steals from it, 2 steals from 1.
struct chain_of_thieves {
    static constexpr unsigned threads = 3;

    void run(unsigned self) {
        std::uint32_t moved = 0;
        if (self == 0) {
            for (unsigned i = 0; i < 4; ++i) {
                check(queues[0].try_push(tasks[i]), "the ring has room");
            }
            take(queues[0].pop());
        } else {
            take(queues[self - 1].steal_into(queues[self], moved));
            take(queues[self].pop());
        }
    }
    void at_end(bool) {
        for (basic_local_queue<4>& each : queues) {
            while (task_header* const task = each.pop()) {
                tasks.take(task);
            }
        }
        tasks.check_all(4);
    }
    void take(const task_header* task) {
        if (task != nullptr) {
            tasks.take(task);
        }
    }

    pool_of_tasks tasks;
    basic_local_queue<4> queues[3];
};

constexpr options strong{};
constexpr options weak{.is_weak = true};

options broken(fault what) {
    return {.is_weak = what != fault::torn_rmw, .broken = what};
}

} // namespace

Test(local_queue_model, b050_one_thief_against_pushes_and_pops) {
    rt::model::skip_with_sanitizers();
    for (const char* const script : {"PPO", "PPPOO", "PPOPPOO"}) {
        expect_good<storm>(script, strong, script, 1U, 2U);
    }
    expect_good<storm>("PPOPO, weak", weak, "PPOPO", 1U, 1U);
}

Test(local_queue_model, b050_one_thief_against_an_overflow) {
    rt::model::skip_with_sanitizers();
    expect_good<storm>("PPPPP", strong, "PPPPP", 1U, 2U);
    if (rt::model::wanted_depth() > 0) {
        expect_good<storm>("PPPPPPOPP", strong, "PPPPPPOPP", 1U, 2U);
    }
    expect_good<storm>("PPPPP, weak", weak, "PPPPP", 1U, 1U);
}

Test(local_queue_model, b050_two_thieves) {
    rt::model::skip_with_sanitizers();
    expect_good<storm>("two: PPPO", strong, "PPPO", 2U, 1U);
    expect_good<storm>("two: PPO, weak", weak, "PPO", 2U, 1U);
    if (rt::model::wanted_depth() > 0) {
        expect_good<storm>("two: PPPPPO", strong, "PPPPPO", 2U, 1U);
        expect_good<storm>("two: PPPPPOPO", strong, "PPPPPOPO", 2U, 2U);
        expect_good<storm>("two: PPPPPO, weak", weak, "PPPPPO", 2U, 1U);
    }
}

Test(local_queue_model, b050_a_thief_is_stolen_from) {
    rt::model::skip_with_sanitizers();
    expect_good<chain_of_thieves>("chain", strong);
    if (rt::model::wanted_depth() > 0) {
        expect_good<chain_of_thieves>("chain, weak", weak);
    }
}

Test(local_queue_model, notices_broken_machines) {
    rt::model::skip_with_sanitizers();
    expect_broken<storm>("torn", broken(fault::torn_rmw), "PPO", 1U, 1U);
    expect_broken<storm>("no release", broken(fault::no_release), "PPO", 1U, 1U);
    expect_broken<storm>("no acquire", broken(fault::no_acquire), "PPO", 1U, 1U);
}

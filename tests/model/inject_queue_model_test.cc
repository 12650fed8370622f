// SPDX-License-Identifier: MIT
//
// The injection queue under every interleaving: producers, consumers and the close at the end of a
// shutdown; and the one load that says whether it is empty.
//
// The code under test is src/scheduler/inject_queue.cc (idle_model_test.cc compiles it). Every task
// must come out once, in the order of its producer, or be refused and stay with it. The load has no
// order: who publishes a task and then looks for sleepers, and who goes to sleep and then looks for
// tasks, need a fence in between, and then one of them sees the other.
#include "model/faults.h"
#include "model/production.h"

#include <cstdint>

// clang-format off
#define rt rt_model
#include "scheduler/local_queue.h"
#include "scheduler/inject_queue.h"
#undef rt
// clang-format on

namespace {

using rt::model::bounded;
using rt::model::check;
using rt::model::expect_broken;
using rt::model::expect_good;
using rt::model::fault;
using rt_model::detail::task_header;
using rt_model::scheduler::inject_queue;
using rt_model::scheduler::task_chain;

// Two producers, the first with single tasks, the second with a chain; two consumers, of which the
// first may close the queue.
struct traffic {
    static constexpr unsigned threads = 4;
    static constexpr unsigned tasks_max = 4;

    explicit traffic(bool with_close)
        : has_close(with_close) {}

    [[nodiscard]] task_header* task_at(unsigned index) {
        return reinterpret_cast<task_header*>(blocks[index]);
    }

    void run(unsigned self) {
        switch (self) {
        case 0:
            for (unsigned i = 0; i < 2; ++i) {
                pushed[i] = queue.push(task_at(i));
                check(!pushed[i] || !has_close || i == 0 || pushed[0], "open again after a close");
            }
            break;
        case 1:
            task_at(2)->queue_next = task_at(3);
            pushed[2] = pushed[3] = queue.push_chain({task_at(2), task_at(3), 2});
            break;
        case 2:
            take(queue.pop(2));
            if (has_close) {
                queue.close();
                check(!queue.push(task_at(4)), "a closed queue took a task");
            } else {
                take(queue.pop(1));
            }
            break;
        default:
            take(queue.pop(1));
            take(queue.pop(4));
            break;
        }
    }

    void take(const task_chain& chain) {
        const task_header* task = chain.first;
        for (std::uint32_t i = 0; i < chain.count; ++i) {
            const auto offset = reinterpret_cast<const unsigned char*>(task) - &blocks[0][0];
            const auto index = static_cast<unsigned>(offset / 128);
            check(index < tasks_max && taken[index]++ == 0, "a task came out twice");
            check(index % 2 == 0 || taken[index - 1] == 1, "out of order");
            task = task->queue_next;
        }
    }

    void at_end(bool is_stuck) {
        check(!is_stuck, "stuck");
        take(queue.pop(UINT32_MAX));
        check(queue.is_empty() && queue.pop(1).count == 0, "the size is off");
        for (unsigned i = 0; i < tasks_max; ++i) {
            check(taken[i] == (pushed[i] ? 1U : 0U), "a task was lost");
            check(pushed[i] || has_close, "an open queue refused a task");
        }
    }

    const bool has_close;
    inject_queue queue;
    bool pushed[tasks_max] = {};
    unsigned taken[tasks_max] = {};
    alignas(64) unsigned char blocks[tasks_max + 1][128];
};

// Producers that push, fence and look for a sleeper; a consumer that announces its sleep, fences
// and looks once.
struct nap {
    static constexpr unsigned threads = 3;

    explicit nap(unsigned producer_count)
        : producers(producer_count) {}

    void run(unsigned self) {
        if (self == 0) {
            consume();
        } else if (self <= producers) {
            auto* const task = reinterpret_cast<task_header*>(blocks[self - 1]);
            check(queue.push(task), "the queue is open");
            const bool is_there = !queue.is_empty();
            check(is_there || has_popped, "the pusher does not see its own task");
            rt_model::fence_seq_cst();
            if (is_asleep.load_relaxed() != 0) {
                is_called.store_release(1);
            }
        }
    }

    void consume() {
        while (taken != producers) {
            is_asleep.store_relaxed(1);
            rt_model::fence_seq_cst();
            if (queue.is_empty()) {
                rt::model::wait_until([this] { return is_called.peek() != 0; });
                is_called.exchange_acquire(0);
            }
            is_asleep.store_relaxed(0);
            has_popped = true;
            taken += queue.pop(2).count;
        }
    }

    void at_end(bool is_stuck) { check(!is_stuck, "the consumer sleeps beside a task"); }

    const unsigned producers;
    inject_queue queue;
    rt_model::atomic<unsigned> is_asleep;
    rt_model::atomic<unsigned> is_called;
    bool has_popped = false;
    unsigned taken = 0;
    alignas(64) unsigned char blocks[2][128];
};

} // namespace

Test(inject_queue_model, every_task_comes_out_once_or_is_refused) {
    rt::model::skip_with_sanitizers();
    expect_good<traffic>("traffic", bounded(4), false);
    expect_good<traffic>("traffic, close", bounded(4), true);
    expect_good<traffic>("traffic, close, weak", bounded(2, true), true);
    expect_broken<traffic>(
        "traffic, torn", {.broken = fault::torn_rmw, .preemptions_max = 3}, false
    );
    expect_broken<traffic>(
        "no release", {.is_weak = true, .broken = fault::no_release, .preemptions_max = 3}, false
    );
}

Test(inject_queue_model, b067_one_load_says_that_it_is_empty) {
    rt::model::skip_with_sanitizers();
    expect_good<nap>("nap, 1 producer", bounded(20), 1U);
    expect_good<nap>("nap, 2 producers", bounded(5), 2U);
    expect_good<nap>("nap, 2 producers, weak", bounded(3, true), 2U);
    expect_broken<nap>(
        "nap, no fences", {.is_weak = true, .broken = fault::no_fences, .preemptions_max = 3}, 1U
    );
}

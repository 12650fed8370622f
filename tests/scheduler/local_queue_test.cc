// SPDX-License-Identifier: MIT
//
// The run queue: what fits, what spills, what is stolen, and that nothing is lost or done twice.
//
// With 256 slots as in production and with 4, where every edge is met all the time. The stress
// tests count how often each task came out; tests/model looks at all interleavings of small cases.
#include "base/random.h"
#include "scheduler/fake_tasks.h"
#include "scheduler/local_queue.h"
#include "support/test.h"

#include <rt/detail/atomic.h>

#include <thread>
#include <vector>

namespace {

using rt::scheduler::basic_local_queue;
using rt::scheduler::local_queue;
using rt::scheduler::task_chain;
using rt::scheduler::task_header;
using rt::test::fake_tasks;

template<std::uint32_t Capacity>
void fill(basic_local_queue<Capacity>& queue, const fake_tasks& tasks, std::size_t from = 0) {
    for (std::size_t i = 0; i < Capacity; ++i) {
        cr_assert(queue.try_push(tasks[from + i]));
    }
}

std::vector<std::size_t> indices_of(const task_chain& chain, const fake_tasks& tasks) {
    std::vector<std::size_t> indices;
    const task_header* task = chain.first;
    for (std::uint32_t i = 0; i < chain.count; ++i) {
        indices.push_back(tasks.index_of(task));
        cr_assert((task == chain.last) == (i + 1 == chain.count));
        task = task->queue_next;
    }
    return indices;
}

template<std::uint32_t Capacity>
std::vector<std::size_t> drain(basic_local_queue<Capacity>& queue, const fake_tasks& tasks) {
    std::vector<std::size_t> indices;
    while (task_header* const task = queue.pop()) {
        indices.push_back(tasks.index_of(task));
    }
    return indices;
}

std::vector<std::size_t> count_from(std::size_t first, std::size_t count) {
    std::vector<std::size_t> numbers;
    for (std::size_t i = 0; i < count; ++i) {
        numbers.push_back(first + i);
    }
    return numbers;
}

template<std::uint32_t Capacity>
void is_first_in_first_out() {
    const fake_tasks tasks(3 * Capacity);
    basic_local_queue<Capacity> queue;
    cr_assert(queue.is_empty());
    cr_assert_null(queue.pop());
    fill(queue, tasks);
    cr_assert_eq(queue.size(), Capacity);
    cr_assert_not(queue.try_push(tasks[Capacity]));
    cr_assert(drain(queue, tasks) == count_from(0, Capacity));
    cr_assert(queue.is_empty());
    for (std::size_t i = 0; i < tasks.size(); ++i) { // several times round the ring
        cr_assert(queue.try_push(tasks[i]));
        cr_assert(queue.pop() == tasks[i]);
    }
}

template<std::uint32_t Capacity>
void spills_the_newest_half() {
    const fake_tasks tasks(4 * Capacity);
    for (std::size_t turned = 0; turned < 2 * Capacity; ++turned) {
        basic_local_queue<Capacity> queue;
        for (std::size_t i = 0; i < turned; ++i) { // the ring may begin at any slot
            cr_assert(queue.try_push(tasks[0]));
            cr_assert(queue.pop() == tasks[0]);
        }
        fill(queue, tasks);
        const task_chain chain = queue.take_overflow(tasks[Capacity]);
        cr_assert(indices_of(chain, tasks) == count_from(Capacity / 2, Capacity / 2 + 1));
        cr_assert_null(chain.last->queue_next);
        cr_assert_eq(queue.size(), Capacity / 2);
        for (std::size_t i = 0; i < Capacity / 2; ++i) {
            cr_assert(queue.try_push(tasks[2 * Capacity + i]));
        }
        cr_assert_not(queue.try_push(tasks[Capacity]));
        std::vector<std::size_t> expected = count_from(0, Capacity / 2);
        for (const std::size_t more : count_from(2 * Capacity, Capacity / 2)) {
            expected.push_back(more);
        }
        cr_assert(drain(queue, tasks) == expected);
    }
}

template<std::uint32_t Capacity>
void steals_half() {
    const fake_tasks tasks(2 * Capacity);
    for (std::uint32_t queued = 0; queued <= Capacity; ++queued) {
        basic_local_queue<Capacity> victim;
        basic_local_queue<Capacity> thief;
        for (std::uint32_t i = 0; i < queued; ++i) {
            cr_assert(victim.try_push(tasks[i]));
        }
        std::uint32_t moved = 99;
        task_header* const got = victim.steal_into(thief, moved);
        const std::uint32_t half = queued - queued / 2;
        cr_assert_eq(moved, half);
        cr_assert_eq(victim.size(), queued - half);
        if (queued == 0) {
            cr_assert_null(got);
            continue;
        }
        cr_assert(got == tasks[half - 1], "the newest of those taken runs at once");
        cr_assert(drain(thief, tasks) == count_from(0, half - 1));
        cr_assert(drain(victim, tasks) == count_from(half, queued - half));
    }
}

template<std::uint32_t Capacity>
void leaves_a_full_thief_alone() {
    const fake_tasks tasks(2 * Capacity);
    basic_local_queue<Capacity> victim;
    basic_local_queue<Capacity> thief;
    fill(victim, tasks);
    for (std::uint32_t i = 0; i < Capacity / 2; ++i) {
        cr_assert(thief.try_push(tasks[Capacity + i]));
    }
    std::uint32_t moved = 0;
    cr_assert_not_null(victim.steal_into(thief, moved), "half a queue still has room for a half");
    cr_assert_eq(moved, Capacity / 2);
    cr_assert_eq(thief.size(), Capacity - 1);
    cr_assert_null(victim.steal_into(thief, moved));
    cr_assert_eq(moved, 0U);
    cr_assert_eq(victim.size(), Capacity / 2);
}

} // namespace

Test(local_queue, b044_takes_as_many_as_it_has_slots_first_in_first_out) {
    is_first_in_first_out<256>();
    is_first_in_first_out<4>();
}

Test(local_queue, b045_takes_pushes_in_chunks_up_to_its_capacity) {
    const fake_tasks tasks(257);
    local_queue queue;
    std::size_t next = 0;
    for (const std::size_t chunk : {10, 100, 46, 100}) {
        for (std::size_t i = 0; i < chunk; ++i) {
            cr_assert(queue.try_push(tasks[next]));
            ++next;
        }
        cr_assert_eq(queue.size(), next);
    }
    cr_assert_not(queue.try_push(tasks[256]));
}

Test(local_queue, b046_b047_spills_the_newest_half_when_it_is_full) {
    spills_the_newest_half<4>();
    spills_the_newest_half<256>();
}

Test(local_queue, b046_does_not_spill_while_there_is_room) {
    const fake_tasks tasks(8);
    basic_local_queue<4> queue;
    cr_assert_eq(queue.take_overflow(tasks[0]).count, 0U);
    for (std::size_t i = 0; i < 3; ++i) {
        cr_assert(queue.try_push(tasks[i]));
    }
    cr_assert_eq(queue.take_overflow(tasks[3]).count, 0U);
    cr_assert_eq(queue.size(), 3U);
}

Test(local_queue, b048_a_thief_takes_half_rounded_up_and_runs_the_newest) {
    steals_half<4>();
    steals_half<256>();
}

Test(local_queue, a_thief_without_room_for_a_half_takes_nothing) {
    leaves_a_full_thief_alone<4>();
    leaves_a_full_thief_alone<256>();
}

// ---- stress -------------------------------------------------------------------------------------

namespace {

// How often each task came out, over all threads.
class tally {
public:
    explicit tally(const fake_tasks& tasks)
        : tasks_(tasks)
        , counts_(tasks.size()) {}

    void add(const task_header* task) { counts_[tasks_.index_of(task)].add_relaxed(1); }
    void add(const task_chain& chain) {
        const task_header* task = chain.first;
        for (std::uint32_t i = 0; i < chain.count; ++i) {
            add(task);
            task = task->queue_next;
        }
    }
    void expect_once_each() const {
        for (std::size_t i = 0; i < counts_.size(); ++i) {
            cr_assert_eq(counts_[i].load_relaxed(), 1U, "task %zu", i);
        }
    }

private:
    const fake_tasks& tasks_;
    std::vector<rt::atomic<std::uint32_t>> counts_;
};

template<std::uint32_t Capacity>
void steal_until(
    basic_local_queue<Capacity>& victim, const rt::atomic<bool>& is_over, tally& seen
) {
    basic_local_queue<Capacity> own;
    for (bool last = false; !last;) {
        last = is_over.load_acquire(); // one more round after the end
        std::uint32_t moved = 0;
        if (task_header* const task = victim.steal_into(own, moved)) {
            seen.add(task);
            while (task_header* const more = own.pop()) {
                seen.add(more);
                --moved;
            }
            cr_assert_eq(moved, 1U);
        } else {
            std::this_thread::yield();
        }
    }
}

// The owner pushes everything and pops now and then; thieves take what they can.
template<std::uint32_t Capacity>
void storm(std::size_t count, unsigned thieves, std::uint64_t seed) {
    const fake_tasks tasks(count);
    basic_local_queue<Capacity> queue;
    tally seen(tasks);
    rt::atomic<bool> is_over{false};
    std::vector<std::thread> threads;
    for (unsigned i = 0; i < thieves; ++i) {
        threads.emplace_back([&] { steal_until(queue, is_over, seen); });
    }
    rt::base::random_source random(seed);
    for (std::size_t i = 0; i < count; ++i) {
        while (!queue.try_push(tasks[i])) {
            const task_chain chain = queue.take_overflow(tasks[i]);
            if (chain.count != 0) {
                seen.add(chain);
                break;
            }
        }
        for (std::uint32_t pops = random.below(3); pops != 0; --pops) {
            if (task_header* const task = queue.pop()) {
                seen.add(task);
            }
        }
    }
    while (task_header* const task = queue.pop()) {
        seen.add(task);
    }
    is_over.store_release(true);
    for (std::thread& each : threads) {
        each.join();
    }
    seen.expect_once_each();
}

constexpr std::size_t storm_size = 200'000;

} // namespace

Test(local_queue, b049_loses_and_repeats_nothing_under_one_thief) {
    storm<256>(storm_size, 1, 1);
    storm<4>(storm_size, 1, 2);
}

Test(local_queue, b049_loses_and_repeats_nothing_under_three_thieves) {
    storm<256>(storm_size, 3, 3);
    storm<4>(storm_size, 3, 4);
}

Test(local_queue, b050_thieves_steal_from_one_another) {
    const fake_tasks tasks(100'000);
    tally seen(tasks);
    basic_local_queue<4> queues[3];
    rt::atomic<bool> is_over{false};
    std::vector<std::thread> threads;
    for (std::size_t self = 1; self < 3; ++self) {
        threads.emplace_back([&, self] {
            for (bool last = false; !last;) {
                last = is_over.load_acquire();
                std::uint32_t moved = 0;
                task_header* task = queues[self - 1].steal_into(queues[self], moved);
                for (; task != nullptr; task = queues[self].pop()) {
                    seen.add(task);
                    std::this_thread::yield(); // leaves the rest to the next in the chain
                }
            }
        });
    }
    for (std::size_t i = 0; i < tasks.size(); ++i) {
        while (!queues[0].try_push(tasks[i])) {
            const task_chain chain = queues[0].take_overflow(tasks[i]);
            seen.add(chain);
            if (chain.count != 0) {
                break;
            }
        }
    }
    while (task_header* const task = queues[0].pop()) {
        seen.add(task);
    }
    is_over.store_release(true);
    for (std::thread& each : threads) {
        each.join();
    }
    seen.expect_once_each();
}

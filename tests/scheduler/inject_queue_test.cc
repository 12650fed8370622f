// SPDX-License-Identifier: MIT
//
// The injection queue: first in, first out, in batches, until it is closed.
#include "scheduler/fake_tasks.h"
#include "scheduler/inject_queue.h"
#include "support/test.h"

#include <cstdlib>
#include <thread>
#include <vector>

#include <sys/resource.h>

namespace {

using rt::scheduler::inject_queue;
using rt::scheduler::task_chain;
using rt::scheduler::task_header;
using rt::test::fake_tasks;

task_chain chain_of(const fake_tasks& tasks, std::size_t first, std::uint32_t count) {
    for (std::uint32_t i = 0; i + 1 < count; ++i) {
        tasks[first + i]->queue_next = tasks[first + i + 1];
    }
    return {tasks[first], tasks[first + count - 1], count};
}

void expect(
    const task_chain& chain, const fake_tasks& tasks, std::size_t first, std::uint32_t count
) {
    cr_assert_eq(chain.count, count);
    const task_header* task = chain.first;
    for (std::uint32_t i = 0; i < count; ++i) {
        cr_assert(task == tasks[first + i]);
        cr_assert((chain.last == task) == (i + 1 == count));
        task = task->queue_next;
    }
    cr_assert_null(task);
}

} // namespace

Test(inject_queue, b051_is_first_in_first_out_and_knows_its_length) {
    const fake_tasks tasks(10);
    inject_queue queue;
    cr_assert(queue.is_empty());
    cr_assert_eq(queue.pop(1).count, 0U);
    for (std::size_t i = 0; i < tasks.size(); ++i) {
        cr_assert(queue.push(tasks[i]));
        cr_assert_eq(queue.size(), i + 1);
    }
    for (std::size_t i = 0; i < tasks.size(); ++i) {
        expect(queue.pop(1), tasks, i, 1);
        cr_assert_eq(queue.size(), tasks.size() - i - 1);
    }
    cr_assert_eq(queue.pop(1).count, 0U);
}

Test(inject_queue, b051_takes_and_gives_batches) {
    const fake_tasks tasks(13);
    inject_queue queue;
    cr_assert(queue.push_chain(chain_of(tasks, 0, 10)));
    cr_assert_eq(queue.size(), 10U);
    expect(queue.pop(5), tasks, 0, 5);
    cr_assert(queue.push_chain(chain_of(tasks, 10, 3)));
    expect(queue.pop(6), tasks, 5, 6);
    expect(queue.pop(100), tasks, 11, 2);
    cr_assert_eq(queue.pop(5).count, 0U);
    cr_assert_eq(queue.pop(0).count, 0U);
    cr_assert(queue.is_empty());
}

Test(inject_queue, takes_a_chain_whose_last_link_is_left_over) {
    const fake_tasks tasks(3);
    inject_queue queue;
    tasks[1]->queue_next = tasks[2]; // from another queue, long ago
    cr_assert(queue.push_chain({tasks[1], tasks[1], 1}));
    expect(queue.pop(10), tasks, 1, 1);
}

Test(inject_queue, refuses_tasks_once_closed_and_gives_what_it_has) {
    const fake_tasks tasks(4);
    inject_queue queue;
    cr_assert(queue.push(tasks[0]));
    queue.close();
    cr_assert_not(queue.push(tasks[1]));
    cr_assert_not(queue.push_chain(chain_of(tasks, 2, 2)));
    cr_assert_eq(queue.size(), 1U);
    expect(queue.pop(10), tasks, 0, 1);
    queue.close();
    cr_assert_not(queue.push(tasks[1]));
}

// With no memory for a larger buffer the tasks wait in a list, and come out in the same order.
Test(inject_queue, keeps_what_it_has_no_memory_for) {
#if defined(RT_SANITIZED)
    cr_skip_test("a sanitizer's address space cannot be limited");
#endif
    constexpr std::uint32_t count = 100'000; // a buffer of 1 MiB
    const fake_tasks tasks(count + 200);
    inject_queue queue;
    cr_assert(queue.push_chain(chain_of(tasks, 0, 10)));
    const rlimit none{0, 0};
    cr_assert_eq(::setrlimit(RLIMIT_AS, &none), 0);
    void* volatile rest = nullptr; // or the compiler leaves out malloc, and all that follows
    do {
        rest = std::malloc(1U << 19U); // what the allocator still has
    } while (rest != nullptr);
    cr_assert(queue.push_chain(chain_of(tasks, 10, count - 10)));
    for (std::size_t i = 0; i < 200; ++i) {
        cr_assert(queue.push(tasks[count + i]));
    }
    cr_assert_eq(queue.size(), tasks.size());
    for (std::size_t i = 0; i < tasks.size();) {
        const task_chain chain = queue.pop(100);
        cr_assert_neq(chain.count, 0U, "%zu of %zu", i, tasks.size());
        expect(chain, tasks, i, chain.count);
        i += chain.count;
    }
    cr_assert(queue.is_empty());
    cr_assert(queue.push(tasks[0]));
    expect(queue.pop(1), tasks, 0, 1);
}

Test(inject_queue, has_guests_between_push_and_leave) {
    const fake_tasks tasks(3);
    inject_queue queue;
    cr_assert_not(queue.has_guests());
    cr_assert(queue.push(tasks[0]));
    cr_assert(queue.push_chain(chain_of(tasks, 1, 2)));
    expect(queue.pop(3), tasks, 0, 3);
    queue.leave();
    cr_assert(queue.has_guests(), "one of two");
    queue.leave();
    cr_assert_not(queue.has_guests());
    queue.close();
    cr_assert_not(queue.push(tasks[0]));
    cr_assert_not(queue.has_guests(), "one that is refused does not enter");
}

// Each pusher's tasks come out in its order, whatever the others do.
Test(inject_queue, keeps_the_order_of_each_pusher) {
    constexpr std::size_t pushers = 3;
    constexpr std::size_t each_count = 50'000;
    const fake_tasks tasks(pushers * each_count);
    inject_queue queue;
    std::vector<std::thread> threads;
    for (std::size_t p = 0; p < pushers; ++p) {
        threads.emplace_back([&, p] {
            for (std::size_t i = 0; i < each_count;) {
                const auto count = static_cast<std::uint32_t>(i % 7 + 1);
                const std::size_t left = each_count - i;
                const auto now = count < left ? count : static_cast<std::uint32_t>(left);
                cr_assert(queue.push_chain(chain_of(tasks, p * each_count + i, now)));
                i += now;
            }
        });
    }
    std::vector<std::size_t> next(pushers, 0);
    std::size_t popped = 0;
    for (std::uint32_t most = 1; popped < tasks.size(); most = most % 9 + 1) {
        const task_chain chain = queue.pop(most);
        const task_header* task = chain.first;
        for (std::uint32_t i = 0; i < chain.count; ++i) {
            const std::size_t index = tasks.index_of(task);
            cr_assert_eq(index % each_count, next[index / each_count]);
            ++next[index / each_count];
            task = task->queue_next;
        }
        popped += chain.count;
    }
    for (std::thread& each : threads) {
        each.join();
    }
    cr_assert(queue.is_empty());
}

// SPDX-License-Identifier: MIT
//
// Tasks that a worker keeps to itself, oldest first: such as have yielded, until it has looked at
// its driver, and those that it keeps in place of the ring.
//
// A lone worker has nobody to share with: all that would go to the ring is held, and costs no
// atomic operation. So does what is woken on a worker whose tasks are not worth a steal
// (steal_profit.h). It is behind the ring there, and comes to it when the worker looks at its
// driver, when sharing pays again, and when a turn gets long (worker::on_kick); so nothing waits
// here for longer than it would in the ring.
//
// Threads: the owner; at shutdown the leader, with the owner at rest. size() by any.
#pragma once

#include "scheduler/task_chain.h"

#include <rt/detail/atomic.h>

#include <cstdint>
#include <utility>

namespace rt::scheduler {

class held_tasks {
public:
    void push(task_header* task) noexcept {
        tasks_.push(task);
        publish();
    }

    void append(const task_chain& chain) noexcept {
        tasks_.append(chain);
        publish();
    }

    // The oldest task, or null.
    [[nodiscard]] task_header* pop() noexcept {
        task_header* const task = tasks_.pop();
        if (task != nullptr) {
            publish();
        }
        return task;
    }

    // All of them.
    [[nodiscard]] task_chain take() noexcept {
        const task_chain chain = std::exchange(tasks_, {});
        publish();
        return chain;
    }

    [[nodiscard]] bool is_empty() const noexcept { return tasks_.is_empty(); }

    // A moment old for other threads.
    [[nodiscard]] std::uint32_t size() const noexcept { return size_.load_relaxed(); }

private:
    void publish() noexcept { size_.store_relaxed(tasks_.count); }

    task_chain tasks_;
    atomic<std::uint32_t> size_{0}; // of tasks_
};

} // namespace rt::scheduler

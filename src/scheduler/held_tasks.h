// SPDX-License-Identifier: MIT
//
// Tasks that a worker keeps to itself in place of the ring, oldest first.
//
// A lone worker has nobody to share with: all that would go to the ring goes here, and costs no
// atomic operation. So does what is woken on a worker whose tasks are not worth a steal
// (steal_profit.h). It is behind the ring there, and comes to it when the worker looks at its
// driver, when sharing pays again, and when a turn gets long (worker::on_kick); so nothing waits
// here for longer than it would in the ring.
//
// Threads: the owner; at shutdown the leader, with the owner at rest. size() by any.
#pragma once

#include "scheduler/local_queue.h"

#include <rt/detail/atomic.h>
#include <rt/detail/header.h>

#include <cstdint>

namespace rt::scheduler {

class held_tasks {
public:
    void push(detail::task_header* task) noexcept {
        task->queue_next = nullptr;
        (last_ == nullptr ? first_ : last_->queue_next) = task;
        last_ = task;
        size_.bump_relaxed(1);
    }

    void append(task_chain chain) noexcept {
        if (chain.count != 0) {
            (last_ == nullptr ? first_ : last_->queue_next) = chain.first;
            last_ = chain.last;
            last_->queue_next = nullptr;
            size_.bump_relaxed(chain.count);
        }
    }

    // The oldest task, or null.
    [[nodiscard]] detail::task_header* pop() noexcept {
        detail::task_header* const task = first_;
        if (task != nullptr) {
            first_ = task->queue_next;
            if (first_ == nullptr) {
                last_ = nullptr;
            }
            size_.store_relaxed(size_.load_relaxed() - 1);
        }
        return task;
    }

    [[nodiscard]] bool is_empty() const noexcept { return first_ == nullptr; }

    // A moment old for other threads.
    [[nodiscard]] std::uint32_t size() const noexcept { return size_.load_relaxed(); }

private:
    detail::task_header* first_ = nullptr;
    detail::task_header* last_ = nullptr;
    atomic<std::uint32_t> size_{0};
};

} // namespace rt::scheduler

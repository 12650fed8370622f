// SPDX-License-Identifier: MIT
//
// Tasks linked by their queue_next, oldest first.
//
// A value that names both ends and owns neither: whoever holds it is the place where its tasks are.
// The last one's link is whatever it was in the queue that the chain comes from; it is cleared when
// the chain becomes part of another one.
#pragma once

#include <rt/detail/header.h>

#include <cstdint>

namespace rt::scheduler {

using detail::task_header;

struct task_chain {
    task_header* first = nullptr;
    task_header* last = nullptr;
    std::uint32_t count = 0;

    [[nodiscard]] bool is_empty() const noexcept { return count == 0; }

    void push(task_header* task) noexcept { append({task, task, 1}); }

    void append(const task_chain& added) noexcept {
        if (added.is_empty()) {
            return;
        }
        added.last->queue_next = nullptr;
        (is_empty() ? first : last->queue_next) = added.first;
        last = added.last;
        count += added.count;
    }

    // The oldest task, or null.
    [[nodiscard]] task_header* pop() noexcept {
        if (is_empty()) {
            return nullptr;
        }
        task_header* const task = first;
        first = task->queue_next;
        --count;
        return task;
    }
};

} // namespace rt::scheduler

// SPDX-License-Identifier: MIT
//
// Where tasks are left for the one task that looks after them: a stack with many producers and one
// consumer, which may wait for it.
//
// The link is the task's queue_next, so nothing is allocated: a task is left here only by the party
// that owns it (it became ready), or when it has ended and is in no queue any more.
//
// The head is null (nothing is there), a task, or the mark (nothing is there and the consumer
// waits). A producer that replaces the mark, and no other, wakes the consumer; whoever does not
// replace it touches the inbox no more after its push, which is why the consumer may destroy the
// inbox once it has taken everything that it expects.
#pragma once

#include <rt/detail/atomic.h>
#include <rt/detail/config.h>
#include <rt/detail/header.h>

#include <cstdint>

namespace rt::detail {

class inbox {
public:
    enum class wake_order : std::uint8_t { first, last };

    // Leaves `task` here and wakes the consumer if it waits. Threads: any.
    RT_API void push(task_header* task, wake_order order) noexcept;

    // All that was left, oldest first, linked by queue_next. Threads: the consumer.
    [[nodiscard]] RT_API task_header* take() noexcept;

    // Announces that `waiter` will suspend. False: something is here. Threads: the consumer.
    [[nodiscard]] RT_API bool expect(task_header* waiter) noexcept;

    // Takes the announcement back. False: a producer has seen it, and has called or will call
    // wake() for the waiter. Threads: the consumer.
    [[nodiscard]] RT_API bool retract() noexcept;

private:
    atomic<task_header*> head_{nullptr};
    task_header* waiter_ = nullptr; // written before the mark, read by who replaces it
};

} // namespace rt::detail

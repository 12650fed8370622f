// SPDX-License-Identifier: MIT
//
// The injection queue of a NUMA node: tasks from threads that are not its workers, and overflow.
//
// A FIFO list through the task headers under a lock, with the length mirrored in an atomic, so that
// "is there anything" is one load. Pushers link outside the lock; a batch is one splice.
// Closed at the end of a shutdown: from then on pushes are refused and the pusher cancels the task.
#pragma once

#include "base/lock.h"
#include "scheduler/local_queue.h"

#include <rt/detail/atomic.h>
#include <rt/detail/header.h>

#include <cstddef>

namespace rt::scheduler {

class inject_queue {
public:
    // Appends one task, or a chain. False: closed; the caller still owns the tasks. Threads: any.
    [[nodiscard]] bool push(task_header* task) noexcept { return push_chain({task, task, 1}); }
    [[nodiscard]] bool push_chain(task_chain chain) noexcept;

    // Takes up to `most` tasks off the front. Threads: any.
    [[nodiscard]] task_chain pop(std::uint32_t most) noexcept;

    // Refuses further pushes.
    void close() noexcept;

    // A moment old for all but the pusher.
    [[nodiscard]] std::size_t size() const noexcept { return size_.load_relaxed(); }
    [[nodiscard]] bool is_empty() const noexcept { return size() == 0; }

private:
    base::spin_lock lock_{base::lock_rank::inject_queue};
    bool is_closed_ = false; // the rest is guarded by lock_
    task_header* first_ = nullptr;
    task_header* last_ = nullptr;
    atomic<std::size_t> size_{0}; // written under lock_
};

} // namespace rt::scheduler

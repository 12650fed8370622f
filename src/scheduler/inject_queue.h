// SPDX-License-Identifier: MIT
//
// The injection queue of a NUMA node: tasks from threads that are not its workers, and overflow.
//
// First in, first out, under a lock, with the length mirrored in an atomic, so that "is there
// anything" is one load. The queue is a circular buffer of pointers that doubles and never shrinks.
// A list through the headers would need no memory, but whoever took a batch walked it under the
// lock, one cache miss for each header that another core had written: 128 of them kept the pushers
// waiting for some 10 us. Now the batch is copied, and linked after the lock is free, when the
// misses overlap. If the buffer cannot grow, what does not fit waits in a list through the headers
// and goes into the buffer when there is room.
//
// Guests. The task that a thread from outside has pushed may run and end, and the runtime with it,
// before the thread is done with the pool: it still has to wake somebody. So push counts it, under
// the lock that it has anyway, and leave() counts it again when it is done; a shutdown waits until
// the two are equal. Both counts are cumulative, and nothing enters after the close.
//
// Closed at the end of a shutdown: from then on pushes are refused and the pusher cancels the task.
#pragma once

#include "base/lock.h"
#include "scheduler/local_queue.h"

#include <rt/detail/atomic.h>
#include <rt/detail/header.h>

#include <cstddef>
#include <cstdint>

namespace rt::scheduler {

class inject_queue {
public:
    inject_queue() noexcept = default;
    inject_queue(const inject_queue&) = delete;
    inject_queue& operator=(const inject_queue&) = delete;
    ~inject_queue();

    // Appends one task, or a chain. True: the caller calls leave() once it touches nothing of the
    // pool any more. False: closed; the caller still owns the tasks. Threads: any.
    [[nodiscard]] bool push(task_header* task) noexcept { return push_chain({task, task, 1}); }
    [[nodiscard]] bool push_chain(const task_chain& chain) noexcept;
    void leave() noexcept { left_.add_release(1); } // pairs with has_guests
    // Whether somebody is between push and leave. Threads: any.
    [[nodiscard]] bool has_guests() noexcept;

    // Takes up to `most` tasks off the front. Threads: any.
    [[nodiscard]] task_chain pop(std::uint32_t most) noexcept;

    // Refuses further pushes.
    void close() noexcept;

    // A moment old for all but the pusher.
    [[nodiscard]] std::size_t size() const noexcept { return size_.load_relaxed(); }
    [[nodiscard]] bool is_empty() const noexcept { return size() == 0; }

private:
    static constexpr std::size_t capacity_first = 64;

    [[nodiscard]] bool has_room(std::size_t more) const noexcept {
        return end_ - begin_ + more <= capacity_;
    }
    void append(task_header* task) noexcept { slots_[end_++ & (capacity_ - 1)] = task; }
    void accept(const task_chain& chain) noexcept;
    void refill() noexcept;
    // False: there is no memory for so many slots. REQUIRES: no lock held.
    [[nodiscard]] bool grow(std::size_t wanted) noexcept;

    base::spin_lock lock_{base::lock_rank::inject_queue};
    bool is_closed_ = false; // the rest is guarded by lock_
    std::uint64_t entered_ = 0;
    task_header** slots_ = first_slots_;
    std::size_t capacity_ = capacity_first; // a power of two
    std::size_t begin_ = 0;                 // free-running; the oldest
    std::size_t end_ = 0;                   // free-running; one past the newest
    task_chain spilled_;                    // newer than all in slots_
    atomic<std::size_t> size_{0};           // written under lock_
    atomic<std::uint64_t> left_{0};
    task_header* first_slots_[capacity_first] = {};
};

} // namespace rt::scheduler

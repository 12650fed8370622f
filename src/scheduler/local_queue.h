// SPDX-License-Identifier: MIT
//
// A worker's run queue: a ring of 256 tasks that the owner fills and everyone may empty.
//
// The shape is Tokio's (its queue.rs describes the proof). One producer, the owner; the owner pops
// in FIFO order; a thief takes half at once. `head_` packs two free-running 32-bit cursors: `real`,
// the next task to pop, and `steal`, the first slot that a thief is still copying from. They differ
// exactly while a thief is active, which locks other thieves out and keeps the owner from reusing
// slots that are being copied; the owner may go on popping and pushing.
//
// Invariants.
// 1. steal <= real <= tail, tail - steal <= capacity, as differences modulo 2^32.
// 2. Only the owner writes tail_ and the slots at or beyond it.
// 3. Slots in [steal, real) are read by one thief only, slots in [real, tail) by whoever advances
//    real over them.
// The orders: tail_ is released by the owner and acquired by thieves, so that a slot's content is
// visible with the index. head_ is advanced with acq_rel, so that the owner, who acquires it before
// it reuses a slot, comes after the thief's reads of that slot.
#pragma once

#include "scheduler/task_chain.h"

#include <rt/detail/atomic.h>
#include <rt/detail/header.h>

#include <cstdint>

namespace rt::scheduler {

template<std::uint32_t Capacity>
class basic_local_queue {
    static_assert((Capacity & (Capacity - 1)) == 0 && Capacity >= 4);

public:
    static constexpr std::uint32_t capacity = Capacity;

    // Appends a task. False: the ring is full. Owner only.
    [[nodiscard]] bool try_push(task_header* task) noexcept {
        const std::uint32_t tail = tail_.load_relaxed(); // relaxed: only the owner writes it
        // acquire: pairs with the release of a thief that has finished copying.
        const std::uint64_t head = head_.load_acquire();
        if (tail - steal_of(head) >= Capacity) {
            return false;
        }
        slots_[tail & mask].store_relaxed(task);
        tail_.store_release(tail + 1); // release: pairs with steal_into's acquire
        return true;
    }

    // The next push will succeed. Owner only.
    [[nodiscard]] bool has_room() const noexcept {
        return tail_.load_relaxed() - steal_of(head_.load_acquire()) < Capacity; // as in try_push
    }

    // Takes the newest half plus `task` off a full ring, as a chain for the injection queue. The
    // newest, because what comes back from injection lands in the first half and is then never
    // spilled again before it has run. An empty chain: a thief is active or has made room; the
    // caller tries to push again. Owner only.
    [[nodiscard]] task_chain take_overflow(task_header* task) noexcept {
        const std::uint32_t tail = tail_.load_relaxed();
        std::uint64_t head = head_.load_acquire(); // acquire: as in try_push
        const std::uint32_t real = real_of(head);
        if (steal_of(head) != real || tail - real < Capacity) {
            return {};
        }
        // Claims all, then gives the older half back by moving tail_: no thief is active, and none
        // can begin in between unnoticed, because head_ would have changed.
        if (!head_.cas_strong_acq_rel(head, pack(tail, tail))) {
            return {};
        }
        task_chain chain{nullptr, task, Capacity / 2 + 1};
        task_header* next = task;
        task->queue_next = nullptr;
        for (std::uint32_t i = Capacity; i-- > Capacity / 2;) {
            task_header* const moved = slots_[(real + i) & mask].load_relaxed();
            moved->queue_next = next;
            next = moved;
        }
        chain.first = next;
        // The older half is in place already: the ring was full, so index tail + i names the same
        // slot as real + i.
        tail_.store_release(tail + Capacity / 2); // release: pairs with steal_into's acquire
        return chain;
    }

    // Takes the oldest task, or null. Owner only.
    [[nodiscard]] task_header* pop() noexcept {
        std::uint64_t head = head_.load_relaxed();
        for (;;) {
            const std::uint32_t real = real_of(head);
            if (real == tail_.load_relaxed()) { // relaxed: only the owner writes it
                return nullptr;
            }
            const std::uint32_t steal = steal_of(head);
            const std::uint64_t next =
                steal == real ? pack(real + 1, real + 1) : pack(steal, real + 1);
            // acq_rel: acquire pairs with thieves; release keeps rule 3.
            if (head_.cas_weak_acq_rel(head, next)) {
                return slots_[real & mask].load_relaxed();
            }
        }
    }

    // Moves half of this queue (rounded up) to `thief`, which the calling worker owns. Returns the
    // newest of them for immediate execution, null when nothing could be taken; `moved` is the
    // number taken. Threads: any worker but the owner.
    [[nodiscard]] task_header* steal_into(basic_local_queue& thief, std::uint32_t& moved) noexcept {
        moved = 0;
        const std::uint32_t to = thief.tail_.load_relaxed(); // relaxed: the caller owns it
        // acquire: as in try_push, for the thief's own ring.
        if (to - steal_of(thief.head_.load_acquire()) > Capacity / 2) {
            return nullptr; // no room for a half
        }
        std::uint64_t head = head_.load_acquire();
        std::uint32_t count = 0;
        std::uint32_t first = 0;
        for (;;) {
            first = real_of(head);
            // acquire: pairs with the owner's release; the slots below tail are visible.
            const std::uint32_t available = tail_.load_acquire() - first;
            if (steal_of(head) != first || available == 0 || available > Capacity) {
                return nullptr; // another thief is active, or there is nothing (or head is stale)
            }
            count = available - available / 2;
            // acq_rel: acquire for the slots, release so that the owner sees steal != real.
            if (head_.cas_weak_acq_rel(head, pack(first, first + count))) {
                head = pack(first, first + count);
                break;
            }
        }
        for (std::uint32_t i = 0; i < count; ++i) {
            task_header* const task = slots_[(first + i) & mask].load_relaxed();
            thief.slots_[(to + i) & mask].store_relaxed(task);
        }
        // Done copying: steal catches up with real, which the owner may have advanced.
        // acq_rel: release pairs with try_push's acquire, so the owner reuses the slots after us.
        while (!head_.cas_weak_acq_rel(head, pack(real_of(head), real_of(head)))) {
        }
        moved = count;
        task_header* const last = thief.slots_[(to + count - 1) & mask].load_relaxed();
        if (count > 1) {
            thief.tail_.store_release(to + count - 1); // release: pairs with steal_into's acquire
        }
        return last;
    }

    // Number of queued tasks. Exact for the owner, a moment old for others.
    [[nodiscard]] std::uint32_t size() const noexcept {
        const std::uint32_t real = real_of(head_.load_acquire());
        const std::uint32_t size = tail_.load_acquire() - real;
        return size <= Capacity ? size : 0;
    }
    [[nodiscard]] bool is_empty() const noexcept { return size() == 0; }

private:
    static constexpr std::uint32_t mask = Capacity - 1;

    static constexpr std::uint32_t real_of(std::uint64_t head) noexcept {
        return static_cast<std::uint32_t>(head);
    }
    static constexpr std::uint32_t steal_of(std::uint64_t head) noexcept {
        return static_cast<std::uint32_t>(head >> 32U);
    }
    static constexpr std::uint64_t pack(std::uint32_t steal, std::uint32_t real) noexcept {
        return std::uint64_t{steal} << 32U | real;
    }

    alignas(128) atomic<std::uint64_t> head_{0};
    alignas(128) atomic<std::uint32_t> tail_{0};
    atomic<task_header*> slots_[Capacity] = {};
};

using local_queue = basic_local_queue<256>;

} // namespace rt::scheduler

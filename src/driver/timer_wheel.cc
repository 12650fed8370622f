// SPDX-License-Identifier: MIT
//
// Invariants, under the lock: a linked node is in due_ or in the slot of its level that its tick
// falls into, seen from elapsed_; a bit of occupied_ is set exactly when its slot has a node; due_
// is empty outside advance() unless advance() stopped at a full batch. elapsed_ never goes back.
#include "driver/timer_wheel.h"

#include "base/assert.h"
#include "metrics/worker_counters.h"

#include <algorithm>
#include <bit>

namespace rt::driver {

using detail::task_header;
using detail::timer_node;
using metrics::worker_counters;

namespace {

// No task: what fire_again_at returns.
task_header* const again = reinterpret_cast<task_header*>(alignof(void*));

} // namespace

timer_wheel::timer_wheel(std::uint64_t now_ns) noexcept
    : start_ns_(now_ns) {
}

// REQUIRES: lock held, node.tick > elapsed_.
void timer_wheel::link(timer_node& node) noexcept {
    // The highest bit in which the deadline differs from now picks the level; deadlines beyond the
    // range go into the farthest slot and come back here when it is due.
    const std::uint64_t tick = std::min(node.tick, elapsed_ + range_ticks - 1);
    const std::uint64_t differing = (elapsed_ ^ tick) | (slot_count - 1);
    const unsigned highest = 63U - static_cast<unsigned>(std::countl_zero(differing));
    const unsigned level = std::min(highest / slot_bits, level_count - 1);
    const unsigned slot = (tick >> (level * slot_bits)) & (slot_count - 1);
    push(node, level, slot);
    occupied_[level] |= std::uint64_t{1} << slot;
}

void timer_wheel::push(timer_node& node, unsigned level, unsigned slot) noexcept {
    timer_node*& head = level == due_level ? due_ : slots_[level][slot];
    node.level = static_cast<std::uint8_t>(level);
    node.slot = static_cast<std::uint8_t>(slot);
    node.previous = nullptr;
    node.next = head;
    if (head != nullptr) {
        head->previous = &node;
    }
    head = &node;
    node.linked = true;
}

// REQUIRES: lock held, node linked.
void timer_wheel::unlink(timer_node& node) noexcept {
    timer_node*& head = node.level == due_level ? due_ : slots_[node.level][node.slot];
    (node.previous == nullptr ? head : node.previous->next) = node.next;
    if (node.next != nullptr) {
        node.next->previous = node.previous;
    }
    if (head == nullptr && node.level != due_level) {
        occupied_[node.level] &= ~(std::uint64_t{1} << node.slot);
    }
    node.linked = false;
}

void timer_wheel::insert(timer_node& node, std::uint64_t deadline_ns) noexcept {
    node.wheel = this;
    metrics::count(&worker_counters::timers_armed);
    base::guard guard(lock_);
    RT_DEBUG_ASSERT(!node.linked);
    node.tick = std::max(tick_of(deadline_ns), elapsed_ + 1);
    link(node);
    size_.bump_relaxed(1);
}

bool timer_wheel::cancel(timer_node& node) noexcept {
    base::guard guard(lock_);
    if (!node.linked) {
        return false;
    }
    unlink(node);
    size_.bump_relaxed(~std::uint64_t{0});
    return true;
}

// The first slot that comes due. A slot of level n is due when its first tick is reached.
timer_wheel::expiry timer_wheel::next_expiry() const noexcept {
    for (unsigned level = 0; level < level_count; ++level) {
        if (occupied_[level] == 0) {
            continue;
        }
        const unsigned shift = level * slot_bits;
        const auto now_slot = static_cast<unsigned>((elapsed_ >> shift) & (slot_count - 1));
        // From the slot after the present one: what is in the present one is a turn away.
        const unsigned first = (now_slot + 1) & (slot_count - 1);
        const std::uint64_t rotated = std::rotr(occupied_[level], static_cast<int>(first));
        const unsigned slot =
            (static_cast<unsigned>(std::countr_zero(rotated)) + first) & (slot_count - 1);
        const std::uint64_t turn = std::uint64_t{slot_count} << shift;
        std::uint64_t tick = (elapsed_ & ~(turn - 1)) + (std::uint64_t{slot} << shift);
        if (tick <= elapsed_) {
            tick += turn; // only the last level wraps
        }
        return {level, slot, tick};
    }
    return {};
}

// Empties a slot: what is due to the list of due nodes, the rest into finer slots. REQUIRES: lock
// held, elapsed_ at the slot's first tick.
void timer_wheel::cascade(const expiry& due) noexcept {
    timer_node* node = slots_[due.level][due.slot];
    slots_[due.level][due.slot] = nullptr;
    occupied_[due.level] &= ~(std::uint64_t{1} << due.slot);
    while (node != nullptr) {
        timer_node* const next = node->next;
        if (node->tick <= elapsed_) {
            push(*node, due_level, 0);
        } else {
            link(*node);
        }
        node = next;
    }
}

// Takes one node that is due at tick `now` out, or returns null and moves elapsed_ to now.
// REQUIRES: lock held.
timer_node* timer_wheel::take_due(std::uint64_t now) noexcept {
    while (due_ == nullptr) {
        const expiry due = next_expiry();
        if (due.tick > now) {
            elapsed_ = std::max(elapsed_, now);
            return nullptr;
        }
        elapsed_ = due.tick;
        cascade(due);
    }
    timer_node* const node = due_;
    unlink(*node);
    return node;
}

// The size is not lowered before it is known that the node stays out: the worker that reads it
// without the lock must not take the wheel for empty meanwhile. REQUIRES: lock held, node not
// linked.
task_header* timer_wheel::fire(timer_node& node) noexcept {
    task_header* const outcome = node.fire(&node);
    if (outcome != again) {
        size_.bump_relaxed(~std::uint64_t{0});
        return outcome;
    }
    node.tick = std::max(tick_of(node.tick), elapsed_ + 1);
    link(node);
    return nullptr;
}

unsigned timer_wheel::advance(std::uint64_t now_ns) noexcept {
    const std::uint64_t now = now_ns > start_ns_ ? (now_ns - start_ns_) / tick_ns : 0;
    unsigned fired = 0;
    for (bool more = true; more;) {
        task_header* ready[batch_max];
        std::size_t count = 0;
        more = false;
        {
            base::guard guard(lock_);
            while (count < batch_max) {
                timer_node* const node = take_due(now);
                if (node == nullptr) {
                    break;
                }
                ++fired;
                if (task_header* const task = fire(*node)) {
                    ready[count++] = task;
                }
            }
            more = count == batch_max;
        }
        for (std::size_t i = 0; i < count; ++i) {
            ready[i]->scheduler->schedule(ready[i]);
        }
    }
    metrics::add(&worker_counters::timers_fired, fired);
    return fired;
}

std::int64_t timer_wheel::next_deadline_ns() noexcept {
    if (size_.load_relaxed() == 0) { // relaxed: only the asking worker makes it grow
        return INT64_MAX;
    }
    base::guard guard(lock_);
    const expiry due = next_expiry();
    if (due_ != nullptr) {
        return 0;
    }
    if (due.tick == UINT64_MAX) {
        return INT64_MAX;
    }
    return static_cast<std::int64_t>(start_ns_ + due.tick * tick_ns);
}

} // namespace rt::driver

rt::detail::task_header*
rt::detail::fire_again_at(timer_node& node, std::uint64_t deadline_ns) noexcept {
    node.tick = deadline_ns; // until the wheel, which called, makes a tick of it
    return rt::driver::again;
}

// SPDX-License-Identifier: MIT
//
// The buffer of the injection queue, and what becomes of tasks that do not fit into it.
//
// Nothing is allocated under the lock: who finds the buffer full makes a larger one outside, and
// installs it if nobody was faster. Order: all in the list of spilled tasks is newer than all in
// the buffer; so while the list has something, pushes go to its end, and each pop moves as many
// into the buffer as it has taken out.
// size_ is written under the lock, so a pusher's fence (pool_state::notify) orders it before the
// look at the sleepers, as idle.h asks for.
#include "scheduler/inject_queue.h"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <iterator>
#include <utility>

namespace rt::scheduler {

inject_queue::~inject_queue() {
    if (slots_ != first_slots_) {
        std::free(slots_);
    }
}

bool inject_queue::push_chain(const task_chain& chain) noexcept {
    for (bool may_grow = true;;) {
        std::size_t wanted = 0;
        {
            const base::guard hold(lock_);
            if (is_closed_) {
                return false;
            }
            if (!may_grow || spilled_.count != 0 || has_room(chain.count)) {
                accept(chain);
                return true;
            }
            wanted = std::bit_ceil(end_ - begin_ + chain.count);
        }
        may_grow = grow(wanted);
    }
}

void inject_queue::accept(const task_chain& chain) noexcept {
    ++entered_;
    size_.store_relaxed(size_.load_relaxed() + chain.count);
    if (spilled_.count != 0 || !has_room(chain.count)) [[unlikely]] {
        spilled_.append(chain);
        return;
    }
    task_header* task = chain.first;
    for (std::uint32_t left = chain.count; left != 0; --left) {
        append(task);
        task = task->queue_next;
    }
}

bool inject_queue::grow(std::size_t wanted) noexcept {
    auto** unused = static_cast<task_header**>(std::malloc(wanted * sizeof(task_header*)));
    if (unused == nullptr) {
        return false;
    }
    {
        const base::guard hold(lock_);
        if (capacity_ < wanted) { // else another thread was faster
            for (std::size_t i = begin_; i != end_; ++i) {
                unused[i & (wanted - 1)] = slots_[i & (capacity_ - 1)];
            }
            capacity_ = wanted;
            std::swap(slots_, unused);
        }
    }
    if (unused != first_slots_) {
        std::free(unused);
    }
    return true;
}

// Moves what was spilled into the buffer, as far as there is room.
void inject_queue::refill() noexcept {
    while (spilled_.count != 0 && has_room(1)) {
        append(spilled_.pop());
    }
}

task_chain inject_queue::pop(std::uint32_t most) noexcept {
    if (is_empty()) {
        return {};
    }
    task_header* taken[local_queue::capacity / 2];
    std::uint32_t count = 0;
    {
        const base::guard hold(lock_);
        const std::size_t queued = end_ - begin_;
        count = static_cast<std::uint32_t>(std::min({queued, std::size_t{most}, std::size(taken)}));
        for (std::uint32_t i = 0; i < count; ++i) {
            taken[i] = slots_[begin_++ & (capacity_ - 1)];
        }
        size_.store_relaxed(size_.load_relaxed() - count);
        if (spilled_.count != 0) [[unlikely]] {
            refill();
        }
    }
    if (count == 0) {
        return {};
    }
    for (std::uint32_t i = 0; i + 1 < count; ++i) {
        taken[i]->queue_next = taken[i + 1];
    }
    taken[count - 1]->queue_next = nullptr;
    return {taken[0], taken[count - 1], count};
}

bool inject_queue::has_guests() noexcept {
    const base::guard hold(lock_);
    return left_.load_acquire() != entered_; // acquire: pairs with leave
}

void inject_queue::close() noexcept {
    const base::guard hold(lock_);
    is_closed_ = true;
}

} // namespace rt::scheduler

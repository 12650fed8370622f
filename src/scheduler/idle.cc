// SPDX-License-Identifier: MIT
//
// The stack of sleepers and the word change together under the lock, except that searchers come and
// go by the word alone; so a worker that is woken has been taken off the stack by exactly one
// waker.
#include "scheduler/idle.h"

#include "base/assert.h"

#include <algorithm>

namespace rt::scheduler {

idle::idle(std::uint32_t worker_count)
    : worker_count_(worker_count)
    , word_(worker_count * one_unparked) {
    RT_ASSERT(worker_count > 0 && worker_count < count_mask);
    sleepers_.reserve(worker_count);
}

std::optional<std::uint32_t> idle::worker_to_wake(std::uint32_t near) noexcept {
    if (!may_wake()) {
        return std::nullopt;
    }
    base::guard guard(lock_);
    if (!may_wake() || sleepers_.empty()) {
        return std::nullopt;
    }
    auto chosen = std::find(sleepers_.begin(), sleepers_.end(), near);
    if (chosen == sleepers_.end()) {
        chosen = sleepers_.end() - 1;
    }
    const std::uint32_t index = *chosen;
    sleepers_.erase(chosen);
    // seq_cst: in one order with park's decrement, so that two wakers never both see no searcher.
    word_.add_seq_cst(one_unparked + one_searching);
    return index;
}

bool idle::start_searching() noexcept {
    const std::uint32_t word = word_.load_relaxed(); // relaxed: an overshoot is harmless
    if (2 * (word & count_mask) >= worker_count_) {
        return false;
    }
    word_.add_seq_cst(one_searching); // seq_cst: as in worker_to_wake
    return true;
}

bool idle::stop_searching() noexcept {
    // seq_cst: orders the decrement before this worker's later reads of queues, against producers
    // that read the word after their fence.
    const std::uint32_t before = word_.sub_seq_cst(one_searching);
    RT_DEBUG_ASSERT((before & count_mask) != 0);
    return (before & count_mask) == 1;
}

bool idle::park(std::uint32_t index, bool was_searching) noexcept {
    base::guard guard(lock_);
    RT_DEBUG_ASSERT(std::find(sleepers_.begin(), sleepers_.end(), index) == sleepers_.end());
    // seq_cst: rule D's decrement; in one order with worker_to_wake's, and with notify's fence.
    const std::uint32_t before =
        word_.sub_seq_cst(one_unparked + (was_searching ? one_searching : 0U));
    sleepers_.push_back(index);
    const bool nobody_searches = (before & count_mask) == (was_searching ? one_searching : 0U);
    if (nobody_searches) {
        // Store-load: the decrement before the caller's look at the queues, whose loads are weaker
        // than seq_cst and may be satisfied earlier without it. Pairs with notify's fence, pool.cc.
        fence_seq_cst();
    }
    return nobody_searches;
}

bool idle::unpark(std::uint32_t index) noexcept {
    base::guard guard(lock_);
    const auto found = std::find(sleepers_.begin(), sleepers_.end(), index);
    if (found == sleepers_.end()) {
        return true;
    }
    sleepers_.erase(found);
    word_.add_seq_cst(one_unparked); // seq_cst: as in worker_to_wake
    return false;
}

} // namespace rt::scheduler

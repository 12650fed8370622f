// SPDX-License-Identifier: MIT
//
// The stack of sleepers and the word change together under the lock, except that searchers come and
// go by the word alone; so a worker that is woken has been taken off the stack by exactly one
// waker.
#include "scheduler/idle.h"

#include "base/assert.h"

#include <algorithm>

namespace rt::scheduler {

idle::idle(std::uint32_t worker_count, std::uint32_t stand_ins_max)
    : worker_count_(worker_count)
    , word_(worker_count * one_unparked)
    , target_(worker_count) {
    RT_ASSERT(worker_count > 0 && worker_count + stand_ins_max < count_mask);
    sleepers_.reserve(worker_count + stand_ins_max);
    resting_.reserve(stand_ins_max);
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
    if ((before & count_mask) != 1) {
        return false;
    }
    fence_seq_cst(); // store-load, as in park
    return true;
}

bool idle::park(std::uint32_t index, bool was_searching) noexcept {
    base::guard guard(lock_);
    RT_DEBUG_ASSERT(std::find(sleepers_.begin(), sleepers_.end(), index) == sleepers_.end());
    // seq_cst: rule D's decrement; in one order with worker_to_wake's, and with notify's fence.
    const std::uint32_t before =
        word_.sub_seq_cst(one_unparked + (was_searching ? one_searching : 0U));
    if (index >= worker_count_ && surplus() != 0 && arrived_ == 0) {
        stop_.store_relaxed(stop_.load_relaxed() - 1); // the one too many: it is at rest
        resting_.push_back(index);
    } else {
        sleepers_.push_back(index);
    }
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
        const auto rested = index < worker_count_
            ? resting_.end()
            : std::find(resting_.begin(), resting_.end(), index);
        if (rested == resting_.end()) {
            return true;
        }
        // A stand-in that was put to rest while it slept comes back: it is one too many.
        resting_.erase(rested);
        stop_.store_relaxed(stop_.load_relaxed() + 1);
    } else {
        sleepers_.erase(found);
    }
    word_.add_seq_cst(one_unparked); // seq_cst: as in worker_to_wake
    return false;
}

idle::relief idle::go_away() noexcept {
    base::guard guard(lock_);
    // One that is awake is needed again. At shutdown it may have arrived already, and whoever
    // stands in shall arrive after this worker has gone, so that there is a last one.
    if (surplus() != 0 && (stop_.load_relaxed() & stopped) == 0) {
        stop_.store_relaxed(stop_.load_relaxed() - 1);
    } else if (!resting_.empty()) {
        sleepers_.insert(sleepers_.begin(), resting_.back()); // chosen last
        resting_.pop_back();
    } else {
        ++unrelieved_;
        if (making_ >= unrelieved_ + unreinforced_) {
            return relief::coming;
        }
        ++making_;
        return relief::wanted;
    }
    word_.sub_seq_cst(one_unparked); // seq_cst: as in park
    fence_seq_cst();                 // store-load: as in park; and before a look at the phase
    return relief::found;
}

bool idle::come_back() noexcept {
    base::guard guard(lock_);
    if (unrelieved_ != 0) {
        --unrelieved_;
        return true;
    }
    if (has_leader_) {
        return false;
    }
    if (!rest_a_sleeper()) {
        stop_.store_relaxed(stop_.load_relaxed() + 1);
    }
    word_.add_seq_cst(one_unparked); // seq_cst: as in worker_to_wake
    return true;
}

bool idle::join(std::uint32_t index) noexcept {
    base::guard guard(lock_);
    --making_;
    if (unrelieved_ != 0) {
        --unrelieved_; // the count of the one that is away is its own now
        forget_unmade();
        return true;
    }
    if (unreinforced_ != 0) {
        --unreinforced_;
        target_.store_relaxed(target_.load_relaxed() + 1);
        word_.add_seq_cst(one_unparked); // seq_cst: as in worker_to_wake
        return true;
    }
    resting_.push_back(index);
    return false;
}

void idle::give_up_making() noexcept {
    base::guard guard(lock_);
    --making_;
    forget_unmade();
}

// Who is away is served first by those that are being made; the watchdog asks again for its own.
void idle::forget_unmade() noexcept {
    unreinforced_ = std::min(unreinforced_, making_ - std::min(making_, unrelieved_));
}

idle::relief idle::reinforce(std::uint32_t most, bool may_make) noexcept {
    base::guard guard(lock_);
    const bool is_ending = arrived_ != 0 || (stop_.load_relaxed() & stopped) != 0;
    if (is_ending || is_lone() || searching() != 0 || may_wake()) {
        return relief::refused;
    }
    if (unreinforced_ != 0) {
        return relief::coming;
    }
    if (reinforcements() >= most) {
        return relief::refused;
    }
    if (surplus() != 0) {
        stop_.store_relaxed(stop_.load_relaxed() - 1); // as many count, and more may be awake
    } else if (!resting_.empty()) {
        sleepers_.push_back(resting_.back());
        resting_.pop_back();
    } else if (!may_make) {
        return relief::refused;
    } else {
        ++unreinforced_;
        if (making_ >= unrelieved_ + unreinforced_) {
            return relief::coming;
        }
        ++making_;
        return relief::wanted;
    }
    target_.store_relaxed(target_.load_relaxed() + 1);
    fence_seq_cst(); // store-load: the target before the caller's look; pairs with notify's
    return relief::found;
}

bool idle::dismiss() noexcept {
    base::guard guard(lock_);
    if (arrived_ != 0 || reinforcements() == 0) {
        return false;
    }
    target_.store_relaxed(target_.load_relaxed() - 1);
    if (!rest_a_sleeper()) {
        stop_.store_relaxed(stop_.load_relaxed() + 1);
    }
    return true;
}

bool idle::is_making() noexcept {
    const base::guard guard(lock_);
    return making_ != 0;
}

std::uint32_t idle::unrelieved() noexcept {
    const base::guard guard(lock_);
    return unrelieved_;
}

bool idle::be_alone(bool was_searching) noexcept {
    base::guard guard(lock_);
    const bool is_all = word_.load_relaxed() / one_unparked == 1 && target_.load_relaxed() == 1 &&
        sleepers_.empty() && making_ == 0 && stop_.load_relaxed() == 0;
    if (is_all && was_searching) {
        word_.sub_seq_cst(one_searching); // seq_cst: as in stop_searching
    }
    if (is_all) {
        is_lone_.store_relaxed(true); // under the lock: reinforce sees either this or who counts
    }
    return is_all;
}

// Puts a stand-in that sleeps to rest, if there is one.
bool idle::rest_a_sleeper() noexcept {
    const auto asleep = std::find_if(sleepers_.begin(), sleepers_.end(), [this](auto index) {
        return index >= worker_count_;
    });
    if (asleep == sleepers_.end()) {
        return false;
    }
    resting_.push_back(*asleep);
    sleepers_.erase(asleep);
    return true;
}

idle::role idle::wake_from_rest(std::uint32_t index) noexcept {
    base::guard guard(lock_);
    if (std::find(resting_.begin(), resting_.end(), index) != resting_.end()) {
        return role::at_rest;
    }
    const auto found = std::find(sleepers_.begin(), sleepers_.end(), index);
    if (found == sleepers_.end()) {
        return role::searching;
    }
    sleepers_.erase(found);
    word_.add_seq_cst(one_unparked); // seq_cst: as in worker_to_wake
    return role::awake;
}

bool idle::retire(std::uint32_t index) noexcept {
    base::guard guard(lock_);
    // Who has arrived already will not look again whether it was the last.
    if (surplus() == 0 || arrived_ != 0) {
        return false;
    }
    stop_.store_relaxed(stop_.load_relaxed() - 1);
    resting_.push_back(index);
    word_.sub_seq_cst(one_unparked); // seq_cst: as in park
    fence_seq_cst();                 // store-load: as in park
    return true;
}

void idle::stop_stand_ins() noexcept {
    base::guard guard(lock_);
    stop_.store_release(stop_.load_relaxed() | stopped); // release: pairs with worker::run
}

bool idle::arrive(std::uint32_t more) noexcept {
    base::guard guard(lock_);
    if (has_leader_) {
        return false; // a stand-in that was put to rest on its way here
    }
    arrived_ += more;
    has_leader_ = arrived_ == target_.load_relaxed() + surplus();
    return has_leader_;
}

} // namespace rt::scheduler

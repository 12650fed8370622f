// SPDX-License-Identifier: MIT
//
// Waiting and waking for all of rt/sync, tasks and threads alike. The rules are in
// rt/detail/wait_queue.h.
//
// Threads: any. Lists are touched under the lock of the object they belong to, which the callers
// hold; wake-ups happen after it. Nothing here allocates.
#include "base/arch.h"
#include "base/assert.h"
#include "base/clock.h"
#include "task/wait_reason.h"

#include <rt/detail/context.h>
#include <rt/detail/sync_lock.h>
#include <rt/detail/wait_queue.h>

#include <cerrno>
#include <coroutine>
#include <ctime>
#include <memory>

#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace rt::detail {
namespace {

// The figures of base/lock.cc: about 1 us of pauses, then a few yields, then naps.
constexpr std::uint32_t spin_rounds_max = 64;
constexpr std::uint32_t yield_rounds_max = 16;
constexpr long nap_ns = 50'000;

timespec to_timespec(std::uint64_t at_ns) noexcept {
    return {
        static_cast<time_t>(at_ns / base::ns_per_second),
        static_cast<long>(at_ns % base::ns_per_second),
    };
}

// Sleeps while the word is 0, or wakes up without cause. False: `until` has passed, a point of
// CLOCK_MONOTONIC, which is why it is not FUTEX_WAIT: that takes a duration.
bool sleep_on(const atomic<std::uint32_t>& word, const timespec* until) noexcept {
    const long failed = ::syscall(
        SYS_futex,
        word.address(),
        FUTEX_WAIT_BITSET_PRIVATE,
        0,
        until,
        nullptr,
        FUTEX_BITSET_MATCH_ANY
    );
    return failed == 0 || errno != ETIMEDOUT;
}

const char* text_of(const sync_wait_type& type) noexcept {
    // A literal, so it is terminated.
    return type.name != nullptr ? type.name : tasks::text_of(type.kind).data();
}

} // namespace

void back_off(std::uint32_t round) noexcept {
    if (round < spin_rounds_max) {
        base::cpu::relax();
    } else if (round < spin_rounds_max + yield_rounds_max) {
        ::sched_yield();
    } else {
        const timespec nap{0, nap_ns};
        ::nanosleep(&nap, nullptr);
    }
}

void sync_lock::lock_slow() noexcept {
    for (std::uint32_t round = 0;; ++round) {
        // relaxed: only a hint when to try. acquire: pairs with the release in unlock.
        if (state_.load_relaxed() == free && state_.exchange_acquire(held) == free) {
            return;
        }
        back_off(round);
    }
}

void wait_list::push_back(sync_wait* waiter) noexcept {
    waiter->links_.next = nullptr;
    waiter->links_.previous = last_;
    waiter->links_.epoch = epoch_;
    (last_ == nullptr ? first_ : last_->links_.next) = waiter;
    last_ = waiter;
}

sync_wait* wait_list::pop_front() noexcept {
    sync_wait* const waiter = first_;
    RT_ASSERT(waiter != nullptr && waiter->links_.epoch == epoch_);
    first_ = waiter->links_.next;
    (first_ == nullptr ? last_ : first_->links_.previous) = nullptr;
    waiter->links_.epoch = epoch_ - 1;
    return waiter;
}

bool wait_list::remove(sync_wait* waiter) noexcept {
    if (waiter->links_.epoch != epoch_) {
        return false;
    }
    sync_wait* const before = waiter->links_.previous;
    sync_wait* const after = waiter->links_.next;
    RT_ASSERT((before == nullptr ? first_ : before->links_.next) == waiter);
    (before == nullptr ? first_ : before->links_.next) = after;
    (after == nullptr ? last_ : after->links_.previous) = before;
    waiter->links_.epoch = epoch_ - 1;
    return true;
}

void wait_list::destroyed_in_use() const noexcept {
    base::fatal(
        "an object of rt/sync (%s) was destroyed while a task or thread waits on it, but it must "
        "outlive the wait: make it live longer, or abort the task and await its join handle first",
        text_of(*first_->type_)
    );
}

void wake_list::add_all(wait_list& from) noexcept {
    if (from.first_ == nullptr) {
        return;
    }
    (last_ == nullptr ? first_ : last_->links_.next) = from.first_;
    last_ = from.last_;
    from.first_ = nullptr;
    from.last_ = nullptr;
    ++from.epoch_; // they are off the list now, and know it
}

bool sync_wait::suspend(void* self) noexcept {
    if (this_thread.task == nullptr) [[unlikely]] {
        base::fatal(
            "co_await (%s) outside a task: wrap the call in rt::block_on(...) or rt::spawn(...), "
            "or use the blocking_ function",
            text_of(*type_)
        );
    }
    task = this_thread.task;
    if (is_starved_) [[unlikely]] {
        is_starved_ = false;
        // No destroy function: unwinding destroys rt frames, and this object with them.
        std::construct_at(
            &retry_,
            &retry,
            nullptr,
            frame_header{reinterpret_cast<std::uintptr_t>(self), site()},
            this
        );
        return yield_current(&retry_);
    }
    return enroll_and_commit(self);
}

bool sync_wait::enroll_and_commit(void* self) noexcept {
    // A waker may be at work as soon as enroll returns; the waiter stays until waiting is
    // published.
    return type_->enroll(this) && commit_suspend(task, self, this, type_->kind, object_);
}

void sync_wait::retry(void* frame) noexcept {
    const retry_frame at = *static_cast<retry_frame*>(frame);
    auto* const self = reinterpret_cast<void*>(at.header.continuation);
    static_cast<void>(consume_budget()); // a turn has just begun
    if (!at.waiter->enroll_and_commit(self)) {
        std::coroutine_handle<>::from_address(self).resume();
    }
}

void sync_wait::wake(sync_wait* waiter) noexcept {
    if (waiter->task != nullptr) [[likely]] {
        detail::wake(waiter->task);
        return;
    }
    std::uint32_t* const word = waiter->signal_.address();
    // release: pairs with the acquire in block_slow. The waiter may be gone after this store, which
    // is why the call below uses the address only as a number: a stale wake is spurious.
    waiter->signal_.store_release(1);
    ::syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
}

void sync_wait::refuse_to_block() const noexcept {
    base::fatal(
        "a blocking_ function (%s) inside a task would stop its worker: use co_await",
        text_of(*type_)
    );
}

bool sync_wait::block_slow(time_limit limit) noexcept {
    std::construct_at(&signal_, 0U);
    if (!type_->enroll(this)) {
        return true;
    }
    const timespec at = to_timespec(limit.at_ns());
    const timespec* until = limit.is_none() ? nullptr : &at;
    // acquire: pairs with the release in wake.
    while (signal_.load_acquire() == 0) {
        if (!sleep_on(signal_, until)) {
            if (cancel(this) == cancel_result::detached) {
                return false;
            }
            until = nullptr; // rule 6: it is being woken
        }
    }
    return true;
}

} // namespace rt::detail

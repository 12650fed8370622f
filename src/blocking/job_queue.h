// SPDX-License-Identifier: MIT
//
// One queue of jobs that wait for a thread, first come first served; any may be taken out again.
//
// A doubly linked list through the jobs themselves, so nothing is allocated. Threads: none of its
// own, but for size(); the lock of its shard guards it, and with it the links in each job.
#pragma once

#include "base/assert.h"

#include <rt/detail/atomic.h>
#include <rt/detail/blocking.h>

#include <cstdint>

namespace rt::offload {

class job_queue {
public:
    using job = detail::blocking_job;

    // `home` is what the job shall say of its place, not 0. Returns the ticket by which take()
    // finds it: a job that has run may be gone, and its address may be another job's.
    std::uint64_t push(job& one, std::uint32_t home) noexcept {
        RT_ASSERT(one.home.load_relaxed() == 0); // relaxed, as all of home here: under the lock
        one.home.store_relaxed(home);
        one.ticket = ++last_ticket_;
        one.next = nullptr;
        one.previous = last_;
        (last_ == nullptr ? first_ : last_->next) = &one;
        last_ = &one;
        size_.store_relaxed(size_.load_relaxed() + 1); // relaxed: see job_shards.h
        return one.ticket;
    }

    void remove(job& one) noexcept {
        RT_ASSERT(one.home.load_relaxed() != 0 && size() != 0);
        (one.previous == nullptr ? first_ : one.previous->next) = one.next;
        (one.next == nullptr ? last_ : one.next->previous) = one.previous;
        one.home.store_relaxed(0);
        size_.store_relaxed(size_.load_relaxed() - 1); // relaxed: see job_shards.h
    }

    // The one that has waited longest, or null.
    [[nodiscard]] job* pop() noexcept {
        job* const one = first_;
        if (one != nullptr) {
            remove(*one);
        }
        return one;
    }

    // Removes the job with this ticket. False: it is not here any more.
    [[nodiscard]] bool take(std::uint64_t ticket) noexcept {
        job* one = first_;
        while (one != nullptr && one->ticket != ticket) {
            one = one->next;
        }
        if (one != nullptr) {
            remove(*one);
        }
        return one != nullptr;
    }

    // Threads: any.
    [[nodiscard]] std::uint32_t size() const noexcept { return size_.load_relaxed(); }

private:
    job* first_ = nullptr;
    job* last_ = nullptr;
    atomic<std::uint32_t> size_{0};
    std::uint64_t last_ticket_ = 0;
};

} // namespace rt::offload

// SPDX-License-Identifier: MIT
//
// The jobs that wait for a thread, first come first served; any may be taken out again.
//
// A doubly linked list through the jobs themselves, so nothing is allocated. Threads: none of its
// own; the pool's lock guards it, and with it the links in each job.
#pragma once

#include "base/assert.h"

#include <rt/detail/blocking.h>

#include <cstddef>
#include <cstdint>

namespace rt::offload {

class job_queue {
public:
    using job = detail::blocking_job;

    // The ticket by which take() finds it: a job that has run may be gone, and its address may be
    // another job's.
    std::uint64_t push(job& one) noexcept {
        RT_ASSERT(!one.is_queued);
        one.is_queued = true;
        one.ticket = ++last_ticket_;
        one.next = nullptr;
        one.previous = last_;
        (last_ == nullptr ? first_ : last_->next) = &one;
        last_ = &one;
        ++size_;
        return one.ticket;
    }

    void remove(job& one) noexcept {
        RT_ASSERT(one.is_queued && size_ != 0);
        (one.previous == nullptr ? first_ : one.previous->next) = one.next;
        (one.next == nullptr ? last_ : one.next->previous) = one.previous;
        one.is_queued = false;
        --size_;
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

    [[nodiscard]] std::size_t size() const noexcept { return size_; }

private:
    job* first_ = nullptr;
    job* last_ = nullptr;
    std::size_t size_ = 0;
    std::uint64_t last_ticket_ = 0;
};

} // namespace rt::offload

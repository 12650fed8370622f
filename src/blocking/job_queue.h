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

namespace rt::offload {

class job_queue {
public:
    using job = detail::blocking_job;

    void push(job& one) noexcept {
        RT_ASSERT(!one.is_queued);
        one.is_queued = true;
        one.next = nullptr;
        one.previous = last_;
        (last_ == nullptr ? first_ : last_->next) = &one;
        last_ = &one;
        ++size_;
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

    // By its address: a job that has run may be gone.
    [[nodiscard]] bool contains(const job* wanted) const noexcept {
        const job* one = first_;
        while (one != nullptr && one != wanted) {
            one = one->next;
        }
        return one != nullptr;
    }

    [[nodiscard]] std::size_t size() const noexcept { return size_; }

private:
    job* first_ = nullptr;
    job* last_ = nullptr;
    std::size_t size_ = 0;
};

} // namespace rt::offload

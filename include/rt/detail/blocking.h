// SPDX-License-Identifier: MIT
//
// The node of a closure on its way to the blocking pool. It lives in the awaiting frame, which
// stays suspended until the closure has run or has been withdrawn.
#pragma once

#include <rt/detail/atomic.h>

#include <cstdint>

namespace rt::detail {

struct blocking_job {
    using run_function = void (*)(blocking_job*) noexcept;

    explicit blocking_job(run_function f) noexcept
        : run(f) {}
    blocking_job(const blocking_job&) = delete;
    blocking_job& operator=(const blocking_job&) = delete;

    run_function run; // called on a pool thread; the job may be gone when it returns
    // Where it waits: 0 nowhere, else one more than the index of its queue. Written under that
    // queue's lock, which guards the rest too.
    atomic<std::uint32_t> home{0};
    blocking_job* next = nullptr;
    blocking_job* previous = nullptr;
    std::uint64_t queued_ns = 0; // written before it is queued
    std::uint64_t ticket = 0;    // of this stay in its queue, which uses none twice
};

} // namespace rt::detail

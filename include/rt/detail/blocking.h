// SPDX-License-Identifier: MIT
//
// The node of a closure on its way to the blocking pool. It lives in the awaiting frame, which
// stays suspended until the closure has run or has been withdrawn.
#pragma once

#include <cstdint>

namespace rt::detail {

struct blocking_job {
    using run_function = void (*)(blocking_job*) noexcept;

    explicit blocking_job(run_function f) noexcept
        : run(f) {}
    blocking_job(const blocking_job&) = delete;
    blocking_job& operator=(const blocking_job&) = delete;

    run_function run;             // called on a pool thread; the job may be gone when it returns
    blocking_job* next = nullptr; // guarded by the pool
    blocking_job* previous = nullptr;
    std::uint64_t queued_ns = 0;
    std::uint64_t ticket = 0; // of this stay in the queue; never used twice
    bool is_queued = false;
};

} // namespace rt::detail

// SPDX-License-Identifier: MIT
//
// What the tests of bound tasks share: an object that such a task owns, which notes a fault when it
// is looked at or destroyed on another worker. The task calls look() in each of its turns; the test
// sees to it that there were as many turns as there should be, no fault, and nobody left alive.
#pragma once

#include <rt/detail/atomic.h>
#include <rt/join.h>
#include <rt/spawn_on.h>
#include <rt/task.h>

#include <cstdint>
#include <utility>
#include <vector>

namespace rt::test {

struct findings {
    atomic<int> faults{0}; // turns and destructors on another worker
    atomic<int> turns{0};
    atomic<int> live{0};

    void look(std::uint32_t worker) {
        turns.add_relaxed(1);
        if (worker_index() != worker) {
            faults.add_relaxed(1);
        }
    }
};

// Owned by a task of `worker`.
class resident {
public:
    resident(findings* found, std::uint32_t worker) noexcept
        : found_(found)
        , worker_(worker) {
        found_->live.add_relaxed(1);
    }
    resident(resident&& other) noexcept
        : found_(std::exchange(other.found_, nullptr))
        , worker_(other.worker_) {}
    ~resident() {
        if (found_ != nullptr) {
            found_->look(worker_);
            found_->live.sub_acq_rel(1);
        }
    }
    void look() const { found_->look(worker_); }

private:
    findings* found_;
    std::uint32_t worker_;
};

inline task<void> joins(std::vector<join_handle<void>>* all) {
    for (auto& each : *all) {
        co_await std::move(each);
    }
}

} // namespace rt::test

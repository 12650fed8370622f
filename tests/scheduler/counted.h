// SPDX-License-Identifier: MIT
//
// A runtime whose workers can be looked at, for the tests of what they count.
//
// Each test has a process of its own, so the counts of threads that are no workers are of this
// runtime too, or from before it: such counts are compared.
#pragma once

#include "metrics/worker_counters.h"
#include "runtime/core.h"
#include "support/test.h"
#include "task/gate.h"

#include <rt/runtime.h>
#include <rt/spawn.h>

#include <cstdint>
#include <memory>
#include <thread>
#include <utility>

namespace rt::test {

template<typename Member>
std::uint64_t sum_outside(Member member) {
    std::uint64_t total = 0;
    for (auto* each = metrics::first_outside(); each != nullptr; each = each->next) {
        total += (each->*member).load_relaxed();
    }
    return total;
}

class counted {
public:
    explicit counted(std::uint32_t workers, driver_kind driver = driver_kind::automatic)
        : core_(std::make_shared<engine::core>(exactly(workers, driver))) {
        cr_assert(core_->start().text.empty());
    }
    ~counted() { end(); }

    void end() { core_->shut_down(); }

    [[nodiscard]] scheduler::pool& pool() { return core_->workers(); }

    // The sum over all workers; with `outside`, of all other threads too.
    template<typename Member>
    std::uint64_t sum(Member member, bool outside = false) {
        std::uint64_t total = outside ? sum_outside(member) : 0;
        for (std::uint32_t i = 0; i < pool().worker_count(); ++i) {
            total += (pool().view(i).counters->*member).load_relaxed();
        }
        return total;
    }

    join_handle<void> spawn(task<void> body) {
        return detail::launch(&pool(), std::move(body), detail::site::current());
    }
    void block_on(task<void> body) {
        detail::block_on(*core_, std::move(body), detail::site::current());
    }
    void wait_until_parked() {
        for (std::uint32_t i = 0; i < pool().worker_count(); ++i) {
            while (pool().view(i).state != scheduler::worker_state::parked) {
                std::this_thread::yield();
            }
        }
    }

private:
    std::shared_ptr<engine::core> core_;
};

} // namespace rt::test

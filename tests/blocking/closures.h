// SPDX-License-Identifier: MIT
//
// What tests of closures on the pool share: a gate, a witness of destruction, and the end of a
// task.
#pragma once

#include <rt/detail/atomic.h>
#include <rt/join.h>
#include <rt/task.h>
#include <rt/yield.h>

#include <latch>
#include <utility>

namespace rt::test {

// A closure that must be running says so, and goes on when it is told to.
struct gate {
    std::latch started{1};
    std::latch go_on{1};

    void pass() {
        started.count_down();
        go_on.wait();
    }
};

inline task<void> wait_for_start(gate* through) {
    while (!through->started.try_wait()) {
        co_await yield();
    }
}

// Counts its destruction, once, however often it was moved.
struct witness {
    explicit witness(atomic<int>* count) noexcept
        : destroyed(count) {}
    witness(witness&& other) noexcept
        : destroyed(std::exchange(other.destroyed, nullptr)) {}
    ~witness() {
        if (destroyed != nullptr) {
            destroyed->add_relaxed(1);
        }
    }
    atomic<int>* destroyed;
};

// True when awaiting the handle says that the task was cancelled.
template<typename T>
task<bool> is_cancelled(join_handle<T> handle) {
    try {
        static_cast<void>(co_await std::move(handle));
    } catch (const join_error&) {
        co_return true;
    }
    co_return false;
}

} // namespace rt::test

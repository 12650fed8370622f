// SPDX-License-Identifier: MIT
//
// What the tests of rt/sync share: knowing that a task waits, without sleeping, and values that are
// counted, so that a lost or doubled one is seen.
//
// Threads: any. `alive` and `copies` count for the whole process, which is one test.
#pragma once

#include <rt/detail/atomic.h>
#include <rt/detail/header.h>
#include <rt/spawn.h>
#include <rt/task.h>
#include <rt/yield.h>

#include <functional>
#include <utility>
#include <vector>

namespace rt::test {

/// Whether the task of `handle` is suspended at a leaf.
template<typename T>
bool is_waiting(const join_handle<T>& handle) {
    return (handle.header()->state.load_acquire() & detail::state_waiting) != 0;
}

/// Gives others their turn until the task of `handle` waits.
template<typename T>
task<void> until_waiting(const join_handle<T>& handle) {
    while (!is_waiting(handle)) {
        co_await yield();
    }
}

template<typename F>
task<void> until(F condition) {
    while (!condition()) {
        co_await yield();
    }
}

/// True when the task was cancelled, false when it ended by itself.
template<typename T>
task<bool> was_cancelled(join_handle<T> handle) {
    try {
        static_cast<void>(co_await std::move(handle));
    } catch (const join_error&) {
        co_return true;
    }
    co_return false;
}
inline task<bool> was_cancelled(join_handle<void> handle) {
    try {
        co_await std::move(handle);
    } catch (const join_error&) {
        co_return true;
    }
    co_return false;
}

template<typename T>
task<void> join_all(std::vector<join_handle<T>>& handles) {
    for (join_handle<T>& each : handles) {
        co_await std::move(each);
    }
}

/// A value that says how many of its kind are alive. Not trivially copyable.
class counted {
public:
    explicit counted(int number) noexcept
        : number_(number) {
        alive.add_relaxed(1);
    }
    counted(const counted& other) noexcept
        : number_(other.number_) {
        alive.add_relaxed(1);
        copies.add_relaxed(1);
    }
    counted(counted&& other) noexcept
        : number_(std::exchange(other.number_, -1)) {
        alive.add_relaxed(1);
    }
    counted& operator=(counted other) noexcept {
        std::swap(number_, other.number_);
        return *this;
    }
    ~counted() { alive.sub_relaxed(1); }

    /// -1 once it was moved from.
    [[nodiscard]] int number() const noexcept { return number_; }

    static inline atomic<int> alive{0};
    static inline atomic<int> copies{0};

private:
    int number_;
};

} // namespace rt::test

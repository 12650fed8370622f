// SPDX-License-Identifier: MIT
//
// A thread outside of every runtime, of which the test can say that it waits by now.
//
// The kernel tells whether the thread sleeps. It may sleep for another reason than the one that the
// test is about, on a page of memory or for its turn at a lock, but then it has only come less far:
// what the tests ask for must hold however far it came.
#pragma once

#include <rt/detail/atomic.h>

#include <cstddef>
#include <fstream>
#include <string>
#include <thread>
#include <utility>

#include <sys/types.h>
#include <unistd.h>

namespace rt::test {

class sleeper {
public:
    template<typename F>
    explicit sleeper(F body)
        : thread_([this, run = std::move(body)]() mutable {
            id_.store_release(::gettid());
            run();
            has_ended_.store_release(true);
        }) {}
    sleeper(const sleeper&) = delete;
    sleeper& operator=(const sleeper&) = delete;
    ~sleeper() { join(); }

    /// Returns when the thread sleeps, or has ended.
    void until_asleep() const {
        while (!has_ended() && (id_.load_acquire() == 0 || !is_asleep_or_gone())) {
            std::this_thread::yield();
        }
    }

    [[nodiscard]] bool has_ended() const { return has_ended_.load_acquire(); }

    void join() {
        if (thread_.joinable()) {
            thread_.join();
        }
    }

private:
    [[nodiscard]] bool is_asleep_or_gone() const {
        std::ifstream file("/proc/self/task/" + std::to_string(id_.load_acquire()) + "/stat");
        std::string text;
        if (!std::getline(file, text)) {
            return true;
        }
        const std::size_t name_end = text.rfind(')'); // then a blank and the state
        return name_end == std::string::npos || text[name_end + 2] == 'S';
    }

    atomic<pid_t> id_{0};
    atomic<bool> has_ended_{false};
    std::thread thread_;
};

} // namespace rt::test

// SPDX-License-Identifier: MIT
//
// Tasks that a worker has spawned and nobody has run yet: private to it, newest first.
//
// Running the newest spawn first keeps a tree of tasks depth-first: its frames are warm and there
// are few of them (skynet's million tasks need some hundred frames at a time, breadth-first they
// need them all). And because the stack is private, a spawn and its first turn cost no atomic
// operation. Thieves see none of it; the worker moves the oldest tasks, which are the roots of the
// largest subtrees, to its ring when somebody sleeps, or searches and the ring is empty
// (worker::share).
// The idea is that of private deques (Acar, Chargueraud, Rainey 2013), with the ring as the
// mailbox.
//
// Ten thousand tasks that were spawned in one turn have left the caches by the time they run: half
// of what each takes then is waiting for its header and its frame. So a pop asks for those of the
// tasks that come after. spawn_many_from_worker takes 0.73 of the time with it on one worker, 0.68
// on two; trees, whose tasks are warm, take as long as before.
//
// Threads: the owner; at shutdown the leader, with the owner at rest. size_seen() by any.
// A circular buffer that doubles; after warm-up it does not allocate. If it cannot grow, the
// caller uses the ring, which overflows into injection.
#pragma once

#include <rt/detail/atomic.h>
#include <rt/detail/header.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>

namespace rt::scheduler {

class fresh_stack {
public:
    fresh_stack() noexcept = default;
    fresh_stack(const fresh_stack&) = delete;
    fresh_stack& operator=(const fresh_stack&) = delete;
    ~fresh_stack() { std::free(slots_); }

    // False: there is no room.
    [[nodiscard]] bool try_push(detail::task_header* task) noexcept {
        const std::uint32_t newest = top(); // each end is loaded once
        if (newest - bottom() == capacity_) [[unlikely]] {
            return false;
        }
        at(newest) = task;
        top_.store_relaxed(newest + 1);
        return true;
    }

    // Makes room. False: memory is exhausted.
    [[nodiscard]] bool grow() noexcept {
        const std::uint32_t wanted = capacity_ == 0 ? capacity_first : capacity_ * 2;
        if (wanted > capacity_max) {
            return false;
        }
        auto** const grown =
            static_cast<detail::task_header**>(std::malloc(wanted * sizeof(detail::task_header*)));
        if (grown == nullptr) {
            return false;
        }
        for (std::uint32_t i = bottom(); i != top(); ++i) {
            grown[i & (wanted - 1)] = at(i);
        }
        std::free(slots_);
        slots_ = grown;
        capacity_ = wanted;
        return true;
    }

    // The newest task, or null.
    [[nodiscard]] detail::task_header* pop_newest() noexcept {
        const std::uint32_t above = top();
        const std::uint32_t oldest = bottom();
        if (above == oldest) {
            return nullptr;
        }
        const std::uint32_t newest = above - 1;
        top_.store_relaxed(newest);
        if (newest - oldest > prefetch_distance) {
            prefetch(newest);
        }
        return at(newest);
    }

    [[nodiscard]] bool is_newest(const detail::task_header* task) const noexcept {
        return !is_empty() && at(top() - 1) == task;
    }

    // The oldest task, or null.
    [[nodiscard]] detail::task_header* pop_oldest() noexcept {
        if (is_empty()) {
            return nullptr;
        }
        detail::task_header* const task = at(bottom());
        bottom_.bump_relaxed(1);
        return task;
    }

    // Puts back what pop_oldest took.
    void push_oldest(detail::task_header* task) noexcept {
        bottom_.store_relaxed(bottom() - 1);
        at(bottom()) = task;
    }

    [[nodiscard]] bool is_empty() const noexcept { return top() == bottom(); }
    [[nodiscard]] std::uint32_t size() const noexcept { return top() - bottom(); }
    // For other threads, a moment old. The newer end first: what leaves at the other one meanwhile
    // makes it fewer, not more, and less than nothing is none.
    [[nodiscard]] std::uint32_t size_seen() const noexcept {
        const std::uint32_t above = top();
        const auto seen = static_cast<std::int32_t>(above - bottom());
        return static_cast<std::uint32_t>(std::max(seen, 0));
    }

    // Grows with each push and shrinks with each pop_newest, whatever happens at the other end.
    [[nodiscard]] std::uint32_t top() const noexcept { return top_.load_relaxed(); }

private:
    static constexpr std::uint32_t capacity_first = 256;
    static constexpr std::uint32_t capacity_max = 1U << 30U;
    static constexpr std::uint32_t prefetch_distance = 3;

    [[nodiscard]] std::uint32_t bottom() const noexcept { return bottom_.load_relaxed(); }
    [[nodiscard]] detail::task_header*& at(std::uint32_t index) const noexcept {
        return slots_[index & (capacity_ - 1)];
    }

    // The header that will be popped third, both lines of it, and the frame of the one before,
    // whose header has come meanwhile.
    void prefetch(std::uint32_t top) const noexcept {
        const char* const header = reinterpret_cast<const char*>(at(top - prefetch_distance));
        __builtin_prefetch(header, 1);
        __builtin_prefetch(header + offsetof(detail::task_header, id), 1);
        __builtin_prefetch(at(top - prefetch_distance + 1)->resume, 1);
    }

    detail::task_header** slots_ = nullptr;
    std::uint32_t capacity_ = 0; // a power of two
    // relaxed: only size_seen() looks from elsewhere, for a number.
    atomic<std::uint32_t> bottom_{0}; // free-running; oldest
    atomic<std::uint32_t> top_{0};    // free-running; one past the newest
};

} // namespace rt::scheduler

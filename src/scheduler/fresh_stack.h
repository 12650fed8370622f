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
// Threads: the owner; at shutdown the leader, with the owner at rest.
// A circular buffer that doubles; after warm-up it does not allocate. If it cannot grow, push says
// so and the caller uses the ring, which overflows into injection.
#pragma once

#include <rt/detail/header.h>

#include <cstdint>
#include <cstdlib>

namespace rt::scheduler {

class fresh_stack {
public:
    fresh_stack() noexcept = default;
    fresh_stack(const fresh_stack&) = delete;
    fresh_stack& operator=(const fresh_stack&) = delete;
    ~fresh_stack() { std::free(slots_); }

    // False: memory is exhausted.
    [[nodiscard]] bool try_push(detail::task_header* task) noexcept {
        if (top_ - bottom_ == capacity_ && !grow()) [[unlikely]] {
            return false;
        }
        slots_[top_++ & (capacity_ - 1)] = task;
        return true;
    }

    // The newest task, or null.
    [[nodiscard]] detail::task_header* pop_newest() noexcept {
        return top_ == bottom_ ? nullptr : slots_[--top_ & (capacity_ - 1)];
    }

    [[nodiscard]] bool is_newest(const detail::task_header* task) const noexcept {
        return top_ != bottom_ && slots_[(top_ - 1) & (capacity_ - 1)] == task;
    }

    // The oldest task, or null.
    [[nodiscard]] detail::task_header* pop_oldest() noexcept {
        return top_ == bottom_ ? nullptr : slots_[bottom_++ & (capacity_ - 1)];
    }

    // Puts back what pop_oldest took.
    void push_oldest(detail::task_header* task) noexcept {
        slots_[--bottom_ & (capacity_ - 1)] = task;
    }

    [[nodiscard]] std::uint32_t size() const noexcept { return top_ - bottom_; }

private:
    static constexpr std::uint32_t capacity_first = 256;
    static constexpr std::uint32_t capacity_max = 1U << 30U;

    [[gnu::noinline]] bool grow() noexcept {
        const std::uint32_t wanted = capacity_ == 0 ? capacity_first : capacity_ * 2;
        if (wanted > capacity_max) {
            return false;
        }
        auto** const grown =
            static_cast<detail::task_header**>(std::malloc(wanted * sizeof(detail::task_header*)));
        if (grown == nullptr) {
            return false;
        }
        const std::uint32_t count = size();
        for (std::uint32_t i = 0; i < count; ++i) {
            grown[i] = slots_[(bottom_ + i) & (capacity_ - 1)];
        }
        std::free(slots_);
        slots_ = grown;
        capacity_ = wanted;
        bottom_ = 0;
        top_ = count;
        return true;
    }

    detail::task_header** slots_ = nullptr;
    std::uint32_t capacity_ = 0; // a power of two
    std::uint32_t bottom_ = 0;   // free-running; oldest
    std::uint32_t top_ = 0;      // free-running; one past the newest
};

} // namespace rt::scheduler

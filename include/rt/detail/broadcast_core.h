// SPDX-License-Identifier: MIT
//
// The ring of a broadcast channel, without its type.
//
// Entries are counted values (rt/detail/shared_value.h): a receiver takes a hold under lock_ and
// copies the value outside it, so a slow copy stops nobody and a sender can overwrite an entry
// while it is being copied. An entry is given up by the ring when it is overwritten, or as soon as
// everybody who was subscribed when it was sent has had it.
//
// lock_ guards everything but the counts and tail_, which is written under it and read anywhere to
// see whether there is something new. A position is the number of messages sent before; an entry
// of position p is at p & mask_ until p + capacity is sent. `unseen` of an entry counts the
// receivers whose position is at most its own: each of them steps over it once, by receiving it, or
// by dropping out. One that falls behind by more than the capacity loses the oldest: they are no
// more in the ring, so nothing is left to be counted.
#pragma once

#include <rt/detail/atomic.h>
#include <rt/detail/channel_end.h>
#include <rt/detail/config.h>
#include <rt/detail/shared_value.h>
#include <rt/detail/sync_lock.h>
#include <rt/detail/wait_queue.h>

#include <coroutine>
#include <cstdint>
#include <memory>

namespace rt::detail {

// What a receiver found: a value with a hold on it, or the number of messages lost, or neither.
struct broadcast_find {
    enum class kind : std::uint8_t { value, lagged, empty, closed };

    kind what = kind::empty;
    bool is_last = false; // the ring's own hold was handed over
    shared_node* node = nullptr;
    std::uint64_t lost = 0;
};

class RT_API broadcast_core {
public:
    // Entries at most; a power of two. 2^20 entries are 8 MiB.
    static constexpr std::uint64_t capacity_max = 1U << 20U;

    // A channel with one sender and one receiver at position 0; null when memory is exhausted.
    [[nodiscard]] static broadcast_core* create(std::uint64_t capacity) noexcept;

    void add_sender() noexcept { senders_.add_relaxed(1); } // relaxed: the caller is one
    void drop_sender() noexcept;
    // Takes over the caller's hold and returns the number of receivers; at 0 nothing happens and
    // the hold stays the caller's.
    [[nodiscard]] std::uint32_t send(shared_node* node) noexcept;

    // A new receiver's position.
    [[nodiscard]] std::uint64_t subscribe() noexcept;
    void drop_receiver(std::uint64_t position) noexcept;
    [[nodiscard]] broadcast_find receive(std::uint64_t& position) noexcept;
    // Whether receive would find something other than `empty`. May be a moment old.
    // acquire: pairs with the release in send and drop_sender.
    [[nodiscard]] bool has_news(std::uint64_t position) const noexcept {
        return tail_.load_acquire() != position || is_closed_.load_acquire();
    }
    // Messages that a receiver has not had, those that it has lost included.
    [[nodiscard]] std::uint64_t behind(std::uint64_t position) const noexcept {
        return tail_.load_relaxed() - position;
    }

    [[nodiscard]] std::uint32_t receivers() noexcept;
    [[nodiscard]] std::uint32_t senders() const noexcept {
        return senders_.load_relaxed(); // relaxed: a moment old is good enough
    }
    // No sender is left. acquire: pairs with the release in drop_sender.
    [[nodiscard]] bool is_closed() const noexcept { return is_closed_.load_acquire(); }
    [[nodiscard]] std::uint64_t capacity() const noexcept { return mask_ + 1; }

private:
    friend class broadcast_wait;
    friend class broadcast_closed_wait;

    explicit broadcast_core(std::uint64_t capacity, shared_node** ring) noexcept
        : mask_(capacity - 1)
        , ring_(ring) {}
    ~broadcast_core();
    void release() noexcept;
    [[nodiscard]] shared_node* step_over(std::uint64_t position) noexcept;

    const std::uint64_t mask_;
    const std::unique_ptr<shared_node*[]> ring_; // guarded by lock_; null: had by everybody
    atomic<std::uint64_t> tail_{0};              // the next position; written under lock_
    atomic<bool> is_closed_{false};              // no sender is left; written under lock_
    sync_lock lock_;
    std::uint32_t receivers_ = 1; // guarded by lock_
    wait_list waiters_;           // guarded by lock_
    wait_list unheard_;           // guarded by lock_
    atomic<std::uint32_t> senders_{1};
    atomic<std::uint32_t> holds_{2}; // all senders together, and each receiver
};

// Waits until there is something to receive at `position`, the receiver's when the wait begins;
// `waits` counts those on the receiver.
class RT_API broadcast_wait : public sync_wait {
public:
    broadcast_wait(broadcast_core* core, const std::uint64_t& position, end_waits& waits) noexcept
        : sync_wait(wait_type, core)
        , position_(position)
        , use_(waits) {}

    bool await_ready() noexcept {
        return take_budget() && (core() == nullptr || core()->has_news(position_));
    }
    template<typename Promise>
    bool await_suspend(std::coroutine_handle<Promise> self) noexcept {
        return suspend(self.address());
    }

protected:
    void end_use() noexcept { use_.end(); }

private:
    static const sync_wait_type wait_type;
    static bool enroll(sync_wait* waiter) noexcept;
    static cancel_result withdraw(wait_node* node) noexcept;

    [[nodiscard]] broadcast_core* core() const noexcept {
        return static_cast<broadcast_core*>(object());
    }

    const std::uint64_t& position_;
    end_wait use_; // of the receiver
};

// Waits until there is no receiver.
class RT_API broadcast_closed_wait : public sync_wait {
public:
    explicit broadcast_closed_wait(broadcast_core* core) noexcept
        : sync_wait(wait_type, core) {}

    bool await_ready() noexcept {
        return take_budget() && (core() == nullptr || core()->receivers() == 0);
    }
    template<typename Promise>
    bool await_suspend(std::coroutine_handle<Promise> self) noexcept {
        return suspend(self.address());
    }
    void await_resume() const noexcept {}

private:
    static const sync_wait_type wait_type;
    static bool enroll(sync_wait* waiter) noexcept;
    static cancel_result withdraw(wait_node* node) noexcept;

    [[nodiscard]] broadcast_core* core() const noexcept {
        return static_cast<broadcast_core*>(object());
    }
};

} // namespace rt::detail

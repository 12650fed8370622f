// SPDX-License-Identifier: MIT
//
// The state of a watch channel, without its type.
//
// The value is a counted node (rt/detail/shared_value.h) that is replaced as a whole: a reader
// takes a hold under lock_ and reads as long as it likes, while senders go on. lock_ guards value_,
// the lists and the order of versions; it is held for a handful of instructions.
//
// version_ counts the values, in steps of two; bit 0 says that no sender is left. It is written
// under lock_ and read anywhere.
//
// receivers_ is changed without the lock. Who brings it to zero takes the lock then and looks
// again: if it is zero still, those who wait for that are woken. Who begins to wait looks at it
// under the lock, so it sees the zero, or is found.
#pragma once

#include <rt/detail/atomic.h>
#include <rt/detail/channel_end.h>
#include <rt/detail/config.h>
#include <rt/detail/shared_value.h>
#include <rt/detail/sync_lock.h>
#include <rt/detail/wait_queue.h>

#include <coroutine>
#include <cstdint>

namespace rt::detail {

class RT_API watch_core {
public:
    // Takes over the caller's hold of `first`. One sender, one receiver that has seen it. Null when
    // memory is exhausted; then the hold stays the caller's.
    [[nodiscard]] static watch_core* create(shared_node* first) noexcept;

    void add_sender() noexcept { senders_.add_relaxed(1); } // relaxed: the caller is one
    void drop_sender() noexcept;
    void add_receiver() noexcept;
    void drop_receiver() noexcept;

    // The value, with a hold for the caller, and its version.
    [[nodiscard]] shared_node* current(std::uint64_t& version) noexcept;

    // Replaces the value, provided that it is still `expected` or that is null; takes over the
    // caller's hold then, and gives that of the old value. Null: it is another.
    [[nodiscard]] shared_node* exchange(shared_node* node, const shared_node* expected) noexcept;

    // acquire: pairs with the release in exchange and drop_sender.
    [[nodiscard]] bool has_changed(std::uint64_t seen) const noexcept {
        return (version_.load_acquire() & ~closed) != seen;
    }
    [[nodiscard]] bool is_closed() const noexcept {
        return (version_.load_acquire() & closed) != 0;
    }
    [[nodiscard]] std::uint64_t version() const noexcept {
        return version_.load_acquire() & ~closed;
    }
    // A version that is another than the present one.
    [[nodiscard]] std::uint64_t version_before() const noexcept { return version() - one_version; }
    [[nodiscard]] std::uint32_t senders() const noexcept {
        return senders_.load_relaxed(); // relaxed: a moment old is good enough
    }
    // As of a moment ago. acquire: pairs with drop_receiver.
    [[nodiscard]] std::uint32_t receivers() const noexcept { return receivers_.load_acquire(); }

private:
    friend class watch_changed_wait;
    friend class watch_closed_wait;

    static constexpr std::uint64_t closed = 1;
    static constexpr std::uint64_t one_version = 2;

    explicit watch_core(shared_node* first) noexcept
        : value_(first) {}
    ~watch_core() { value_->unhold(); }
    void release() noexcept;

    atomic<std::uint64_t> version_{0};
    sync_lock lock_;
    shared_node* value_;  // guarded by lock_, with one hold
    wait_list changed_;   // guarded by lock_
    wait_list unwatched_; // guarded by lock_
    atomic<std::uint32_t> receivers_{1};
    atomic<std::uint32_t> senders_{1};
    atomic<std::uint32_t> holds_{2}; // all senders together, and each receiver
};

// Waits until the version is another one than `seen`, or the senders are gone. `seen` is the
// receiver's, as it is when the wait begins; `waits` counts those on the receiver.
class RT_API watch_changed_wait : public sync_wait {
public:
    watch_changed_wait(watch_core* core, const std::uint64_t& seen, end_waits& waits) noexcept
        : sync_wait(wait_type, core)
        , seen_(seen)
        , use_(waits) {}

    bool await_ready() noexcept { return take_budget() && (core() == nullptr || is_settled()); }
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

    [[nodiscard]] watch_core* core() const noexcept { return static_cast<watch_core*>(object()); }
    [[nodiscard]] bool is_settled() const noexcept {
        return core()->has_changed(seen_) || core()->is_closed();
    }

    const std::uint64_t& seen_;
    end_wait use_; // of the receiver
};

// Waits until there is no receiver.
class RT_API watch_closed_wait : public sync_wait {
public:
    explicit watch_closed_wait(watch_core* core) noexcept
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

    [[nodiscard]] watch_core* core() const noexcept { return static_cast<watch_core*>(object()); }
};

} // namespace rt::detail

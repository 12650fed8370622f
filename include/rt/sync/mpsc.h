// SPDX-License-Identifier: MIT
//
// rt::mpsc: a stream of values from many senders to one receiver.
//
//     auto [tx, rx] = rt::mpsc::channel<job>(128);        // at most 128 in the channel
//     rt::spawn(produce, tx).detach();                    // senders are copied
//     while (rt::result<job> next = co_await rx.recv()) { ... }
//
//     auto [tx, rx] = rt::mpsc::unbounded_channel<job>(); // send never waits
//
// A bounded send waits while the channel is full, first come first served, and the values of those
// that wait go into the channel as soon as there is room, before their tasks run. Values are
// received in the order in which send got room, or, by a permit, was called. The channel ends for
// the receiver when the last sender is gone and everything was received; for senders when the
// receiver is dropped or closed.
//
// How it works and why it is right: detail/mpsc_core.h. T must be movable without exceptions.
// Threads: a channel joins any threads, in a runtime or not; each sender and the receiver belong to
// one task or thread at a time. An operation refers to the object it was called on.
#pragma once

#include <rt/detail/mpsc_core.h>
#include <rt/detail/mpsc_value.h>
#include <rt/result.h>
#include <rt/sync/mpsc_weak.h>

#include <cstdint>
#include <type_traits>
#include <utility>

namespace rt::mpsc {

template<typename T>
class sender;
template<typename T>
class unbounded_sender;
template<typename T>
class receiver;

// What channel and unbounded_channel return: `auto [tx, rx] = ...`.
template<typename T>
struct ends {
    sender<T> tx;
    receiver<T> rx;
};
template<typename T>
struct unbounded_ends {
    unbounded_sender<T> tx;
    receiver<T> rx;
};

/// Makes a channel for `capacity` values; 0 counts as 1. Throws std::bad_alloc.
template<typename T>
ends<T> channel(std::uint64_t capacity);
/// Makes a channel that memory alone bounds. Throws std::bad_alloc.
template<typename T>
unbounded_ends<T> unbounded_channel();

/// The sending end of an unbounded channel. Copyable. One that was moved from is closed.
template<typename T>
class unbounded_sender {
public:
    unbounded_sender() noexcept = default;

    /// Sends the value; never waits. Threads: any.
    /// Errors: errc::closed, ENOMEM. The value is untouched then, as by sender::try_send.
    template<typename U = T>
    requires std::is_constructible_v<T, U>
    [[nodiscard]] result<void> send(U&& value) {
        return detail::mpsc_send<T, false>(hold_.get(), std::forward<U>(value));
    }

    /// Waits until the receiver is dropped or closed. Requires: awaited in a task. Cancel: safe.
    [[nodiscard("nothing is waited for until this is awaited")]] detail::mpsc_closed_wait
    closed() noexcept {
        return detail::mpsc_closed_wait(hold_.get());
    }

    /// A sender that does not keep the channel open. Threads: any.
    [[nodiscard]] weak_sender<unbounded_sender> downgrade() const noexcept {
        return weak_sender<unbounded_sender>(hold_.get());
    }

    explicit operator bool() const noexcept { return static_cast<bool>(hold_); }
    /// Whether both send to one channel.
    [[nodiscard]] bool is_same_channel(const unbounded_sender& other) const noexcept {
        return hold_.is_with(other.hold_);
    }
    /// Whether nothing can be sent any more.
    [[nodiscard]] bool is_closed() const noexcept { return !hold_ || hold_->is_closed(); }
    /// Values in the channel, as of a moment ago.
    [[nodiscard]] std::uint64_t size() const noexcept { return hold_ ? hold_->size() : 0; }

private:
    friend unbounded_ends<T> unbounded_channel<T>();
    friend class weak_sender<unbounded_sender>;
    explicit unbounded_sender(detail::mpsc_core* core) noexcept
        : hold_(core) {}

    detail::mpsc_sender_hold hold_;
};

template<typename T>
ends<T> channel(std::uint64_t capacity) {
    detail::mpsc_core* const core =
        detail::mpsc_make(capacity == 0 ? 1 : capacity, detail::mpsc_value<T>::values);
    return {sender<T>(core), receiver<T>(core)};
}

template<typename T>
unbounded_ends<T> unbounded_channel() {
    detail::mpsc_core* const core =
        detail::mpsc_make(detail::mpsc_core::unbounded, detail::mpsc_value<T>::values);
    return {unbounded_sender<T>(core), receiver<T>(core)};
}

} // namespace rt::mpsc

#include <rt/sync/mpsc_receiver.h>
#include <rt/sync/mpsc_sender.h>

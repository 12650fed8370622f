// SPDX-License-Identifier: MIT
//
// Room in an mpsc channel that was reserved: for one value, or for several. See rt/sync/mpsc.h.
//
// A permit is a sender's share in the channel besides: the receiver sees the end only when the last
// is gone. Each belongs to one task or thread at a time, and may be handed to another.
#pragma once

#include <rt/detail/mpsc_value.h>
#include <rt/result.h>

#include <cstdint>
#include <type_traits>
#include <utility>

namespace rt::mpsc {

template<typename T>
class sender;
template<typename T>
class permits;

/// Room for one value, reserved. Movable. Dropping it unused gives the room back.
template<typename T>
class [[nodiscard]] permit {
public:
    permit() noexcept = default;
    permit(permit&&) noexcept = default;
    permit& operator=(permit&& other) noexcept {
        permit old(std::move(*this));
        hold_ = std::move(other.hold_);
        return *this;
    }
    ~permit() {
        if (hold_) {
            hold_->unreserve(1);
        }
    }

    /// Sends the value and uses the permit up; never waits. Threads: any.
    /// Errors: errc::closed when the receiver is gone or the permit is empty; ENOMEM. The value is
    /// untouched then, unless it had to be converted to T in a way that may throw.
    template<typename U = T>
    requires std::is_constructible_v<T, U>
    [[nodiscard]] result<void> send(U&& value) {
        if constexpr (std::is_nothrow_constructible_v<T, U>) {
            const detail::mpsc_sender_hold hold = std::move(hold_);
            return detail::mpsc_send<T, true>(hold.get(), std::forward<U>(value));
        } else {
            if (!hold_) {
                return failure(errc::closed, "mpsc send");
            }
            return send(T(std::forward<U>(value))); // what throws leaves the permit as it is
        }
    }

    explicit operator bool() const noexcept { return static_cast<bool>(hold_); }

private:
    friend class sender<T>;
    friend class permits<T>;
    explicit permit(detail::mpsc_sender_hold hold) noexcept
        : hold_(std::move(hold)) {}

    detail::mpsc_sender_hold hold_;
};

/// Room for several values, reserved at once. Movable. What is left is given back when it is
/// dropped.
template<typename T>
class [[nodiscard]] permits {
public:
    permits() noexcept = default;
    permits(permits&& other) noexcept
        : hold_(std::move(other.hold_))
        , left_(std::exchange(other.left_, 0)) {}
    permits& operator=(permits&& other) noexcept {
        permits old(std::move(*this));
        hold_ = std::move(other.hold_);
        left_ = std::exchange(other.left_, 0);
        return *this;
    }
    ~permits() {
        if (left_ != 0) {
            hold_->unreserve(left_);
        }
    }

    /// How many values can still be sent.
    [[nodiscard]] std::uint32_t size() const noexcept { return left_; }
    explicit operator bool() const noexcept { return left_ != 0; }

    /// Takes one out; an empty one if none is left.
    [[nodiscard]] permit<T> take() noexcept {
        if (left_ == 0) {
            return {};
        }
        // The last one takes the share in the channel with it.
        return --left_ == 0 ? permit<T>(std::move(hold_)) : permit<T>(hold_);
    }
    /// Sends the value with one of them; never waits. Threads, errors: as permit::send.
    template<typename U = T>
    requires std::is_constructible_v<T, U>
    [[nodiscard]] result<void> send(U&& value) {
        if constexpr (!std::is_nothrow_constructible_v<T, U>) {
            if (left_ == 0) {
                return failure(errc::closed, "mpsc send");
            }
            return send(T(std::forward<U>(value))); // what throws leaves the permits as they are
        } else if (left_ > 1) {
            --left_;
            return detail::mpsc_send<T, true>(hold_.get(), std::forward<U>(value));
        } else {
            return take().send(std::forward<U>(value));
        }
    }

private:
    friend class sender<T>;
    permits(detail::mpsc_sender_hold hold, std::uint32_t count) noexcept
        : hold_(std::move(hold))
        , left_(count) {}

    detail::mpsc_sender_hold hold_;
    std::uint32_t left_ = 0;
};

} // namespace rt::mpsc

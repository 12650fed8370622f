// SPDX-License-Identifier: MIT
//
// rt::watch::sender: the sending end of a channel. Included by rt/sync/watch.h, which see.
//
// A value is made before the channel is locked, and put in place of the old one as a whole; an
// update makes a copy, and begins again if another sender has put one in place meanwhile.
#pragma once

#include <rt/detail/channel_end.h>
#include <rt/detail/sender_share.h>
#include <rt/detail/shared_value.h>
#include <rt/detail/watch_core.h>
#include <rt/result.h>
#include <rt/sync/watch_ref.h>

#include <cerrno>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <type_traits>
#include <utility>

namespace rt::watch {

template<typename T>
struct ends;

/// The sending end. Copyable. One that was moved from is closed.
template<typename T>
class sender {
public:
    sender() noexcept = default;
    /// Replaces the value and tells the receivers; never waits. Threads: any.
    /// Errors: errc::closed when there is no receiver (see send_always); ENOMEM. The value stays
    /// then.
    template<typename U = T>
    requires std::is_constructible_v<T, U>
    [[nodiscard]] result<void> send(U&& value) {
        if (is_closed()) {
            return failure(errc::closed, "watch send");
        }
        return send_always(std::forward<U>(value));
    }

    /// The same whether or not there is a receiver. Errors: errc::closed of a sender that was moved
    /// from; ENOMEM.
    template<typename U = T>
    requires std::is_constructible_v<T, U>
    [[nodiscard]] result<void> send_always(U&& value) {
        if (!share_) {
            return failure(errc::closed, "watch send");
        }
        auto* const node = detail::shared_value<T>::create(std::forward<U>(value));
        if (node == nullptr) {
            return failure(ENOMEM, "watch send");
        }
        share_->exchange(node, nullptr)->unhold();
        return {};
    }

    /// The same as send_always, and returns the value that it has replaced.
    template<typename U = T>
    requires std::is_constructible_v<T, U>
    [[nodiscard]] result<ref<T>> send_replace(U&& value) {
        if (!share_) {
            return failure(errc::closed, "watch send");
        }
        auto* const node = detail::shared_value<T>::create(std::forward<U>(value));
        if (node == nullptr) {
            return failure(ENOMEM, "watch send");
        }
        return ref<T>(share_->exchange(node, nullptr));
    }

    /// Changes a copy of the value with `change(T&)` and sends it. When another sender is faster it
    /// begins again with that one's value, so `change` may be called more than once.
    /// Threads: any. Errors: errc::closed of a sender that was moved from; ENOMEM. Throws what
    /// `change` and copying throw; nothing is sent then.
    template<std::invocable<T&> F>
    requires std::copy_constructible<T>
    [[nodiscard]] result<void> update(F change) {
        const result<bool> sent = update_if([&change](T& value) {
            static_cast<void>(change(value));
            return true;
        });
        if (!sent) {
            return std::unexpected(sent.error());
        }
        return {};
    }

    /// The same, for a `change(T&)` that says whether there is anything to send: when it returns
    /// false its copy is dropped, and no receiver is told. Whether it was sent.
    template<std::predicate<T&> F>
    requires std::copy_constructible<T>
    [[nodiscard]] result<bool> update_if(F change) {
        if (!share_) {
            return failure(errc::closed, "watch update");
        }
        for (;;) {
            const ref<T> old = borrow();
            auto* const node = detail::shared_value<T>::create(*old);
            if (node == nullptr) {
                return failure(ENOMEM, "watch update");
            }
            ref<T> made(node); // gives it back unless it is sent
            if (!change(node->value)) {
                return false;
            }
            if (detail::shared_node* const before = share_->exchange(node, old.value_)) {
                before->unhold();
                made.value_ = nullptr;
                return true;
            }
        }
    }

    /// The present value; an empty reference from a sender that was moved from.
    [[nodiscard]] ref<T> borrow() const noexcept {
        std::uint64_t ignored = 0;
        return !share_ ? ref<T>() : ref<T>(share_->current(ignored));
    }
    /// A receiver that has seen the present value. Aborts if this sender was moved from.
    [[nodiscard]] receiver<T> subscribe() const noexcept {
        if (!share_) [[unlikely]] {
            detail::no_channel("rt::watch::sender::subscribe()");
        }
        share_->add_receiver();
        return receiver<T>(share_.get(), share_->version());
    }

    /// Waits until there is no receiver. Requires: awaited in a task. Cancel: safe.
    [[nodiscard("nothing is waited for until this is awaited")]] detail::watch_closed_wait
    closed() noexcept {
        return detail::watch_closed_wait(share_.get());
    }
    /// Whether there is no receiver.
    [[nodiscard]] bool is_closed() const noexcept { return !share_ || share_->receivers() == 0; }
    [[nodiscard]] std::size_t receiver_count() const noexcept {
        return !share_ ? 0 : share_->receivers();
    }
    /// Senders, this one included, as of a moment ago.
    [[nodiscard]] std::size_t sender_count() const noexcept {
        return !share_ ? 0 : share_->senders();
    }
    /// Whether both send to one channel.
    [[nodiscard]] bool is_same_channel(const sender& other) const noexcept {
        return share_.is_with(other.share_);
    }
    explicit operator bool() const noexcept { return static_cast<bool>(share_); }

private:
    template<typename V, typename U>
    requires std::is_constructible_v<V, U>
    friend ends<V> channel(U&& first);
    explicit sender(detail::watch_core* core) noexcept
        : share_(core) {}

    detail::sender_share<detail::watch_core> share_;
};

} // namespace rt::watch

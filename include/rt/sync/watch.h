// SPDX-License-Identifier: MIT
//
// rt::watch: the latest value of something, and the news that it has changed.
//
//     auto [tx, rx] = rt::watch::channel<settings>(load());
//     rt::spawn(serve, rx).detach();                  // receivers are copied
//     tx.send(load());
//     while (co_await rx.changed()) { apply(*rx.borrow_and_update()); }
//
// Receivers see the latest value, not every one: what is replaced before they look is never seen by
// them. borrow() gives a counted reference to a value that never changes: it can be kept across
// co_await and holds nobody up, and a later value is a new object.
//
// How it works: detail/watch_core.h. Threads: a channel joins any threads; each sender and each
// receiver belongs to one task or thread at a time. A value may be read by several threads at the
// same time. An operation refers to the object it was called on.
#pragma once

#include <rt/detail/shared_value.h>
#include <rt/detail/watch_core.h>
#include <rt/result.h>
#include <rt/sync/watch_ref.h>
#include <rt/task.h>
#include <rt/time_limit.h>
#include <rt/yield.h>

#include <cerrno>
#include <concepts>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <new>
#include <type_traits>
#include <utility>

namespace rt::watch {

template<typename T>
class sender;
template<typename T>
class receiver;

// What channel returns: `auto [tx, rx] = ...`.
template<typename T>
struct ends {
    sender<T> tx;
    receiver<T> rx;
};

/// Makes a channel whose first value is made from `first`, which the receiver has seen.
/// Throws std::bad_alloc and what T throws.
template<typename T, typename U = T>
requires std::is_constructible_v<T, U> ends<T> channel(U&& first);

/// The receiving end. Copyable; a copy has seen what the original has seen.
template<typename T>
class receiver {
public:
    class [[nodiscard]] changed_awaiter : detail::watch_changed_wait {
    public:
        using watch_changed_wait::await_ready;
        using watch_changed_wait::await_suspend;
        result<void> await_resume() noexcept { return target_.settle(); }

    private:
        friend class receiver;
        explicit changed_awaiter(receiver& target) noexcept
            : watch_changed_wait(target.core_, target.seen_)
            , target_(target) {}

        receiver& target_;
    };

    receiver() noexcept = default;
    receiver(const receiver& other) noexcept
        : core_(other.core_)
        , seen_(other.seen_) {
        if (core_ != nullptr) {
            core_->add_receiver();
        }
    }
    receiver(receiver&& other) noexcept
        : core_(std::exchange(other.core_, nullptr))
        , seen_(other.seen_) {}
    receiver& operator=(receiver other) noexcept {
        std::swap(core_, other.core_);
        std::swap(seen_, other.seen_);
        return *this;
    }
    ~receiver() {
        if (core_ != nullptr) {
            core_->drop_receiver();
        }
    }

    /// Waits until there is a value that this receiver has not seen, and counts it as seen.
    /// Requires: awaited in a task. Threads: any. Cancel: safe; the change can still be waited for.
    /// Errors: errc::closed when all senders are gone and the last value was seen.
    changed_awaiter changed() noexcept { return changed_awaiter(*this); }

    /// The same for threads that run no task: the thread sleeps. Aborts inside a task.
    /// Errors: errc::timed_out once `limit` has passed, too.
    result<void> blocking_changed(time_limit limit = {}) noexcept {
        changed_awaiter wait(*this);
        if (!wait.block(limit)) {
            return failure(errc::timed_out, "watch changed");
        }
        return settle();
    }

    /// Waits until `condition(value)` holds, and returns that value; it may be the present one.
    /// Cancel: safe. Errors: errc::closed when it cannot come to hold any more.
    template<std::predicate<const T&> F>
    task<result<ref<T>>> wait_for(F condition) {
        co_await consume_budget(); // it may hold each time
        for (;;) {
            ref<T> value = borrow_and_update();
            if (value && condition(*value)) {
                co_return value;
            }
            if (result<void> news = co_await changed(); !news) {
                co_return std::unexpected(news.error());
            }
        }
    }

    /// The same for threads that run no task: the thread sleeps as long as it does not hold. Aborts
    /// inside a task then. Errors: errc::timed_out once `limit` has passed, too.
    template<std::predicate<const T&> F>
    result<ref<T>> blocking_wait_for(F condition, time_limit limit = {}) {
        for (;;) {
            ref<T> value = borrow_and_update();
            if (value && condition(*value)) {
                return value;
            }
            if (result<void> news = blocking_changed(limit); !news) {
                return std::unexpected(news.error());
            }
        }
    }

    /// The present value; an empty reference from a receiver that was moved from.
    [[nodiscard]] ref<T> borrow() const noexcept {
        std::uint64_t ignored = 0;
        return core_ == nullptr ? ref<T>() : ref<T>(core_->current(ignored));
    }
    /// The same, and counts it as seen.
    [[nodiscard]] ref<T> borrow_and_update() noexcept {
        return core_ == nullptr ? ref<T>() : ref<T>(core_->current(seen_));
    }

    /// Whether there is a value that this receiver has not seen.
    [[nodiscard]] bool has_changed() const noexcept {
        return core_ != nullptr && core_->has_changed(seen_);
    }
    /// Whether all senders are gone.
    [[nodiscard]] bool is_closed() const noexcept { return core_ == nullptr || core_->is_closed(); }
    explicit operator bool() const noexcept { return core_ != nullptr; }

private:
    friend class sender<T>;
    template<typename V, typename U>
    requires std::is_constructible_v<V, U>
    friend ends<V> channel(U&& first);
    receiver(detail::watch_core* core, std::uint64_t seen) noexcept
        : core_(core)
        , seen_(seen) {}

    // It may have changed and been seen by another part of the same task since the wake-up.
    result<void> settle() noexcept {
        if (!has_changed() && (core_ == nullptr || core_->is_closed())) {
            return failure(errc::closed, "watch changed");
        }
        seen_ = core_->version();
        return {};
    }

    detail::watch_core* core_ = nullptr;
    std::uint64_t seen_ = 0;
};

/// The sending end. Copyable. One that was moved from is closed.
template<typename T>
class sender {
public:
    sender() noexcept = default;
    sender(const sender& other) noexcept
        : core_(other.core_) {
        if (core_ != nullptr) {
            core_->add_sender();
        }
    }
    sender(sender&& other) noexcept
        : core_(std::exchange(other.core_, nullptr)) {}
    sender& operator=(sender other) noexcept {
        std::swap(core_, other.core_);
        return *this;
    }
    ~sender() {
        if (core_ != nullptr) {
            core_->drop_sender();
        }
    }

    /// Replaces the value and tells the receivers; never waits. Threads: any.
    /// Errors: errc::closed when there is no receiver (see send_always); ENOMEM. The value stays
    /// then.
    template<typename U = T>
    requires std::is_constructible_v<T, U> result<void> send(U&& value) {
        if (is_closed()) {
            return failure(errc::closed, "watch send");
        }
        return send_always(std::forward<U>(value));
    }

    /// The same whether or not there is a receiver. Requires: a channel.
    template<typename U = T>
    requires std::is_constructible_v<T, U> result<void> send_always(U&& value) {
        auto* const node = detail::shared_value<T>::create(std::forward<U>(value));
        if (node == nullptr) {
            return failure(ENOMEM, "watch send");
        }
        static_cast<void>(core_->replace(node, nullptr));
        return {};
    }

    /// Changes a copy of the value with `change(T&)` and sends it. When another sender is faster it
    /// begins again with that one's value, so `change` may be called more than once.
    /// Requires: a channel. Threads: any. Errors: ENOMEM.
    template<std::invocable<T&> F>
    requires std::copy_constructible<T> result<void> update(F change) {
        for (;;) {
            const ref<T> old = borrow();
            auto* const node = detail::shared_value<T>::create(*old);
            if (node == nullptr) {
                return failure(ENOMEM, "watch update");
            }
            ref<T> made(node); // gives it back if `change` throws
            change(node->value);
            if (core_->replace(node, old.value_)) {
                made.value_ = nullptr;
                return {};
            }
        }
    }

    /// The present value. Requires: a channel.
    [[nodiscard]] ref<T> borrow() const noexcept {
        std::uint64_t ignored = 0;
        return ref<T>(core_->current(ignored));
    }
    /// A receiver that has seen the present value. Requires: a channel.
    [[nodiscard]] receiver<T> subscribe() const noexcept {
        core_->add_receiver();
        return receiver<T>(core_, core_->version());
    }

    /// Waits until there is no receiver. Requires: awaited in a task. Cancel: safe.
    [[nodiscard("nothing is waited for until this is awaited")]] detail::watch_closed_wait
    closed() noexcept {
        return detail::watch_closed_wait(core_);
    }
    /// Whether there is no receiver.
    [[nodiscard]] bool is_closed() const noexcept {
        return core_ == nullptr || core_->receivers() == 0;
    }
    [[nodiscard]] std::size_t receiver_count() const noexcept {
        return core_ == nullptr ? 0 : core_->receivers();
    }

private:
    template<typename V, typename U>
    requires std::is_constructible_v<V, U>
    friend ends<V> channel(U&& first);
    explicit sender(detail::watch_core* core) noexcept
        : core_(core) {}

    detail::watch_core* core_ = nullptr;
};

template<typename T, typename U>
requires std::is_constructible_v<T, U> ends<T> channel(U&& first) {
    auto* const node = detail::shared_value<T>::create(std::forward<U>(first));
    detail::watch_core* const core = node == nullptr ? nullptr : detail::watch_core::create(node);
    if (core == nullptr) {
        if (node != nullptr) {
            node->unhold();
        }
        throw std::bad_alloc();
    }
    return {sender<T>(core), receiver<T>(core, 0)};
}

} // namespace rt::watch

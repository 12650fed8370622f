// SPDX-License-Identifier: MIT
//
// rt::watch: the latest value of something, and the news that it has changed.
//
//     auto [tx, rx] = rt::watch::channel<settings>(load());
//     rt::spawn(serve, rx).detach();                  // receivers are copied
//     rt::or_throw(tx.send(load()));
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

#include <concepts>
#include <coroutine>
#include <cstdint>
#include <expected>
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
        result<void> await_resume() noexcept {
            this->end_use();
            return target_.settle();
        }

    private:
        friend class receiver;
        explicit changed_awaiter(receiver& target) noexcept
            : watch_changed_wait(target.core_, target.seen_, target.waits_)
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
        , seen_(other.seen_) {
        other.waits_.forbid(name);
    }
    receiver& operator=(receiver other) noexcept {
        waits_.forbid(name);
        std::swap(core_, other.core_);
        std::swap(seen_, other.seen_);
        return *this;
    }
    ~receiver() {
        waits_.forbid(name);
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
    [[nodiscard]] result<void> blocking_changed(time_limit limit = {}) noexcept {
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
    /// inside a task. Errors: errc::timed_out once `limit` has passed, too, also while one value
    /// comes after another.
    template<std::predicate<const T&> F>
    [[nodiscard]] result<ref<T>> blocking_wait_for(F condition, time_limit limit = {}) {
        changed_awaiter(*this).forbid_in_task();
        for (;;) {
            ref<T> value = borrow_and_update();
            if (value && condition(*value)) {
                return value;
            }
            result<void> news;
            // A change that is there already is had whatever the limit, so it is asked for here.
            if (limit.has_passed()) {
                news = failure(errc::timed_out, "watch wait_for");
            } else {
                news = blocking_changed(limit);
            }
            if (!news) {
                return std::unexpected(news.error().as("watch wait_for"));
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
    /// Makes the present value one that this receiver has not seen, or has.
    void mark_changed() noexcept { seen_ = core_ == nullptr ? 0 : core_->version_before(); }
    void mark_unchanged() noexcept { seen_ = core_ == nullptr ? 0 : core_->version(); }
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

    static constexpr char name[] = "an rt::watch::receiver";

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
    detail::end_waits waits_;
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

#include <rt/sync/watch_sender.h>

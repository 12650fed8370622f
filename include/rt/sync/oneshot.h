// SPDX-License-Identifier: MIT
//
// rt::oneshot: one value from one task to another.
//
//     auto [tx, rx] = rt::oneshot::channel<int>();
//     rt::spawn(answer, std::move(tx)).detach();     // tx.send(42)
//     rt::result<int> got = co_await rx;             // errc::closed if tx was dropped unsent
//
// send never waits. A channel is one block of pooled memory; a value that is sent before anybody
// waits costs one compare-and-swap, one that is waited for costs two and a wake-up.
//
// Protocol: detail/oneshot_core.h. A sender and a receiver each belong to one thread at a time; the
// two may be used at the same time.
#pragma once

#include <rt/detail/oneshot_core.h>
#include <rt/result.h>
#include <rt/time_limit.h>

#include <coroutine>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

namespace rt::oneshot {

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

/// Makes a channel for one T. Throws std::bad_alloc.
template<typename T>
ends<T> channel();

/// The end that sends. Movable. Dropping it unsent closes the channel.
template<typename T>
class [[nodiscard]] sender {
    using state = detail::oneshot_state<T>;

public:
    sender() noexcept = default;
    sender(sender&& other) noexcept
        : state_(std::exchange(other.state_, nullptr)) {}
    sender& operator=(sender&& other) noexcept {
        sender old(std::move(*this));
        state_ = std::exchange(other.state_, nullptr);
        return *this;
    }
    ~sender() { drop(); }

    /// Sends the value and lets go of the channel; never waits. Threads: any.
    /// Errors: errc::closed when the receiver is gone or has closed, or this sender has sent
    /// already. The value is untouched then, unless the receiver left while it was being sent:
    /// then it is destroyed.
    template<typename U = T>
    requires std::is_constructible_v<T, U>
    [[nodiscard]] result<void> send(U&& value) {
        if (is_closed()) {
            drop();
            return failure(errc::closed, "oneshot send");
        }
        std::construct_at(&state_->value, std::forward<U>(value));
        state* const sent = std::exchange(state_, nullptr);
        if (sent->publish()) {
            return {};
        }
        std::destroy_at(&sent->value);
        sent->drop_sender();
        return failure(errc::closed, "oneshot send");
    }

    /// Whether a value that is sent would reach nobody. Threads: any.
    [[nodiscard]] bool is_closed() const noexcept {
        return state_ == nullptr || state_->is_refused();
    }

    /// Waits until the receiver is dropped or closed. Cancel: safe.
    /// Requires: awaited in a task; one at a time; the sender stays where it is meanwhile.
    [[nodiscard("nothing is waited for until this is awaited")]] detail::oneshot_closed_wait
    closed() noexcept {
        return detail::oneshot_closed_wait(state_);
    }

    explicit operator bool() const noexcept { return state_ != nullptr; }

private:
    friend ends<T> channel<T>();
    explicit sender(state* shared) noexcept
        : state_(shared) {}

    void drop() noexcept {
        if (state_ != nullptr) {
            std::exchange(state_, nullptr)->drop_sender();
        }
    }

    state* state_ = nullptr;
};

/// The end that receives. Movable.
template<typename T>
class [[nodiscard]] receiver {
    using state = detail::oneshot_state<T>;

public:
    class [[nodiscard]] receive_awaiter : detail::oneshot_receive_wait {
    public:
        explicit receive_awaiter(state* shared) noexcept
            : oneshot_receive_wait(shared) {}

        using oneshot_receive_wait::await_ready;
        using oneshot_receive_wait::await_suspend;
        result<T> await_resume() noexcept { return take(static_cast<state*>(core())); }

    private:
        friend class receiver;
    };

    receiver() noexcept = default;
    receiver(receiver&& other) noexcept
        : state_(std::exchange(other.state_, nullptr)) {}
    receiver& operator=(receiver&& other) noexcept {
        receiver old(std::move(*this));
        state_ = std::exchange(other.state_, nullptr);
        return *this;
    }
    ~receiver() {
        if (state_ != nullptr) {
            std::exchange(state_, nullptr)->drop_receiver();
        }
    }

    /// Waits for the value: `co_await rx`, or by name. The receiver stays where it is meanwhile.
    /// Requires: awaited in a task; one at a time. Threads: any. Cancel: safe; the value stays in
    /// the channel. Errors: errc::closed when the sender was dropped unsent, the value was taken
    /// before, or this receiver has closed before there was one.
    receive_awaiter recv() noexcept { return receive_awaiter(state_); }
    receive_awaiter operator co_await() & noexcept { return receive_awaiter(state_); }
    receive_awaiter operator co_await() && noexcept { return receive_awaiter(state_); }

    /// The value if it is there. Errors: EAGAIN when it is not; errc::closed as above.
    [[nodiscard]] result<T> try_recv() noexcept {
        if (state_ != nullptr && !state_->is_settled()) {
            return failure(EAGAIN, "oneshot receive");
        }
        return take(state_);
    }

    /// The same as recv, for threads that run no task: the thread sleeps. Aborts inside a task.
    /// Errors: errc::timed_out once `limit` has passed, too; the value can still be received.
    [[nodiscard]] result<T> blocking_recv(time_limit limit = {}) noexcept {
        receive_awaiter wait(state_);
        if (!wait.block(limit)) {
            return failure(errc::timed_out, "oneshot receive");
        }
        return take(state_);
    }

    /// Refuses a value that has not been sent yet, and ends a wait for it. One that has been can
    /// still be received.
    void close() noexcept {
        if (state_ != nullptr) {
            state_->refuse();
        }
    }

    /// Whether there is nothing to receive and never will be: see recv for when.
    [[nodiscard]] bool is_closed() const noexcept {
        return state_ == nullptr || state_->is_ended();
    }
    explicit operator bool() const noexcept { return state_ != nullptr; }

private:
    friend ends<T> channel<T>();
    explicit receiver(state* shared) noexcept
        : state_(shared) {}

    static result<T> take(state* from) noexcept {
        if (from == nullptr || !from->take_value()) {
            return failure(errc::closed, "oneshot receive");
        }
        result<T> value(std::move(from->value));
        std::destroy_at(&from->value);
        return value;
    }

    state* state_ = nullptr;
};

template<typename T>
ends<T> channel() {
    detail::oneshot_state<T>* const shared = detail::oneshot_state<T>::create();
    if (shared == nullptr) {
        throw std::bad_alloc();
    }
    return {sender<T>(shared), receiver<T>(shared)};
}

} // namespace rt::oneshot

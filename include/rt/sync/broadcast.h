// SPDX-License-Identifier: MIT
//
// rt::broadcast: every value to every receiver.
//
//     auto [tx, rx] = rt::broadcast::channel<event>(256);
//     rt::spawn(listen, tx.subscribe()).detach();        // gets what is sent from now on
//     static_cast<void>(tx.send(event{...}));            // nobody may be listening
//     rt::broadcast::received<event> got = co_await rx.recv();
//
// send never waits. The channel keeps the last `capacity` values; a receiver that is further behind
// is told by an error how many it has lost and goes on with the oldest one that is left. Each
// receiver gets a copy; the last one to read a value gets the original.
//
// How it works: detail/broadcast_core.h. Threads: a channel joins any threads; each sender and each
// receiver belongs to one task or thread at a time. Copies of a value may be made by several
// threads at the same time. An operation refers to the object it was called on.
#pragma once

#include <rt/detail/broadcast_core.h>
#include <rt/detail/sender_share.h>
#include <rt/detail/shared_value.h>
#include <rt/result.h>
#include <rt/sync/broadcast_error.h>
#include <rt/time_limit.h>

#include <cerrno>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <new>
#include <type_traits>
#include <utility>

namespace rt::broadcast {

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

/// Makes a channel that keeps at least `capacity` values: the next power of two, at most 2^20.
/// Throws std::bad_alloc.
template<typename T>
ends<T> channel(std::size_t capacity);

/// The receiving end. Movable.
template<typename T>
class receiver {
    static_assert(std::is_copy_constructible_v<T>, "each receiver gets a copy; send a shared_ptr");

public:
    class [[nodiscard]] receive_awaiter : detail::broadcast_wait {
    public:
        using broadcast_wait::await_ready;
        using broadcast_wait::await_suspend;
        received<T> await_resume() {
            this->end_use();
            received<T> got = target_.try_recv();
            if (!got && got.error().is_empty()) [[unlikely]] {
                detail::received_elsewhere(name);
            }
            return got;
        }

    private:
        friend class receiver;
        explicit receive_awaiter(receiver& target) noexcept
            : broadcast_wait(target.core_, target.position_, target.waits_)
            , target_(target) {}

        receiver& target_;
    };

    receiver() noexcept = default;
    receiver(receiver&& other) noexcept
        : core_(std::exchange(other.core_, nullptr))
        , position_(other.position_) {
        other.waits_.forbid(name);
    }
    receiver& operator=(receiver&& other) noexcept {
        receiver old(std::move(*this));
        other.waits_.forbid(name);
        core_ = std::exchange(other.core_, nullptr);
        position_ = other.position_;
        return *this;
    }
    ~receiver() {
        waits_.forbid(name);
        if (core_ != nullptr) {
            core_->drop_receiver(position_);
        }
    }

    /// Waits for the next value.
    /// Requires: awaited in a task; one at a time, and nothing else is received meanwhile. Threads:
    /// any. Cancel: safe; the value can still be received. Errors: is_lagged() when values were
    /// lost, is_closed() when there will be no more. Throws what the copy constructor of T throws;
    /// the value counts as received then.
    receive_awaiter recv() noexcept { return receive_awaiter(*this); }

    /// The next value if there is one. Errors: is_empty() when there is none now; as for recv.
    [[nodiscard]] received<T> try_recv() {
        using kind = detail::broadcast_find::kind;
        if (core_ == nullptr) {
            return std::unexpected(recv_error::closed());
        }
        const detail::broadcast_find found = core_->receive(position_);
        switch (found.what) {
        case kind::value:
            return take(found);
        case kind::lagged:
            return std::unexpected(recv_error::lagged(found.lost));
        case kind::empty:
            return std::unexpected(recv_error::empty());
        case kind::closed:
            break;
        }
        return std::unexpected(recv_error::closed());
    }

    /// The same as recv, for threads that run no task: the thread sleeps. Aborts inside a task.
    /// Errors: is_timed_out() once `limit` has passed, too.
    [[nodiscard]] received<T> blocking_recv(time_limit limit = {}) {
        receive_awaiter wait(*this);
        if (!wait.block(limit)) {
            return std::unexpected(recv_error::timed_out());
        }
        return try_recv();
    }

    /// A receiver of what is sent from now on. Aborts if this one was moved from.
    [[nodiscard]] receiver resubscribe() const noexcept {
        if (core_ == nullptr) [[unlikely]] {
            detail::no_channel("rt::broadcast::receiver::resubscribe()");
        }
        return receiver(core_, core_->subscribe());
    }

    /// Values sent that this receiver has not had, lost ones included.
    [[nodiscard]] std::uint64_t size() const noexcept {
        return core_ == nullptr ? 0 : core_->behind(position_);
    }
    /// Whether the next receive would have to wait, or will never find anything.
    [[nodiscard]] bool is_empty() const noexcept { return size() == 0; }
    /// Whether all senders are gone. What was sent can still be received.
    [[nodiscard]] bool is_closed() const noexcept { return core_ == nullptr || core_->is_closed(); }
    explicit operator bool() const noexcept { return core_ != nullptr; }

private:
    friend class sender<T>;
    friend ends<T> channel<T>(std::size_t capacity);
    receiver(detail::broadcast_core* core, std::uint64_t position) noexcept
        : core_(core)
        , position_(position) {}

    static constexpr char name[] = "an rt::broadcast::receiver";

    static received<T> take(const detail::broadcast_find& found) {
        // Gives the hold back, also when the copy throws.
        struct holder {
            detail::shared_node* node;
            ~holder() { node->unhold(); }
        };
        const holder hold{found.node};
        T& value = static_cast<detail::shared_value<T>*>(found.node)->value;
        if constexpr (std::is_move_constructible_v<T>) {
            if (found.is_last && found.node->is_unique()) {
                return std::move(value);
            }
        }
        return static_cast<const T&>(value);
    }

    detail::broadcast_core* core_ = nullptr;
    std::uint64_t position_ = 0;
    detail::end_waits waits_;
};

/// The sending end. Copyable. One that was moved from is closed.
template<typename T>
class sender {
public:
    sender() noexcept = default;
    /// Sends the value to every receiver; never waits. The number of receivers. Threads: any.
    /// Errors: errc::closed when there is no receiver, ENOMEM. The value is lost then.
    template<typename U = T>
    requires std::is_constructible_v<T, U>
    [[nodiscard]] result<std::size_t> send(U&& value) {
        if (!share_) {
            return failure(errc::closed, "broadcast send");
        }
        auto* const node = detail::shared_value<T>::create(std::forward<U>(value));
        if (node == nullptr) {
            return failure(ENOMEM, "broadcast send");
        }
        const std::uint32_t reached = share_->send(node);
        if (reached == 0) {
            node->unhold();
            return failure(errc::closed, "broadcast send");
        }
        return reached;
    }

    /// A receiver of what is sent from now on. Aborts if this sender was moved from. Threads: any.
    [[nodiscard]] receiver<T> subscribe() const noexcept {
        if (!share_) [[unlikely]] {
            detail::no_channel("rt::broadcast::sender::subscribe()");
        }
        return receiver<T>(share_.get(), share_->subscribe());
    }

    /// Waits until there is no receiver. Requires: awaited in a task. Cancel: safe.
    [[nodiscard("nothing is waited for until this is awaited")]] detail::broadcast_closed_wait
    closed() noexcept {
        return detail::broadcast_closed_wait(share_.get());
    }
    /// Whether there is no receiver.
    [[nodiscard]] bool is_closed() const noexcept { return receiver_count() == 0; }
    /// Receivers, as of a moment ago.
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
    friend ends<T> channel<T>(std::size_t capacity);
    explicit sender(detail::broadcast_core* core) noexcept
        : share_(core) {}

    detail::sender_share<detail::broadcast_core> share_;
};

template<typename T>
ends<T> channel(std::size_t capacity) {
    detail::broadcast_core* const core = detail::broadcast_core::create(capacity);
    if (core == nullptr) {
        throw std::bad_alloc();
    }
    return {sender<T>(core), receiver<T>(core, 0)};
}

} // namespace rt::broadcast

// SPDX-License-Identifier: MIT
//
// rt::mpsc::sender: the sending end of a bounded channel. Included by rt/sync/mpsc.h, which see.
//
// To reserve is to wait for room without a value in hand: what cannot be sent is kept then. A send
// that waits has its value put into the channel by whoever makes room.
#pragma once

#include <rt/detail/mpsc_core.h>
#include <rt/detail/mpsc_value.h>
#include <rt/result.h>
#include <rt/sync/mpsc_permit.h>
#include <rt/sync/mpsc_weak.h>
#include <rt/time_limit.h>

#include <coroutine>
#include <cstdint>
#include <expected>
#include <type_traits>
#include <utility>

namespace rt::mpsc {

template<typename T>
struct ends;
template<typename T>
ends<T> channel(std::uint64_t capacity);

/// The sending end of a bounded channel. Copyable. One that was moved from is closed.
template<typename T>
class sender {
public:
    class [[nodiscard]] send_awaiter : detail::mpsc_value_wait<T> {
        using base = detail::mpsc_value_wait<T>;

    public:
        using base::await_ready;
        using base::await_suspend;
        result<void> await_resume() noexcept { return detail::mpsc_result(this->outcome()); }

    private:
        friend class sender;
        using base::base;
    };

    class [[nodiscard]] reserve_awaiter : detail::mpsc_send_wait {
    public:
        bool await_ready() noexcept {
            return try_now([this] { return core()->reserve(1); });
        }
        using mpsc_send_wait::await_suspend;
        result<permit<T>> await_resume() noexcept { return sender::make_permit(core(), outcome()); }

    private:
        friend class sender;
        explicit reserve_awaiter(detail::mpsc_core* core) noexcept
            : mpsc_send_wait(core, 1) {}
    };

    class [[nodiscard]] reserve_many_awaiter : detail::mpsc_send_wait {
    public:
        bool await_ready() noexcept {
            return reserves() == 0 || try_now([this] { return core()->reserve(reserves()); });
        }
        using mpsc_send_wait::await_suspend;
        result<permits<T>> await_resume() noexcept {
            return sender::make_permits(core(), reserves(), outcome());
        }

    private:
        friend class sender;
        using mpsc_send_wait::mpsc_send_wait;
    };

    sender() noexcept = default;

    /// Waits for room and sends the value.
    /// Requires: awaited in a task. Threads: any. Cancel: safe; the value is destroyed, or was
    /// sent. To keep it, reserve first. Errors: errc::closed, ENOMEM; the value is destroyed then.
    template<typename U = T>
    requires std::is_constructible_v<T, U> send_awaiter send(U&& value) {
        return send_awaiter(hold_.get(), std::in_place, std::forward<U>(value));
    }

    /// Sends the value if there is room and nobody waits for it. Threads: any.
    /// Errors: EAGAIN when there is none; errc::closed; ENOMEM. The value is untouched then, unless
    /// it had to be converted to T in a way that may throw, and the receiver went, or memory was
    /// wanting, once there was room.
    template<typename U = T>
    requires std::is_constructible_v<T, U>
    [[nodiscard]] result<void> try_send(U&& value) {
        return detail::mpsc_send<T, false>(hold_.get(), std::forward<U>(value));
    }

    /// Waits for room and keeps it for this sender.
    /// Requires: awaited in a task. Threads: any. Cancel: safe; room that was granted meanwhile is
    /// delivered, or goes back (man rt_select(3)). Errors: errc::closed.
    reserve_awaiter reserve() noexcept { return reserve_awaiter(hold_.get()); }

    /// The same if there is room and nobody waits for it. Errors: EAGAIN, errc::closed.
    [[nodiscard]] result<permit<T>> try_reserve() noexcept {
        detail::mpsc_core* const core = hold_.get();
        return make_permit(core, core == nullptr ? detail::mpsc_outcome::closed : core->reserve(1));
    }

    /// Waits for room for `count` values, all of it at once, and keeps it. Senders behind it wait
    /// meanwhile.
    /// Requires, Threads, Cancel: as reserve. Errors: errc::closed; EINVAL when the channel has
    /// never so much room.
    reserve_many_awaiter reserve_many(std::uint32_t count) noexcept {
        return reserve_many_awaiter(hold_.get(), count);
    }

    /// The same if there is room and nobody waits for it. Errors: EAGAIN, errc::closed, EINVAL.
    [[nodiscard]] result<permits<T>> try_reserve_many(std::uint32_t count) noexcept {
        detail::mpsc_core* const core = hold_.get();
        const bool is_none = core == nullptr || count == 0;
        return make_permits(
            core, count, is_none ? detail::mpsc_outcome::full : core->reserve(count)
        );
    }

    /// The same as reserve and reserve_many, for threads that run no task: the thread sleeps. Abort
    /// inside a task. Errors: errc::timed_out once `limit` has passed, too.
    [[nodiscard]] result<permit<T>> blocking_reserve(time_limit limit = {}) noexcept {
        reserve_awaiter wait(hold_.get());
        if (!wait.block(limit)) {
            return failure(errc::timed_out, "mpsc reserve");
        }
        return wait.await_resume();
    }
    [[nodiscard]] result<permits<T>>
    blocking_reserve_many(std::uint32_t count, time_limit limit = {}) noexcept {
        reserve_many_awaiter wait(hold_.get(), count);
        if (!wait.block(limit, [count] { return count == 0; })) {
            return failure(errc::timed_out, "mpsc reserve");
        }
        return wait.await_resume();
    }

    /// The same as send, for threads that run no task: the thread sleeps. Aborts inside a task.
    template<typename U = T>
    requires std::is_constructible_v<T, U>
    [[nodiscard]] result<void> blocking_send(U&& value) {
        send_awaiter wait(hold_.get(), std::in_place, std::forward<U>(value));
        wait.block();
        return wait.await_resume();
    }
    /// The same, until `limit` passes: it waits for room and sends the value then.
    /// Errors: errc::timed_out, errc::closed, ENOMEM. The value is untouched then, as by try_send.
    template<typename U = T>
    requires std::is_constructible_v<T, U>
    [[nodiscard]] result<void> blocking_send(U&& value, time_limit limit) {
        result<permit<T>> room = blocking_reserve(limit);
        if (!room) {
            return std::unexpected(room.error().as("mpsc send"));
        }
        return room->send(std::forward<U>(value));
    }

    /// Waits until the receiver is dropped or closed. Requires: awaited in a task. Cancel: safe.
    [[nodiscard("nothing is waited for until this is awaited")]] detail::mpsc_closed_wait
    closed() noexcept {
        return detail::mpsc_closed_wait(hold_.get());
    }

    /// A sender that does not keep the channel open. Threads: any.
    [[nodiscard]] weak_sender<sender> downgrade() const noexcept {
        return weak_sender<sender>(hold_.get());
    }

    explicit operator bool() const noexcept { return static_cast<bool>(hold_); }
    /// Whether both send to one channel.
    [[nodiscard]] bool is_same_channel(const sender& other) const noexcept {
        return hold_.is_with(other.hold_);
    }
    /// Whether nothing can be sent any more.
    [[nodiscard]] bool is_closed() const noexcept { return !hold_ || hold_->is_closed(); }
    /// Values that could be sent at once, as of a moment ago.
    [[nodiscard]] std::uint64_t capacity() const noexcept { return hold_ ? hold_->room() : 0; }
    /// What channel() was called with.
    [[nodiscard]] std::uint64_t max_capacity() const noexcept {
        return hold_ ? hold_->capacity() : 0;
    }
    /// Values in the channel, as of a moment ago.
    [[nodiscard]] std::uint64_t size() const noexcept { return hold_ ? hold_->size() : 0; }

private:
    friend ends<T> channel<T>(std::uint64_t capacity);
    friend class weak_sender<sender>;
    explicit sender(detail::mpsc_core* core) noexcept
        : hold_(core) {}

    static result<permit<T>>
    make_permit(detail::mpsc_core* core, detail::mpsc_outcome outcome) noexcept {
        if (outcome != detail::mpsc_outcome::granted) {
            return std::unexpected(detail::mpsc_result(outcome).error().as("mpsc reserve"));
        }
        core->add_sender();
        return permit<T>(detail::mpsc_sender_hold(core));
    }

    static result<permits<T>> make_permits(
        detail::mpsc_core* core, std::uint32_t count, detail::mpsc_outcome outcome
    ) noexcept {
        if (core == nullptr || (count == 0 && core->is_closed())) {
            outcome = detail::mpsc_outcome::closed;
        } else if (count == 0) {
            outcome = detail::mpsc_outcome::granted;
        }
        if (outcome != detail::mpsc_outcome::granted) {
            return std::unexpected(detail::mpsc_result(outcome).error().as("mpsc reserve"));
        }
        if (count == 0) {
            return permits<T>();
        }
        core->add_sender();
        return permits<T>(detail::mpsc_sender_hold(core), count);
    }

    detail::mpsc_sender_hold hold_;
};

} // namespace rt::mpsc

// SPDX-License-Identifier: MIT
//
// rt::mpsc::receiver: the receiving end of a channel. Included by rt/sync/mpsc.h, which see.
//
// A receive that finds a value costs one load in an unbounded channel, and one exchange more in a
// bounded one, for the room it gives back; recv_many does that once for all that it takes.
#pragma once

#include <rt/detail/mpsc_core.h>
#include <rt/detail/mpsc_value.h>
#include <rt/result.h>
#include <rt/time_limit.h>

#include <cerrno>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

namespace rt::mpsc {

template<typename T>
struct ends;
template<typename T>
struct unbounded_ends;
template<typename T>
ends<T> channel(std::uint64_t capacity);
template<typename T>
unbounded_ends<T> unbounded_channel();

/// The receiving end. Movable. Dropping it closes the channel and destroys what is in it.
template<typename T>
class [[nodiscard]] receiver {
    using value_access = detail::mpsc_value<T>;

public:
    class [[nodiscard]] receive_awaiter : detail::mpsc_receive_wait {
    public:
        using mpsc_receive_wait::await_ready;
        using mpsc_receive_wait::await_suspend;
        // In line, both: with a call on its cold path it is too much for the compiler's measure,
        // and a receive would cost a tenth more instructions.
        [[gnu::always_inline]] result<T> await_resume() noexcept { return take(core()); }

    private:
        friend class receiver;
        using mpsc_receive_wait::mpsc_receive_wait;
    };

    class [[nodiscard]] receive_many_awaiter : detail::mpsc_receive_wait {
    public:
        bool await_ready() noexcept { return count_max_ == 0 || mpsc_receive_wait::await_ready(); }
        using mpsc_receive_wait::await_suspend;
        std::size_t await_resume() { return take_many(core(), into_, count_max_); }

    private:
        friend class receiver;
        receive_many_awaiter(
            detail::mpsc_core* core, std::vector<T>& into, std::size_t count_max
        ) noexcept
            : mpsc_receive_wait(core)
            , into_(into)
            , count_max_(count_max) {}

        std::vector<T>& into_;
        const std::size_t count_max_;
    };

    receiver() noexcept = default;
    receiver(receiver&& other) noexcept
        : core_(std::exchange(other.core_, nullptr)) {}
    receiver& operator=(receiver&& other) noexcept {
        receiver old(std::move(*this));
        core_ = std::exchange(other.core_, nullptr);
        return *this;
    }
    ~receiver() {
        if (core_ != nullptr) {
            core_->drop_receiver();
        }
    }

    /// Waits for a value.
    /// Requires: awaited in a task; one at a time, and nothing else is received meanwhile. Threads:
    /// any. Cancel: safe; no value is lost. Errors: errc::closed when there will be no more.
    receive_awaiter recv() noexcept { return receive_awaiter(core_); }

    /// Waits for a value, and appends to `into` what is there, at most `count_max` values. The
    /// number of them; 0 when there will be no more, or `count_max` is 0. Requires: awaited in a
    /// task; one task at a time. Cancel: safe; no value is lost. Throws what `into` throws,
    /// std::bad_alloc; the values that it did not take stay in the channel.
    receive_many_awaiter recv_many(std::vector<T>& into, std::size_t count_max) noexcept {
        return receive_many_awaiter(core_, into, count_max);
    }

    /// A value if there is one. Errors: EAGAIN when there is none now; errc::closed as for recv.
    [[nodiscard]] result<T> try_recv() noexcept {
        if (core_ != nullptr && core_->try_front() == detail::mpsc_core::sight::none_now) {
            return failure(EAGAIN, "mpsc receive");
        }
        return take(core_);
    }

    /// The same as recv, for threads that run no task: the thread sleeps. Aborts inside a task.
    /// Errors: errc::timed_out once `limit` has passed, too.
    [[nodiscard]] result<T> blocking_recv(time_limit limit = {}) noexcept {
        receive_awaiter wait(core_);
        if (!wait.block(limit)) {
            return failure(errc::timed_out, "mpsc receive");
        }
        return take(core_);
    }
    /// The same for recv_many. 0 once `limit` has passed, too: is_closed() and is_empty() tell that
    /// from the end.
    [[nodiscard]] std::size_t
    blocking_recv_many(std::vector<T>& into, std::size_t count_max, time_limit limit = {}) {
        receive_many_awaiter wait(core_, into, count_max);
        const bool is_in_time = wait.block(limit, [count_max] { return count_max == 0; });
        return is_in_time ? take_many(core_, into, count_max) : 0;
    }

    /// Refuses what is sent from now on. What is in the channel can still be received, and what is
    /// sent with permits that were reserved before.
    void close() noexcept {
        if (core_ != nullptr) {
            core_->close();
        }
    }

    /// Whether nothing can be sent any more, but by permits that were reserved before: the senders
    /// are gone, or this receiver has closed. What is in the channel can still be received.
    [[nodiscard]] bool is_closed() const noexcept { return core_ == nullptr || core_->is_ended(); }
    /// Values in the channel, as of a moment ago.
    [[nodiscard]] std::uint64_t size() const noexcept {
        return core_ == nullptr ? 0 : core_->size();
    }
    [[nodiscard]] bool is_empty() const noexcept { return size() == 0; }
    explicit operator bool() const noexcept { return core_ != nullptr; }

private:
    friend ends<T> channel<T>(std::uint64_t capacity);
    friend unbounded_ends<T> unbounded_channel<T>();
    explicit receiver(detail::mpsc_core* core) noexcept
        : core_(core) {}

    [[gnu::always_inline]] static result<T> take(detail::mpsc_core* core) noexcept {
        detail::mpsc_cell* const cell = core == nullptr ? nullptr : core->front();
        if (cell == nullptr) [[unlikely]] {
            if (core != nullptr) {
                core->check_end();
            }
            return failure(errc::closed, "mpsc receive");
        }
        T* const value = value_access::of(cell);
        result<T> taken(std::move(*value));
        std::destroy_at(value);
        core->pop();
        core->make_room(1);
        return taken;
    }

    static std::size_t
    take_many(detail::mpsc_core* core, std::vector<T>& into, std::size_t count_max) {
        // Gives room back for what was taken, also when push_back throws.
        struct tally {
            detail::mpsc_core* core;
            std::size_t count = 0;
            ~tally() {
                if (count != 0) {
                    core->make_room(count);
                }
            }
        } taken{core};
        while (core != nullptr && taken.count < count_max) {
            detail::mpsc_cell* const cell = core->front();
            if (cell == nullptr) {
                if (taken.count == 0) {
                    core->check_end();
                }
                break;
            }
            T* const value = value_access::of(cell);
            into.push_back(std::move(*value));
            std::destroy_at(value);
            core->pop();
            ++taken.count;
        }
        return taken.count;
    }

    detail::mpsc_core* core_ = nullptr;
};

} // namespace rt::mpsc

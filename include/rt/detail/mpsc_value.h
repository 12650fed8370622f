// SPDX-License-Identifier: MIT
//
// The typed part of an mpsc channel: where in a cell the value is, how it gets in, and the share of
// a sender in the queue. See rt/detail/mpsc_core.h for the rest.
//
// Threads: a hold belongs to one thread at a time; everything else is as safe as the core.
#pragma once

#include <rt/detail/mpsc_core.h>
#include <rt/detail/sender_share.h>
#include <rt/result.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

namespace rt::detail {

using mpsc_sender_hold = sender_share<mpsc_core>;

// A weak sender's share: it keeps the memory, not the stream.
class mpsc_weak_hold {
public:
    mpsc_weak_hold() noexcept = default;
    explicit mpsc_weak_hold(mpsc_core* core) noexcept
        : core_(core) {
        if (core_ != nullptr) {
            core_->add_weak();
        }
    }
    mpsc_weak_hold(const mpsc_weak_hold& other) noexcept
        : mpsc_weak_hold(other.core_) {}
    mpsc_weak_hold(mpsc_weak_hold&& other) noexcept
        : core_(std::exchange(other.core_, nullptr)) {}
    mpsc_weak_hold& operator=(mpsc_weak_hold other) noexcept {
        std::swap(core_, other.core_);
        return *this;
    }
    ~mpsc_weak_hold() {
        if (core_ != nullptr) {
            core_->drop_weak();
        }
    }

    // The queue, with one sender more, or null: the last sender is gone.
    [[nodiscard]] mpsc_core* upgrade() const noexcept {
        return core_ != nullptr && core_->try_add_sender() ? core_ : nullptr;
    }

private:
    mpsc_core* core_ = nullptr;
};

[[nodiscard]] inline result<void> mpsc_result(mpsc_outcome outcome) noexcept {
    switch (outcome) {
    case mpsc_outcome::granted:
        return {};
    case mpsc_outcome::full:
        return failure(EAGAIN, "mpsc send");
    case mpsc_outcome::no_memory:
        return failure(ENOMEM, "mpsc send");
    case mpsc_outcome::impossible:
        return failure(EINVAL, "mpsc send");
    case mpsc_outcome::closed:
        break;
    }
    return failure(errc::closed, "mpsc send");
}

// A new queue. Throws std::bad_alloc.
inline mpsc_core* mpsc_make(std::uint64_t capacity, const mpsc_values& values) {
    const bool is_unbounded = capacity == mpsc_core::unbounded;
    mpsc_core* const core = mpsc_core::create(
        is_unbounded ? capacity : std::min(capacity, mpsc_core::capacity_max), values
    );
    if (core == nullptr) {
        throw std::bad_alloc();
    }
    return core;
}

template<typename T>
class mpsc_value_wait;

template<typename T>
struct mpsc_value {
    static_assert(std::is_object_v<T> && !std::is_const_v<T>);
    static_assert(std::is_nothrow_move_constructible_v<T>, "send a pointer to what may not move");
    static_assert(std::is_nothrow_destructible_v<T>);

    // A block fits a pooled frame of 512 bytes or, if fewer than cells_max values do, of 1 KiB.
    static constexpr std::size_t cells_max = 31;
    static constexpr std::size_t block_max = 1024;
    static constexpr std::size_t alignment = std::max(alignof(T), alignof(mpsc_block));

    static constexpr std::size_t round_up(std::size_t bytes, std::size_t to) noexcept {
        return (bytes + to - 1) / to * to;
    }
    static constexpr std::size_t value_offset = round_up(sizeof(mpsc_cell), alignof(T));
    static constexpr std::size_t cell_bytes =
        round_up(value_offset + sizeof(T), std::max(alignof(T), alignof(mpsc_cell)));
    static constexpr std::size_t first_cell = round_up(sizeof(mpsc_block), alignment);
    static constexpr std::size_t cells = std::clamp<std::size_t>(
        first_cell < block_max ? (block_max - first_cell) / cell_bytes : 0, 1, cells_max
    );
    static_assert(cell_bytes <= UINT32_MAX / 2, "send a pointer to what is this large");

    // Copied under the lock: no user code, and no longer than a line of the cache.
    static constexpr bool is_small = std::is_trivially_copyable_v<T> && sizeof(T) <= 64;

    [[nodiscard]] static T* of(mpsc_cell* cell) noexcept {
        return reinterpret_cast<T*>(reinterpret_cast<std::byte*>(cell) + value_offset);
    }
    static void move_in(mpsc_send_wait* from, mpsc_cell* to) noexcept {
        std::construct_at(of(to), std::move(static_cast<mpsc_value_wait<T>*>(from)->value()));
    }
    static void destroy(mpsc_cell* cell) noexcept { std::destroy_at(of(cell)); }

    static constexpr mpsc_values values{
        static_cast<std::uint32_t>(cell_bytes),
        static_cast<std::uint32_t>(cells),
        static_cast<std::uint32_t>(first_cell),
        static_cast<std::uint32_t>(alignment),
        &move_in,
        &destroy,
    };
};

// Puts a value in without waiting. Not granted: the value is untouched.
template<typename T, bool IsReserved, typename U>
[[nodiscard]] mpsc_outcome mpsc_put(mpsc_core& core, U&& value) noexcept {
    static_assert(std::is_nothrow_constructible_v<T, U>);
    mpsc_cell* cell = nullptr;
    sync_wait* receiver = nullptr;
    if (!IsReserved && (cell = core.begin_claim(receiver)) != nullptr) [[likely]] {
        // A few bytes are copied under the lock.
        if constexpr (mpsc_value<T>::is_small && std::is_same_v<std::remove_cvref_t<U>, T>) {
            std::construct_at(mpsc_value<T>::of(cell), std::forward<U>(value));
            mpsc_core::publish_locked(cell);
            core.end_claim();
            if (receiver != nullptr) {
                sync_wait::wake(receiver);
            }
            return mpsc_outcome::granted;
        }
        core.end_claim();
    } else {
        const mpsc_outcome outcome =
            IsReserved ? core.claim_reserved(cell, receiver) : core.claim(cell, receiver);
        if (outcome != mpsc_outcome::granted) {
            return outcome;
        }
    }
    std::construct_at(mpsc_value<T>::of(cell), std::forward<U>(value));
    core.publish(cell, receiver);
    return mpsc_outcome::granted;
}

// Room that is to be given back unless it is used.
class mpsc_room {
public:
    explicit mpsc_room(mpsc_core& core) noexcept
        : core_(&core) {}
    mpsc_room(const mpsc_room&) = delete;
    mpsc_room& operator=(const mpsc_room&) = delete;
    ~mpsc_room() {
        if (core_ != nullptr) {
            core_->unreserve(1);
        }
    }
    // The caller uses it up.
    [[nodiscard]] mpsc_core& use() noexcept { return *std::exchange(core_, nullptr); }

private:
    mpsc_core* core_;
};

// The same for any value, and without a queue. A conversion that may throw is made before a cell is
// claimed. One that may take something out of the value is made once there is room for it, so that
// what cannot be sent stays whole; left are a receiver that goes meanwhile and want of memory.
template<typename T, bool IsReserved, typename U>
result<void> mpsc_send(mpsc_core* core, U&& value) {
    constexpr bool stays_whole = std::is_lvalue_reference_v<U> || std::is_const_v<U>;
    if (core == nullptr) {
        return failure(errc::closed, "mpsc send");
    }
    if constexpr (std::is_nothrow_constructible_v<T, U>) {
        return mpsc_result(mpsc_put<T, IsReserved>(*core, std::forward<U>(value)));
    } else if constexpr (IsReserved || stays_whole) {
        return mpsc_result(mpsc_put<T, IsReserved>(*core, T(std::forward<U>(value))));
    } else {
        if (const mpsc_outcome outcome = core->reserve(1); outcome != mpsc_outcome::granted) {
            return mpsc_result(outcome);
        }
        mpsc_room room(*core);
        T made(std::forward<U>(value));
        return mpsc_result(mpsc_put<T, true>(room.use(), std::move(made)));
    }
}

// Waits for room with a value in hand.
template<typename T>
class mpsc_value_wait : public mpsc_send_wait {
public:
    template<typename U>
    mpsc_value_wait(mpsc_core* core, std::in_place_t /*tag*/, U&& value)
        : mpsc_send_wait(core, 0)
        , value_(std::forward<U>(value)) {}

    bool await_ready() noexcept {
        return this->try_now([this] { return mpsc_put<T, false>(*this->core(), std::move(value_)); }
        );
    }
    [[nodiscard]] T& value() noexcept { return value_; }

private:
    T value_;
};

} // namespace rt::detail

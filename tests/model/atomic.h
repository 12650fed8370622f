// SPDX-License-Identifier: MIT
//
// rt::model::atomic<T>: rt::atomic's operations under the explorer, and the locks that go with
// them.
//
// Same size, same names, same results as rt::atomic; each operation is a point at which the
// explorer may let another fiber go on, and the order in its name is the order that the weak model
// gives it. While no fiber runs (set-up, checks at the end) it is a plain variable.
#pragma once

#include "model/explore.h"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

namespace rt::model {

inline void fence_seq_cst() noexcept {
    if (machine::instance().is_running()) {
        machine::instance().fence(order::seq_cst);
    }
}
inline void fence_acquire() noexcept {
    if (machine::instance().is_running()) {
        machine::instance().fence(order::acquire);
    }
}
inline void fence_release() noexcept {
    if (machine::instance().is_running()) {
        machine::instance().fence(order::release);
    }
}

template<class T>
class atomic {
    static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= sizeof(std::uint64_t));

public:
    using value_type = T;
    using delta_type = std::conditional_t<std::is_pointer_v<T>, std::ptrdiff_t, T>;

    constexpr atomic() noexcept = default;
    constexpr explicit atomic(T value) noexcept
        : value_(value) {
        if (!std::is_constant_evaluated() && machine::instance().is_running()) {
            machine::instance().begin_life(&value_, sizeof(T), bits_of(value));
        }
    }
    atomic(const atomic&) = delete;
    atomic& operator=(const atomic&) = delete;

// One line per operation and order, as the names in rt::atomic are; a macro here, where nobody has
// to find the operation in a debugger.
#define RT_MODEL_LOADS(name, with)                                                                 \
    [[nodiscard]] T load_##name() const noexcept {                                                 \
        return load(order::with);                                                                  \
    }
#define RT_MODEL_STORES(name, with)                                                                \
    void store_##name(T value) noexcept {                                                          \
        store(value, order::with);                                                                 \
    }
#define RT_MODEL_CHANGES(name, with)                                                               \
    T exchange_##name(T value) noexcept {                                                          \
        return change(order::with, [=](T) { return value; });                                      \
    }                                                                                              \
    [[nodiscard]] bool cas_weak_##name(T& expected, T desired) noexcept {                          \
        return compare(expected, desired, order::with);                                            \
    }                                                                                              \
    [[nodiscard]] bool cas_strong_##name(T& expected, T desired) noexcept {                        \
        return compare(expected, desired, order::with);                                            \
    }                                                                                              \
    T add_##name(delta_type delta) noexcept {                                                      \
        return change(order::with, [=](T old) { return static_cast<T>(old + delta); });            \
    }                                                                                              \
    T sub_##name(delta_type delta) noexcept {                                                      \
        return change(order::with, [=](T old) { return static_cast<T>(old - delta); });            \
    }                                                                                              \
    T and_##name(T mask) noexcept {                                                                \
        return change(order::with, [=](T old) { return static_cast<T>(old & mask); });             \
    }                                                                                              \
    T or_##name(T mask) noexcept {                                                                 \
        return change(order::with, [=](T old) { return static_cast<T>(old | mask); });             \
    }

    RT_MODEL_LOADS(relaxed, relaxed)
    RT_MODEL_LOADS(acquire, acquire)
    RT_MODEL_LOADS(seq_cst, seq_cst)
    RT_MODEL_STORES(relaxed, relaxed)
    RT_MODEL_STORES(release, release)
    RT_MODEL_STORES(seq_cst, seq_cst)
    RT_MODEL_CHANGES(relaxed, relaxed)
    RT_MODEL_CHANGES(acquire, acquire)
    RT_MODEL_CHANGES(release, release)
    RT_MODEL_CHANGES(acq_rel, acq_rel)
    RT_MODEL_CHANGES(seq_cst, seq_cst)

#undef RT_MODEL_LOADS
#undef RT_MODEL_STORES
#undef RT_MODEL_CHANGES

    void bump_relaxed(delta_type delta) noexcept {
        store_relaxed(static_cast<T>(load_relaxed() + delta));
    }

    // For system calls on the word.
    [[nodiscard]] T* address() noexcept {
        return &value_;
    }
    [[nodiscard]] const T* address() const noexcept {
        return &value_;
    }

    // The value as it stands, for checks and for conditions of wait_until; no operation.
    [[nodiscard]] T peek() const noexcept {
        machine::instance().peek(&value_);
        return value_;
    }

private:
    static std::uint64_t bits_of(T value) noexcept {
        std::uint64_t bits = 0;
        std::memcpy(&bits, &value, sizeof(T));
        return bits;
    }
    static T value_of(std::uint64_t bits) noexcept {
        T value{};
        std::memcpy(static_cast<void*>(&value), &bits, sizeof(T));
        return value;
    }

    T load(order with) const noexcept {
        machine& m = machine::instance();
        if (!m.is_running()) {
            return value_;
        }
        return value_of(m.load(const_cast<T*>(&value_), sizeof(T), with));
    }

    void store(T value, order with) noexcept {
        machine& m = machine::instance();
        if (!m.is_running()) {
            value_ = value;
            return;
        }
        m.store(&value_, sizeof(T), bits_of(value), with);
    }

    template<typename Function>
    T change(order with, Function function) noexcept {
        machine& m = machine::instance();
        if (!m.is_running()) {
            const T old = value_;
            value_ = function(old);
            return old;
        }
        const auto apply = [](std::uint64_t old, void* context, bool*) {
            return bits_of((*static_cast<Function*>(context))(value_of(old)));
        };
        return value_of(m.modify(&value_, sizeof(T), apply, &function, with));
    }

    struct comparison {
        T expected;
        T desired;
        bool is_equal = false;
    };

    bool compare(T& expected, T desired, order with) noexcept {
        machine& m = machine::instance();
        if (!m.is_running()) {
            if (value_ != expected) {
                expected = value_;
                return false;
            }
            value_ = desired;
            return true;
        }
        comparison both{expected, desired};
        const auto apply = [](std::uint64_t old, void* context, bool* is_kept) {
            auto* const wanted = static_cast<comparison*>(context);
            wanted->is_equal = value_of(old) == wanted->expected;
            *is_kept = !wanted->is_equal;
            return bits_of(wanted->desired);
        };
        const T old = value_of(m.modify(&value_, sizeof(T), apply, &both, with));
        if (!both.is_equal) {
            expected = old;
        }
        return both.is_equal;
    }

    T value_{};
};

// A lock without spinning: whoever finds it held waits in the explorer.
class lock {
public:
    void acquire() noexcept {
        if (machine::instance().is_running()) {
            model::wait_until([this] { return word_.peek() == 0; }, true);
        }
        check(word_.exchange_acquire(1) == 0, "a lock was taken twice");
    }
    [[nodiscard]] bool try_acquire() noexcept { return word_.exchange_acquire(1) == 0; }
    void release() noexcept { word_.store_release(0); }

private:
    atomic<std::uint8_t> word_{0};
};

} // namespace rt::model

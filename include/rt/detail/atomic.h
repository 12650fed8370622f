// SPDX-License-Identifier: MIT
//
// rt::atomic<T>: the only place in the project that names std::atomic.
//
// Every operation carries its memory order in its name, so that a reader of a call sees the order,
// a reviewer can ask for the partner that the comment beside it must name, and a script can refuse
// bare operators. Used from every thread and every layer, and by public templates; it is not API.
//
// Read-modify-write operations return the previous value. A failed compare-and-swap loads with the
// strongest order its success order allows for a load: relaxed and release fail relaxed, acquire
// and acq_rel fail acquire, seq_cst fails seq_cst.
//
// With features::chaos (configure --enable-chaos) each operation first calls chaos_point(), which
// spins or yields at random from a printed seed (src/base/chaos.cc): a cheap way to widen the
// windows that a test must hit. RT_CHAOS does the same for a build beside the one that was
// configured; its library and its programs must agree on it.
//
// Rejected: macros that generate the operations (shorter, but no debugger or editor finds them),
// and a default order (the wrong one is then invisible).
#pragma once

#include <rt/detail/config.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace rt::detail {

#if defined(__SANITIZE_THREAD__)
inline constexpr bool thread_sanitizer = true;
#elif defined(__has_feature)
#    if __has_feature(thread_sanitizer)
inline constexpr bool thread_sanitizer = true;
#    else
inline constexpr bool thread_sanitizer = false;
#    endif
#else
inline constexpr bool thread_sanitizer = false;
#endif

#if defined(RT_CHAOS)
inline constexpr bool chaos_enabled = true;
#else
inline constexpr bool chaos_enabled = features::chaos;
#endif

/// Spins, yields or does nothing, at random. Defined in every build; called if chaos_enabled.
RT_API void chaos_point() noexcept;

inline void before_atomic() noexcept {
    if constexpr (chaos_enabled) {
        chaos_point();
    }
}

/// ThreadSanitizer does not model fences. In its builds a fence is an operation on this word, which
/// orders more than a fence does (it may hide a race between two fences) but never reports a false
/// one.
inline std::atomic<std::uint32_t> fence_word{0};

} // namespace rt::detail

namespace rt {

/// Orders every earlier access before every later one, stores before loads included.
inline void fence_seq_cst() noexcept {
    detail::before_atomic();
    if constexpr (detail::thread_sanitizer) {
        detail::fence_word.fetch_add(1, std::memory_order_seq_cst);
    } else {
#if defined(__x86_64__)
        // A locked operation on a line that is surely in the cache is a full barrier for ordinary
        // memory, and cheaper than the mfence that the compiler would emit: 7.3 ns against 14.0
        // after a store, median of 5 runs of 5 million on a 2-CPU virtual machine (Xeon).
        asm volatile("lock; orl $0, (%%rsp)" ::: "memory", "cc");
#else
        std::atomic_thread_fence(std::memory_order_seq_cst);
#endif
    }
}

/// Orders memory accesses against a signal handler on the same thread: for the compiler only.
inline void compiler_barrier() noexcept {
    asm volatile("" ::: "memory");
}

inline void fence_acquire() noexcept {
    detail::before_atomic();
    if constexpr (detail::thread_sanitizer) {
        (void)detail::fence_word.load(std::memory_order_acquire);
    } else {
        std::atomic_thread_fence(std::memory_order_acquire);
    }
}

inline void fence_release() noexcept {
    detail::before_atomic();
    if constexpr (detail::thread_sanitizer) {
        detail::fence_word.fetch_add(1, std::memory_order_release);
    } else {
        std::atomic_thread_fence(std::memory_order_release);
    }
}

template<class T>
class atomic {
    static_assert(std::is_trivially_copyable_v<T>);
    static_assert(std::atomic<T>::is_always_lock_free, "a hidden lock would break every protocol");
    static_assert(
        sizeof(std::atomic<T>) == sizeof(T), "futex and kernel words must be plain words"
    );

    using order = std::memory_order;
    static constexpr order rlx = std::memory_order_relaxed;
    static constexpr order acq = std::memory_order_acquire;
    static constexpr order rel = std::memory_order_release;
    static constexpr order both = std::memory_order_acq_rel;
    static constexpr order seq = std::memory_order_seq_cst;

public:
    using value_type = T;
    /// What add and sub take: T itself, or a count of elements when T is a pointer.
    using delta_type = std::conditional_t<std::is_pointer_v<T>, std::ptrdiff_t, T>;

    constexpr atomic() noexcept = default;
    constexpr explicit atomic(T value) noexcept
        : value_(value) {}
    atomic(const atomic&) = delete;
    atomic& operator=(const atomic&) = delete;

    [[nodiscard]] T load_relaxed() const noexcept { return load<rlx>(); }
    [[nodiscard]] T load_acquire() const noexcept { return load<acq>(); }
    [[nodiscard]] T load_seq_cst() const noexcept { return load<seq>(); }

    void store_relaxed(T value) noexcept { store<rlx>(value); }
    void store_release(T value) noexcept { store<rel>(value); }
    void store_seq_cst(T value) noexcept { store<seq>(value); }

    T exchange_relaxed(T value) noexcept { return exchange<rlx>(value); }
    T exchange_acquire(T value) noexcept { return exchange<acq>(value); }
    T exchange_release(T value) noexcept { return exchange<rel>(value); }
    T exchange_acq_rel(T value) noexcept { return exchange<both>(value); }
    T exchange_seq_cst(T value) noexcept { return exchange<seq>(value); }

    /// True when the value was `expected` and is now `desired`; otherwise `expected` is what was
    /// seen.
    [[nodiscard]] bool cas_weak_relaxed(T& expected, T desired) noexcept {
        return weak<rlx, rlx>(expected, desired);
    }
    [[nodiscard]] bool cas_weak_acquire(T& expected, T desired) noexcept {
        return weak<acq, acq>(expected, desired);
    }
    [[nodiscard]] bool cas_weak_release(T& expected, T desired) noexcept {
        return weak<rel, rlx>(expected, desired);
    }
    [[nodiscard]] bool cas_weak_acq_rel(T& expected, T desired) noexcept {
        return weak<both, acq>(expected, desired);
    }
    [[nodiscard]] bool cas_weak_seq_cst(T& expected, T desired) noexcept {
        return weak<seq, seq>(expected, desired);
    }
    [[nodiscard]] bool cas_strong_relaxed(T& expected, T desired) noexcept {
        return strong<rlx, rlx>(expected, desired);
    }
    [[nodiscard]] bool cas_strong_acquire(T& expected, T desired) noexcept {
        return strong<acq, acq>(expected, desired);
    }
    [[nodiscard]] bool cas_strong_release(T& expected, T desired) noexcept {
        return strong<rel, rlx>(expected, desired);
    }
    [[nodiscard]] bool cas_strong_acq_rel(T& expected, T desired) noexcept {
        return strong<both, acq>(expected, desired);
    }
    [[nodiscard]] bool cas_strong_seq_cst(T& expected, T desired) noexcept {
        return strong<seq, seq>(expected, desired);
    }

    T add_relaxed(delta_type delta) noexcept { return add<rlx>(delta); }
    T add_acquire(delta_type delta) noexcept { return add<acq>(delta); }
    T add_release(delta_type delta) noexcept { return add<rel>(delta); }
    T add_acq_rel(delta_type delta) noexcept { return add<both>(delta); }
    T add_seq_cst(delta_type delta) noexcept { return add<seq>(delta); }

    T sub_relaxed(delta_type delta) noexcept { return sub<rlx>(delta); }
    T sub_acquire(delta_type delta) noexcept { return sub<acq>(delta); }
    T sub_release(delta_type delta) noexcept { return sub<rel>(delta); }
    T sub_acq_rel(delta_type delta) noexcept { return sub<both>(delta); }
    T sub_seq_cst(delta_type delta) noexcept { return sub<seq>(delta); }

    T and_relaxed(T mask) noexcept { return bit_and<rlx>(mask); }
    T and_acquire(T mask) noexcept { return bit_and<acq>(mask); }
    T and_release(T mask) noexcept { return bit_and<rel>(mask); }
    T and_acq_rel(T mask) noexcept { return bit_and<both>(mask); }
    T and_seq_cst(T mask) noexcept { return bit_and<seq>(mask); }

    T or_relaxed(T mask) noexcept { return bit_or<rlx>(mask); }
    T or_acquire(T mask) noexcept { return bit_or<acq>(mask); }
    T or_release(T mask) noexcept { return bit_or<rel>(mask); }
    T or_acq_rel(T mask) noexcept { return bit_or<both>(mask); }
    T or_seq_cst(T mask) noexcept { return bit_or<seq>(mask); }

    T xor_relaxed(T mask) noexcept { return bit_xor<rlx>(mask); }
    T xor_acquire(T mask) noexcept { return bit_xor<acq>(mask); }
    T xor_release(T mask) noexcept { return bit_xor<rel>(mask); }
    T xor_acq_rel(T mask) noexcept { return bit_xor<both>(mask); }
    T xor_seq_cst(T mask) noexcept { return bit_xor<seq>(mask); }

    /// Adds without a locked instruction. REQUIRES: one thread writes this word; others only read.
    void bump_relaxed(delta_type delta) noexcept {
        detail::before_atomic();
        value_.store(static_cast<T>(value_.load(rlx) + delta), rlx);
    }

    /// The plain word, for the kernel (futex, shared rings); never for an access from our own code.
    [[nodiscard]] T* address() noexcept { return reinterpret_cast<T*>(&value_); }
    [[nodiscard]] const T* address() const noexcept { return reinterpret_cast<const T*>(&value_); }

private:
    template<order Order>
    T load() const noexcept {
        detail::before_atomic();
        return value_.load(Order);
    }
    template<order Order>
    void store(T value) noexcept {
        detail::before_atomic();
        value_.store(value, Order);
    }
    template<order Order>
    T exchange(T value) noexcept {
        detail::before_atomic();
        return value_.exchange(value, Order);
    }
    template<order Success, order Failure>
    bool weak(T& expected, T desired) noexcept {
        detail::before_atomic();
        return value_.compare_exchange_weak(expected, desired, Success, Failure);
    }
    template<order Success, order Failure>
    bool strong(T& expected, T desired) noexcept {
        detail::before_atomic();
        return value_.compare_exchange_strong(expected, desired, Success, Failure);
    }
    template<order Order>
    T add(delta_type delta) noexcept {
        detail::before_atomic();
        return value_.fetch_add(delta, Order);
    }
    template<order Order>
    T sub(delta_type delta) noexcept {
        detail::before_atomic();
        return value_.fetch_sub(delta, Order);
    }
    template<order Order>
    T bit_and(T mask) noexcept {
        detail::before_atomic();
        return value_.fetch_and(mask, Order);
    }
    template<order Order>
    T bit_or(T mask) noexcept {
        detail::before_atomic();
        return value_.fetch_or(mask, Order);
    }
    template<order Order>
    T bit_xor(T mask) noexcept {
        detail::before_atomic();
        return value_.fetch_xor(mask, Order);
    }

    std::atomic<T> value_{};
};

} // namespace rt

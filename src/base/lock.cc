// SPDX-License-Identifier: MIT
//
// The slow halves of the locks, and the rank check of debug builds.
//
// Ranks: each thread keeps the locks it holds in a small thread-local array. Taking a lock whose
// rank is not above every held one is fatal, with both names printed, before the thread can block
// on it: the order is wrong even on the run where nobody deadlocks. try_lock may break the order,
// because it cannot block; its lock is recorded all the same, so that what is taken next is checked
// against it.
//
// The futex calls touch only the state word. A waiter that gives up leaves held_with_waiters
// behind; the next unlock then makes one needless wake call, which is cheaper than counting the
// waiters.
#include "base/lock.h"

#include "base/arch.h"

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <iterator>

#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace rt::base {

namespace {

// About 1 us of pauses on a recent x86 core (a pause is 40-140 cycles there): longer than any
// critical section that follows the rules, shorter than a futex round trip. Not measured further.
constexpr std::uint32_t spin_rounds_max = 64;
// After this many yields the holder is surely off its CPU, or below our priority: sleep instead.
constexpr std::uint32_t yield_rounds_max = 16;
constexpr long nap_ns = 50'000;

// Nesting deeper than this would be a design error by itself.
constexpr std::size_t held_count_max = 12;

struct held_lock {
    const void* lock;
    lock_rank rank;
};

struct held_stack {
    held_lock locks[held_count_max];
    std::size_t count;
};

thread_local constinit held_stack held_here{};

constexpr const char* rank_names[] = {
    "unranked",
    "process registry",
    "runtime lifecycle",
    "introspect server",
    "dump",
    "scheduler shutdown",
    "block in place",
    "current thread seat",
    "worker core",
    "idle workers",
    "inject queue",
    "overflow",
    "signal table",
    "process table",
    "file object",
    "socket object",
    "timer object",
    "sync object",
    "wait queue",
    "task scope",
    "task cancel",
    "task join",
    "task waker",
    "task owned shard",
    "driver operations",
    "driver timers",
    "driver registration",
    "driver ring pool",
    "driver completions",
    "blocking pool",
    "blocking shard",
    "node arena",
    "frame pool",
    "slab",
    "topology cache",
    "metrics registry",
    "flight recorder",
    "log",
    "leaf",
};
static_assert(std::size(rank_names) == static_cast<std::size_t>(lock_rank::rank_count));

long futex(std::uint32_t* word, int operation, std::uint32_t value, const timespec* timeout) {
    return ::syscall(SYS_futex, word, operation, value, timeout, nullptr, 0);
}

std::uint64_t monotonic_now_ns() noexcept {
    timespec now{};
    ::clock_gettime(CLOCK_MONOTONIC, &now);
    return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000 +
        static_cast<std::uint64_t>(now.tv_nsec);
}

} // namespace

const char* lock_rank_name(lock_rank rank) noexcept {
    const auto index = static_cast<std::size_t>(rank);
    return index < std::size(rank_names) ? rank_names[index] : "unknown rank";
}

void lock_rank_acquired(const void* lock, lock_rank rank, bool is_try) noexcept {
    held_stack& held = held_here;
    for (std::size_t index = 0; index < held.count; ++index) {
        const held_lock& other = held.locks[index];
        if (other.lock == lock) {
            fatal("lock \"%s\" taken twice by one thread", lock_rank_name(rank));
        }
        const bool is_ranked = rank != lock_rank::unranked && other.rank != lock_rank::unranked;
        if (!is_try && is_ranked && other.rank >= rank) {
            fatal(
                "lock order: \"%s\" taken while holding \"%s\" (see lock_rank.h)",
                lock_rank_name(rank),
                lock_rank_name(other.rank)
            );
        }
    }
    RT_ASSERT(held.count < held_count_max);
    held.locks[held.count] = held_lock{lock, rank};
    ++held.count;
}

void lock_rank_released(const void* lock, lock_rank rank) noexcept {
    held_stack& held = held_here;
    for (std::size_t index = held.count; index > 0; --index) {
        if (held.locks[index - 1].lock == lock) {
            std::move(held.locks + index, held.locks + held.count, held.locks + index - 1);
            --held.count;
            return;
        }
    }
    fatal("lock \"%s\" released by a thread that does not hold it", lock_rank_name(rank));
}

bool is_lock_held(const void* lock) noexcept {
    if constexpr (!debug_checks) {
        return true;
    }
    const held_stack& held = held_here;
    return std::any_of(held.locks, held.locks + held.count, [lock](const held_lock& one) {
        return one.lock == lock;
    });
}

void spin_lock::lock_slow() noexcept {
    for (std::uint32_t round = 0;; ++round) {
        // relaxed: only a hint when to try; the exchange below is what acquires.
        if (state_.load_relaxed() == free && state_.exchange_acquire(held) == free) {
            return; // acquire: pairs with the release in unlock
        }
        if (round < spin_rounds_max) {
            cpu::relax();
        } else if (round < spin_rounds_max + yield_rounds_max) {
            ::sched_yield();
        } else {
            const timespec nap{0, nap_ns};
            ::nanosleep(&nap, nullptr);
        }
    }
}

bool futex_lock::lock_slow(std::uint64_t timeout_ns) noexcept {
    for (std::uint32_t round = 0; round < spin_rounds_max; ++round) {
        std::uint32_t seen = state_.load_relaxed(); // relaxed: a hint, the exchange acquires
        // acquire: pairs with the release in unlock.
        if (seen == free && state_.cas_weak_acquire(seen, held)) {
            return true;
        }
        if (seen == held_with_waiters) {
            break; // others sleep already: spinning would only overtake them
        }
        cpu::relax();
    }
    const std::uint64_t begin_ns = timeout_ns == wait_for_ever ? 0 : monotonic_now_ns();
    // From here on the state says that there are waiters, since we cannot know that there are none.
    // acquire: pairs with the release in unlock.
    while (state_.exchange_acquire(held_with_waiters) != free) {
        timespec left{};
        const timespec* left_or_null = nullptr;
        if (timeout_ns != wait_for_ever) {
            const std::uint64_t waited_ns = monotonic_now_ns() - begin_ns;
            if (waited_ns >= timeout_ns) {
                return false;
            }
            const std::uint64_t left_ns = timeout_ns - waited_ns;
            left.tv_sec = static_cast<time_t>(left_ns / 1'000'000'000);
            left.tv_nsec = static_cast<long>(left_ns % 1'000'000'000);
            left_or_null = &left;
        }
        // Returns at once when the word changed, and may return early: the loop decides.
        futex(state_.address(), FUTEX_WAIT_PRIVATE, held_with_waiters, left_or_null);
    }
    return true;
}

bool futex_lock::try_lock_for(std::uint64_t timeout_ns) noexcept {
    std::uint32_t seen = free;
    // acquire: pairs with the release in unlock.
    if (!state_.cas_strong_acquire(seen, held) && !lock_slow(timeout_ns)) {
        return false;
    }
    if constexpr (debug_checks) {
        lock_rank_acquired(this, rank_, true);
    }
    return true;
}

void futex_lock::wake_one() noexcept {
    futex(state_.address(), FUTEX_WAKE_PRIVATE, 1, nullptr);
}

} // namespace rt::base

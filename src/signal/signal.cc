// SPDX-License-Identifier: MIT
//
// Signals: a table of listeners, and a handler that marks them and writes to their eventfds.
//
// Parties: the handler, on any thread and between any two instructions; the task that receives, on
// any worker; opening and closing, on any thread under table_lock, which the handler never takes.
//
// A listener is a slot of a static table and an eventfd. The slot's descriptor is made at the first
// use and never closed; the task watches a duplicate. So a handler that was put off its CPU and
// writes late writes to an eventfd, and not to whatever file got a recycled number.
//
//   wanted    written under table_lock; the numbers this listener gets, bit n-1 for signal n
//   pending   set by the handler, cleared by the task that takes; bits outside `wanted` mean none
//   event     written once under table_lock, before the first `wanted`
//
//   Rule 1. The handler sets the pending bit, then writes. The task loads the count of edges,
//           then the bits, and waits only for an edge later than the count: whatever the order,
//           either the bit is seen or the edge comes.
//   Rule 2. Opening: slot first, then sigaction; no signal is handled that nobody wants. Closing:
//           sigaction first, then slot; none is swallowed without a listener.
//   Rule 3. The eventfd is never read: each write is an edge by itself, whatever the count, and
//           2^64 writes do not happen.
//
// A handler still running when its listener is replaced by another for the same number may mark the
// new one. It then receives a signal that arrived as it was being made, which no caller can tell
// from one that arrived just after.
//
// Rejected: signalfd, because it needs the signals blocked in every thread, including those that a
// library must not touch; a thread in sigwaitinfo, for the same reason; one pipe read by one
// dispatcher task, because it belongs to one runtime, and goes with it.
#include "base/assert.h"
#include "base/lock.h"
#include "base/unique_fd.h"
#include "driver/io_source.h"

#include <rt/detail/atomic.h>
#include <rt/signal.h>
#include <rt/time.h>

#include <bit>
#include <cerrno>
#include <chrono>
#include <utility>

#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

namespace rt {

struct detail::signal_listener {
    atomic<std::uint64_t> wanted{0};
    atomic<std::uint64_t> pending{0};
    atomic<int> event{-1};
    bool is_taken = false; // guarded by table_lock
};

namespace {

using listener = detail::signal_listener;

constexpr int number_max = 64; // SIGRTMAX on Linux; the bits of a word
constexpr const char* operation = "signals";
constexpr const char* taken_operation = "signals: SIGURG is used by the runtime";

// How often recv looks when the driver cannot watch the eventfd (out of memory).
constexpr std::chrono::milliseconds blind_interval{50};

constinit listener table[signals::listeners_max];
constinit base::futex_lock table_lock{base::lock_rank::signal_table};
// Both guarded by table_lock.
constinit std::uint32_t users[number_max + 1] = {};
struct sigaction replaced[number_max + 1];

static_assert(sizeof(table) <= 4096, "the handler walks the whole table");

constexpr std::uint64_t bit_of(int number) noexcept {
    return std::uint64_t{1} << static_cast<unsigned>(number - 1);
}

// Async-signal-safe: loads, one read-modify-write and write(2); keeps errno.
void on_signal(int number) noexcept {
    const int saved_errno = errno;
    const std::uint64_t bit = bit_of(number);
    for (listener& one : table) {
        // acquire: pairs with the release in open_slot, so `event` is visible.
        if ((one.wanted.load_acquire() & bit) != 0) {
            // release: pairs with take()'s acquire; what happened before the signal was sent, in
            // this thread, happened before it is received.
            one.pending.or_release(bit);
            const std::uint64_t count = 1;
            // relaxed: ordered by `wanted`. EAGAIN would mean that the count is full: rule 3.
            static_cast<void>(!::write(one.event.load_relaxed(), &count, sizeof(count)));
        }
    }
    errno = saved_errno;
}

// SIGURG is the runtime's own: its handler, which ours would replace, is what the watchdog fetches
// the work of a worker in a long turn with, and what introspection samples stacks with.
bool can_listen(int number) noexcept {
    switch (number) {
    case SIGURG:
    case SIGKILL:
    case SIGSTOP:
    case SIGBUS:
    case SIGFPE:
    case SIGILL:
    case SIGSEGV:
        return false;
    default:
        return number >= 1 && number <= number_max;
    }
}

// REQUIRES: table_lock held.
void remove_users(std::uint64_t numbers) noexcept {
    for (; numbers != 0; numbers &= numbers - 1) {
        const int number = std::countr_zero(numbers) + 1;
        RT_ASSERT(users[number] != 0);
        if (--users[number] == 0) {
            RT_ASSERT(::sigaction(number, &replaced[number], nullptr) == 0);
        }
    }
}

// REQUIRES: table_lock held. Installs the handler for the numbers in `wanted` that have none.
// On failure nothing is left behind. Returns 0 or an errno.
int add_users(std::uint64_t wanted) noexcept {
    std::uint64_t added = 0;
    for (std::uint64_t left = wanted; left != 0; left &= left - 1) {
        const int number = std::countr_zero(left) + 1;
        if (users[number] == 0) {
            struct sigaction ours = {};
            ours.sa_handler = &on_signal;
            ours.sa_flags = SA_RESTART | SA_ONSTACK;
            sigfillset(&ours.sa_mask);
            if (::sigaction(number, &ours, &replaced[number]) != 0) {
                const int code = errno;
                remove_users(added);
                return code;
            }
        }
        ++users[number];
        added |= bit_of(number);
    }
    return 0;
}

// REQUIRES: table_lock held. A free slot with an eventfd, or an errno.
result<listener*> find_slot() noexcept {
    for (listener& one : table) {
        if (one.is_taken) {
            continue;
        }
        if (one.event.load_relaxed() < 0) { // relaxed: written under the lock
            const int fd = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
            if (fd < 0) {
                return failure(errno, operation);
            }
            one.event.store_relaxed(fd); // published by `wanted`
        }
        return &one;
    }
    return failure(ENOSPC, operation);
}

result<listener*> open_slot(std::uint64_t wanted) noexcept {
    const base::guard hold(table_lock);
    result<listener*> found = find_slot();
    if (!found) {
        return found;
    }
    listener& slot = **found;
    slot.pending.store_relaxed(0);
    slot.wanted.store_release(wanted); // release: pairs with on_signal's acquire; rule 2
    if (const int code = add_users(wanted); code != 0) {
        slot.wanted.store_relaxed(0); // relaxed: nothing depends on when this is seen
        return failure(code, operation);
    }
    slot.is_taken = true;
    return found;
}

void close_slot(listener& slot) noexcept {
    const base::guard hold(table_lock);
    RT_ASSERT(slot.is_taken);
    remove_users(slot.wanted.load_relaxed()); // relaxed: written under the lock
    slot.wanted.store_relaxed(0);             // rule 2; relaxed: a late mark is harmless
    slot.is_taken = false;
}

} // namespace

signals::signals(std::initializer_list<int> numbers)
    : signals(or_throw(open(std::span<const int>(numbers.begin(), numbers.size())))) {
}

result<signals> signals::open(std::span<const int> numbers) noexcept {
    std::uint64_t wanted = 0;
    for (const int number : numbers) {
        if (!can_listen(number)) {
            return failure(EINVAL, number == SIGURG ? taken_operation : operation);
        }
        wanted |= bit_of(number);
    }
    const result<listener*> slot = open_slot(wanted);
    if (!slot) {
        return failure(slot.error());
    }
    signals made;
    made.listener_ = *slot;
    const int fd = ::fcntl((*slot)->event.load_relaxed(), F_DUPFD_CLOEXEC, 0);
    if (fd < 0) {
        return failure(errno, operation);
    }
    result<detail::io_handle> io = detail::io_handle::adopt(fd);
    if (!io) {
        return failure(io.error().as(operation));
    }
    made.io_ = std::move(*io);
    return made;
}

signals::signals(signals&& other) noexcept
    : io_(std::move(other.io_))
    , listener_(std::exchange(other.listener_, nullptr)) {
}

signals& signals::operator=(signals&& other) noexcept {
    if (this != &other) {
        close();
        io_ = std::move(other.io_);
        listener_ = std::exchange(other.listener_, nullptr);
    }
    return *this;
}

std::optional<int> signals::try_recv() noexcept {
    if (listener_ == nullptr) {
        return std::nullopt;
    }
    const std::uint64_t wanted = listener_->wanted.load_relaxed(); // constant while open
    // relaxed: a first look; what is taken is taken by the operation below.
    const std::uint64_t arrived = listener_->pending.load_relaxed() & wanted;
    if (arrived == 0) {
        return std::nullopt;
    }
    const int number = std::countr_zero(arrived) + 1;
    // acquire: pairs with on_signal's release. Only this task clears bits, so the bit is still set.
    listener_->pending.and_acquire(~bit_of(number));
    return number;
}

task<int> signals::recv() {
    for (;;) {
        if (listener_ == nullptr) {
            co_await sleep(std::chrono::hours(1));
            continue;
        }
        const std::uint64_t seen = io_.source().look(driver::ready_read); // rule 1: before the bits
        if (const std::optional<int> number = try_recv()) {
            co_return *number;
        }
        io_.source().spend(driver::ready_read, seen);
        const result<void> ready = co_await io_.ready(detail::direction::read);
        if (!ready) {
            co_await sleep(blind_interval);
        }
    }
}

void signals::close() noexcept {
    io_.close();
    if (listener_ != nullptr) {
        close_slot(*std::exchange(listener_, nullptr));
    }
}

} // namespace rt

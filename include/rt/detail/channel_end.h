// SPDX-License-Identifier: MIT
//
// What the ends of channels have in common: that nobody waits on one which goes away, that there is
// one wait at a time on one that gives each value away once, and that one which was moved from has
// no channel. What breaks that is an error of the program, and ends it with advice.
//
// Most channels see by themselves that an end goes while its wait stands in a list: there is one
// receiver, or no sender is left. Those with many receivers know who waits, but not on which of
// them; there each receiver counts its waits (end_waits), from when they are enrolled until they
// are resumed or destroyed (end_wait).
//
// Threads: an end belongs to one task or thread at a time, so the count is exact where the program
// is right, and atomic for the sake of the others. That task may have several parts (rt/join.h), so
// to belong to one task does not mean to have one wait.
//
// Rejected: to look for the waiters of a receiver in the channel's list when it is dropped, which
// would make the end of ten thousand receivers quadratic.
#pragma once

#include <rt/detail/atomic.h>
#include <rt/detail/config.h>

#include <cstdint>

namespace rt::detail {

// Ends the program: `what` has gone while somebody waits on it.
[[noreturn]] RT_API void gone_in_use(const char* what) noexcept;
// Ends the program: a second wait began on `what`.
[[noreturn]] RT_API void waited_twice(const char* what) noexcept;
// Ends the program: what one waited for on `what` was received by somebody else before it went on.
[[noreturn]] RT_API void received_elsewhere(const char* what) noexcept;
// Ends the program: `call` of an end without a channel cannot return anything.
[[noreturn]] RT_API void no_channel(const char* call) noexcept;
// Ends the program: an empty rt::watch::ref was looked through.
[[noreturn]] RT_API void no_value() noexcept;

class end_waits {
public:
    // Before `what` is destroyed, moved from or assigned to.
    void forbid(const char* what) const noexcept {
        // relaxed: an end has been given to this thread, and what was done with it comes along.
        if (count_.load_relaxed() != 0) [[unlikely]] {
            gone_in_use(what);
        }
    }

private:
    friend class end_wait;
    atomic<std::uint32_t> count_{0};
};

// Part of a wait on the end that has the count.
class end_wait {
public:
    explicit end_wait(end_waits& waits) noexcept
        : waits_(waits) {}
    end_wait(end_wait&& other) noexcept // as long as it has not begun
        : waits_(other.waits_) {}
    end_wait& operator=(end_wait&&) = delete;
    ~end_wait() { end(); }

    // relaxed, both: see forbid.
    void begin() noexcept {
        has_begun_ = true;
        waits_.count_.add_relaxed(1);
    }
    // The same, for an end that has one wait at a time.
    void begin_alone(const char* what) noexcept {
        if (waits_.count_.load_relaxed() != 0) [[unlikely]] {
            waited_twice(what);
        }
        begin();
    }
    void end() noexcept {
        if (has_begun_) {
            has_begun_ = false;
            waits_.count_.sub_relaxed(1);
        }
    }

private:
    end_waits& waits_;
    bool has_begun_ = false;
};

} // namespace rt::detail

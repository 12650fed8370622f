// SPDX-License-Identifier: MIT
//
// A deadline for many waits.
//
//     rt::deadline idle;                          // one per connection
//     idle.set(rt::coarse_now() + 30s);           // before each wait: a store
//     rt::result<void> ready = co_await peer.readable(idle);
//
// rt::timeout arms a timer when it begins and takes it back when it ends. A connection that gets a
// request every few microseconds and has 30 s to send it pays for both each time, for a timer that
// never fires. A deadline leaves its timer where it is when the deadline moves on: a timer that
// fires too early looks at the deadline and goes to sleep again until then. So a wait costs two
// uncontended locks, and the wheel is touched once per period instead of twice per request.
#pragma once

#include <rt/detail/config.h>
#include <rt/detail/header.h>
#include <rt/detail/timer.h>
#include <rt/time.h>

#include <cstdint>

namespace rt {

namespace detail {
class ready_awaiter;
}

// Belongs to one task, which waits under it for one thing at a time. Destroyed where the task's
// other locals are. Not copied, not moved: the timer knows its address.
class RT_API deadline : detail::timer_node {
public:
    // Passes never.
    deadline() noexcept
        : timer_node(&on_fire) {}
    ~deadline();

    // For the waits that begin from now on. Resolution as in rt::sleep: 1 ms, rounded up.
    void set(clock::time_point at) noexcept { at_ns_ = detail::to_ns(at.time_since_epoch()); }
    // No deadline.
    void clear() noexcept { at_ns_ = never; }

private:
    friend class detail::ready_awaiter;

    static constexpr std::uint64_t never = UINT64_MAX;

    // Around a wait: `node` is registered with its waker when begin is called.
    void begin(detail::ready_awaiter& node) noexcept;
    void end() noexcept;
    static detail::task_header* on_fire(timer_node* node) noexcept;

    std::uint64_t at_ns_ = never;
    // Guarded by the wheel's lock while the timer is armed, the task's own while it is not.
    std::uint64_t wait_until_ns_ = never;
    detail::ready_awaiter* waiting_ = nullptr;
};

} // namespace rt

// SPDX-License-Identifier: MIT
//
// What every rt coroutine's promise begins with: the way up (who awaits it) and the source line of
// its current co_await. Both are written with one store each and make an async stack readable from
// outside, without debug information and without running anything (src/introspect/trace.h).
//
// The frame layout of the Itanium-style coroutine ABI puts the promise two pointers after the
// frame's address if its alignment is at most 16; frame_of and address_of rely on that and
// configure's probes check it.
#pragma once

#include <rt/detail/config.h>
#include <rt/detail/context.h>
#include <rt/detail/frame.h>
#include <rt/detail/header.h>

#include <bit>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <new>
#include <source_location>
#include <type_traits>
#include <utility>

namespace rt::detail {

// A source location is one pointer to a static record with libstdc++; it is kept as that pointer,
// because a frame must stay readable byte by byte by an observer of another process.
static_assert(sizeof(std::source_location) == sizeof(void*));
using site = std::source_location;

// What is empty, a task or the handle of one, was used up or moved from, unless memory has run out
// (rt/detail/frame.h): an exception that says "no memory" would mislead. `what` is a phrase such as
// "co_await of a task"; `at` may be no place at all.
[[noreturn, gnu::cold]] RT_API void forbid_empty(const char* what, site at) noexcept;

inline void refuse_empty(const char* what, site at) noexcept {
    if (!has_run_out_of_memory()) {
        forbid_empty(what, at);
    }
}

[[noreturn]] inline void throw_for_empty(const char* what, site at) {
    refuse_empty(what, at);
    throw std::bad_alloc();
}

struct frame_header {
    std::uintptr_t continuation = 0; // address of the awaiting coroutine, bit 0: not an rt frame
    site await_site;                 // the co_await this frame is suspended at
};
static_assert(sizeof(frame_header) == 16);

inline constexpr std::size_t promise_offset = 2 * sizeof(void*);
inline constexpr std::uintptr_t foreign_frame = 1;

inline frame_header* frame_of(void* address) noexcept {
    return reinterpret_cast<frame_header*>(static_cast<char*>(address) + promise_offset);
}

[[noreturn]] RT_API void out_of_memory_for_frame() noexcept;

// For unhandled_exception(). What a destructor throws while its frame is being destroyed arrives
// there as if the coroutine ran: it would go on to its final suspension, resume its awaiter, and
// have its locals destroyed once more. The compiler offers no way back from there, so it is
// reported, and the end.
[[gnu::cold]] RT_API void refuse_while_unwinding() noexcept;

// The same for one that the coroutine has caught itself, so that its body goes on. Nothing says so
// to anybody: it is noticed at the next suspension, or where the coroutine that awaits it, whose
// frame is being destroyed as well, would be resumed.
[[noreturn, gnu::cold]] RT_API void forbid_going_on() noexcept;

inline void refuse_going_on() noexcept {
    const context& self = this_thread;
    if (self.task != nullptr && self.task == self.unwinding) {
        forbid_going_on();
    }
}

// For the awaiter of a coroutine that has no frame: there was no memory for it.
[[noreturn, gnu::cold]] inline void throw_for_no_frame() {
    refuse_going_on(); // or it has been destroyed
    throw std::bad_alloc();
}

// What is used up by being awaited says so by a type of this name. It is awaited as a temporary or
// moved: a second await of the same object would resume a coroutine that has ended.
template<typename A>
concept consumed_by_await = requires {
    typename std::remove_cvref_t<A>::consumed_by_await;
};
template<typename A>
inline constexpr bool is_awaitable_as = !consumed_by_await<A> || !std::is_lvalue_reference_v<A>;

// The line of the co_await at which the coroutine of this frame is awaited; of one that is the root
// of a task or of a branch, the line that has made it one. No place if nobody has noted it.
inline site awaiter_site(const frame_header& self) noexcept {
    if ((self.continuation & foreign_frame) != 0) {
        return {};
    }
    if (self.continuation != 0) {
        return frame_of(reinterpret_cast<void*>(self.continuation))->await_site;
    }
    const task_header* const task = this_thread.task;
    return task == nullptr ? site() : std::bit_cast<site>(task->spawn_site);
}

// co_await caller_site{}: that line, for what the library's own coroutines have to say to whoever
// called them. It does not suspend.
struct caller_site {};
struct known_site {
    site value;

    bool await_ready() const noexcept { return true; }
    void await_suspend(std::coroutine_handle<> /*self*/) const noexcept {}
    site await_resume() const noexcept { return value; }
};

struct promise_base : frame_header {
    promise_base() noexcept = default;

    static void* operator new(std::size_t bytes) noexcept { return allocate_frame(bytes); }
    static void operator delete(void* memory, std::size_t bytes) noexcept {
        deallocate_frame(memory, bytes);
    }

    std::suspend_always initial_suspend() const noexcept { return {}; }

    // Notes the line of each co_await. The awaitable itself passes through untouched.
    template<typename Awaitable>
    [[gnu::always_inline]] Awaitable&&
    await_transform(Awaitable&& awaitable, site at = site::current()) noexcept {
        static_assert(is_awaitable_as<Awaitable>, "an await consumes it: co_await std::move(task)");
        if constexpr (features::taskdump) {
            await_site = at;
        }
        return std::forward<Awaitable>(awaitable);
    }
    known_site await_transform(caller_site /*whose*/) noexcept { return {awaiter_site(*this)}; }
};

// The line of the co_await at which `self` is; no place if nobody has noted it.
template<typename Promise>
site await_site_of(std::coroutine_handle<Promise> self) noexcept {
    if constexpr (features::taskdump && std::is_base_of_v<frame_header, Promise>) {
        return self.promise().await_site;
    } else {
        return {};
    }
}

// Notes who awaits `child`, for the way back and for dumps.
template<typename Promise>
void set_continuation(frame_header& child, std::coroutine_handle<Promise> parent) noexcept {
    auto address = reinterpret_cast<std::uintptr_t>(parent.address());
    if constexpr (!std::is_base_of_v<frame_header, Promise>) {
        address |= foreign_frame;
    }
    child.continuation = address;
}

// Ends a coroutine: on to its awaiter, or, for a root, back to the worker, which then calls finish.
// Destroying the frame from inside await_suspend is what compilers get wrong; the worker does it.
struct final_awaiter {
    after_function finish;

    bool await_ready() const noexcept { return false; }

    template<typename Promise>
    std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> self) const noexcept {
        const std::uintptr_t up = self.promise().continuation & ~foreign_frame;
        if (up != 0) {
            return std::coroutine_handle<>::from_address(reinterpret_cast<void*>(up));
        }
        this_thread.after = finish;
        return std::noop_coroutine();
    }

    void await_resume() const noexcept {}
};

} // namespace rt::detail

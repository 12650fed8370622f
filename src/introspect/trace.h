// SPDX-License-Identifier: MIT
//
// Async stacks: the chain of coroutine frames from a task's leaf to its root.
//
// Every rt frame says who awaits it and at which source line it is suspended (rt/detail/promise.h),
// so the stack of a suspended task can be read without running anything and without debug
// information. Many stacks are read together, one level of all of them per system call. Frames may
// be freed meanwhile: reads fail or give stale bytes, and the caller (snapshot.cc) discards the
// stack of a task that moved.
//
// Threads: the sentinel.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

namespace rt::introspect {

inline constexpr std::size_t stack_frames_max = 256; // bounds a chain that bites its tail

struct async_frame {
    std::uintptr_t site = 0;   // the record of the current co_await, 0 if there was none yet
    std::uintptr_t resume = 0; // the coroutine's resume function: a name where there is no site

    friend bool operator==(const async_frame&, const async_frame&) = default;
};

struct async_stack {
    enum class ending : std::uint8_t {
        root,       // complete
        foreign,    // awaited by a coroutine that is not an rt::task
        too_deep,   // more than stack_frames_max
        unreadable, // an address that is not mapped: the task moved on
    };

    std::vector<async_frame> frames; // leaf first
    ending end = ending::unreadable;
};

struct stack_request {
    std::uintptr_t address = 0; // of the coroutine to begin with
    std::size_t depth_max = stack_frames_max;
    async_stack* stack = nullptr;
};

void read_stacks(std::span<stack_request> requests);

// A source location, as it is shown.
struct site_text {
    std::string file;
    std::string function;
    std::uint32_t line = 0;
    std::uint32_t column = 0;

    [[nodiscard]] bool is_known() const noexcept { return line != 0; }
};

// Reads the static records that sites point to, each once. Lives for one request.
class site_cache {
public:
    // Never fails: what cannot be read, or is not a location, is_known() == false.
    [[nodiscard]] const site_text& find(std::uintptr_t site);

private:
    std::unordered_map<std::uintptr_t, site_text> known_;
};

} // namespace rt::introspect

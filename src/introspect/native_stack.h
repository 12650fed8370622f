// SPDX-License-Identifier: MIT
//
// What a thread is executing: a sample of its native stack, or the system call that it is in.
//
// A thread that runs user code gets SIGURG (whose default is to be ignored, so a stray one harms
// nobody); the handler walks the chain of frame pointers, each step copied by the kernel, so that a
// broken chain ends the walk and nothing else. A thread that is inside a system call is not
// signalled, because EINTR would be visible to code that never asked for it; the call is read from
// /proc. The handler that was there before is called for every signal that is not a sample.
//
// Threads: the sentinel calls; the handler runs in the threads that are sampled.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace rt::introspect {

struct native_stack {
    std::vector<std::uintptr_t> addresses; // innermost first; those after the first are returns
    std::string place; // "on CPU", "in clock_nanosleep", or why there is no stack
    bool is_in_system_call = false;
};

// One answer per thread id, all together before `deadline_ns` (monotonic).
[[nodiscard]] std::vector<native_stack>
sample_threads(std::span<const int> tids, std::uint64_t deadline_ns);

// Puts back the signal's former handler, if it is still ours.
void remove_sampling_handler() noexcept;

} // namespace rt::introspect

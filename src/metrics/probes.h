// SPDX-License-Identifier: MIT
//
// USDT probes of provider `librt`: the one list of them.
//
// Every probe is a no-op instruction until a tracer attaches; its arguments are computed only then,
// behind a semaphore that the tracer raises. All probes are emitted from functions of the library,
// never from templates, so that one path lists them all. Arguments pass through an empty asm,
// because perf drops arguments that the compiler turned into immediates (measured).
// Order of arguments: task, id, worker, then specifics. Documented in man librt-probes(7); tidy
// compares the two lists.
#pragma once

#include <cstdint>

namespace rt::detail {
struct task_header;
}

namespace rt::metrics {

// name: (task, id, worker), and of poll__start: (..., name, label)
#define RT_PROBES_LIST(X)                                                                          \
    X(poll__start)                                                                                 \
    X(poll__end)

// A worker is about to run a task, and has run it. `task` may have moved on by poll__end: it is
// only a number there, so name and label are told at the start only. Threads: workers.
void emit_poll_start(const detail::task_header* task, std::uint64_t id) noexcept;
void emit_poll_end(const detail::task_header* task, std::uint64_t id) noexcept;

// Raised by tracers; written by the kernel, read here.
extern "C" {
extern volatile unsigned short librt_poll__start_semaphore;
extern volatile unsigned short librt_poll__end_semaphore;
}

inline void probe_poll_start(const detail::task_header* task, std::uint64_t id) noexcept {
    if (librt_poll__start_semaphore != 0) [[unlikely]] {
        emit_poll_start(task, id);
    }
}

inline void probe_poll_end(const detail::task_header* task, std::uint64_t id) noexcept {
    if (librt_poll__end_semaphore != 0) [[unlikely]] {
        emit_poll_end(task, id);
    }
}

} // namespace rt::metrics

// SPDX-License-Identifier: MIT
//
// Where the probes are emitted. Built with --disable-probes the semaphores exist and stay zero.
#include "metrics/probes.h"

#include "config.h"

#include <rt/detail/context.h>

#if RT_PROBES
#    define _SDT_HAS_SEMAPHORES 1
#    include <sys/sdt.h>
#endif

#if RT_PROBES
#    define RT_SEMAPHORE_SECTION __attribute__((section(".probes"), used))
#else
#    define RT_SEMAPHORE_SECTION
#endif

extern "C" {
RT_SEMAPHORE_SECTION volatile unsigned short librt_poll__start_semaphore = 0;
RT_SEMAPHORE_SECTION volatile unsigned short librt_poll__end_semaphore = 0;
}

namespace rt::metrics {
namespace {

// Keeps an argument in a register, where every tracer can read it.
template<typename T>
[[gnu::always_inline]] inline T kept(T value) noexcept {
    asm volatile("" : "+r"(value));
    return value;
}

} // namespace

void emit_poll_start(const detail::task_header* task, std::uint64_t id) noexcept {
#if RT_PROBES
    STAP_PROBE3(librt, poll__start, kept(task), kept(id), kept(std::uint32_t{task->home}));
#else
    static_cast<void>(kept(task));
    static_cast<void>(kept(id));
#endif
}

void emit_poll_end(const detail::task_header* task, std::uint64_t id) noexcept {
#if RT_PROBES
    STAP_PROBE3(librt, poll__end, kept(task), kept(id), kept(std::uint32_t{task->home}));
#else
    static_cast<void>(kept(task));
    static_cast<void>(kept(id));
#endif
}

} // namespace rt::metrics

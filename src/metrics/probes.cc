// SPDX-License-Identifier: MIT
//
// Where the probes are emitted. Built with --disable-probes the semaphores exist and stay zero.
//
// Workers come here only while a tracer is attached, so what a probe needs may cost something here:
// a label is copied into one piece, which is there until the probe has been passed.
#include "metrics/probes.h"

#include "config.h"

#include <rt/detail/label.h>

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

// Keeps an argument in a register, where every tracer can read it, and what it points to in memory.
template<typename T>
[[gnu::always_inline]] inline T kept(T value) noexcept {
    asm volatile("" : "+r"(value) : : "memory");
    return value;
}

} // namespace

void emit_poll_start(const detail::task_header* task, std::uint64_t id) noexcept {
#if RT_PROBES
    char text[detail::label_bytes];
    const detail::label_block* const block = detail::label_block_of(task);
    // Nobody changes it meanwhile: this thread is the one that runs the task.
    const bool is_labelled =
        block != nullptr && detail::read_label(*block, text) && text[0] != '\0';
    const char* const label = is_labelled ? text : nullptr;
    STAP_PROBE5(
        librt,
        poll__start,
        kept(task),
        kept(id),
        kept(std::uint32_t{task->home}),
        kept(task->name),
        kept(label)
    );
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

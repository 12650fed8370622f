// SPDX-License-Identifier: MIT
//
// The sources of src/sync, compiled for the explorer: see sync_model.h.
//
// A channel comes from operator new with an alignment, which is replaced here for this program: the
// explorer needs the same addresses in each execution. Not with sanitizers, which have one of their
// own and under which the explorer does not run.
#include "model/sync_model.h"

#include <cstdlib>
#include <ctime>
#include <new>

#include <sched.h>

// clang-format off
#define rt rt_model
#define syscall model_syscall
#define sync_lock spinning_lock // whose lock_slow is in wait_queue.cc
#include "sync/wait_queue.cc"
#undef sync_lock
#undef syscall
#include "sync/channel_end.cc"
#include "sync/mpsc_core.cc"
#include "sync/mpsc_wait.cc"
#include "sync/mutex.cc"
#include "sync/notify.cc"
#include "sync/oneshot.cc"
#include "sync/semaphore.cc"
#include "sync/watch.cc"
#undef rt
// clang-format on

#if !defined(RT_SANITIZED)
void* operator new(
    std::size_t bytes, std::align_val_t alignment, const std::nothrow_t& /*tag*/
) noexcept {
    if (rt_model::detail::model_heap.is_open) {
        ++rt_model::detail::model_heap.blocks_live;
        return rt_model::detail::model_heap.take(bytes);
    }
    const auto step = static_cast<std::size_t>(alignment);
    return std::aligned_alloc(step, (bytes + step - 1) / step * step);
}

void operator delete(void* memory, std::align_val_t /*alignment*/) noexcept {
    if (rt_model::detail::model_heap.has(memory)) {
        --rt_model::detail::model_heap.blocks_live;
        // Only channels come from here.
        rt::model::machine::instance().end_life(memory, sizeof(rt_model::detail::mpsc_core));
        return;
    }
    std::free(memory);
}
#endif

// SPDX-License-Identifier: MIT
//
// The sources of src/sync, compiled for the explorer: see sync_model.h.
//
// A channel comes from an operator new that does not throw, with an alignment or without. Those are
// replaced here for this program: the explorer needs the same addresses in each execution. Not with
// sanitizers, which have some of their own and under which the explorer does not run.
#include "model/sync_model.h"

#include <cstddef>
#include <cstdlib>
#include <cstring>
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
#include "sync/barrier.cc"
#include "sync/broadcast.cc"
#include "sync/channel_end.cc"
#include "sync/mpsc_core.cc"
#include "sync/mpsc_wait.cc"
#include "sync/mutex.cc"
#include "sync/notify.cc"
#include "sync/once.cc"
#include "sync/oneshot.cc"
#include "sync/semaphore.cc"
#include "sync/watch.cc"
#undef rt
// clang-format on

#if !defined(RT_SANITIZED)
namespace {

using rt_model::detail::model_heap;

// Each block has its size before it, as far away as the heap aligns.
constexpr std::size_t prefix_bytes = 128;

void* take_block(std::size_t bytes) {
    ++model_heap.blocks_live;
    auto* const memory = static_cast<std::byte*>(model_heap.take(prefix_bytes + bytes));
    std::memcpy(memory, &bytes, sizeof(bytes));
    return memory + prefix_bytes;
}

void give_back(void* memory) noexcept {
    if (!model_heap.has(memory)) {
        std::free(memory);
        return;
    }
    --model_heap.blocks_live;
    std::size_t bytes = 0;
    std::memcpy(&bytes, static_cast<std::byte*>(memory) - prefix_bytes, sizeof(bytes));
    rt::model::machine::instance().end_life(memory, bytes);
}

} // namespace

void* operator new(
    std::size_t bytes, std::align_val_t alignment, const std::nothrow_t& /*tag*/
) noexcept {
    if (model_heap.is_open) {
        return take_block(bytes);
    }
    const auto step = static_cast<std::size_t>(alignment);
    return std::aligned_alloc(step, (bytes + step - 1) / step * step);
}
void* operator new(std::size_t bytes, const std::nothrow_t& /*tag*/) noexcept {
    return model_heap.is_open ? take_block(bytes) : std::malloc(bytes);
}
void* operator new[](std::size_t bytes, const std::nothrow_t& tag) noexcept {
    return operator new(bytes, tag);
}

void operator delete(void* memory, std::align_val_t /*alignment*/) noexcept {
    give_back(memory);
}
void operator delete(void* memory) noexcept {
    give_back(memory);
}
void operator delete(void* memory, std::size_t /*bytes*/) noexcept {
    give_back(memory);
}
void operator delete[](void* memory) noexcept {
    give_back(memory);
}
void operator delete[](void* memory, std::size_t /*bytes*/) noexcept {
    give_back(memory);
}
#endif

// SPDX-License-Identifier: MIT
//
// Lets production code be compiled, unchanged, against the model's atomics.
//
// A model test includes this header, then says `#define rt rt_model`, includes the sources and
// headers under test, and says `#undef rt`. In between the word rt means rt_model: the code lands
// in a namespace of its own, where `atomic`, the fences and the locks are the model's, so that it
// can be linked with the library. What production code includes has been included here already, for
// the real thing, and #pragma once keeps it from coming in again; rt_model gets what it needs of
// that, below. Counters and probes are left out: they would only be more operations to interleave.
//
// Frames and headers come from a heap that starts afresh with each execution, because addresses are
// part of what the explorer calls a state. Freed frames are overwritten, so that their use shows.
#pragma once

#include "base/assert.h"
#include "base/clock.h"
#include "base/lock.h"
#include "base/log.h"
#include "base/text_writer.h"
#include "metrics/probes.h"
#include "metrics/worker_counters.h"
#include "model/atomic.h"
#include "model/explore.h"

#include <rt/detail/atomic.h>
#include <rt/detail/config.h>
#include <rt/detail/frame.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <chrono>
#include <compare>
#include <concepts>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <expected>
#include <functional>
#include <limits>
#include <memory>
#include <new>
#include <optional>
#include <source_location>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>
#include <version>

namespace rt::detail {
struct task_header;
}

namespace rt_model {

// What the model compiles itself must not have been included yet, by whatever way.
template<typename T>
concept known = requires {
    sizeof(T);
};
static_assert(!known<::rt::detail::task_header>, "one of the headers above includes header.h");

namespace model = ::rt::model;
namespace features = ::rt::features;

template<class T>
using atomic = ::rt::model::atomic<T>;
using ::rt::compiler_barrier;
using ::rt::model::fence_acquire;
using ::rt::model::fence_release;
using ::rt::model::fence_seq_cst;

namespace base {

inline constexpr bool expensive_checks = true;
inline constexpr bool debug_checks = true;

using ::rt::base::lock_rank;
using ::rt::base::log;
using ::rt::base::log_level;
using ::rt::base::log_limit;
using ::rt::base::log_seldom;
using ::rt::base::monotonic_ns;
using ::rt::base::ns_per_second;
using ::rt::base::text_buffer;
using ::rt::base::text_writer;
using ::rt::base::ticks;
using ::rt::base::ticks_between;
using ::rt::base::ticks_to_ns;

[[noreturn]] inline void
assert_failed(const char* condition, const char*, unsigned, const char*) noexcept {
    model::machine::instance().fail(condition);
}

template<typename... Args>
[[noreturn]] void fatal(const char* format, Args...) noexcept {
    model::machine::instance().fail(format);
}

class spin_lock {
public:
    constexpr explicit spin_lock(lock_rank) noexcept {}
    void lock() noexcept { word_.acquire(); }
    void unlock() noexcept { word_.release(); }
    [[nodiscard]] bool try_lock() noexcept { return word_.try_acquire(); }

private:
    model::lock word_;
};

using ::rt::base::guard;
using ::rt::base::try_guard;

} // namespace base

namespace detail {

struct task_header;

// The heap of one execution.
struct heap {
    static constexpr std::size_t bytes_max = 32 * 1024;
    alignas(128) std::byte memory[bytes_max];
    std::size_t used;
    unsigned frames_live;
    unsigned headers_live;
    unsigned labels_live;
    model::atomic<void*> free_label; // stands for a pool and its lock
    unsigned blocks_live;            // of operator new, see sync_model.cc
    bool is_open;                    // it replaces operator new

    void reset() {
        std::memset(memory, 0, used); // each execution finds the same
        used = 0;
        frames_live = headers_live = labels_live = blocks_live = 0;
        free_label.store_relaxed(nullptr);
    }
    [[nodiscard]] bool has(const void* block) const {
        return block >= memory && block < memory + bytes_max;
    }
    void* take(std::size_t bytes) {
        used = (used + 127) & ~std::size_t{127};
        void* const block = memory + used;
        used += bytes;
        model::check(used <= bytes_max, "the heap of the model is too small");
        return block;
    }
};
inline heap model_heap;

inline void* allocate_frame(std::size_t bytes) noexcept {
    ++model_heap.frames_live;
    return model_heap.take(bytes);
}
inline void deallocate_frame(void* memory, std::size_t bytes) noexcept {
    model::check(model_heap.frames_live > 0, "a frame was freed twice");
    --model_heap.frames_live;
    std::memset(memory, 0xdd, bytes);
    model::machine::instance().end_life(memory, bytes);
}
// Blocks that were headers stay as they are, as in production, and are not used again here.
inline void* allocate_header() noexcept {
    ++model_heap.headers_live;
    void* const block = model_heap.take(128);
    std::memset(block, 0, 128);
    return block;
}
inline void* try_allocate_header() noexcept {
    return allocate_header();
}
using ::rt::detail::fits_frame;
inline bool has_run_out_of_memory() noexcept {
    return false;
}
inline void deallocate_header(void*) noexcept {
    model::check(model_heap.headers_live > 0, "a header was freed twice");
    --model_heap.headers_live;
}
// The block that was freed last is taken first.
inline void* allocate_label() noexcept {
    ++model_heap.labels_live;
    void* const free = model_heap.free_label.exchange_acq_rel(nullptr);
    return free != nullptr ? free : model_heap.take(80);
}
inline void deallocate_label(void* block) noexcept {
    model::check(model_heap.labels_live > 0, "a label was freed twice");
    --model_heap.labels_live;
    model_heap.free_label.exchange_acq_rel(block);
}

} // namespace detail

namespace metrics {

using ::rt::metrics::worker_counters;
inline worker_counters* this_worker = nullptr; // nothing is measured

inline void count_spawn() noexcept {
}
inline void count_end(bool) noexcept {
}
inline void probe_poll_start(const detail::task_header*, std::uint64_t) noexcept {
}
inline void probe_poll_end(const detail::task_header*, std::uint64_t) noexcept {
}

} // namespace metrics
} // namespace rt_model

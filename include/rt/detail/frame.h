// SPDX-License-Identifier: MIT
//
// Coroutine frames and task headers come from per-thread free lists of size classes, 32 bytes
// apart. With 64 no two frames would share a cache line, but a task that waits for a notification,
// the smallest that does something, took 321 bytes instead of 289; skynet, fib, spawn, join and
// channel rows are the same within their spread (medians of 5 interleaved runs, 1 and 2 workers).
//
// The fast paths are here because every promise's operator new is a template instantiated in user
// code: a pop and a push on a list that only the calling thread touches, no atomic operation. A
// list is an array of addresses, a magazine (Bonwick and Adams 2001), and each class has two, one
// in use and a spare that is full or empty; when both are empty or both are full, a whole one is
// exchanged with the pool of the thread's NUMA node (src/memory/frame_pool.cc). So memory freed on
// another worker goes home 64 blocks at a time, and no block is touched to find the next one.
//
// That is why it is no list through the blocks: a block that another core has freed, or that was
// free for long, is cold, and the next pop waited for it. From an array the blocks to come are
// prefetched in time, and the first that touches one is a store, which nobody waits for.
// spawn_join_from_worker takes 0.94 of the time, fib25, spawn_many and skynet as long as before
// (medians of 9 to 11 interleaved runs). With a count and a base in place of three pointers, fib25
// took 1.02.
//
// Task headers are a class of their own and type-stable: a block that was a header once is a
// header for ever, so that an observer may read any header at any time (src/memory/frame_pool.h).
// The texts of labels (rt/detail/label.h) are another one, for the same reason.
//
// Sanitizer builds take frames from malloc, one by one, so that a use after free is seen.
#pragma once

#include <rt/detail/config.h>

#include <cstddef>
#include <cstdint>

namespace rt::detail {

inline constexpr std::size_t frame_alignment = 16;
// Whether objects of these types may live in a frame. C++20 has no way for a promise to learn of,
// or to honour, a larger alignment: where a compiler does not say so, what is there is misaligned.
template<typename... T>
inline constexpr bool fits_frame = ((alignof(T) <= frame_alignment) && ...);

inline constexpr std::size_t frame_granule = 32;     // neighbours may share a cache line
inline constexpr std::size_t frame_class_count = 32; // up to 1 KiB; larger frames use malloc
inline constexpr std::size_t header_class = 32;      // the indices of the type-stable classes
inline constexpr std::size_t label_class = 33;
inline constexpr std::size_t list_count = 34;
inline constexpr std::size_t frame_batch = 64; // blocks moved to or from the node's pool

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool frames_from_malloc = true;
#elif defined(__has_feature)
#    if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
inline constexpr bool frames_from_malloc = true;
#    else
inline constexpr bool frames_from_malloc = false;
#    endif
#else
inline constexpr bool frames_from_malloc = false;
#endif

// How many blocks before its turn a block is prefetched.
inline constexpr std::size_t prefetch_distance = 4;

struct magazine {
    magazine* next;      // in a pool
    std::uint32_t count; // blocks; not kept while it is in use
    std::uint32_t node;  // constant; whose heap it goes back to when it is empty
    // Below the blocks are as many nulls as a prefetch looks ahead.
    void* slots[prefetch_distance + frame_batch];
};

// The magazine in use, of which the places below `top` have blocks; all null before the first use.
struct free_list {
    void** top = nullptr;
    void** bottom = nullptr;
    void** limit = nullptr;    // frame_batch above the bottom
    magazine* spare = nullptr; // full or empty, or none

    [[nodiscard]] bool is_empty() const noexcept { return top == bottom; }
    [[nodiscard]] bool is_full() const noexcept { return top == limit; }
};

// The calling thread's lists. Owned by the thread, read by nobody else.
struct frame_cache {
    free_list lists[list_count];
    std::uint32_t node = 0;  // NUMA node whose pool refills this cache
    bool registered = false; // the thread-exit hook that returns the blocks is in place
};

extern RT_API constinit thread_local frame_cache thread_frames
    __attribute__((tls_model("initial-exec")));

// The cold halves. allocate_frame_slow returns null only when memory is exhausted.
RT_API void* allocate_frame_slow(std::size_t bytes) noexcept;
RT_API void deallocate_frame_slow(void* block, std::size_t bytes) noexcept;
RT_API void* refill(std::size_t index) noexcept;
// Whether any of them has ever returned null in this process. Threads: any.
[[nodiscard, gnu::cold]] RT_API bool has_run_out_of_memory() noexcept;
// Puts a block back when there is no room for it.
RT_API void put_back_slow(std::size_t index, void* block) noexcept;

// REQUIRES: it is not empty.
[[gnu::always_inline]] inline void* pop_block(free_list& list) noexcept {
    void** const place = --list.top;
    __builtin_prefetch(*(place - prefetch_distance), 1);
    return *place;
}

[[gnu::always_inline]] inline void put_back(std::size_t index, void* block) noexcept {
    free_list& list = thread_frames.lists[index];
    if (list.is_full()) [[unlikely]] {
        put_back_slow(index, block);
        return;
    }
    *list.top++ = block;
}

// Memory for a coroutine frame of `bytes`, aligned to 16, or null when memory is exhausted.
// Threads: any; the block may be freed on another thread.
[[gnu::always_inline]] inline void* allocate_frame(std::size_t bytes) noexcept {
    if constexpr (!frames_from_malloc) {
        const std::size_t index = (bytes - 1) / frame_granule;
        if (index < frame_class_count) [[likely]] {
            free_list& list = thread_frames.lists[index];
            if (!list.is_empty()) [[likely]] {
                return pop_block(list);
            }
        }
    }
    return allocate_frame_slow(bytes);
}

// Gives back what allocate_frame(bytes) returned.
[[gnu::always_inline]] inline void deallocate_frame(void* memory, std::size_t bytes) noexcept {
    if constexpr (!frames_from_malloc) {
        const std::size_t index = (bytes - 1) / frame_granule;
        if (index < frame_class_count) [[likely]] {
            put_back(index, memory);
            return;
        }
    }
    deallocate_frame_slow(memory, bytes);
}

// A header block of the thread's list, or null when that is empty.
[[gnu::always_inline]] inline void* try_allocate_header() noexcept {
    free_list& list = thread_frames.lists[header_class];
    if (list.is_empty()) [[unlikely]] {
        return nullptr;
    }
    return pop_block(list);
}

// A header block, or null when memory is exhausted. The contents are those of the last header
// that lived there: an observer may be reading them.
[[gnu::always_inline]] inline void* allocate_header() noexcept {
    void* const header = try_allocate_header();
    if (header != nullptr) [[likely]] {
        return header;
    }
    return refill(header_class);
}

[[gnu::always_inline]] inline void deallocate_header(void* memory) noexcept {
    put_back(header_class, memory);
}

// The same for the text of a label.
inline void* allocate_label() noexcept {
    free_list& list = thread_frames.lists[label_class];
    return list.is_empty() ? refill(label_class) : pop_block(list);
}

inline void deallocate_label(void* memory) noexcept {
    put_back(label_class, memory);
}

} // namespace rt::detail

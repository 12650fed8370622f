// SPDX-License-Identifier: MIT
//
// Coroutine frames and task headers come from per-thread free lists of size classes, 32 bytes
// apart. With 64 no two frames would share a cache line, but a task that waits for a notification,
// the smallest that does something, took 321 bytes instead of 289; skynet, fib, spawn, join and
// channel rows are the same within their spread (medians of 5 interleaved runs, 1 and 2 workers).
//
// The fast paths are here because every promise's operator new is a template instantiated in user
// code: a pop and a push on a list that only the calling thread touches, no atomic operation. Each
// class has two lists, one in use and a spare that is full or empty (the magazines of Bonwick and
// Adams 2001); when both are empty or both are full, a whole one is exchanged with the pool of the
// thread's NUMA node (src/memory/frame_pool.cc). So memory freed on another worker goes home 64
// blocks at a time, and on one node nobody walks a list, whose blocks may be cold.
//
// Task headers are a class of their own and type-stable: a block that was a header once is a
// header for ever, so that an observer may read any header at any time (src/task/registry.h).
//
// Sanitizer builds take frames from malloc, one by one, so that a use after free is seen.
#pragma once

#include <rt/detail/config.h>

#include <cstddef>
#include <cstdint>

namespace rt::detail {

inline constexpr std::size_t frame_granule = 32;     // neighbours may share a cache line
inline constexpr std::size_t frame_class_count = 32; // up to 1 KiB; larger frames use malloc
inline constexpr std::size_t header_class = 32;      // the index of the type-stable class
inline constexpr std::size_t frame_batch = 64;       // blocks moved to or from the node's pool

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

// A free block. Only the first word is used while a block is on a thread's list; the first block
// of a batch in a node's pool uses the second word to link batches, and the third for its length.
struct free_block {
    free_block* next;
    free_block* next_batch;
    std::size_t batch_length;
};

// The links of a free header lie behind its state word, which observers and late cancellers may
// still touch.
inline constexpr std::size_t header_link_offset = sizeof(std::uint64_t);

struct free_list {
    free_block* head = nullptr;
    std::size_t room = 0;        // for so many blocks more, of frame_batch; 0 before its first use
    free_block* spare = nullptr; // frame_batch blocks, or none
};

// The calling thread's lists. Owned by the thread, read by nobody else.
struct frame_cache {
    free_list lists[frame_class_count + 1];
    std::uint32_t node = 0;  // NUMA node whose pool refills this cache
    bool registered = false; // the thread-exit hook that returns the blocks is in place
};

extern RT_API constinit thread_local frame_cache thread_frames
    __attribute__((tls_model("initial-exec")));

// The cold halves. allocate_frame_slow returns null only when memory is exhausted.
RT_API void* allocate_frame_slow(std::size_t bytes) noexcept;
RT_API void deallocate_frame_slow(void* block, std::size_t bytes) noexcept;
RT_API free_block* refill(std::size_t index) noexcept;
// Puts a block back when there is no room for it.
RT_API void put_back_slow(std::size_t index, free_block* block) noexcept;

[[gnu::always_inline]] inline void pop_front(free_list& list) noexcept {
    list.head = list.head->next;
    ++list.room;
    __builtin_prefetch(list.head, 1);
}

[[gnu::always_inline]] inline void push_front(free_list& list, free_block* block) noexcept {
    block->next = list.head;
    list.head = block;
    --list.room;
}

[[gnu::always_inline]] inline void put_back(std::size_t index, free_block* block) noexcept {
    free_list& list = thread_frames.lists[index];
    if (list.room == 0) [[unlikely]] {
        put_back_slow(index, block);
        return;
    }
    push_front(list, block);
}

[[gnu::always_inline]] inline void* header_of(free_block* block) noexcept {
    return reinterpret_cast<char*>(block) - header_link_offset;
}

// Memory for a coroutine frame of `bytes`, aligned to 16, or null when memory is exhausted.
// Threads: any; the block may be freed on another thread.
[[gnu::always_inline]] inline void* allocate_frame(std::size_t bytes) noexcept {
    if constexpr (!frames_from_malloc) {
        const std::size_t index = (bytes - 1) / frame_granule;
        if (index < frame_class_count) [[likely]] {
            free_list& list = thread_frames.lists[index];
            if (free_block* block = list.head) [[likely]] {
                pop_front(list);
                return block;
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
            put_back(index, static_cast<free_block*>(memory));
            return;
        }
    }
    deallocate_frame_slow(memory, bytes);
}

// A header block of the thread's list, or null when that is empty.
[[gnu::always_inline]] inline void* try_allocate_header() noexcept {
    free_list& list = thread_frames.lists[header_class];
    free_block* const block = list.head;
    if (block == nullptr) [[unlikely]] {
        return nullptr;
    }
    pop_front(list);
    return header_of(block);
}

// A header block, or null when memory is exhausted. The contents are those of the last header
// that lived there: an observer may be reading them.
[[gnu::always_inline]] inline void* allocate_header() noexcept {
    void* const header = try_allocate_header();
    if (header != nullptr) [[likely]] {
        return header;
    }
    free_block* const block = refill(header_class);
    return block == nullptr ? nullptr : header_of(block);
}

[[gnu::always_inline]] inline void deallocate_header(void* memory) noexcept {
    put_back(
        header_class, reinterpret_cast<free_block*>(static_cast<char*>(memory) + header_link_offset)
    );
}

} // namespace rt::detail

// SPDX-License-Identifier: MIT
//
// jemalloc's explicit arenas, one per node, made on first use; the C library without jemalloc. It
// is called once per chunk, so nothing here is fast.
// Two threads that make the arena of one node at once leave an empty one behind, which costs some
// KiB.
#include "memory/node_arena.h"

#include "config.h"
#include "memory/frame_pool.h"

#include <rt/detail/atomic.h>

#include <cstdlib>

#if RT_HAVE_JEMALLOC
#    include <jemalloc/jemalloc.h>
#endif

namespace rt::memory {

#if RT_HAVE_JEMALLOC

namespace {

// Arena index + 1 per node; 0: not made yet. Two threads may race to make one: the loser's arena
// stays empty, which costs a few KiB once.
constinit atomic<std::uint32_t> arenas[nodes_max];

std::uint32_t arena_of(std::uint32_t node) noexcept {
    std::uint32_t known = arenas[node].load_relaxed();
    if (known != 0) {
        return known;
    }
    unsigned created = 0;
    std::size_t size = sizeof(created);
    if (mallctl("arenas.create", &created, &size, nullptr, 0) != 0) {
        return 0;
    }
    if (arenas[node].cas_strong_relaxed(known, created + 1)) {
        return created + 1;
    }
    return known;
}

} // namespace

void* allocate_on_node(std::uint32_t node, std::size_t bytes, std::size_t alignment) noexcept {
    const std::uint32_t arena = arena_of(node);
    if (arena == 0) {
        return std::aligned_alloc(alignment, bytes);
    }
    return mallocx(
        bytes,
        MALLOCX_ALIGN(alignment) | MALLOCX_ARENA(arena - 1) | static_cast<int>(MALLOCX_TCACHE_NONE)
    );
}

#else

void* allocate_on_node(std::uint32_t /*node*/, std::size_t bytes, std::size_t alignment) noexcept {
    return std::aligned_alloc(alignment, bytes);
}

#endif

} // namespace rt::memory

// SPDX-License-Identifier: MIT
//
// The shared half of the frame allocator: one pool per NUMA node behind the threads' free lists.
//
// See rt/detail/frame.h for the fast paths. A pool keeps, per size class, a stack of magazines, of
// up to 64 blocks each, and carves new blocks from 1 MiB chunks of the node's jemalloc arena. They
// are first touched by the thread that asked for them, and so are on its node. A thread that frees
// more than it allocates pushes whole magazines to the pool of the node where the blocks were
// carved, which it reads from their chunk's first bytes: memory goes home, 64 blocks at a time.
//
// Threads: any. Each class of each pool has its own spin lock, and so have its empty magazines;
// they are held for a few loads and stores, a class's once per chunk for its allocation too.
// Limits: nodes_max nodes; further ones share the last pool.
#pragma once

#include <cstddef>
#include <cstdint>

namespace rt::memory {

inline constexpr std::size_t nodes_max = 64;
inline constexpr std::size_t chunk_bytes = std::size_t{1} << 20U;
inline constexpr std::size_t magazine_piece_bytes = std::size_t{64} << 10U;

// Makes the calling thread allocate from `node` from now on. Called once by each worker, pinned.
void use_node(std::uint32_t node) noexcept;

// Returns the calling thread's cached blocks to their pools. Also runs when a thread exits.
void flush_thread() noexcept;

// Calls `visit(block, context)` for each block that is or was a task header, oldest chunk first.
// Blocks carved during the walk may be missed. Never blocks. Threads: any.
void for_each_header(void (*visit)(void* block, void* context), void* context) noexcept;

struct pool_counters {
    std::uint64_t chunks = 0;        // chunks for frames and labels
    std::uint64_t header_chunks = 0; // chunks of header memory obtained
    std::uint64_t home_batches = 0;  // batches that were pushed to another node's pool
    std::uint64_t loose_blocks = 0;  // blocks for which there was no magazine
    std::uint64_t pieces = 0;        // pieces of memory obtained for magazines
};
pool_counters counters() noexcept;

} // namespace rt::memory

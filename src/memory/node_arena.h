// SPDX-License-Identifier: MIT
//
// Large pieces of memory of one NUMA node: one jemalloc arena per node.
//
// jemalloc's default arenas belong to CPUs of all nodes; an explicit arena per node keeps a node's
// chunks together. Pages come from the node because a thread pinned there touches them first.
// Without jemalloc (configure --without-jemalloc, or an allocator preloaded in its place) the
// memory comes from the C library.
#pragma once

#include <cstddef>
#include <cstdint>

namespace rt::memory {

// `bytes` aligned to `alignment` (a power of two), or null. Never given back: callers keep chunks.
// Threads: any.
void* allocate_on_node(std::uint32_t node, std::size_t bytes, std::size_t alignment) noexcept;

} // namespace rt::memory

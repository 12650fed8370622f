// SPDX-License-Identifier: MIT
#include "memory/frame_pool.h"
#include "memory/node_arena.h"
#include "support/test.h"

#include <cstdint>
#include <cstring>
#include <iterator>
#include <thread>
#include <vector>

using rt::memory::allocate_on_node;
using rt::memory::chunk_bytes;

Test(node_arena, gives_aligned_memory_on_every_node_index) {
    static void* kept[8]; // what a node has, it keeps
    std::size_t count = 0;
    for (const std::uint32_t node : {0U, 1U, 5U, 63U}) {
        for (const std::size_t alignment : {std::size_t{4096}, chunk_bytes}) {
            void* const memory = allocate_on_node(node, chunk_bytes, alignment);
            kept[count++] = memory;
            cr_assert_not_null(memory);
            cr_assert_eq(reinterpret_cast<std::uintptr_t>(memory) % alignment, 0U);
            std::memset(memory, 0xff, chunk_bytes);
        }
    }
}

#if !defined(RT_SANITIZED) // the address sanitizer aborts instead
Test(node_arena, gives_null_when_there_is_no_memory) {
    cr_assert_null(allocate_on_node(0, std::size_t{1} << 56U, chunk_bytes));
}
#endif

Test(node_arena, may_be_asked_by_many_threads_at_once) {
    std::vector<std::thread> threads;
    static char* got[8]; // what a node has, it keeps
    for (std::size_t i = 0; i < std::size(got); ++i) {
        threads.emplace_back([i] {
            got[i] = static_cast<char*>(allocate_on_node(7, chunk_bytes, chunk_bytes));
            std::memset(got[i], static_cast<int>(i), chunk_bytes);
        });
    }
    for (std::thread& each : threads) {
        each.join();
    }
    for (std::size_t i = 0; i < std::size(got); ++i) {
        cr_assert_eq(got[i][0], static_cast<char>(i));
        cr_assert_eq(got[i][chunk_bytes - 1], static_cast<char>(i));
    }
}

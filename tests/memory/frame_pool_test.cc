// SPDX-License-Identifier: MIT
//
// The frame allocator: size classes, reuse, the way home, and how little it grows.
//
// Growth is read off counters(): chunks are never given back, so a round that repeats another must
// not need a new one. A chunk is 1 MiB; the loops move several times that, so that blocks which get
// lost anywhere cost a chunk that the test sees. Node numbers are only indices here, so that the
// way home can be tested on a machine with one node.
#include "memory/frame_pool.h"
#include "memory/node_arena.h"
#include "support/test.h"
#include "task/gate.h"

#include <rt/detail/atomic.h>
#include <rt/detail/frame.h>
#include <rt/detail/header.h>
#include <rt/detail/label.h>
#include <rt/runtime.h>
#include <rt/yield.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <set>
#include <thread>
#include <vector>

#include <sys/resource.h>

namespace {

using rt::detail::allocate_frame;
using rt::detail::allocate_header;
using rt::detail::allocate_label;
using rt::detail::deallocate_frame;
using rt::detail::deallocate_header;
using rt::detail::deallocate_label;
using rt::detail::frame_batch;
using rt::detail::frame_class_count;
using rt::detail::frame_granule;
using rt::detail::frames_from_malloc;
using rt::detail::task_header;
using rt::detail::thread_frames;
using rt::memory::chunk_bytes;
using rt::memory::counters;
using rt::test::gate;

constexpr std::size_t frame_list_max = 2 * frame_batch; // of a thread, of one class
constexpr std::size_t largest = frame_class_count * frame_granule;

void skip_with_sanitizers() {
    if (frames_from_malloc) {
        cr_skip_test("frames come from malloc in this build");
    }
}

std::vector<void*> take(std::size_t count, std::size_t bytes) {
    std::vector<void*> taken;
    for (std::size_t i = 0; i < count; ++i) {
        void* const block = allocate_frame(bytes);
        cr_assert_not_null(block);
        std::memset(block, static_cast<int>(i), bytes);
        taken.push_back(block);
    }
    return taken;
}

void give(const std::vector<void*>& blocks, std::size_t bytes) {
    for (void* const block : blocks) {
        deallocate_frame(block, bytes);
    }
}

} // namespace

Test(frame_pool, gives_blocks_that_are_aligned_and_do_not_overlap) {
    std::vector<std::pair<std::uintptr_t, std::size_t>> taken;
    for (std::size_t bytes = 1; bytes <= 2 * largest; bytes += 13) {
        for (void* const block : take(3, bytes)) {
            const auto address = reinterpret_cast<std::uintptr_t>(block);
            cr_assert_eq(address % 16, 0U);
            taken.emplace_back(address, bytes);
        }
    }
    std::sort(taken.begin(), taken.end());
    for (std::size_t i = 1; i < taken.size(); ++i) {
        cr_assert(taken[i - 1].first + taken[i - 1].second <= taken[i].first);
    }
    for (const auto& [address, bytes] : taken) {
        deallocate_frame(reinterpret_cast<void*>(address), bytes);
    }
}

Test(frame_pool, gives_the_block_that_was_freed_last) {
    skip_with_sanitizers();
    for (std::size_t index = 0; index < frame_class_count; ++index) {
        const std::size_t least = index * frame_granule + 1;
        const std::size_t most = (index + 1) * frame_granule;
        void* const first = allocate_frame(least);
        deallocate_frame(first, least);
        void* const second = allocate_frame(most);
        cr_assert(first == second, "class %zu", index);
        void* const larger = allocate_frame(most + 1);
        cr_assert(larger != second);
        deallocate_frame(larger, most + 1);
        deallocate_frame(second, most);
    }
}

Test(frame_pool, keeps_classes_apart) {
    skip_with_sanitizers();
    const auto small = take(500, frame_granule);
    give(small, frame_granule);
    const std::set<void*> was_small(small.begin(), small.end());
    const auto large = take(500, largest);
    for (void* const block : large) {
        cr_assert(!was_small.contains(block));
    }
    give(large, largest);
}

Test(frame_pool, keeps_a_bounded_number_of_blocks_per_thread) {
    skip_with_sanitizers();
    const auto blocks = take(10'000, 100);
    give(blocks, 100);
    const std::size_t index = 99 / frame_granule;
    const rt::detail::free_list& list = thread_frames.lists[index];
    cr_assert(list.bottom <= list.top && list.top <= list.limit);
    cr_assert(list.limit == list.bottom + frame_batch);
    cr_assert_not_null(list.spare);
    cr_assert(list.spare->count == 0 || list.spare->count == frame_batch);
}

Test(frame_pool, does_not_grow_when_a_round_is_repeated) {
    skip_with_sanitizers();
    const auto round = [] {
        for (std::size_t bytes = frame_granule; bytes <= largest; bytes += frame_granule) {
            give(take(2 * chunk_bytes / bytes, bytes), bytes);
        }
    };
    round();
    const std::uint64_t after_first = counters().chunks;
    cr_assert(after_first >= 2 * frame_class_count);
    for (int i = 0; i < 10; ++i) {
        round();
    }
    cr_assert_eq(counters().chunks, after_first);
}

// Freeing may need memory, for addresses of blocks, and cannot fail.
Test(frame_pool, loses_no_block_without_memory_to_note_it_down) {
    skip_with_sanitizers();
    constexpr std::size_t count = 200'000; // whose addresses take 25 pieces of 64 KiB
    const auto blocks = take(count, frame_granule);
    const std::uint64_t chunks = counters().chunks;
    rlimit before{};
    cr_assert(getrlimit(RLIMIT_AS, &before) == 0);
    rlimit none = before;
    none.rlim_cur = 1 << 20;
    cr_assert(setrlimit(RLIMIT_AS, &none) == 0);
    while (rt::memory::allocate_on_node(0, std::size_t{64} << 10, 64) != nullptr) {
        // what jemalloc has left
    }
    give(blocks, frame_granule);
    cr_assert(setrlimit(RLIMIT_AS, &before) == 0);
    cr_assert_gt(counters().loose_blocks, 0U);
    auto again = take(count, frame_granule);
    cr_assert_leq(counters().chunks, chunks + 1);
    std::sort(again.begin(), again.end());
    cr_assert(std::adjacent_find(again.begin(), again.end()) == again.end());
    give(again, frame_granule);
}

// ---- between threads ----------------------------------------------------------------------------

Test(frame_pool, takes_back_what_another_thread_frees) {
    skip_with_sanitizers();
    constexpr std::size_t count = 20'000; // 4 MiB of 200-byte frames
    std::uint64_t after_first = 0;
    for (int round = 0; round < 20; ++round) {
        std::vector<void*> blocks;
        std::thread maker([&] { blocks = take(count, 200); });
        maker.join();
        std::thread breaker([&] { give(blocks, 200); });
        breaker.join();
        if (round == 1) {
            after_first = counters().chunks;
        }
    }
    cr_assert_leq(counters().chunks, after_first + 1);
}

Test(frame_pool, takes_back_what_a_thread_had_cached_when_it_ended) {
    skip_with_sanitizers();
    constexpr std::size_t bytes = 1000; // 1047 blocks to a chunk; a thread caches up to 128
    std::thread([] { give(take(frame_batch, bytes), bytes); }).join();
    const std::uint64_t before = counters().chunks;
    for (int i = 0; i < 2000; ++i) {
        std::thread([] { give(take(frame_batch, bytes), bytes); }).join();
    }
    cr_assert_eq(counters().chunks, before);
}

// A thread that only ever frees, such as one that drops join handles or unstarted tasks.
Test(frame_pool, takes_back_what_a_thread_had_cached_that_never_allocated) {
    skip_with_sanitizers();
    constexpr std::size_t bytes = 1000;
    constexpr std::size_t count = 100; // fewer than a thread keeps
    std::uint64_t before = 0;
    for (int i = 0; i < 200; ++i) { // 19 MiB if they were lost
        const auto blocks = take(count, bytes);
        std::thread([&] { give(blocks, bytes); }).join();
        if (i == 20) {
            before = counters().chunks;
        }
    }
    cr_assert_leq(counters().chunks, before + 1);
}

Test(frame_pool, sends_blocks_home_in_batches) {
    skip_with_sanitizers();
    constexpr std::size_t count = 10'000;
    constexpr std::size_t bytes = 300;
    std::vector<void*> blocks;
    std::thread([&] {
        rt::memory::use_node(1);
        blocks = take(count, bytes);
    }).join();
    const std::uint64_t before = counters().home_batches;
    std::thread([&] {
        rt::memory::use_node(0);
        give(blocks, bytes);
    }).join();
    const std::uint64_t batches = counters().home_batches - before;
    cr_assert_geq(batches, count / frame_list_max);
    cr_assert_leq(batches, count / frame_batch + 1);

    const std::uint64_t chunks = counters().chunks;
    std::vector<void*> again;
    std::thread([&] {
        rt::memory::use_node(1);
        again = take(count, bytes);
    }).join();
    cr_assert_eq(counters().chunks, chunks, "they are at home again");
    std::sort(blocks.begin(), blocks.end());
    std::size_t same = 0;
    for (void* const block : again) {
        same += std::binary_search(blocks.begin(), blocks.end(), block) ? 1 : 0;
    }
    cr_assert_geq(same, count - frame_list_max);
}

// What one node makes and another one frees takes magazines with it, which come back as well.
Test(frame_pool, a_flow_between_nodes_does_not_grow) {
    skip_with_sanitizers();
    constexpr std::size_t count = 20'000; // 312 magazines, of which a piece has 117
    constexpr std::size_t bytes = 300;
    std::uint64_t after_second = 0;
    for (int round = 0; round < 20; ++round) {
        std::vector<void*> blocks;
        std::thread([&] {
            rt::memory::use_node(1);
            blocks = take(count, bytes);
        }).join();
        std::thread([&] {
            rt::memory::use_node(0);
            give(blocks, bytes);
        }).join();
        if (round == 1) {
            after_second = counters().pieces;
        }
    }
    cr_assert_gt(after_second, 0U);
    cr_assert_leq(counters().pieces, after_second + 1);
}

Test(frame_pool, shares_the_last_pool_between_nodes_beyond_the_limit) {
    skip_with_sanitizers();
    std::thread([] {
        rt::memory::use_node(100'000);
        cr_assert_eq(thread_frames.node, rt::memory::nodes_max - 1);
        give(take(1000, 64), 64);
    }).join();
}

Test(frame_pool, survives_threads_that_pass_blocks_in_a_ring) {
    constexpr int threads = 4;
    constexpr int rounds = 300;
    constexpr std::size_t count = 150;
    rt::atomic<std::vector<void*>*> cells[threads];
    std::vector<std::thread> ring;
    for (int t = 0; t < threads; ++t) {
        ring.emplace_back([&cells, t] {
            for (int i = 0; i < rounds; ++i) {
                auto* const mine = new std::vector<void*>(take(count, 128));
                // release: pairs with the acquire of the thread that frees them.
                while (cells[t].load_acquire() != nullptr) {
                    std::this_thread::yield();
                }
                cells[t].store_release(mine);
                std::vector<void*>* other = nullptr;
                while (other == nullptr) {
                    other = cells[(t + 1) % threads].exchange_acquire(nullptr);
                }
                give(*other, 128);
                delete other;
            }
        });
    }
    for (std::thread& each : ring) {
        each.join();
    }
    if (!frames_from_malloc) {
        cr_assert_leq(counters().chunks, 4U);
    }
}

// ---- headers ------------------------------------------------------------------------------------

namespace {

struct seen_headers {
    std::set<std::uint64_t> ids;
    std::size_t blocks = 0;
};

seen_headers look_at_headers() {
    seen_headers seen;
    rt::memory::for_each_header(
        [](void* block, void* context) {
            auto* const into = static_cast<seen_headers*>(context);
            ++into->blocks;
            const std::uint64_t id = static_cast<task_header*>(block)->id.load_acquire();
            if (id != 0) {
                cr_assert(into->ids.insert(id).second, "one header per task");
            }
        },
        &seen
    );
    return seen;
}

rt::task<void> waits(gate* at) {
    co_await at->wait();
}

rt::task<void> looks_at_live_tasks(std::size_t count) {
    gate at;
    std::vector<rt::join_handle<void>> children;
    std::set<std::uint64_t> expected;
    expected.insert(rt::detail::this_thread.task->id.load_relaxed());
    for (std::size_t i = 0; i < count; ++i) {
        children.push_back(rt::spawn(waits, &at));
        expected.insert(children.back().id());
    }
    cr_assert(look_at_headers().ids == expected);
    at.open();
    for (auto& each : children) {
        co_await std::move(each);
    }
    cr_assert_eq(look_at_headers().ids.size(), 1U, "only this task is left");
}

} // namespace

Test(frame_pool, shows_exactly_the_headers_of_live_tasks) {
    for (const std::uint32_t workers : {0U, 2U}) {
        rt::runtime runtime(rt::test::with_workers(workers));
        runtime.block_on(looks_at_live_tasks(1000));
    }
    cr_assert(look_at_headers().ids.empty(), "a free header has no id");
}

Test(frame_pool, keeps_headers_headers) {
    std::set<void*> first;
    std::vector<void*> taken;
    for (int i = 0; i < 1000; ++i) {
        void* const header = allocate_header();
        cr_assert_not_null(header);
        cr_assert_eq(reinterpret_cast<std::uintptr_t>(header) % 64, 0U);
        static_cast<task_header*>(header)->id.store_relaxed(0);
        taken.push_back(header);
        first.insert(header);
    }
    cr_assert_eq(first.size(), 1000U);
    for (void* const header : taken) {
        // The state word of a free header stays readable and is nobody's link.
        static_cast<task_header*>(header)->state.store_relaxed(0x5a5a);
        deallocate_header(header);
        cr_assert_eq(static_cast<task_header*>(header)->state.load_relaxed(), 0x5a5aU);
    }
    const auto frames = take(1000, sizeof(task_header));
    for (void* const frame : frames) {
        cr_assert(!first.contains(frame));
    }
    give(frames, sizeof(task_header));
    const std::uint64_t chunks = counters().header_chunks;
    for (int round = 0; round < 100; ++round) {
        std::vector<void*> again;
        for (int i = 0; i < 1000; ++i) {
            again.push_back(allocate_header());
        }
        for (void* const header : again) {
            deallocate_header(header);
        }
    }
    cr_assert_eq(counters().header_chunks, chunks);
}

Test(frame_pool, keeps_labels_labels) {
    std::vector<void*> taken;
    for (int i = 0; i < 1000; ++i) {
        taken.push_back(allocate_label());
        cr_assert_not_null(taken.back());
        cr_assert_eq(reinterpret_cast<std::uintptr_t>(taken.back()) % 16, 0U);
        std::memset(taken.back(), 0x5a, sizeof(rt::detail::label_block));
    }
    const std::set<void*> first(taken.begin(), taken.end());
    cr_assert_eq(first.size(), 1000U);
    std::uintptr_t last = 0;
    for (void* const label : first) {
        const auto address = reinterpret_cast<std::uintptr_t>(label);
        cr_assert_geq(address, last, "they overlap");
        last = address + sizeof(rt::detail::label_block);
    }
    for (void* const label : taken) {
        deallocate_label(label);
    }
    std::vector<void*> others = take(1000, sizeof(rt::detail::label_block));
    cr_assert(look_at_headers().ids.empty(), "no walk over headers meets a label");
    for (void* const frame : others) {
        cr_assert(!first.contains(frame));
    }
    give(others, sizeof(rt::detail::label_block));
    for (void* const label : taken) {
        cr_assert(std::memcmp(label, "\x5a\x5a\x5a\x5a\x5a\x5a\x5a\x5a", 8) == 0);
    }
}

// ---- over many tasks ----------------------------------------------------------------------------

namespace {

rt::task<std::uint64_t> leaf(std::uint64_t value) {
    co_await rt::yield();
    co_return value;
}

rt::task<std::uint64_t> joins_many(int count) {
    std::vector<rt::join_handle<std::uint64_t>> children;
    std::uint64_t sum = 0;
    for (int i = 0; i < count; ++i) {
        children.push_back(rt::spawn(leaf, std::uint64_t{1}));
    }
    for (auto& each : children) {
        sum += co_await std::move(each);
    }
    co_return sum;
}

} // namespace

Test(frame_pool, does_not_grow_while_tasks_come_and_go) {
    constexpr int count = 5000;
    for (const std::uint32_t workers : {0U, 1U, 4U}) {
        rt::runtime runtime(rt::test::with_workers(workers));
        for (int i = 0; i < 5; ++i) {
            cr_assert_eq(runtime.block_on(joins_many(count)), static_cast<std::uint64_t>(count));
        }
        const auto warm = counters();
        for (int i = 0; i < 40; ++i) {
            cr_assert_eq(runtime.block_on(joins_many(count)), static_cast<std::uint64_t>(count));
        }
        const auto after = counters();
        // Workers share the blocks as they come: one chunk of each kind may still be carved.
        cr_assert_leq(after.chunks, warm.chunks + 1);
        cr_assert_leq(after.header_chunks, warm.header_chunks + 1);
    }
}

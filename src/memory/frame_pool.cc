// SPDX-License-Identifier: MIT
//
// The node pools: carving, magazines, and the way home.
//
// A chunk is aligned to its size and begins with a chunk_header; the rest is carved into blocks of
// one class, as many at a time as a magazine holds, under the class's lock. Chunks are never given
// back: frames of a burst are what the next burst needs, and headers must stay readable
// (type-stable) for observers. The list of header chunks is append-only: pushed with release by the
// carver, read with acquire by for_each_header; `carved` of a chunk is published the same way.
//
// A magazine is in one place: a thread's, where it is in use or spare; a class's stock, if it has
// blocks; or the heap of empty ones of the node that made it, to which it goes back however far its
// blocks have taken it. They are never given back: some 9 bytes for each block that is free at the
// same time, more where threads end with a few. Freeing a block may need one and cannot fail, so if
// there is no memory for it the block becomes a loose one, in a list of its class.
//
// What was tried instead: one allocation from jemalloc per frame with an explicit arena costs 17 ns
// against 3.7 ns for the lists (measured; man librt-tuning(7)); owner-linked remote free lists as
// in mimalloc cost one atomic operation per remote free, magazines cost 1/64 of one; lists linked
// through the blocks, see rt/detail/frame.h.
#include "memory/frame_pool.h"

#include "base/lock.h"
#include "memory/exhaustion.h"
#include "memory/node_arena.h"

#include <rt/detail/atomic.h>
#include <rt/detail/frame.h>
#include <rt/detail/header.h>
#include <rt/detail/label.h>

#include <cstddef>
#include <cstdlib>
#include <new>
#include <utility>

#include <pthread.h>

namespace rt::detail {

constinit thread_local frame_cache thread_frames __attribute__((tls_model("initial-exec")));

} // namespace rt::detail

namespace rt::memory {
namespace {

using detail::frame_batch;
using detail::frame_cache;
using detail::frame_granule;
using detail::free_list;
using detail::header_class;
using detail::label_class;
using detail::list_count;
using detail::magazine;
using detail::thread_frames;

struct alignas(128) chunk_header {
    chunk_header* next;           // header chunks only: the append-only list
    std::uint32_t node;           // constant
    std::uint32_t block_bytes;    // constant
    atomic<std::uint32_t> carved; // blocks handed out so far; written under the class's lock
};

// A block that no magazine could be had for. Of a header and of a label the link lies behind the
// first word, which observers and late cancellers may still touch.
struct loose_block {
    loose_block* next;
};
constexpr std::size_t stable_link_offset = sizeof(std::uint64_t);
static_assert(offsetof(detail::label_block, parent_id) == stable_link_offset);

struct alignas(128) class_pool {
    base::spin_lock lock{base::lock_rank::frame_pool};
    magazine* stock = nullptr;     // guarded by lock; none is empty
    loose_block* loose = nullptr;  // guarded by lock
    chunk_header* chunk = nullptr; // guarded by lock; the one being carved
};

// Empty magazines.
struct alignas(128) magazine_heap {
    base::spin_lock lock{base::lock_rank::frame_pool};
    magazine* first = nullptr; // guarded by lock
};

struct node_pool {
    class_pool classes[list_count];
    magazine_heap magazines;
};

constinit node_pool pools[nodes_max];
constinit atomic<chunk_header*> header_chunks{nullptr};
constinit atomic<std::uint64_t> chunk_count{0};
constinit atomic<std::uint64_t> header_chunk_count{0};
constinit atomic<std::uint64_t> home_batch_count{0};
constinit atomic<std::uint64_t> loose_count{0};
constinit atomic<std::uint64_t> piece_count{0};
constinit atomic<std::uint32_t> node_count{1};

std::size_t block_bytes_of(std::size_t index) noexcept {
    switch (index) {
    case header_class:
        return sizeof(detail::task_header);
    case label_class:
        return sizeof(detail::label_block);
    default:
        return (index + 1) * frame_granule;
    }
}

chunk_header* chunk_of(const void* block) noexcept {
    return reinterpret_cast<chunk_header*>(
        reinterpret_cast<std::uintptr_t>(block) & ~(std::uintptr_t{chunk_bytes} - 1)
    );
}

std::uint32_t chunk_capacity(std::size_t block_bytes) noexcept {
    return static_cast<std::uint32_t>((chunk_bytes - sizeof(chunk_header)) / block_bytes);
}

char* block_at(chunk_header* chunk, std::uint32_t index) noexcept {
    return reinterpret_cast<char*>(chunk + 1) + std::size_t{index} * chunk->block_bytes;
}

chunk_header* new_chunk(std::size_t index, std::uint32_t node) noexcept {
    void* const memory = allocate_on_node(node, chunk_bytes, chunk_bytes);
    if (memory == nullptr) {
        return nullptr;
    }
    auto* const chunk = ::new (memory)
        chunk_header{nullptr, node, static_cast<std::uint32_t>(block_bytes_of(index)), {}};
    if (index == header_class) {
        header_chunk_count.add_relaxed(1);
        chunk->next = header_chunks.load_relaxed();
        // release: pairs with the acquire in for_each_header.
        while (!header_chunks.cas_weak_release(chunk->next, chunk)) {
        }
    } else {
        chunk_count.add_relaxed(1);
    }
    return chunk;
}

void** blocks_of(magazine* one) noexcept {
    return one->slots + detail::prefetch_distance;
}

// Takes up to `most` fresh blocks. The lowest address comes last, so that it is used first.
// REQUIRES: pool.lock held.
std::size_t carve(
    class_pool& pool, std::size_t index, std::uint32_t node, void** into, std::size_t most
) noexcept {
    if (pool.chunk == nullptr ||
        pool.chunk->carved.load_relaxed() == chunk_capacity(pool.chunk->block_bytes)) {
        chunk_header* const chunk = new_chunk(index, node);
        if (chunk == nullptr) {
            return 0;
        }
        pool.chunk = chunk;
    }
    chunk_header* const chunk = pool.chunk;
    const std::uint32_t first = chunk->carved.load_relaxed();
    const std::uint32_t left = chunk_capacity(chunk->block_bytes) - first;
    const auto count = static_cast<std::uint32_t>(left < most ? left : most);
    for (std::uint32_t i = 0; i < count; ++i) {
        char* const memory = block_at(chunk, first + i);
        if (index == header_class) {
            // An observer takes a header with id 0 for free; the bytes may be recycled ones.
            reinterpret_cast<detail::task_header*>(memory)->id.store_relaxed(0);
        }
        into[count - 1 - i] = memory;
    }
    // release: pairs with the acquire in for_each_header; the ids above are visible with it.
    chunk->carved.store_release(first + count);
    return count;
}

std::size_t link_offset_of(std::size_t index) noexcept {
    return index == header_class || index == label_class ? stable_link_offset : 0;
}

void push_loose(std::size_t index, void* block) noexcept {
    class_pool& pool = pools[chunk_of(block)->node].classes[index];
    auto* const link =
        reinterpret_cast<loose_block*>(static_cast<char*>(block) + link_offset_of(index));
    loose_count.add_relaxed(1);
    const base::guard hold(pool.lock);
    link->next = std::exchange(pool.loose, link);
}

// REQUIRES: pool.lock held.
std::size_t
take_loose(class_pool& pool, std::size_t index, void** into, std::size_t most) noexcept {
    const std::size_t offset = link_offset_of(index);
    std::size_t count = 0;
    for (; count != most && pool.loose != nullptr; ++count) {
        into[count] = reinterpret_cast<char*>(std::exchange(pool.loose, pool.loose->next)) - offset;
    }
    return count;
}

// Blocks that no thread has, up to `most`; 0: memory is exhausted.
std::size_t take_blocks(std::size_t index, void** into, std::size_t most) noexcept {
    class_pool& pool = pools[thread_frames.node].classes[index];
    const base::guard hold(pool.lock);
    const std::size_t count = take_loose(pool, index, into, most);
    return count != 0 ? count : carve(pool, index, thread_frames.node, into, most);
}

// Makes some empty magazines. One of them, or null; the others go to the heap of this node.
[[gnu::cold]] magazine* make_magazines() noexcept {
    const std::uint32_t node = thread_frames.node;
    void* const memory = allocate_on_node(node, magazine_piece_bytes, alignof(magazine));
    if (memory == nullptr) {
        return nullptr;
    }
    piece_count.add_relaxed(1);
    auto* const made = static_cast<magazine*>(memory);
    constexpr std::size_t count = magazine_piece_bytes / sizeof(magazine);
    for (std::size_t i = 0; i < count; ++i) {
        ::new (static_cast<void*>(made + i)) magazine{made + i + 1, 0, node, {}};
    }
    magazine_heap& heap = pools[node].magazines;
    const base::guard hold(heap.lock);
    made[count - 1].next = std::exchange(heap.first, made[0].next);
    return made;
}

// An empty magazine, or null.
magazine* take_magazine() noexcept {
    magazine_heap& heap = pools[thread_frames.node].magazines;
    {
        const base::guard hold(heap.lock);
        if (magazine* const one = heap.first) {
            heap.first = one->next;
            return one;
        }
    }
    return make_magazines();
}

void give_magazine(magazine* empty) noexcept {
    magazine_heap& heap = pools[empty->node].magazines;
    const base::guard hold(heap.lock);
    empty->next = std::exchange(heap.first, empty);
}

// One with blocks, which are of this node; or null.
magazine* take_stock(std::size_t index) noexcept {
    class_pool& pool = pools[thread_frames.node].classes[index];
    const base::guard hold(pool.lock);
    magazine* const one = pool.stock;
    if (one != nullptr) {
        pool.stock = one->next;
    }
    return one;
}

void push_stock(std::size_t index, std::uint32_t node, magazine* one) noexcept {
    class_pool& pool = pools[node].classes[index];
    const base::guard hold(pool.lock);
    one->next = std::exchange(pool.stock, one);
}

// Moves the blocks of other nodes than the first one's to another magazine. That one, or null if
// there are none, or no memory for it and they are loose now.
magazine* split_off(std::size_t index, magazine& from, std::uint32_t node) noexcept {
    magazine* others = nullptr;
    void** const blocks = blocks_of(&from);
    std::uint32_t kept = 0;
    for (std::uint32_t i = 0; i < from.count; ++i) {
        void* const block = blocks[i];
        if (chunk_of(block)->node == node) {
            blocks[kept++] = block;
            continue;
        }
        if (others == nullptr) {
            others = take_magazine();
            if (others == nullptr) {
                push_loose(index, block);
                continue;
            }
            others->count = 0;
        }
        blocks_of(others)[others->count++] = block;
    }
    from.count = kept;
    return others;
}

// Gives a magazine away: to the pools that its blocks were carved for.
void push_home(std::size_t index, magazine* one) noexcept {
    if (one->count == 0) {
        give_magazine(one);
        return;
    }
    if (node_count.load_relaxed() == 1) {
        push_stock(index, thread_frames.node, one);
        return;
    }
    while (one != nullptr) {
        const std::uint32_t node = chunk_of(blocks_of(one)[0])->node;
        magazine* const others = split_off(index, *one, node);
        if (node != thread_frames.node) {
            home_batch_count.add_relaxed(1);
        }
        push_stock(index, node, one);
        one = others;
    }
}

// The magazine in use leaves the list; null: there is none. Its count is set.
magazine* unload(free_list& list) noexcept {
    if (list.bottom == nullptr) {
        return nullptr;
    }
    auto* const slots = reinterpret_cast<char*>(list.bottom - detail::prefetch_distance);
    auto* const one = reinterpret_cast<magazine*>(slots - offsetof(magazine, slots));
    one->count = static_cast<std::uint32_t>(list.top - list.bottom);
    list.top = list.bottom = list.limit = nullptr;
    return one;
}

void load(free_list& list, magazine* one) noexcept {
    list.bottom = blocks_of(one);
    list.top = list.bottom + one->count;
    list.limit = list.bottom + frame_batch;
}

void on_thread_exit(void* /*unused*/) noexcept {
    flush_thread();
    thread_frames.registered = false;
}

} // namespace

void use_node(std::uint32_t node) noexcept {
    const std::uint32_t last = static_cast<std::uint32_t>(nodes_max - 1);
    const std::uint32_t used = node < last ? node : last;
    flush_thread();
    thread_frames.node = used;
    std::uint32_t known = node_count.load_relaxed();
    // Relaxed: a count that is read too small only sends a batch to the wrong node's pool.
    while (known < used + 1 && !node_count.cas_weak_relaxed(known, used + 1)) {
    }
}

void flush_thread() noexcept {
    for (std::size_t index = 0; index < list_count; ++index) {
        free_list& list = thread_frames.lists[index];
        if (magazine* const spare = std::exchange(list.spare, nullptr)) {
            push_home(index, spare);
        }
        if (magazine* const current = unload(list)) {
            push_home(index, current);
        }
    }
}

void for_each_header(void (*visit)(void* block, void* context), void* context) noexcept {
    // acquire: pairs with the release in new_chunk.
    for (chunk_header* chunk = header_chunks.load_acquire(); chunk != nullptr;
         chunk = chunk->next) {
        // acquire: pairs with the release in carve.
        const std::uint32_t carved = chunk->carved.load_acquire();
        for (std::uint32_t i = 0; i < carved; ++i) {
            visit(block_at(chunk, i), context);
        }
    }
}

pool_counters counters() noexcept {
    return {
        chunk_count.load_relaxed(),
        header_chunk_count.load_relaxed(),
        home_batch_count.load_relaxed(),
        loose_count.load_relaxed(),
        piece_count.load_relaxed()};
}

} // namespace rt::memory

namespace rt::detail {

namespace {

// Arranges for the calling thread's lists to be returned when it exits.
void register_thread() noexcept {
    static const pthread_key_t key = [] {
        pthread_key_t created{};
        return pthread_key_create(&created, &memory::on_thread_exit) == 0 ? created
                                                                          : pthread_key_t(-1);
    }();
    thread_frames.registered = true;
    if (key != pthread_key_t(-1)) {
        static_cast<void>(pthread_setspecific(key, &thread_frames));
    }
}

// A task goes on without the label that it cannot have: nothing is empty for that.
void* note_failure(std::size_t index, void* block) noexcept {
    return index == label_class ? block : memory::note_if_null(block);
}

} // namespace

// The magazine in use is empty, or there is none.
void* refill(std::size_t index) noexcept {
    if (!thread_frames.registered) {
        register_thread();
    }
    free_list& list = thread_frames.lists[index];
    magazine* empty = memory::unload(list);
    if (list.spare != nullptr && list.spare->count != 0) {
        memory::load(list, std::exchange(list.spare, empty));
        return pop_block(list);
    }
    if (magazine* const stock = memory::take_stock(index)) {
        if (empty != nullptr && list.spare == nullptr) {
            list.spare = empty;
        } else if (empty != nullptr) {
            memory::give_magazine(empty);
        }
        memory::load(list, stock);
        return pop_block(list);
    }
    if (empty == nullptr) {
        empty =
            list.spare != nullptr ? std::exchange(list.spare, nullptr) : memory::take_magazine();
    }
    if (empty == nullptr) {
        void* block = nullptr;
        return note_failure(index, memory::take_blocks(index, &block, 1) == 1 ? block : nullptr);
    }
    empty->count =
        static_cast<std::uint32_t>(memory::take_blocks(index, memory::blocks_of(empty), frame_batch)
        );
    memory::load(list, empty);
    return note_failure(index, list.is_empty() ? nullptr : pop_block(list));
}

// The magazine in use is full, or there is none.
void put_back_slow(std::size_t index, void* block) noexcept {
    if (!thread_frames.registered) {
        register_thread();
    }
    free_list& list = thread_frames.lists[index];
    magazine* const full = memory::unload(list);
    magazine* empty = nullptr;
    if (list.spare != nullptr && list.spare->count == 0) {
        empty = std::exchange(list.spare, nullptr);
    } else {
        empty = memory::take_magazine();
        if (empty == nullptr) {
            if (full != nullptr) {
                memory::load(list, full);
            }
            memory::push_loose(index, block);
            return;
        }
        if (list.spare != nullptr) {
            memory::push_home(index, std::exchange(list.spare, nullptr));
        }
    }
    list.spare = full;
    empty->count = 0;
    memory::load(list, empty);
    *list.top++ = block;
}

void* allocate_frame_slow(std::size_t bytes) noexcept {
    const std::size_t index = (bytes - 1) / frame_granule;
    if (frames_from_malloc || index >= frame_class_count) {
        return memory::note_if_null(std::malloc(bytes));
    }
    return refill(index);
}

void deallocate_frame_slow(void* block, std::size_t /*bytes*/) noexcept {
    std::free(block);
}

} // namespace rt::detail

// SPDX-License-Identifier: MIT
//
// The node pools: carving, batches, and the way home.
//
// A chunk is aligned to its size and begins with a chunk_header; the rest is carved into blocks of
// one class, 32 at a time, under the class's lock. Chunks are never given back: frames of a burst
// are what the next burst needs, and headers must stay readable (type-stable) for observers.
// The list of header chunks is append-only: pushed with release by the carver, read with acquire
// by for_each_header; `carved` of a chunk is published the same way.
//
// What was tried instead: one allocation from jemalloc per frame with an explicit arena costs 17 ns
// against 3.7 ns for the lists (measured; man librt-tuning(7)); owner-linked remote free lists as
// in mimalloc cost one atomic operation per remote free, batches cost 1/32 of one.
#include "memory/frame_pool.h"

#include "base/lock.h"
#include "memory/node_arena.h"

#include <rt/detail/atomic.h>
#include <rt/detail/frame.h>
#include <rt/detail/header.h>

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
using detail::frame_class_count;
using detail::frame_granule;
using detail::free_block;
using detail::header_class;
using detail::thread_frames;

constexpr std::size_t class_count = frame_class_count + 1;

struct alignas(128) chunk_header {
    chunk_header* next;           // header chunks only: the append-only list
    std::uint32_t node;           // constant
    std::uint32_t block_bytes;    // constant
    atomic<std::uint32_t> carved; // blocks handed out so far; written under the class's lock
};

struct alignas(128) class_pool {
    base::spin_lock lock{base::lock_rank::frame_pool};
    free_block* batches = nullptr; // guarded by lock
    chunk_header* chunk = nullptr; // guarded by lock; the one being carved
};

struct node_pool {
    class_pool classes[class_count];
};

constinit node_pool pools[nodes_max];
constinit atomic<chunk_header*> header_chunks{nullptr};
constinit atomic<std::uint64_t> chunk_count{0};
constinit atomic<std::uint64_t> header_chunk_count{0};
constinit atomic<std::uint64_t> home_batch_count{0};
constinit atomic<std::uint32_t> node_count{1};

std::size_t block_bytes_of(std::size_t index) noexcept {
    return index == header_class ? sizeof(detail::task_header) : (index + 1) * frame_granule;
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

// Links up to frame_batch fresh blocks. REQUIRES: pool.lock held.
free_block* carve(class_pool& pool, std::size_t index, std::uint32_t node) noexcept {
    if (pool.chunk == nullptr ||
        pool.chunk->carved.load_relaxed() == chunk_capacity(pool.chunk->block_bytes)) {
        chunk_header* const chunk = new_chunk(index, node);
        if (chunk == nullptr) {
            return nullptr;
        }
        pool.chunk = chunk;
    }
    chunk_header* const chunk = pool.chunk;
    const std::uint32_t first = chunk->carved.load_relaxed();
    const std::uint32_t left = chunk_capacity(chunk->block_bytes) - first;
    const std::uint32_t count = left < frame_batch ? left : frame_batch;
    free_block* head = nullptr;
    for (std::uint32_t i = count; i-- > 0;) {
        char* memory = block_at(chunk, first + i);
        if (index == header_class) {
            // An observer takes a header with id 0 for free; the bytes may be recycled ones.
            reinterpret_cast<detail::task_header*>(memory)->id.store_relaxed(0);
            memory += detail::header_link_offset;
        }
        auto* const block = reinterpret_cast<free_block*>(memory);
        block->next = head;
        head = block;
    }
    head->batch_length = count;
    // release: pairs with the acquire in for_each_header; the ids above are visible with it.
    chunk->carved.store_release(first + count);
    return head;
}

void push_batch(
    std::size_t index, std::uint32_t node, free_block* batch, std::size_t length
) noexcept {
    batch->batch_length = length;
    class_pool& pool = pools[node].classes[index];
    base::guard guard(pool.lock);
    batch->next_batch = pool.batches;
    pool.batches = batch;
}

// Pushes a chain to the pools its blocks were carved for.
void push_home(std::size_t index, free_block* chain, std::size_t length) noexcept {
    if (node_count.load_relaxed() == 1) {
        push_batch(index, thread_frames.node, chain, length);
        return;
    }
    while (chain != nullptr) {
        const std::uint32_t node = chunk_of(chain)->node;
        free_block* home = nullptr;
        free_block* rest = nullptr;
        std::size_t home_length = 0;
        while (chain != nullptr) {
            free_block* const next = chain->next;
            const bool is_home = chunk_of(chain)->node == node;
            free_block*& list = is_home ? home : rest;
            home_length += is_home ? 1 : 0;
            chain->next = list;
            list = chain;
            chain = next;
        }
        if (node != thread_frames.node) {
            home_batch_count.add_relaxed(1);
        }
        push_batch(index, node, home, home_length);
        chain = rest;
    }
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
    for (std::size_t index = 0; index < class_count; ++index) {
        detail::free_list& list = thread_frames.lists[index];
        if (list.spare != nullptr) {
            push_home(index, list.spare, detail::frame_batch);
        }
        if (list.head != nullptr) {
            push_home(index, list.head, detail::frame_batch - list.room);
        }
        list = {};
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
        home_batch_count.load_relaxed()};
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

} // namespace

free_block* refill(std::size_t index) noexcept {
    if (!thread_frames.registered) {
        register_thread();
    }
    memory::class_pool& pool = memory::pools[thread_frames.node].classes[index];
    free_list& list = thread_frames.lists[index];
    if (free_block* const spare = std::exchange(list.spare, nullptr)) {
        list.head = spare->next;
        list.room = 1;
        return spare;
    }
    free_block* batch = nullptr;
    {
        base::guard guard(pool.lock);
        batch = pool.batches;
        if (batch != nullptr) {
            pool.batches = batch->next_batch;
        } else {
            batch = memory::carve(pool, index, thread_frames.node);
        }
    }
    if (batch == nullptr) {
        return nullptr;
    }
    list.head = batch->next;
    list.room = frame_batch - (batch->batch_length - 1);
    return batch;
}

// The list in use is full: it becomes the spare one. Or this is the thread's first of this class.
void put_back_slow(std::size_t index, free_block* block) noexcept {
    if (!thread_frames.registered) {
        register_thread();
    }
    free_list& list = thread_frames.lists[index];
    if (list.head != nullptr) {
        if (list.spare != nullptr) {
            memory::push_home(index, list.spare, frame_batch);
        }
        list.spare = std::exchange(list.head, nullptr);
    }
    list.room = frame_batch;
    push_front(list, block);
}

void* allocate_frame_slow(std::size_t bytes) noexcept {
    const std::size_t index = (bytes - 1) / frame_granule;
    if (frames_from_malloc || index >= frame_class_count) {
        return std::malloc(bytes);
    }
    return refill(index);
}

void deallocate_frame_slow(void* block, std::size_t /*bytes*/) noexcept {
    std::free(block);
}

} // namespace rt::detail

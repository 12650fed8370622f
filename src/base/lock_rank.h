// SPDX-License-Identifier: MIT
//
// The one ordered list of locks. A thread that holds a lock may take only locks of a higher rank,
// so no two threads can wait for each other. Debug builds check each acquisition (base/lock.cc).
//
// Outer locks (start-up, lifecycle) come first and leaves last. Two locks of the same rank are
// never held together, which is why families of equal locks (shards, wait queues) share a rank. A
// new lock gets its place here, between what may be held when it is taken and what is taken under
// it; the gaps in the numbers mean nothing and are not kept.
#pragma once

#include <cstdint>

namespace rt::base {

enum class lock_rank : std::uint8_t {
    unranked = 0, ///< not checked; for tests and for locks outside the runtime

    // runtime: building, closing, registry of runtimes
    process_registry,
    runtime_lifecycle,

    // introspect and watchdog: they look into everything below
    introspect_server,
    dump,

    // scheduler
    scheduler_shutdown,
    block_in_place,
    current_thread_seat,
    worker_core,
    idle_workers,
    inject_queue,
    overflow,

    // net, fs, signal, time, sync: objects that tasks wait on
    signal_table,
    process_table,
    file_object,
    socket_object,
    timer_object,
    sync_object,
    wait_queue,

    // task
    task_scope,
    task_cancel,
    task_join,
    task_waker,
    task_owned_shard,

    // driver and blocking
    driver_operations,
    driver_timers, ///< held while a timer fires, which may take a waiter back from its source
    driver_registration,
    driver_ring_pool,
    driver_completions,
    blocking_pool,
    blocking_shard,

    // memory, topology, metrics
    node_arena,
    frame_pool,
    slab,
    topology_cache,
    metrics_registry,
    flight_recorder,

    // leaves: nothing is taken under these
    log,
    leaf,

    rank_count,
};

/// The word shown when two locks are taken in the wrong order.
[[nodiscard]] const char* lock_rank_name(lock_rank rank) noexcept;

} // namespace rt::base

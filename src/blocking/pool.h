// SPDX-License-Identifier: MIT
//
// The blocking pool: threads for closures that may block.
//
// Jobs wait in a few FIFO queues, one per submitting thread or nearly so (job_shards.h). A thread
// is started when a job comes and nobody is idle, up to the cap, and leaves after keep_alive
// without work (roster.h). If a thread cannot be started (EAGAIN) the job stays queued as long as
// one thread exists.
//
// One pool per runtime. Its threads block every signal, are named NAME-bN, and run where the thread
// that made the pool may run: they are started by pinned workers and must not inherit the pin.
//
// (The namespace is rt::offload, not rt::blocking, because that name is the public function.)
// current_pool() is how rt::blocking finds the pool of its runtime: the runtime, which is above
// this layer, sets it on each of its worker threads.
#pragma once

#include "metrics/histogram.h"

#include <rt/detail/blocking.h>
#include <rt/hooks.h>
#include <rt/result.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

namespace rt::offload {

struct counts {
    std::uint32_t threads = 0;
    std::uint32_t idle = 0;
    std::size_t queued = 0;
};

class pool {
public:
    // `threads_max` is at least 1. Throws std::bad_alloc. The threads get the constructing thread's
    // CPU affinity.
    // `hooks` may be null, else outlives the pool. `stack_bytes` 0: the C library's default.
    // `shards` 0: as many queues as are good for the CPUs of the machine.
    pool(
        std::uint32_t threads_max,
        std::chrono::milliseconds keep_alive,
        std::string name,
        const hooks* hooks = nullptr,
        std::size_t stack_bytes = 0,
        std::uint32_t shards = 0
    );
    ~pool();
    pool(const pool&) = delete;
    pool& operator=(const pool&) = delete;

    // Queues a job. Those of one thread are begun in the order in which it submitted them. An error
    // says that it has not been and will not be run: errc::shut_down, or
    // EAGAIN or ENOMEM when there is no thread and none can be made. The job may have ended when it
    // returns; the pool must still be there. Threads: any.
    [[nodiscard]] result<void> submit(detail::blocking_job& job) noexcept;

    // Takes a job back. False: it has started, or has ended. Threads: any.
    [[nodiscard]] bool withdraw(detail::blocking_job& job) noexcept;

    // Refuses new jobs, runs those that were accepted, joins the threads. Idempotent. Threads: any
    // one at a time, but not a thread of the pool.
    void shut_down() noexcept;

    // Threads: any.
    [[nodiscard]] counts read() const noexcept;
    // How long jobs have waited for a thread, in nanoseconds. Threads: any.
    [[nodiscard]] metrics::histogram_data read_latency() const noexcept;

private:
    struct state;
    std::unique_ptr<state> state_;
};

// The pool that rt::blocking uses on the calling thread; null outside workers.
[[nodiscard]] pool* current_pool() noexcept;
void set_current_pool(pool* mine) noexcept;

} // namespace rt::offload

// SPDX-License-Identifier: MIT
//
// A thread from outside that waits for a task: block_on on a pool of several workers. It lives on
// the stack of that thread, and the worker that ends the task releases it.
#pragma once

#include "scheduler/futex.h"

#include <rt/detail/atomic.h>
#include <rt/detail/header.h>

#include <cstdint>

namespace rt::scheduler {

struct thread_listener : detail::completion_listener {
    thread_listener() noexcept
        : completion_listener(&on_ended) {}

    // Sleeps until the task has ended. Requires: the listener was installed.
    void wait() noexcept {
        while (ended.load_acquire() == 0) { // acquire: pairs with on_ended's release
            futex_wait(ended, 0);
        }
    }

    static void on_ended(completion_listener* listener, detail::task_header* /*task*/) noexcept {
        auto* const self = static_cast<thread_listener*>(listener);
        // release: pairs with the waiter's acquire. The waiter may be gone after this store, which
        // is why the wake-up below uses the address only as a number: a stale wake is spurious.
        self->ended.store_release(1);
        futex_wake_all(self->ended);
    }

    atomic<std::uint32_t> ended{0};
};

} // namespace rt::scheduler

// SPDX-License-Identifier: MIT
//
// A thread from outside that waits for a task: block_on on a pool of several workers. It lives on
// the stack of that thread, and the worker that ends the task releases it.
#pragma once

#include "base/arch.h"
#include "base/clock.h"
#include "scheduler/futex.h"

#include <rt/detail/atomic.h>
#include <rt/detail/header.h>

#include <cstdint>

namespace rt::scheduler {

struct thread_listener : detail::completion_listener {
    thread_listener() noexcept
        : completion_listener(&on_ended) {}

    // Spins until the task has ended, or `until_ns`. True: it has ended.
    [[nodiscard]] bool spin(std::uint64_t until_ns) const noexcept {
        while (word.load_acquire() != ended) { // acquire: pairs with on_ended's release
            if (base::monotonic_ns() >= until_ns) {
                return false;
            }
            base::cpu::relax();
        }
        return true;
    }

    // Sleeps until then. Requires: the listener was installed.
    void wait() noexcept {
        std::uint32_t seen = running;
        // acquire, here and below: pairs with on_ended's release.
        if (!word.cas_strong_acquire(seen, sleeping) && seen == ended) {
            return;
        }
        while (word.load_acquire() != ended) {
            futex_wait(word, sleeping);
        }
    }

    static void on_ended(completion_listener* listener, detail::task_header* /*task*/) noexcept {
        auto* const self = static_cast<thread_listener*>(listener);
        // release: pairs with the waiter's acquire. The waiter may be gone after this exchange if
        // it was awake. One that sleeps stays until the word says ended, and may then be gone too,
        // which is why the wake-up uses the address only as a number: a stale wake is spurious.
        if (self->word.exchange_acq_rel(ended) == sleeping) {
            futex_wake_all(self->word);
        }
    }

    static constexpr std::uint32_t running = 0;
    static constexpr std::uint32_t sleeping = 1;
    static constexpr std::uint32_t ended = 2;
    atomic<std::uint32_t> word{running};
};

} // namespace rt::scheduler

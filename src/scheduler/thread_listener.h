// SPDX-License-Identifier: MIT
//
// A thread from outside that waits for a task: block_on. It lives on the stack of that thread, and
// the worker that ends the task releases it; with flavor::current_thread the thread may also be
// asked to be the worker (seat.h).
//
// The word: running -> sleeping by the thread; to ended by whoever ends the task, once, from any
// value; to offered by whoever gives the seat, unless the task has ended; offered -> running by the
// thread that accepts it; to asked by a shutdown that wants the seat of the thread that has it, or
// is about to accept it, unless the task has ended; asked -> running when that thread has left.
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

    // Sleeps until then, or until it is offered the seat. Requires: the listener was installed.
    void wait() noexcept {
        std::uint32_t seen = running;
        // acquire, here and below: pairs with the release in on_ended and offer.
        if (!word.cas_strong_acquire(seen, sleeping)) {
            return;
        }
        while (word.load_acquire() == sleeping) {
            futex_wait(word, sleeping);
        }
    }

    // Gives the seat. The caller keeps the listener alive meanwhile.
    void offer() noexcept {
        std::uint32_t seen = word.load_relaxed();
        do {
            if (seen == ended) {
                return; // it finds the seat all the same, and passes it on
            }
            // release: pairs with wait's acquire.
        } while (!word.cas_weak_release(seen, offered));
        if (seen == sleeping) {
            futex_wake_all(word);
        }
    }
    // After wait(), by a thread that has been given the seat. False: its task has ended.
    [[nodiscard]] bool accept() noexcept {
        std::uint32_t seen = offered;
        // acquire: pairs with on_ended's release, if that is what it finds. One that has been asked
        // to leave in between sits down all the same, and does so at once.
        return word.cas_strong_acquire(seen, running) || seen == asked;
    }

    // Makes the one that sits leave. The caller keeps the listener alive meanwhile.
    void ask() noexcept {
        std::uint32_t seen = word.load_relaxed();
        do {
            if (seen == ended) {
                return; // it leaves all the same
            }
            // release: pairs with the acquire of worker::run, which stops.
        } while (!word.cas_weak_release(seen, asked));
    }
    // After leaving. True: it was asked to; its task has not ended.
    [[nodiscard]] bool was_asked() noexcept {
        std::uint32_t seen = asked;
        // acquire: pairs with on_ended's release, if that is what it finds.
        return word.cas_strong_acquire(seen, running);
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
    static constexpr std::uint32_t offered = 3;
    static constexpr std::uint32_t asked = 4;
    atomic<std::uint32_t> word{running};
    thread_listener* next = nullptr; // of those that wait for the seat; guarded by its lock
};

} // namespace rt::scheduler

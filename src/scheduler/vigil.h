// SPDX-License-Identifier: MIT
//
// When the watchdog sleeps, and who wakes it.
//
// The word: awake -> asleep by the watchdog when it has found all workers asleep; asleep -> awake
// by a worker that is back from its sleep, or by the watchdog itself; any -> stopping, once.
//
// A worker publishes that it is awake, then a full fence, then reads the word. The watchdog changes
// the word, then a full fence, then looks at all workers once more. In the single order of the two
// fences one is first: either the worker finds the watchdog asleep, and wakes it, or that look
// finds the worker. Without the worker's fence its store may become visible after its load: then
// the watchdog sleeps beside a worker that may be in a long turn, until another worker wakes, and
// nobody may ever do so. (A lock between the two hid that on x86, for workers; not for stand-ins.)
//
// Threads: stir by any worker, stop by the owner of the pool, the rest by the watchdog.
#pragma once

#include "scheduler/futex.h"

#include <rt/detail/atomic.h>

#include <cstdint>

namespace rt::scheduler {

class vigil {
public:
    // A worker has come back from sleep, and has published it.
    void stir() noexcept {
        fence_seq_cst(); // store-load; pairs with the one in rest
        if (word_.load_relaxed() == asleep) [[unlikely]] {
            wake();
        }
    }

    // Sleeps until somebody stirs or stops it, unless is_anybody_awake() says not to.
    template<typename Look>
    void rest(Look is_anybody_awake) noexcept {
        std::uint32_t expected = awake;
        if (!word_.cas_strong_acq_rel(expected, asleep)) {
            return; // stopping
        }
        fence_seq_cst(); // store-load; pairs with the one in stir
        if (is_anybody_awake()) {
            wake();
        }
        while (word_.load_acquire() == asleep) { // acquire: as in is_over
            futex_wait(word_, asleep);
        }
    }

    void stop() noexcept {
        word_.store_release(stopping); // release: pairs with is_over
        futex_wake_all(word_);
    }
    [[nodiscard]] bool is_over() const noexcept {
        return word_.load_acquire() == stopping; // acquire: pairs with stop
    }

private:
    static constexpr std::uint32_t awake = 0;
    static constexpr std::uint32_t asleep = 1;
    static constexpr std::uint32_t stopping = 2;

    void wake() noexcept {
        std::uint32_t expected = asleep;
        if (word_.cas_strong_acq_rel(expected, awake)) {
            futex_wake_all(word_);
        }
    }

    atomic<std::uint32_t> word_{awake};
};

} // namespace rt::scheduler

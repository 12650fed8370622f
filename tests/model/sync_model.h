// SPDX-License-Identifier: MIT
//
// rt/sync under the explorer: the production code of waiting and waking, of channels, locks and
// notifications, with the tasks of task_model.h and with threads that block on a futex.
//
// sync_model.cc compiles the sources, once for all tests. Only the lock is another one: whoever
// finds it held waits in the explorer instead of spinning, which leaves the same orders of
// operations and far fewer paths. The lock that spins is here too, as spinning_lock, for a test of
// its own (base_model_test.cc).
#pragma once

#include "base/arch.h"
#include "model/futex.h"
#include "model/task_model.h"

namespace rt_model {

namespace base::cpu {
inline void relax() noexcept {
    model::machine::instance().spin();
}
} // namespace base::cpu

namespace detail {

// As sync_lock.h has it, but for lock().
class sync_lock {
public:
    constexpr sync_lock() noexcept = default;
    sync_lock(const sync_lock&) = delete;
    sync_lock& operator=(const sync_lock&) = delete;

    void lock() noexcept { word_.acquire(); }
    void unlock() noexcept { word_.release(); }

private:
    model::lock word_;
};

} // namespace detail
} // namespace rt_model

// clang-format off
#define rt rt_model
#define sync_lock spinning_lock
#define sync_guard spinning_guard
#include <rt/detail/sync_lock.h>
#undef sync_lock
#undef sync_guard

namespace rt::detail {

class [[nodiscard]] sync_guard {
public:
    explicit sync_guard(sync_lock& lock) noexcept
        : lock_(&lock) {
        lock.lock();
    }
    sync_guard(const sync_guard&) = delete;
    sync_guard& operator=(const sync_guard&) = delete;
    ~sync_guard() { unlock(); }

    void unlock() noexcept {
        if (lock_ != nullptr) {
            std::exchange(lock_, nullptr)->unlock();
        }
    }

private:
    sync_lock* lock_;
};

} // namespace rt::detail

#include <rt/detail/wait_queue.h>
#include <rt/detail/watch_core.h>
#include <rt/sync/barrier.h>
#include <rt/sync/broadcast.h>
#include <rt/sync/mpsc.h>
#include <rt/sync/mutex.h>
#include <rt/sync/notify.h>
#include <rt/sync/once.h>
#include <rt/sync/oneshot.h>
#include <rt/sync/rwlock.h>
#include <rt/sync/semaphore.h>
#undef rt
// clang-format on

namespace rt_model::scenario {

inline void set_up_sync() {
    set_up();
    detail::model_heap.is_open = true;
    model::futexes.reset();
}

// Nothing is left, of tasks or of channels.
inline void check_sync_heap() {
    check_heap();
    check(detail::model_heap.blocks_live == 0, "a channel is left");
}

} // namespace rt_model::scenario

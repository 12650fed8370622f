// SPDX-License-Identifier: MIT
//
// Time on a worker whose clock is paused: what it does instead of sleeping until the next timer.
//
// The clock jumps only when there is nothing else: no ready task, nothing that the kernel has
// completed, and no closure of rt::blocking that may make a task ready; while one runs, the worker
// looks again every millisecond of real time, because a closure that ends may wake nobody here.
#include "base/clock.h"
#include "driver/driver.h"
#include "scheduler/pool_state.h"
#include "scheduler/worker.h"

#include <rt/detail/context.h>
#include <rt/detail/duration.h>

namespace rt::scheduler {
namespace {

using detail::this_thread;

constexpr std::int64_t look_again_ns = 1'000'000;

// The pool of the calling worker if its clock may be paused, else null.
pool_state* pausable_pool() noexcept {
    if (this_thread.worker == nullptr) {
        return nullptr;
    }
    pool_state& pool = this_thread.worker->pool();
    return pool.settings.flavor == flavor::current_thread ? &pool : nullptr;
}

bool is_blocking_busy(const offload::pool* blocking) noexcept {
    if (blocking == nullptr) {
        return false;
    }
    const offload::counts counts = blocking->read();
    return counts.queued != 0 || counts.threads != counts.idle;
}

} // namespace

void worker::sleep_paused(std::int64_t deadline_ns) noexcept {
    if (deadline_ns == INT64_MAX) {
        sleep(deadline_ns);
        return;
    }
    if (is_blocking_busy(pool_.blocking)) {
        sleep(static_cast<std::int64_t>(base::monotonic_ns()) + look_again_ns);
        return;
    }
    is_delivering_ = true;
    driver_->poll(true);
    is_delivering_ = false;
    if (!has_local_work() && !pool_.has_work()) {
        pool_.clock.jump_to(static_cast<std::uint64_t>(deadline_ns));
    }
}

std::uint64_t now_ns() noexcept {
    const worker* const self = this_thread.worker;
    return self == nullptr ? base::monotonic_ns() : self->pool().clock.now_ns();
}

bool pause_clock() noexcept {
    pool_state* const pool = pausable_pool();
    if (pool == nullptr || pool->clock.is_paused()) {
        return false;
    }
    pool->clock.pause(this_thread.worker->wheel.next_tick_ns(pool->clock.now_ns()));
    return true;
}

bool resume_clock() noexcept {
    if (!is_clock_paused()) {
        return false;
    }
    this_thread.worker->pool().clock.resume();
    return true;
}

bool advance_clock(std::uint64_t by_ns) noexcept {
    if (!is_clock_paused()) {
        return false;
    }
    virtual_clock& clock = this_thread.worker->pool().clock;
    clock.jump_to(detail::ns_after(clock.now_ns(), by_ns));
    return true;
}

bool is_clock_paused() noexcept {
    return this_thread.worker != nullptr && this_thread.worker->pool().clock.is_paused();
}

} // namespace rt::scheduler

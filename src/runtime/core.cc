// SPDX-License-Identifier: MIT
//
// Builds a runtime bottom up and takes it down top down.
//
// Order of tear-down, and why: the observer first, because it reads everything below (the threads
// of workers may have ended by then, if nobody waits for the end: it was told); then the workers,
// whose last act is to cancel every task, while closures that are running on the blocking pool can
// still hand their results back; then the blocking pool, which by then has nothing left to do; then
// the parts themselves.
#include "runtime/core.h"

#include "base/clock.h"
#include "base/lock.h"
#include "base/log.h"
#include "runtime/observer.h"

#include <rt/detail/atomic.h>
#include <rt/detail/context.h>

#include <system_error>
#include <utility>

namespace rt::engine {
namespace {

constinit base::futex_lock registry_lock{base::lock_rank::process_registry};
constinit core* first_core = nullptr; // guarded by registry_lock
constinit atomic<std::uint64_t> next_core_id{1};

void enlist(core& runtime) noexcept {
    base::guard guard(registry_lock);
    runtime.next_core = first_core;
    first_core = &runtime;
}

void delist(core& runtime) noexcept {
    base::guard guard(registry_lock);
    core** link = &first_core;
    while (*link != nullptr && *link != &runtime) {
        link = &(*link)->next_core;
    }
    if (*link != nullptr) {
        *link = runtime.next_core;
    }
}

driver::kind to_kind(driver_kind wanted) noexcept {
    switch (wanted) {
    case driver_kind::uring:
        return driver::kind::uring;
    case driver_kind::epoll:
        return driver::kind::epoll;
    case driver_kind::automatic:
        break;
    }
    return driver::kind::automatic;
}

} // namespace

core::core(const config& settings)
    : settings_(settings)
    , hooks_(std::exchange(settings_.hooks, {}))
    , id_(next_core_id.add_relaxed(1)) // relaxed: only that it is unique matters
    , started_ns_(base::monotonic_ns()) {
}

scheduler::start_fault core::start() {
    driver::choice choice = driver::choose(to_kind(settings_.driver), settings_.ring_entries);
    if (!choice.reason.empty()) {
        driver_reason_ = std::move(choice.reason);
        base::log(
            base::log_level::warning,
            "io_uring is not usable, using epoll: %s; LIBRT_DRIVER=epoll silences this line",
            driver_reason_.c_str()
        );
    }
    if (settings_.poll_histogram) {
        base::calibrate_ticks(); // what turns are measured with
    }
    blocking_ = std::make_unique<offload::pool>(
        settings_.blocking_threads_max,
        settings_.blocking_keep_alive,
        settings_.name,
        &hooks_,
        std::size_t{settings_.thread_stack_kib} * 1024
    );
    workers_ = std::make_unique<scheduler::pool>();
    scheduler::start_fault fault =
        workers_->start(settings_, choice.chosen, this, blocking_.get(), hooks_);
    if (fault.text.empty() && settings_.introspect) {
        is_observed_ = true;
        enlist(*this);
        start_observer(*this);
    }
    return fault;
}

core::~core() {
    shut_down();
}

void core::begin_shut_down() noexcept {
    if (is_observed_) {
        note_times(*this);
    }
    workers_->begin_shut_down();
}

void core::shut_down() noexcept {
    if (is_down_) {
        return;
    }
    is_down_ = true;
    if (is_of_parent()) {
        // Nothing can be joined or told here, and the parent goes on with what is shared.
        static_cast<void>(workers_.release());
        static_cast<void>(blocking_.release());
        return;
    }
    if (is_observed_) {
        stop_observer(*this);
        delist(*this);
    }
    if (workers_ != nullptr) {
        workers_->shut_down();
        blocking_->shut_down();
    }
}

void for_each_core(void (*visit)(core&, void* context), void* context) {
    base::guard guard(registry_lock);
    for (core* each = first_core; each != nullptr; each = each->next_core) {
        visit(*each, context);
    }
}

} // namespace rt::engine

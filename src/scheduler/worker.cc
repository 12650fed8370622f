// SPDX-License-Identifier: MIT
//
// The worker loop.
//
// A turn is one task. Where the next one comes from, in order: now and then the injection queue, so
// that a busy worker cannot starve it; the private places, where the task that was woken last and
// the newest spawn are, whose data is warm, but not more than private_streak_max times in a row;
// the ring, in FIFO order, in turns with the tasks that are bound to this worker; the injection
// queue in earnest; a victim's ring. Then the worker sleeps on its driver. After a private streak
// the ring has up to ring_streak_max turns, and then the oldest spawn has one (oldest_pace.h); so
// nothing starves. A lone worker may give a turn inside a turn (run_at_join).
#include "scheduler/worker.h"

#include "base/arch.h"
#include "base/assert.h"
#include "base/clock.h"
#include "base/process.h"
#include "scheduler/pool_state.h"
#include "scheduler/tuning.h"
#include "task/run.h"

#include <algorithm>
#include <utility>

namespace rt::scheduler {

using detail::this_thread;
using metrics::worker_counters;

worker::worker(pool_state& pool, std::uint32_t own_index, std::uint32_t own_node) noexcept
    : bound(own_index < pool.bound_count ? pool.bound[own_index] : unbound_)
    , index(own_index)
    , node(own_node)
    , wheel(base::monotonic_ns())
    , pool_(pool)
    , poll_times_(make_histogram(pool.settings.poll_histogram, counters.poll_times))
    , schedule_latency_(make_histogram(pool.settings.schedule_latency, counters.schedule_latency))
    , random_(own_index + 1)
    , pace_(pool.settings.inject_interval)
    , has_lifo_slot_(pool.settings.lifo_slot) {
    bound.bind(*this);
    adapt_streaks();
}

worker::~worker() {
    RT_ASSERT(
        queue.is_empty() && !has_lifo() && fresh_.is_empty() && deferred_.is_empty() &&
        held_.is_empty()
    );
}

result<void> worker::attach() noexcept {
    auto made = driver::make_driver(
        pool_.driver_kind,
        pool_.settings.ring_entries,
        pool_.settings.flavor == flavor::current_thread
    );
    if (!made) {
        return std::unexpected(made.error());
    }
    driver_ = std::move(*made);
    return {};
}

void worker::enter() noexcept {
    // Both copies first, then single fields: loads of two fields at once wait for a store to one.
    former_ = this_thread;
    former_.newest = nullptr; // a signal may yet make it public
    this_thread.newest = nullptr;
    former_counters_ = metrics::this_worker;
    this_thread.task = nullptr;
    this_thread.in_place = nullptr;
    this_thread.nested = nullptr;
    this_thread.joins = nullptr;
    this_thread.worker = this;
    this_thread.driver = driver_.get();
    this_thread.scheduler = pool_.facade;
    this_thread.runtime = pool_.owner;
    // A current_thread worker enters with each block_on, which reads the clock when it yields or
    // waits, or after event_interval turns.
    this_thread.coarse_ns = std::max(left_at_ns_, pool_.clock.coarse_ns());
    pace_.pause();
    metrics::this_worker = &counters;
    tid.store_relaxed(base::thread_id());
    state.store_relaxed(worker_state::running);
}

void worker::leave() noexcept {
    state.store_relaxed(worker_state::stopped);
    metrics::this_worker = former_counters_;
    left_at_ns_ = this_thread.coarse_ns;
    // Ids are used up for good, whoever took them.
    const std::uint64_t next_task_id = this_thread.next_task_id;
    const std::uint64_t last_task_id = this_thread.last_task_id;
    this_thread = former_;
    this_thread.next_task_id = next_task_id;
    this_thread.last_task_id = last_task_id;
}

void worker::detach() noexcept {
    driver_.reset();
}

void worker::run(const atomic<std::uint32_t>& stop) noexcept {
    // acquire: pairs with the release of whoever stops the pool.
    while (stop.load_acquire() == 0) {
        counters.ticks.bump_relaxed(1);
        if (--until_maintain_ == 0) {
            maintain();
        }
        task_header* task = next();
        if (task == nullptr && !is_only_yielding()) {
            task = search();
        }
        if (task != nullptr) {
            run_task(task);
        } else {
            park();
        }
    }
    stop_searching();
}

// Nothing is ready but tasks that have yielded, and others were asked for work a moment ago.
bool worker::is_only_yielding() noexcept {
    if (has_deferred() && ++yields_ % yields_per_search != 0 &&
        this_thread.coarse_ns - yields_asked_ns_ < yields_search_ns) {
        return true;
    }
    yields_asked_ns_ = this_thread.coarse_ns; // the caller asks them now
    return false;
}

void worker::begin_turn(task_header* task) noexcept {
    task->home = static_cast<std::uint16_t>(index);
    turn.bump_relaxed(1);
    current.store_relaxed(task);
    counters.polls.bump_relaxed(1);
}

void worker::run_task(task_header* task) noexcept {
    stop_searching();
    begin_turn(task);
    compiler_barrier(); // the handler of on_kick is the other side, on this thread: what comes
    tasks::run(task);   // before the turn and after it uses the queues
    compiler_barrier();
    current.store_relaxed(nullptr);
    compiler_barrier();
    share();
    if (has_unfenced_push_) {
        has_unfenced_push_ = false;
        pool_.notify(index);
    }
}

// The task that was woken last, else the one that was spawned last.
task_header* worker::take_private() noexcept {
    if (has_lifo() && lifo_left_ != 0) {
        --lifo_left_;
        counters.lifo_hits.bump_relaxed(1);
        return exchange_lifo(nullptr);
    }
    lifo_left_ = lifo_streak_max;
    return fresh_.pop_newest();
}

task_header* worker::next_local() noexcept {
    if (private_left_ != 0) {
        --private_left_;
        if (task_header* const task = take_private()) {
            return task;
        }
    }
    if (ring_left_ != 0) {
        --ring_left_;
        if (bound.has_ready()) [[unlikely]] {
            return next_bound_or_queued();
        }
        if (task_header* const task = next_queued()) {
            return task;
        }
    }
    // The ring has had its turns, or nothing to run: then the spawn that has waited longest may
    // have one, and the streaks begin again.
    if (private_left_ == 0 && !oldest_.end(fresh_.top()) && oldest_.is_due()) {
        if (task_header* const task = fresh_.pop_oldest()) {
            oldest_.begin(fresh_.top());
            ring_left_ = 0; // straight back to here
            return task;
        }
    }
    private_left_ = private_streak_;
    lifo_left_ = lifo_streak_max;
    ring_left_ = ring_streak_max;
    if (task_header* const task = take_private()) {
        return task;
    }
    if (bound.has_ready()) [[unlikely]] {
        return next_bound_or_queued();
    }
    return next_queued();
}

task_header* worker::next_bound_or_queued() noexcept {
    is_turn_of_ring_ = !is_turn_of_ring_;
    if (is_turn_of_ring_) {
        if (task_header* const task = next_queued()) {
            return task;
        }
    }
    return bound.pop();
}

task_header* worker::next() noexcept {
    if (--until_inject_ == 0) [[unlikely]] {
        until_inject_ = pace_.interval();
        if (task_header* const task = next_from_others()) {
            return task;
        }
    }
    if (task_header* const task = next_local()) [[likely]] {
        return task;
    }
    return next_from_others();
}

// What other threads have queued, for this worker alone or for all of the node.
task_header* worker::next_from_others() noexcept {
    bound.take_inbound();
    if (task_header* const task = next_injected(local_queue::capacity / 2)) {
        return task;
    }
    return bound.pop();
}

// Takes this worker's share of the first injection queue that has something, nearest first, but not
// more than `most`.
task_header* worker::next_injected(std::size_t most) noexcept {
    const std::uint32_t nodes = pool_.node_count();
    for (std::uint32_t i = 0; i < nodes; ++i) {
        inject_queue& from = pool_.inject_of(node + i);
        const std::size_t queued = from.size();
        if (queued == 0) {
            continue;
        }
        const std::size_t share = queued / pool_.workers.size() + 1;
        const task_chain chain = from.pop(static_cast<std::uint32_t>(std::min(share, most)));
        if (chain.count == 0) {
            continue;
        }
        metrics::add(&worker_counters::injected, chain.count);
        if (chain.count > 1) {
            push_all({chain.first->queue_next, chain.last, chain.count - 1});
            wake_another();
        }
        return chain.first;
    }
    return nullptr;
}

void worker::stop_searching() noexcept {
    if (is_searching_) {
        is_searching_ = false;
        state.store_relaxed(worker_state::running);
        if (pool_.sleepers.stop_searching() && pool_.has_work()) {
            pool_.notify(index);
        }
    }
}

// Delivers what the kernel has, and puts the yielded tasks behind it.
void worker::maintain() noexcept {
    until_maintain_ = pool_.settings.event_interval;
    is_delivering_ = true;
    driver_->poll(true);
    after_driver();
    let_go_of_held();
    if (pace_.end(counters.polls.load_relaxed(), this_thread.coarse_ns)) {
        adapt_streaks();
    }
    take_deferred();
    become_lone();
}

// The mean time of a turn has changed.
void worker::adapt_streaks() noexcept {
    const double turn_ns = std::max(pace_.mean_ns(), 1.0);
    private_streak_ = static_cast<std::uint32_t>(
        std::clamp<double>(private_streak_ns / turn_ns, private_streak_min, private_streak_max)
    );
    oldest_.set_streak_ns((private_streak_ + ring_streak_max) * turn_ns);
    rest_looks_.limit(private_streak_);
}

void worker::after_driver() noexcept {
    this_thread.coarse_ns = pool_.clock.now_ns();
    is_delivering_ = true;
    wheel.advance(this_thread.coarse_ns);
    is_delivering_ = false;
    if (!is_searching_ && queue.size() > 1) {
        wake_another();
    }
}

void worker::park() noexcept {
    if (has_deferred()) {
        maintain();
        return;
    }
    if (pool_.hooks != nullptr) [[unlikely]] {
        stop_searching(); // others are not woken while somebody searches, and a hook may take long
        detail::call_hook(pool_.hooks->on_thread_park, detail::hook_kind::thread_park);
        if (has_lifo() || !fresh_.is_empty() || depth() != 0 || bound.has_ready()) {
            idle_since_ns_ = 0;
            return;
        }
    }
    if (!is_lone()) {
        if (become_lone()) {
            return;
        }
        const bool nobody_searches =
            pool_.sleepers.park(index, std::exchange(is_searching_, false));
        if (nobody_searches && pool_.has_work()) {
            pool_.notify(index);
        }
    }
    state.store_relaxed(worker_state::parked);
    metrics::count(&worker_counters::parks);
    if (counters.polls.load_relaxed() == polls_unparked_) {
        metrics::count(&worker_counters::noop_parks);
    }
    if (pool_.clock.is_paused()) [[unlikely]] {
        sleep_paused(wheel.next_deadline_ns());
    } else {
        sleep(pool_.clock.to_monotonic(wheel.next_deadline_ns()));
    }
    idle_since_ns_ = 0;
    metrics::count(&worker_counters::unparks);
    state.store_relaxed(worker_state::running);
    if (!is_lone()) {
        is_searching_ = pool_.sleepers.unpark(index);
    }
    pool_.dog.stir();
    until_maintain_ = pool_.settings.event_interval;
    if (pool_.hooks != nullptr) [[unlikely]] {
        detail::call_hook(pool_.hooks->on_thread_unpark, detail::hook_kind::thread_unpark);
    }
    after_driver();
    polls_unparked_ = counters.polls.load_relaxed();
    pace_.begin(polls_unparked_, this_thread.coarse_ns);
}

void worker::sleep(std::int64_t deadline_ns) noexcept {
    const std::uint64_t begin_ns = pool_.may_spin ? base::monotonic_ns() : 0;
    is_delivering_ = true;
    const bool was_woken = parker_.sleep(*driver_, deadline_ns);
    is_delivering_ = false;
    if (was_woken && pool_.may_spin) {
        note_wake_up(begin_ns);
    }
}

// Another thread has ended the sleep that began then, or prevented it.
void worker::note_wake_up(std::uint64_t begin_ns) noexcept {
    const std::uint64_t sent_ns = woken_at_ns_.load_relaxed(); // the parker's word ordered it
    if (sent_ns > begin_ns) {
        pool_.waking.note(base::monotonic_ns() - sent_ns);
        const std::uint64_t idle_since_ns = idle_since_ns_ != 0 ? idle_since_ns_ : begin_ns;
        spin_.woken_after(sent_ns - idle_since_ns, pool_.waking.spin_ns());
    }
}

void worker::unpark() noexcept {
    if (pool_.may_spin && parker_.is_parked()) {
        woken_at_ns_.store_relaxed(base::monotonic_ns());
    }
    if (parker_.unpark(*driver_)) {
        metrics::count(&worker_counters::wakes_sent);
    }
}

bool worker::run_some() noexcept {
    maintain();
    bool any = false;
    for (std::uint32_t i = 0; i < pool_.settings.event_interval; ++i) {
        task_header* const task = next();
        if (task == nullptr) {
            break;
        }
        run_task(task);
        any = true;
    }
    return any;
}

void worker::run_bound() noexcept {
    is_called_ = true;
    bound.take_deferred();
    bound.take_inbound();
    for (std::size_t left = bound.depth(); left != 0; --left) {
        task_header* const task = bound.pop();
        if (task == nullptr) {
            break;
        }
        run_task(task);
    }
    is_called_ = false;
}

void worker::wait_until(std::int64_t deadline_ns) noexcept {
    sleep(deadline_ns);
    after_driver();
}

void worker::take_over(worker& other) noexcept {
    if (task_header* const task = other.exchange_lifo(nullptr)) {
        push(task);
    }
    while (task_header* const task = other.fresh_.pop_oldest()) {
        push(task);
    }
    while (task_header* const task = other.next_queued()) {
        push(task);
    }
    push_all(other.deferred_.take());
}

} // namespace rt::scheduler

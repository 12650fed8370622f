// SPDX-License-Identifier: MIT
//
// The pool: waking workers, waiting from outside, and what observers see. How it starts is in
// startup.cc, how a task is queued in schedule.cc, how it ends in shutdown.cc.
//
// Threads: notify, has_work and the views may be called by any; run_root by one that is no worker;
// shut_down by the owner, once. Views are relaxed reads: each figure was true a moment ago.
#include "base/assert.h"
#include "base/clock.h"
#include "scheduler/pool_state.h"
#include "scheduler/scheduler.h"
#include "scheduler/thread_listener.h"
#include "task/task.h"

#include <rt/join.h>

#include <algorithm>

namespace rt::scheduler {

using detail::this_thread;

pool_state::pool_state(const config& wanted, driver::kind kind, std::uint32_t worker_count)
    : settings(wanted)
    , driver_kind(kind)
    , bound_count(worker_count)
    , bound(std::make_unique<bound_tasks[]>(worker_count))
    , sleepers(worker_count, stand_ins_max)
    , start_errors(worker_count, 0) {
}

void pool_state::notify(std::uint32_t near) noexcept {
    if (sleepers.is_lone()) {
        workers[0]->unpark(); // see idle.h, "A lone worker"
        // Store-load: the caller's push before this look; pairs with the fences of go_away, of the
        // stand-in that was made for it, and of on_kick. (On x86 unpark's exchange would do.)
        fence_seq_cst();
        if (sleepers.is_lone()) {
            return; // else it may have gone away, and looked at the queues, in between
        }
    }
    // Store-load: the caller's push before the read of the idle word; see idle.h.
    fence_seq_cst();
    if (sleepers.is_lone()) [[unlikely]] {
        workers[0]->unpark(); // it has become lone in between: pairs with become_lone's fence
        return;
    }
    if (const auto chosen = sleepers.worker_to_wake(near)) {
        find(*chosen)->unpark();
    }
}

void pool_state::unpark_all() noexcept {
    for (const std::unique_ptr<worker>& each : workers) {
        each->unpark();
    }
}

scheduler_addresses pool_state::addresses() const noexcept {
    return {
        reinterpret_cast<std::uintptr_t>(facade),
        reinterpret_cast<std::uintptr_t>(static_cast<detail::scheduler_base*>(bound.get())),
        sizeof(bound_tasks),
        static_cast<std::uint32_t>(workers.size())};
}

bool pool_state::has_work() const noexcept {
    for (std::uint32_t i = 0; i < index_end(); ++i) {
        const worker* const each = find(i);
        if (each != nullptr && !each->queue.is_empty()) {
            return true;
        }
    }
    return std::any_of(injected.begin(), injected.end(), [](const auto& q) {
        return !q->is_empty();
    });
}

pool::~pool() {
    if (state_ != nullptr) {
        shut_down();
    }
}

namespace {

// Makes the calling thread the worker of a flavor::current_thread pool, whose seat it has.
class sitting {
public:
    explicit sitting(pool_state& pool) noexcept
        : pool_(pool)
        , former_pool_(offload::current_pool()) {
        offload::set_current_pool(pool.blocking);
        pool.workers[0]->enter();
    }
    sitting(const sitting&) = delete;
    sitting& operator=(const sitting&) = delete;
    ~sitting() {
        pool_.workers[0]->leave();
        offload::set_current_pool(former_pool_);
        pool_.driving.leave();
    }

private:
    pool_state& pool_;
    offload::pool* const former_pool_;
};

// Until the listener's task has ended or a shutdown wants the seat, which is the caller's. `root`:
// a task to begin with, or null.
void drive(pool_state& state, thread_listener& listener, task_header* root) noexcept {
    const sitting here(state);
    if (root != nullptr) {
        state.facade->schedule_new(root);
    }
    if (state.settings.seed == 0) {
        state.workers[0]->run(listener.word);
    } else {
        const base::random_source former = tasks::exchange_order(state.next_order());
        state.workers[0]->run(listener.word);
        tasks::exchange_order(former);
    }
}

} // namespace

// The worker has its root without the way through injection if it can be it at once.
void pool::run_on_this_thread(task_header* root, thread_listener& listener) noexcept {
    pool_state& state = *state_;
    // acquire: as in worker::run. Once the pool has ended nothing may be left with its worker.
    if (state.phase.load_acquire() == phase_running && state.driving.try_take(listener)) {
        drive(state, listener, root);
    } else {
        schedule_new(root);
        if (state.driving.take(listener)) {
            drive(state, listener, nullptr);
        }
    }
    while (listener.was_asked() && state.driving.take(listener)) {
        drive(state, listener, nullptr);
    }
}

void pool::run_root(const detail::join_handle_base& root) noexcept {
    thread_listener listener;
    task_header* const task = root.header();
    static_cast<void>(root.listen(&listener)); // it has not begun
    pool_state& state = *state_;
    if (state.settings.flavor == flavor::current_thread) {
        run_on_this_thread(task, listener);
        return;
    }
    schedule_new(task);
    const std::uint64_t begin_ns = base::monotonic_ns();
    if (state.block_on_spin.is_worth()) {
        const bool has_ended = listener.spin(begin_ns + state.waking.spin_ns());
        state.block_on_spin.end(has_ended);
        if (has_ended) {
            return;
        }
    }
    listener.wait();
    if (state.may_spin) {
        const std::uint64_t waited_ns = base::monotonic_ns() - begin_ns;
        const std::uint64_t waking_ns = std::min(waited_ns, state.waking.mean_ns());
        state.block_on_spin.woken_after(waited_ns - waking_ns, state.waking.spin_ns());
    }
}

void pool::shut_down() noexcept {
    if (state_ == nullptr || state_->is_down) {
        return;
    }
    pool_state& state = *state_;
    state.is_down = true;
    {
        const base::guard hold(state.stand_in_lock);
        state.is_watchdog_over = true;
    }
    state.dog.stop();
    state.begin_end(); // unless that is so already
    if (state.settings.flavor == flavor::current_thread) {
        thread_listener end;
        if (!state.driving.demand(end)) {
            state.unpark_all(); // the thread in block_on looks whether it was asked
            static_cast<void>(state.driving.wait(end));
        }
        const sitting here(state);
        state.drain(*state.workers[0]);
    }
    for (base::thread& thread : state.threads) {
        thread.join();
    }
    state.threads.clear();
    state.join_stand_ins();
    state.see_guests_off();
    for (std::uint32_t i = 0; i < state.index_end(); ++i) {
        if (worker* const each = state.find(i)) {
            each->detach();
        }
    }
}

void pool::begin_shut_down() noexcept {
    if (state_ != nullptr && state_->settings.flavor != flavor::current_thread) {
        state_->begin_end();
    }
}

std::exception_ptr pool::unhandled() const noexcept {
    return state_->unhandled;
}

std::uint32_t pool::worker_count() const noexcept {
    return static_cast<std::uint32_t>(state_->workers.size());
}

std::uint32_t pool::view_count() const noexcept {
    return state_->index_end();
}

worker_view pool::view(std::uint32_t index) const {
    worker_view view;
    view.index = index;
    const worker* const found = state_->find(index);
    if (found == nullptr) {
        return view;
    }
    const worker& seen = *found;
    view.tid = seen.tid.load_relaxed();
    view.node = seen.node;
    if (index < state_->pins.size() && !state_->pins[index].is_empty()) {
        view.cpus = state_->pins[index].print();
    }
    view.state = seen.state.load_relaxed();
    view.turn = seen.turn.load_relaxed();
    view.task = seen.current.load_relaxed();
    // A header stays a header: its id can be read even if the task has ended meanwhile.
    view.task_id = view.task == nullptr ? 0 : view.task->id.load_relaxed();
    view.queue_depth = seen.depth();
    view.private_depth = seen.private_depth();
    view.bound_depth = seen.bound.depth();
    view.timers = seen.wheel.size();
    view.counters = &seen.counters;
    return view;
}

metrics::histogram_data pool::sum_of(metrics::histogram* metrics::worker_counters::*which) const {
    metrics::histogram_data sum;
    for (std::uint32_t i = 0; i < state_->index_end(); ++i) {
        const worker* const each = state_->find(i);
        if (each != nullptr && each->counters.*which != nullptr) {
            (each->counters.*which)->read_into(sum);
        }
    }
    return sum;
}

metrics::histogram_data pool::read_poll_times() const {
    return sum_of(&metrics::worker_counters::poll_times);
}

metrics::histogram_data pool::read_schedule_latency() const {
    return sum_of(&metrics::worker_counters::schedule_latency);
}

std::size_t pool::injected_depth() const noexcept {
    std::size_t depth = 0;
    for (const std::unique_ptr<inject_queue>& queue : state_->injected) {
        depth += queue->size();
    }
    return depth;
}

scheduler_addresses pool::addresses() const noexcept {
    return state_->addresses();
}

detail::scheduler_base* pool::bound_to_or_fatal(std::uint32_t index, detail::site at) noexcept {
    const std::uint32_t count = worker_count();
    if (index >= count) {
        base::fatal(
            "spawn_on worker %u of a runtime that has %u, at %s:%u: indices are below "
            "worker_count()",
            index,
            count,
            at.file_name(),
            static_cast<unsigned>(at.line())
        );
    }
    return &state_->bound[index];
}

driver::kind pool::driver_kind() const noexcept {
    return state_->driver_kind;
}

const std::string& pool::placement_reason() const noexcept {
    return state_->placement_reason;
}

driver::timer_wheel& current_wheel() noexcept {
    if (this_thread.worker == nullptr) {
        base::fatal("a timer outside a task: wrap the call in rt::block_on(...)");
    }
    return this_thread.worker->wheel;
}

} // namespace rt::scheduler

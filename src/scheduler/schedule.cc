// SPDX-License-Identifier: MIT
//
// Where a ready task goes.
//
// On a worker of the pool: a task that was woken goes to the LIFO slot, whose former content goes
// to the ring, or behind it to those that are held while sharing does not pay (steal_profit.h); a
// task that was spawned to the fresh stack; a batch that the driver or the wheel delivers to the
// ring; what does not fit into the ring to the node's injection queue. From every other thread: to
// the injection queue of the node where the task ran last. Such a guest may be overtaken by the
// task that it has queued, and by the end of the runtime with it; the queue's count of guests is
// what shutdown waits for.
//
// None of this is about tasks that are bound to a worker: they name another scheduler, and come to
// bound_tasks.cc.
//
// Who is woken for it is idle.h's business; on_kick, at the end, is what a worker in a long turn
// does with its private tasks when the watchdog asks.
#include "scheduler/pool_state.h"
#include "scheduler/tuning.h"
#include "scheduler/worker.h"
#include "task/run.h"

#include <algorithm>
#include <utility>

namespace rt::scheduler {

using detail::this_thread;
using metrics::worker_counters;

namespace {

// Marks the worker's own use of its queues inside a turn, for on_kick. The handler runs on the same
// thread: a compiler barrier is all that the flag needs.
class queue_use {
public:
    queue_use() noexcept {
        this_thread.is_using_queues = true;
        compiler_barrier();
    }
    queue_use(const queue_use&) = delete;
    queue_use& operator=(const queue_use&) = delete;
    ~queue_use() {
        compiler_barrier();
        this_thread.is_using_queues = false;
    }
};

} // namespace

// Appends to the ring; spills the newest half to the node's injection queue when it is full. A lone
// worker has no use for the ring.
void worker::push(task_header* task) noexcept {
    if (is_lone()) {
        held_.push(task);
        return;
    }
    for (int attempt = 0; attempt < 2; ++attempt) {
        if (queue.try_push(task)) {
            return;
        }
        const task_chain chain = queue.take_overflow(task);
        if (chain.count != 0) {
            metrics::count(&worker_counters::overflows);
            pool_.inject(node, chain);
            return;
        }
    }
    pool_.inject(node, {task, task, 1}); // full, and a thief is copying: do not wait for it
}

// A task that was woken in a turn: to the ring, where others can have it, or to those behind it.
void worker::push_woken(task_header* task) noexcept {
    if (may_hold()) {
        held_.push(task);
        return;
    }
    let_go_of_held();
    push(task);
    notify_soon();
}

// Others can have them from now on, if there are others.
void worker::let_go_of_held() noexcept {
    if (is_lone()) {
        return;
    }
    while (task_header* const task = held_.pop()) {
        push(task);
    }
}

// Whether what this turn has woken may wait for this worker: there is no other, or sharing does not
// pay and the turn is young.
bool worker::may_hold() noexcept {
    if (is_lone()) {
        return true;
    }
    if (!profit_.is_resting(this_thread.coarse_ns)) {
        return false;
    }
    const std::uint64_t now = pool_.clock.now_ns();
    const bool is_young = age_.is_young(turn.load_relaxed(), now, this_thread.coarse_ns);
    return is_young && profit_.is_resting(now);
}

void worker::push_all(const task_chain& chain) noexcept {
    if (is_lone()) {
        held_.append(chain);
        return;
    }
    task_header* task = chain.first;
    for (std::uint32_t left = chain.count; left != 0; --left) {
        task_header* const following = task->queue_next;
        push(task);
        task = following;
    }
}

void worker::schedule_local(task_header* task) noexcept {
    const queue_use use;
    counters.local_schedules.bump_relaxed(1);
    if (is_delivering_) {
        push(task); // a batch: after_driver wakes somebody if it is more than one
        return;
    }
    task_header* const next = has_lifo_slot_ ? exchange_lifo(task) : task;
    if (next != nullptr) {
        push_woken(next);
    }
}

// What it may call is called last and out of line, so that a spawn saves no registers for it.
void worker::schedule_new(task_header* task) noexcept {
    bool is_pushed = false;
    {
        const queue_use use;
        is_pushed = fresh_.try_push(task);
        if (is_pushed) [[likely]] {
            counters.local_schedules.bump_relaxed(1);
            this_thread.newest = task;
        }
    }
    if (!is_pushed) [[unlikely]] {
        schedule_new_slow(task);
    } else if (is_share_due()) {
        share_new();
    }
}

void worker::schedule_new_slow(task_header* task) noexcept {
    {
        const queue_use use;
        if (!fresh_.grow()) {
            counters.local_schedules.bump_relaxed(1);
            return push(task);
        }
    }
    schedule_new(task);
}

// Leaves at least the newest.
void worker::share_new() noexcept {
    const queue_use use;
    share_fresh();
}

// A task that joins the one it has just spawned would suspend, be woken by the child's end, which
// is the next turn, and go on: three of the four locked operations of a spawn and its join, and a
// second turn. A lone worker runs the child inside the parent's turn. With other workers the parent
// could be wanted elsewhere before the child's turn ends; here nobody but this worker could run it.
// Not instead of anything that would be looked at or run first, and not within a timeout. When the
// child goes away, in rt::block_in_place, the parent waits like any other (let_joiners_wait): it
// may be aborted by what runs then, and the child may wait for that.
//
// Tried and not kept: the same for any child that nobody has begun. In trees whose tasks join
// several children the parent suspends once for all of them, which costs less than as many nested
// turns (skynet took 1.16 times as long).
bool worker::run_at_join(task_header* task, detail::join_wait& wait) noexcept {
    if (!is_lone() || nested_ == nested_max || !take_next_in_turn(task)) {
        return false;
    }
    --private_left_;
    --until_maintain_;
    --until_inject_;
    task_header* const outer = this_thread.task;
    begin_turn(task);
    ++nested_;
    const bool is_outer_ours = tasks::run_nested(task, wait);
    --nested_;
    current.store_relaxed(is_outer_ours ? outer : nullptr);
    turn.bump_relaxed(1);
    return !is_outer_ours;
}

// Takes the task from the fresh stack, if it is the next in turn. Look and take are one for
// on_kick, which a lone worker sees too: in the rt::block_in_place of another runtime it is on the
// thread of a worker that has a watchdog, and a program may send SIGURG to any thread.
bool worker::take_next_in_turn(task_header* task) noexcept {
    const queue_use use;
    const bool is_next = !has_lifo() && private_left_ != 0 && until_maintain_ > 1 &&
        until_inject_ > 1 && fresh_.is_newest(task);
    if (is_next) {
        this_thread.newest = nullptr;
        static_cast<void>(fresh_.pop_newest());
    }
    return is_next;
}

// Looks at the clock: the coarse time is as old as the last look at the driver. The next look is
// sooner while there is little to share: of twenty long tasks most should be.
bool worker::is_still_resting() noexcept {
    const std::uint32_t waiting = fresh_.size() + held_.size();
    const std::uint32_t events = std::min(private_streak_, std::max(rest_looks_min, waiting / 2));
    const std::uint64_t now = pool_.clock.now_ns();
    if (rest_looks_.look(now, events)) {
        profit_.end_rest();
    }
    if (profit_.is_resting(now)) {
        return true;
    }
    rest_looks_.hurry();
    return false;
}

// Lets others have some of the spawned tasks: the older half, once the ring has run empty or while
// somebody sleeps. One is always kept, so a chain of spawns stays where it is.
void worker::share_fresh() noexcept {
    if (profit_.is_resting(this_thread.coarse_ns) && is_still_resting()) {
        return;
    }
    if (!held_.is_empty()) {
        let_go_of_held();
        notify_soon();
    }
    if (fresh_.size() < 2) {
        return;
    }
    const bool somebody_sleeps = pool_.sleepers.may_wake();
    if (!somebody_sleeps && (!pool_.sleepers.is_searching() || !queue.is_empty())) {
        return;
    }
    for (std::uint32_t left = std::min(fresh_.size() / 2, share_max); left != 0; --left) {
        task_header* const task = fresh_.pop_oldest();
        if (!queue.try_push(task)) {
            push(task);
            break;
        }
    }
    if (somebody_sleeps) {
        pool_.notify(index);
    } else {
        has_unfenced_push_ = true;
    }
}

// Inside a tree of tasks the parent goes on at once: what it spawns or ends next is warm, and the
// tree stays depth-first. A parent of many, whose children have gone to the ring, goes behind them:
// it will join the siblings next, and by then they have ended and it does not suspend once for
// each.
void worker::schedule_joiner(task_header* task) noexcept {
    if (fresh_.size() != 0 || depth() == 0) {
        schedule_local(task);
        return;
    }
    const queue_use use;
    counters.local_schedules.bump_relaxed(1);
    if (is_delivering_) {
        push(task);
    } else {
        push_woken(task);
    }
}

// Wakes a sleeper for what this turn has pushed. The fence that closes the race with a worker that
// is just falling asleep is paid once, at the end of the turn; until then a look without it finds
// those that sleep already.
void worker::notify_soon() noexcept {
    if (is_lone()) {
        return;
    }
    if (pool_.sleepers.may_wake()) {
        pool_.notify(index);
    } else {
        has_unfenced_push_ = true;
    }
}

void worker::wake_another() noexcept {
    if (!is_lone()) {
        pool_.notify(index);
    }
}

void worker::defer(task_header* task) noexcept {
    const queue_use use;
    count_yield();
    deferred_.push(task);
}

void worker::take_deferred() noexcept {
    bound.take_deferred();
    const task_chain chain = deferred_.take();
    push_all(chain);
    if (chain.count > 1) {
        wake_another();
    }
}

void worker::on_kick() noexcept {
    if (former_.driver != nullptr) [[unlikely]] {
        former_.driver->kick(); // this is a runtime in the rt::block_in_place of another
    }
    if (current.load_relaxed() == nullptr || this_thread.is_using_queues) {
        return; // it is about to look after itself, or will be kicked again
    }
    // The ring's producer is this thread, interrupted outside of its operations: try_push is safe.
    // What does not fit stays; the ring is full of work for others then.
    this_thread.newest = nullptr; // others have it now
    if (is_lone_ && pool_.is_company_wanted.load_relaxed()) {
        leave_loneliness();
        fence_seq_cst(); // store-load, as in go_away; the watchdog looks at the queues
    }
    if (has_lifo() && queue.has_room()) {
        static_cast<void>(queue.try_push(exchange_lifo(nullptr)));
    }
    while (!held_.is_empty() && queue.has_room()) {
        static_cast<void>(queue.try_push(held_.pop()));
    }
    // What has yielded before what is new: this turn may spawn faster than others run.
    while (!deferred_.is_empty() && queue.has_room()) {
        static_cast<void>(queue.try_push(deferred_.pop()));
    }
    while (task_header* const task = fresh_.pop_oldest()) {
        if (!queue.try_push(task)) {
            fresh_.push_oldest(task);
            break;
        }
    }
    driver_->kick();
}

void pool::schedule(task_header* task) noexcept {
    worker* const self = this_thread.worker;
    if (self != nullptr && this_thread.scheduler == this) {
        self->schedule_local(task);
        return;
    }
    const std::uint32_t home = task->home;
    const auto& workers = state_->workers;
    const bool has_home = home < workers.size();
    state_->inject(has_home ? workers[home]->node : 0, {task, task, 1});
}

void pool::schedule_joiner(task_header* task) noexcept {
    worker* const self = this_thread.worker;
    if (self != nullptr && this_thread.scheduler == this) {
        self->schedule_joiner(task);
        return;
    }
    schedule(task);
}

bool pool::refuse_late(task_header* task) noexcept {
    return state_->refuse_late(task);
}

bool pool::run_at_join(task_header* task, detail::join_wait& wait) noexcept {
    worker* const self = this_thread.worker;
    return self != nullptr && this_thread.scheduler == this && self->run_at_join(task, wait);
}

void pool::schedule_new(task_header* task) noexcept {
    worker* const self = this_thread.worker;
    const bool is_ending = state_->phase.load_relaxed() != phase_running;
    if (is_ending || self == nullptr || this_thread.scheduler != this) [[unlikely]] {
        return schedule_new_elsewhere(task, is_ending);
    }
    self->schedule_new(task);
}

// From a thread that is no worker of the pool, or while it ends.
void pool::schedule_new_elsewhere(task_header* task, bool is_ending) noexcept {
    if (is_ending) {
        // A task that is spawned now does not begin. Relaxed: one that slips through is found by
        // the leader's walk.
        task->state.or_relaxed(detail::state_aborted);
    }
    worker* const self = this_thread.worker;
    if (self != nullptr && this_thread.scheduler == this) {
        self->schedule_new(task);
        return;
    }
    if (is_ending && state_->refuse_from_outside(task, state_->inject_of(0))) {
        return;
    }
    schedule(task);
}

} // namespace rt::scheduler

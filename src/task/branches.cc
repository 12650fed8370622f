// SPDX-License-Identifier: MIT
//
// Invariants of a group: live_ is the number of members that have not ended; a branch that is not
// suspended, running or ended is in the ready list or in the inbox, and nowhere else; the inbox has
// the mark exactly while the task is suspended here (or about to be) and nothing has been pushed.
//
// The task pays one unit of its budget for each turn of the group, so that branches that wake one
// another cannot keep the worker.
#include "base/assert.h"
#include "base/random.h"
#include "base/text_writer.h"
#include "task/label.h"
#include "task/run.h"
#include "task/task.h"
#include "task/task_local.h"

#include <rt/detail/branches.h>
#include <rt/detail/context.h>
#include <rt/detail/frame.h>
#include <rt/detail/suspend.h>
#include <rt/spawn.h>

#include <new>
#include <string_view>
#include <utility>

namespace rt::detail {
namespace {

constexpr std::uint64_t cancel_bits = state_aborted | state_scoped;

// Which branch select begins with. Seeded alike on every thread, unless config::seed says more:
// spread out is all it has to be.
constinit thread_local base::random_source order_source{1};

} // namespace
} // namespace rt::detail

namespace rt::tasks {

base::random_source exchange_order(base::random_source next) noexcept {
    return std::exchange(detail::order_source, next);
}

} // namespace rt::tasks

namespace rt::detail {

branch_group::branch_group(group_policy policy, task_header** slots) noexcept
    : completion_listener(&on_branch_ended)
    , wait_node(&on_cancel)
    , slots_(slots)
    , policy_(policy) {
}

branch_group::~branch_group() {
    RT_ASSERT(live_ == 0);
}

// ---- members ------------------------------------------------------------------------------------

task_header* branch_group::add_frame(void* frame, site at) noexcept {
    task_header* const branch = frame == nullptr ? nullptr : create_task(frame, this, at);
    if (branch == nullptr) {
        has_failed_ = true;
        cancel_members();
        return nullptr;
    }
    if (branch_count_ == 0) {
        rt::tasks::make_bridge(bridge_, this_thread.task);
        whole = whole_of(this_thread.task);
    }
    if (whole != nullptr) {
        // Its number is that of the task that dumps show, for who asks in it and who it spawns: a
        // branch has no other. Nobody finds it by this, as walks pass over what is a group's.
        branch->id.store_release(whole->id.load_relaxed()); // release: as in make_task
    }
    branch->boundary = &bridge_; // so that it sees the values of its task
    slots_[branch_count_++] = branch;
    ++live_;
    if (is_cancelling_) {
        branch->state.or_relaxed(state_aborted); // relaxed: nobody else knows it yet
    }
    put_last(branch);
    return branch;
}

// A group's lists belong to the task of the scope's body. Code in no task (a closure of
// rt::blocking that the body waits for) is let through.
void branch_group::forbid_others(const char* what) const noexcept {
    const context& self = this_thread;
    const task_header* const running = whole_of(self.task != nullptr ? self.task : self.in_place);
    if (running == nullptr || whole == nullptr || running == whole) [[likely]] {
        return;
    }
    base::text_buffer<768> who; // of the 1024 bytes that fatal() writes
    rt::tasks::write_task(who, running);
    const std::string_view text = who.view();
    base::fatal(
        "%s by %.*s, which is not the body of the scope: a child that has children opens a scope "
        "of its own",
        what,
        static_cast<int>(text.size()),
        text.data()
    );
}

template<typename How>
rt::abort_handle branch_group::make_child(
    void* frame, scheduler_base* scheduler, How how, drop_function drop
) noexcept {
    forbid_others("rt::scope::spawn");
    void* const block = frame == nullptr ? nullptr : allocate_frame(sizeof(group_child));
    if (block == nullptr) {
        return {};
    }
    task_header* const child = create_task(frame, scheduler, how);
    if (child == nullptr) {
        deallocate_frame(block, sizeof(group_child));
        return {};
    }
    auto* const node = ::new (block) group_child(&on_child_ended);
    node->group = this;
    node->task = child;
    node->drop = drop;
    node->next = children_;
    if (children_ != nullptr) {
        children_->previous = node;
    }
    children_ = node;
    ++child_count_;
    ++live_;
    child->listener = node;
    // relaxed: nobody else knows it yet.
    child->state.or_relaxed(state_listener | (is_cancelling_ ? state_aborted : 0U));
    rt::abort_handle handle(child);
    scheduler->schedule_new(child);
    return handle;
}

rt::abort_handle branch_group::add_child_frame(
    void* frame, scheduler_base* scheduler, titled how, drop_function drop
) noexcept {
    return make_child(frame, scheduler, how, drop);
}

rt::abort_handle branch_group::add_child_frame(
    void* frame, scheduler_base* scheduler, const spawn_options* how, drop_function drop
) noexcept {
    return make_child(frame, scheduler, how, drop);
}

void branch_group::shuffle() noexcept {
    if (branch_count_ < 2) {
        return;
    }
    auto turns = order_source.below(static_cast<std::uint32_t>(branch_count_));
    for (; turns != 0; --turns) {
        task_header* const first = ready_first_;
        ready_first_ = first->queue_next;
        put_last(first);
    }
}

void branch_group::cancel_members() noexcept {
    lose_branches();
    ask_members();
}

// Rule 6 of rt/detail/header.h.
void branch_group::lose_branches() noexcept {
    if (is_settled_) {
        return;
    }
    is_settled_ = true;
    for (std::size_t i = 0; i < branch_count_; ++i) {
        slots_[i]->state.or_relaxed(state_lost); // relaxed: read in turn(), by this task
    }
}

// Asks members whose values are still wanted, because the task is cancelled and not the group: it
// will be whole if each branch, or for first_end one of them, has been woken already and ends.
void branch_group::ask_members() noexcept {
    if (is_cancelling_) {
        return;
    }
    is_cancelling_ = true;
    for (std::size_t i = 0; i < branch_count_; ++i) {
        if (request_cancel(slots_[i], state_aborted)) {
            inbox_.push(slots_[i], inbox::wake_order::first);
            if (policy_ == group_policy::first_failure && branch_count_ > 1) {
                lose_branches(); // without this one the others are of no use
            }
        }
    }
    // A child that ends meanwhile stays in the list until its end has been taken from the inbox.
    for (group_child* child = children_; child != nullptr; child = child->next) {
        if (request_cancel(child->task, state_aborted)) {
            child->task->scheduler->schedule(child->task);
        }
    }
}

bool branch_group::is_lost() const noexcept {
    return is_task_cancelled_ &&
        (policy_ == group_policy::first_end ? decisive_ == nullptr : has_loss_);
}

// ---- endings ------------------------------------------------------------------------------------

// Called inside turn(), by the branch's last act.
void branch_group::on_branch_ended(completion_listener* listener, task_header* branch) noexcept {
    static_cast<branch_group*>(listener)->end_branch(branch);
}

void branch_group::end_branch(task_header* branch) noexcept {
    RT_ASSERT(live_ != 0);
    --live_;
    if (branch->ended == outcome::cancelled) {
        has_loss_ = true;
        if (policy_ == group_policy::first_failure) {
            lose_branches();
        }
        return;
    }
    const bool decides = policy_ == group_policy::first_end || branch->ended == outcome::exception;
    if (!decides) {
        return;
    }
    if (decisive_ == nullptr && !child_exception_) {
        decisive_ = branch;
    }
    cancel_members();
}

// Called by the child's worker.
void branch_group::on_child_ended(completion_listener* listener, task_header* child) noexcept {
    static_cast<group_child*>(listener)->group->inbox_.push(child, inbox::wake_order::last);
}

void branch_group::end_child(task_header* child) noexcept {
    auto* const node = static_cast<group_child*>(child->listener);
    RT_ASSERT(node->task == child && live_ != 0);
    (node->previous == nullptr ? children_ : node->previous->next) = node->next;
    if (node->next != nullptr) {
        node->next->previous = node->previous;
    }
    --live_;
    --child_count_;
    if (child->ended == outcome::cancelled) {
        has_loss_ = true;
    } else if (child->ended == outcome::exception) {
        if (decisive_ == nullptr && !child_exception_) {
            child_exception_ = *stored_exception(child);
        }
        // So that drop does not report it as lost: it is rethrown, or comes after one that is. One
        // that had failed before it could be asked to unwind is no different from one that was.
        // relaxed: it has ended, and this thread is the one that drops it.
        child->state.or_relaxed(state_aborted);
        cancel_members();
    }
    node->drop(child);
    release(child);
    deallocate_frame(node, sizeof(group_child));
    if (child_count_ == 0) {
        wake_joiners();
    }
}

// ---- waits for the children ---------------------------------------------------------------------

void branch_group::add_joiner(group_joiner& joiner) noexcept {
    forbid_others("rt::scope::join");
    joiner.next = std::exchange(joiners_, &joiner);
}

bool branch_group::remove_joiner(group_joiner& joiner) noexcept {
    for (group_joiner** link = &joiners_; *link != nullptr; link = &(*link)->next) {
        if (*link == &joiner) {
            *link = joiner.next;
            return true;
        }
    }
    return false;
}

void branch_group::wake_joiners() noexcept {
    group_joiner* each = std::exchange(joiners_, nullptr);
    while (each != nullptr) {
        // A part that is woken runs in a later step of this turn, but what it waited with is its
        // own from here on.
        group_joiner* const joiner = std::exchange(each, each->next);
        wake(joiner->task);
    }
}

// ---- turns --------------------------------------------------------------------------------------

void branch_group::put_last(task_header* task) noexcept {
    task->queue_next = nullptr;
    (ready_last_ == nullptr ? ready_first_ : ready_last_->queue_next) = task;
    ready_last_ = task;
}

task_header* branch_group::take_ready() noexcept {
    task_header* const pushed = inbox_.take();
    if (ready_last_ == nullptr) {
        return pushed;
    }
    ready_last_->queue_next = pushed;
    ready_last_ = nullptr;
    return std::exchange(ready_first_, nullptr);
}

// Takes the next one to run from a list that is not empty.
task_header* branch_group::choose(task_header*& list) const noexcept {
    if (is_biased_) {
        for (std::size_t i = 0; i < branch_count_; ++i) {
            for (task_header** link = &list; *link != nullptr; link = &(*link)->queue_next) {
                if (*link == slots_[i]) {
                    *link = slots_[i]->queue_next;
                    return slots_[i];
                }
            }
        }
    }
    return std::exchange(list, list->queue_next);
}

// What a cancellation of the task means to branches that have been woken, before any of them runs.
void branch_group::heed(std::uint64_t state) noexcept {
    if ((state & state_lost) != 0 && policy_ != group_policy::shielded) {
        is_task_cancelled_ = true;
        cancel_members(); // the task is a branch that has lost, and so have its own
        return;
    }
    // A part of a join takes nothing if another one still waits, as in the first turn none does.
    if ((state & cancel_bits) != 0 && policy_ == group_policy::first_failure &&
        !is_task_cancelled_ && branch_count_ > 1 && slots_[0]->polls != 0) {
        is_task_cancelled_ = true;
        ask_members();
    }
}

// Runs each branch that is ready once, as a part of the turn of the task that owns the group.
void branch_group::turn() noexcept {
    context& self = this_thread;
    task_header* const owner = self.task;
    const std::uint32_t budget = self.budget;
    is_starved_ = false;
    heed(owner->state.load_acquire()); // acquire: pairs with request_cancel
    do {
        shall_rerun_ = false;
        task_header* list = take_ready();
        while (list != nullptr) {
            task_header* const one = choose(list);
            // acquire: pairs with complete(). An ended branch is in no list: this is a child.
            if ((one->state.load_acquire() & state_complete) != 0) {
                end_child(one);
            } else {
                rt::tasks::run_turn(one);
                self.task = owner;
            }
        }
    } while (shall_rerun_);
    self.after = nullptr; // what the branches left there is done
    self.budget = budget;
}

bool branch_group::await_ready() noexcept {
    turn();
    return is_done();
}

bool branch_group::suspend(void* self) noexcept {
    task_header* const owner = attach_to_current(*this, "a join, select or scope");
    if (ready_first_ == nullptr && inbox_.expect(owner)) {
        return commit_suspend(owner, self, this, wait_kind::scope, this);
    }
    // There is more to do, and there may always be: a cancellation is not left to commit_suspend.
    // acquire: pairs with request_cancel.
    const bool is_asked = (owner->state.load_acquire() & cancel_bits) != 0;
    if (is_asked && policy_ != group_policy::shielded && !is_task_cancelled_) {
        is_task_cancelled_ = true;
        ask_members();
        return false; // they unwind in the next turn
    }
    if (ready_first_ == nullptr && consume_budget()) {
        return false;
    }
    // Some branch has yielded, or all of them go on and on: give way, without being taken for a
    // task that has nothing registered anywhere (wait_kind::yield).
    this_thread.is_starved = is_starved_; // for who counts this yield
    owner->resume = self;
    owner->waits_for = wait_kind::scope;
    this_thread.after = &rt::tasks::put_back;
    return true;
}

// ---- cancellation -------------------------------------------------------------------------------

wait_node::cancel_result branch_group::on_cancel(wait_node* node) noexcept {
    auto* const self = static_cast<branch_group*>(node);
    // A member's end wakes the task, and the cancellation waits until then.
    return self->policy_ == group_policy::shielded ? cancel_result::in_flight : self->let_go();
}

wait_node::cancel_result branch_group::let_go() noexcept {
    is_task_cancelled_ = true;
    const bool is_ours = inbox_.retract();
    ask_members();
    if (!is_ours) {
        return cancel_result::in_flight;
    }
    for (;;) {
        turn();
        if (live_ == 0) {
            if (is_lost()) {
                return cancel_result::detached;
            }
            // All of it was delivered. Nobody else will say so: the mark is ours.
            static_cast<void>(try_wake(task));
            return cancel_result::in_flight;
        }
        if (ready_first_ == nullptr && inbox_.expect(task)) {
            return cancel_result::in_flight;
        }
    }
}

// ---- the scheduler of the branches --------------------------------------------------------------

void branch_group::schedule(task_header* task) noexcept {
    inbox_.push(task, inbox::wake_order::first);
}

void branch_group::schedule_joiner(task_header* task) noexcept {
    if (this_thread.task != task) {
        inbox_.push(task, inbox::wake_order::last);
        return;
    }
    // It has yielded, inside turn().
    const bool is_starved = std::exchange(this_thread.is_starved, false);
    if (is_unconstrained_) {
        shall_rerun_ = shall_rerun_ || this_thread.budget == 0;
    } else {
        is_starved_ = is_starved_ || is_starved || this_thread.budget == 0;
    }
    put_last(task);
}

void branch_group::schedule_new(task_header* task) noexcept {
    inbox_.push(task, inbox::wake_order::first);
}

} // namespace rt::detail

// SPDX-License-Identifier: MIT
//
// A set's core: the list of members, and the inbox in which they are left when they end.
//
// A member's node listens for its end and has a reference to the core, because a set may be dropped
// while a worker is on its way to say that a member has ended: then that worker, or the last of
// several, takes the core apart. A member whose listener can be removed in time is let go at once;
// an emptied set makes a new core for its next member. The members are a list, so that abort_all
// and detach_all find them; joining one is O(1) and allocates nothing, spawning one takes a block
// of 64 bytes from the frame lists.
#include "base/assert.h"
#include "task/task.h"

#include <rt/detail/context.h>
#include <rt/detail/frame.h>
#include <rt/detail/inbox.h>
#include <rt/join_set.h>

#include <memory>
#include <new>
#include <utility>

namespace rt::detail {
namespace {

struct member_node : completion_listener {
    explicit member_node(function f) noexcept
        : completion_listener(f) {}

    join_set_core* core = nullptr;
    task_header* task = nullptr; // the node has the join handle's reference
    member_node* previous = nullptr;
    member_node* next = nullptr;
};

} // namespace

struct join_set_core {
    inbox ended;                    // any worker pushes
    task_header* taken = nullptr;   // what was taken from it, oldest first
    member_node* members = nullptr; // and the rest belongs to the set
    std::size_t size = 0;
    drop_function drop = nullptr;
    atomic<std::uint64_t> references{1}; // the set, and each node that listens
};

namespace {

void free_node(member_node* node) noexcept {
    deallocate_frame(node, sizeof(member_node));
}

void unlink(join_set_core& core, member_node* node) noexcept {
    (node->previous == nullptr ? core.members : node->previous->next) = node->next;
    if (node->next != nullptr) {
        node->next->previous = node->previous;
    }
    --core.size;
}

// Drops a member that has ended, with its result.
void discard(join_set_core& core, task_header* task) noexcept {
    free_node(static_cast<member_node*>(task->listener));
    core.drop(task);
    release(task);
}

void discard_all(join_set_core& core, task_header* list) noexcept {
    while (list != nullptr) {
        task_header* const following = list->queue_next;
        discard(core, list);
        list = following;
    }
}

// Gives up one reference. True: it was the last.
[[nodiscard]] bool release_reference(join_set_core* core) noexcept {
    return core->references.sub_acq_rel(1) == 1; // acq_rel: the last one sees all pushes
}

void take_apart(join_set_core* core) noexcept {
    discard_all(*core, core->taken);
    discard_all(*core, core->ended.take());
    std::destroy_at(core);
    deallocate_frame(core, sizeof(join_set_core));
}

void release_core(join_set_core* core) noexcept {
    if (release_reference(core)) {
        take_apart(core);
    }
}

// Called by the worker that ended the member.
void on_member_ended(completion_listener* listener, task_header* task) noexcept {
    join_set_core* const core = static_cast<member_node*>(listener)->core;
    // Last: whoever joins one member is likely to join the others next.
    core->ended.push(task, inbox::wake_order::last);
    if (release_reference(core)) {
        // The set was dropped meanwhile. The task goes with it, while the thread is in its turn:
        // the destructors of what other members have left must not take it for their own.
        task_header* const ended = std::exchange(this_thread.task, nullptr);
        take_apart(core);
        this_thread.task = ended;
    }
}

// The join handle's side of a member that the node stands for.
struct borrowed_handle : join_handle_base {
    explicit borrowed_handle(task_header* task) noexcept { task_ = task; }
    void let_go(drop_function drop) noexcept { detach_with(drop); }
};

} // namespace

std::size_t join_set_base::size() const noexcept {
    return core_ == nullptr ? 0 : core_->size;
}

template<typename How>
task_header* join_set_base::add_member(scheduler_base* scheduler, void* frame, How how) noexcept {
    if (core_ == nullptr) {
        void* const memory = allocate_frame(sizeof(join_set_core));
        if (memory == nullptr) {
            return nullptr;
        }
        core_ = ::new (memory) join_set_core;
        core_->drop = drop_;
    }
    void* const block = allocate_frame(sizeof(member_node));
    if (block == nullptr) {
        return nullptr;
    }
    task_header* const task = create_task(frame, scheduler, how);
    if (task == nullptr) {
        deallocate_frame(block, sizeof(member_node));
        return nullptr;
    }
    auto* const node = ::new (block) member_node(&on_member_ended);
    node->core = core_;
    node->task = task;
    node->next = core_->members;
    if (core_->members != nullptr) {
        core_->members->previous = node;
    }
    core_->members = node;
    ++core_->size;
    core_->references.add_relaxed(1); // relaxed: the set has a reference
    task->listener = node;
    task->state.or_relaxed(state_listener); // relaxed: nobody else knows the task yet
    return task;
}

task_header* join_set_base::add(scheduler_base* scheduler, void* frame, titled how) noexcept {
    return add_member(scheduler, frame, how);
}

task_header*
join_set_base::add(scheduler_base* scheduler, void* frame, const spawn_options* how) noexcept {
    return add_member(scheduler, frame, how);
}

task_header* join_set_base::take_ended() noexcept {
    if (core_ == nullptr) {
        return nullptr;
    }
    if (core_->taken == nullptr) {
        core_->taken = core_->ended.take();
    }
    task_header* const task = core_->taken;
    if (task != nullptr) {
        core_->taken = task->queue_next;
        auto* const node = static_cast<member_node*>(task->listener);
        RT_DEBUG_ASSERT(node->task == task);
        unlink(*core_, node);
        free_node(node);
    }
    return task;
}

void join_set_base::abort_all() noexcept {
    if (core_ == nullptr) {
        return;
    }
    for (member_node* node = core_->members; node != nullptr; node = node->next) {
        const borrowed_handle member(node->task);
        member.abort();
        // Of one that has ended by itself nobody asks for the result either, unless it is joined:
        // an exception is not reported if it is dropped. relaxed: read by who drops it, which is
        // this thread, or the last that gives up the core.
        if (member.is_finished()) {
            node->task->state.or_relaxed(state_aborted);
        }
    }
}

void join_set_base::detach_all() noexcept {
    if (core_ == nullptr) {
        return;
    }
    // Nobody waits: a set is not emptied behind the back of its own join_next.
    RT_ASSERT(!core_->ended.retract());
    member_node* following = nullptr;
    for (member_node* node = core_->members; node != nullptr; node = following) {
        following = node->next;
        borrowed_handle handle(node->task);
        if (handle.unlisten()) {
            // Nobody will call it: node and reference are ours again.
            handle.let_go(core_->drop);
            free_node(node);
            release_core(core_);
        }
    }
    // Those that have ended are in the inbox, or on their way to it, and go with the core.
    release_core(std::exchange(core_, nullptr));
}

void join_set_base::close() noexcept {
    abort_all();
    detach_all();
}

// ---- waiting ------------------------------------------------------------------------------------

bool join_set_base::wait::await_ready() noexcept {
    join_set_core* const core = set_.core_;
    if (core == nullptr || core->size == 0) {
        return true;
    }
    if (core->taken == nullptr) {
        core->taken = core->ended.take();
    }
    return core->taken != nullptr && consume_budget();
}

bool join_set_base::wait::suspend(void* self) noexcept {
    join_set_core* const core = set_.core_;
    if (core->taken != nullptr) {
        return yield_current(self); // there is something, but the budget is used up
    }
    task_header* const waiter = attach_to_current(*this, "rt::join_set::join_next");
    if (!core->ended.expect(waiter)) {
        return false;
    }
    return commit_suspend(waiter, self, this, wait_kind::join_any, core);
}

wait_node::cancel_result join_set_base::wait::on_cancel(wait_node* node) noexcept {
    auto* const self = static_cast<wait*>(node);
    return self->set_.core_->ended.retract() ? cancel_result::detached : cancel_result::in_flight;
}

} // namespace rt::detail

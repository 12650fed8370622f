// SPDX-License-Identifier: MIT
//
// Branches: several chains of coroutines within one task, for join, select, scope and shield.
//
// A task has one leaf. A group gives each branch a header of its own, so that it can suspend, be
// woken and be unwound by the six rules like any task (rt/detail/header.h), but makes itself the
// branch's scheduler: a branch that becomes ready is left in the group's inbox, the task that owns
// the group is woken, and runs it as a part of its own turn. So branches never run in parallel with
// one another or with their task, and may share its locals without a lock.
//
// A scope's children are tasks of the pool; they are members of the group too, left in the same
// inbox when they have ended.
//
// Cancelling the task asks every member to unwind, and unwinds the task itself only when the last
// has ended: a member never outlives the frame that the group is in. Members that can let go at
// once do so within the cancellation; for the others the group reports `in_flight`, goes on being
// driven, and lets the cancellation through at the next suspension.
//
// A branch has lost when its value is of no use to anybody: because another one has won a select,
// or has failed in a join, or because a join is cancelled while one of its branches still waits. It
// takes nothing then, even if it was woken before (rule 6 of rt/detail/header.h), and what has lost
// hands that down to groups of its own. So a group that ends early has taken what it yields and
// nothing else.
//
// Rejected: to let a branch go on that was woken, as a task does that is aborted, and to destroy
// what it yields: a select over two busy channels lost messages of both.
//
// Rejected: spawned tasks for the branches. They run in parallel, so that what reads like one task
// has data races; and select's loser, on another worker, costs two thread wake-ups to stop.
#pragma once

#include <rt/detail/config.h>
#include <rt/detail/header.h>
#include <rt/detail/inbox.h>
#include <rt/detail/promise.h>
#include <rt/detail/result_slot.h>
#include <rt/join.h>
#include <rt/task.h>

#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <type_traits>
#include <utility>

namespace rt {
struct spawn_options;
}

namespace rt::detail {

struct titled;

// What makes a group cancel the members that have not ended.
enum class group_policy : std::uint8_t {
    first_failure, // one that ended with an exception: join, scope
    first_end,     // one that ended: select
    shielded,      // nothing, not even the cancellation of the task
};

// A task of the pool that a group waits for. In a block of the frame lists.
struct group_child : completion_listener {
    explicit group_child(function f) noexcept
        : completion_listener(f) {}

    class branch_group* group = nullptr;
    task_header* task = nullptr;
    drop_function drop = nullptr;
    group_child* previous = nullptr;
    group_child* next = nullptr;
};

// The wait of a scope's body, or of a part of it, until there are no children.
struct group_joiner : wait_node {
    explicit group_joiner(cancel_function f) noexcept
        : wait_node(f) {}

    group_joiner* next = nullptr;
};

// Threads: the task that made it, and its branches, which are the same thread at any one time; but
// for the three functions of scheduler_base and the children's listeners, which any thread calls.
class RT_API branch_group final : public scheduler_base,
                                  public completion_listener,
                                  public wait_node {
public:
    // `slots` has room for as many branches as will be added.
    branch_group(group_policy policy, task_header** slots) noexcept;
    ~branch_group();

    // Adds a branch. An empty handle says that memory is exhausted or that `body` is empty:
    // has_failed() is true then, and all members are cancelled.
    template<typename T>
    join_handle<T> add(rt::task<T>&& body, site at) noexcept {
        join_handle<T> handle(add_frame(body ? body.handle().address() : nullptr, at));
        if (handle) {
            static_cast<void>(body.release());
            static_cast<void>(handle.listen(this));
        }
        return handle;
    }

    // Starts `body` on `scheduler` as a child that the group waits for. Empty: no memory.
    template<typename T, typename How>
    rt::abort_handle add_child(rt::task<T>&& body, scheduler_base* scheduler, How how) noexcept {
        void* const frame = body ? body.handle().address() : nullptr;
        rt::abort_handle child = add_child_frame(frame, scheduler, how, &drop_result<T>);
        if (child.id() != 0) {
            static_cast<void>(body.release());
        }
        return child;
    }

    // Which branches go first when several are ready: those added first, instead of in turn.
    void set_biased() noexcept { is_biased_ = true; }
    // A branch that uses up its budget goes on at once.
    void set_unconstrained() noexcept { is_unconstrained_ = true; }
    // Begins with a branch chosen at random.
    void shuffle() noexcept;

    // while (!group.is_done()) { co_await group; }
    // Whether there is nothing to wait for: all members have ended, and unless the task is being
    // cancelled there is something to go on with.
    [[nodiscard]] bool is_done() const noexcept { return live_ == 0 && !is_lost(); }
    bool await_ready() noexcept;
    template<typename Promise>
    bool await_suspend(std::coroutine_handle<Promise> self) noexcept {
        return suspend(self.address());
    }
    void await_resume() const noexcept {}

    // Asks every member that has not ended to unwind. Nobody wants what the branches would yield.
    void cancel_members() noexcept;

    [[nodiscard]] bool has_failed() const noexcept { return has_failed_; }
    // The branch that decided: for first_end the first that ended other than by cancellation, else
    // the first that threw, if no child did so before it.
    [[nodiscard]] const task_header* decisive() const noexcept { return decisive_; }
    [[nodiscard]] std::size_t child_count() const noexcept { return child_count_; }
    // What a child threw, if that came before any exception of a branch.
    [[nodiscard]] std::exception_ptr take_child_exception() noexcept {
        return std::exchange(child_exception_, nullptr);
    }

    // See rt::scope::join.
    void add_joiner(group_joiner& joiner) noexcept;
    // False: it has been woken, or will be now.
    [[nodiscard]] bool remove_joiner(group_joiner& joiner) noexcept;

    void schedule(task_header* task) noexcept final;
    void schedule_joiner(task_header* task) noexcept final;
    void schedule_new(task_header* task) noexcept final;

private:
    [[nodiscard]] task_header* add_frame(void* frame, site at) noexcept;
    [[nodiscard]] rt::abort_handle add_child_frame(
        void* frame, scheduler_base* scheduler, titled how, drop_function drop
    ) noexcept;
    [[nodiscard]] rt::abort_handle add_child_frame(
        void* frame, scheduler_base* scheduler, const spawn_options* how, drop_function drop
    ) noexcept;
    template<typename How>
    [[nodiscard]] rt::abort_handle
    make_child(void* frame, scheduler_base* scheduler, How how, drop_function drop) noexcept;
    void forbid_others(const char* what) const noexcept;
    bool suspend(void* self) noexcept;
    void heed(std::uint64_t state) noexcept;
    void ask_members() noexcept;
    void lose_branches() noexcept;
    void turn() noexcept;
    void put_last(task_header* task) noexcept;
    [[nodiscard]] task_header* take_ready() noexcept;
    [[nodiscard]] task_header* choose(task_header*& list) const noexcept;
    void end_branch(task_header* branch) noexcept;
    void end_child(task_header* child) noexcept;
    void wake_joiners() noexcept;
    [[nodiscard]] cancel_result let_go() noexcept;
    // The task is being cancelled, and what it waits for will never be whole.
    [[nodiscard]] bool is_lost() const noexcept;

    static cancel_result on_cancel(wait_node* node) noexcept;
    static void on_branch_ended(completion_listener* listener, task_header* branch) noexcept;
    static void on_child_ended(completion_listener* listener, task_header* child) noexcept;

    inbox inbox_;
    cancel_boundary bridge_;    // where the branches' boundaries end; see src/task/task_local.h
    task_header** const slots_; // the branches, ended ones too; their handles keep them
    task_header* ready_first_ = nullptr; // not begun, or yielded
    task_header* ready_last_ = nullptr;
    group_child* children_ = nullptr; // those that have not ended
    group_joiner* joiners_ = nullptr; // in no order: all are woken at once
    task_header* decisive_ = nullptr;
    std::exception_ptr child_exception_;
    std::size_t branch_count_ = 0;
    std::size_t child_count_ = 0;
    std::size_t live_ = 0; // members that have not ended
    const group_policy policy_;
    bool is_biased_ = false;
    bool is_unconstrained_ = false;
    bool shall_rerun_ = false;   // an unconstrained branch has used up its budget
    bool is_starved_ = false;    // another one has, and the task will yield for it
    bool is_cancelling_ = false; // the members have been asked to unwind
    bool is_settled_ = false;    // the branches that have not ended are lost
    bool is_task_cancelled_ = false;
    bool has_loss_ = false; // a branch was unwound
    bool has_failed_ = false;
};

} // namespace rt::detail

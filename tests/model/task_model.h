// SPDX-License-Identifier: MIT
//
// Tasks under the explorer: the production code of src/task, with coroutines of its own kind, and
// what scenarios about them share: a run queue for one task or two, a leaf to wait at, a census.
//
// Everything between #define rt and #undef rt is the library's source, as it
// is; task_model.cc compiles the rest of it, once for all tests. The run queue stands for the
// scheduler: it hands each task to one worker fiber and fails when a task is put into it twice. The
// leaf is the pattern of every leaf awaiter of the library: a node is handed to a waker with an
// exchange, taken back with a compare-and-swap.
#pragma once

#include "model/production.h"

// clang-format off
#define rt rt_model
#include "task/run.h"
#include <rt/detail/cancel.h>
#include <rt/detail/context.h>
#include <rt/detail/suspend.h>
#include <rt/spawn.h>
#undef rt
// clang-format on

namespace rt_model::scenario {

using detail::task_header;
using ::rt::model::check;
using ::rt::model::machine;
using ::rt::model::wait_until;

// Whether the task has ended; no step of the explorer, for what it waits until.
[[nodiscard]] inline bool has_ended(const detail::join_handle_base& join) {
    return (join.header()->state.peek() & detail::state_complete) != 0;
}

// Where woken tasks go. Holds as many different tasks as a scenario has.
class run_queue final : public detail::scheduler_base {
public:
    void schedule(task_header* task) noexcept override {
        slot* const mine = slot_of(task);
        // acq_rel: stands for the queue's own order.
        check(mine->is_ready.exchange_acq_rel(1) == 0, "a task was scheduled twice");
    }
    void schedule_joiner(task_header* task) noexcept override { schedule(task); }
    void schedule_new(task_header* task) noexcept override { schedule(task); }

    // Runs tasks until `is_over`. Any number of fibers may do so.
    template<typename Predicate>
    void work(Predicate is_over) {
        for (;;) {
            wait_until([&] { return is_over() || has_ready(); });
            if (!has_ready()) {
                return;
            }
            run_ready();
        }
    }
    // A turn of each task that is ready. By itself for what follows at the end of a scenario.
    void run_ready() {
        for (slot& each : slots_) {
            if (each.is_ready.peek() != 0 && each.is_ready.exchange_acq_rel(0) == 1) {
                tasks::run(each.task);
            }
        }
    }

    [[nodiscard]] bool has_ready() const {
        return slots_[0].is_ready.peek() != 0 || slots_[1].is_ready.peek() != 0;
    }

private:
    struct slot {
        task_header* task = nullptr;
        atomic<unsigned> is_ready{0};
    };

    slot* slot_of(task_header* task) {
        for (slot& each : slots_) {
            if (each.task == nullptr || each.task == task) {
                each.task = task;
                return &each;
            }
        }
        machine::instance().fail("too many tasks");
    }

    slot slots_[2];
};

// A place where one task waits for one event.
class leaf_place {
public:
    class awaiter : public detail::wait_node {
    public:
        explicit awaiter(leaf_place& at) noexcept
            : wait_node(&on_cancel)
            , at_(at) {}

        bool await_ready() const noexcept { return false; }
        template<typename Promise>
        bool await_suspend(std::coroutine_handle<Promise> self) noexcept {
            detail::task_header* const waiting = detail::attach_to_current(*this, "a leaf");
            at_.waiter_.store_release(this);
            return detail::commit_suspend(
                waiting, self.address(), this, detail::wait_kind::user, nullptr
            );
        }
        void await_resume() const noexcept { ++at_.resumed; }

    private:
        static cancel_result on_cancel(wait_node* node) noexcept {
            auto* const self = static_cast<awaiter*>(node);
            awaiter* expected = self;
            return self->at_.waiter_.cas_strong_acq_rel(expected, nullptr)
                ? cancel_result::detached
                : cancel_result::in_flight;
        }

        leaf_place& at_;
    };

    awaiter wait() noexcept { return awaiter(*this); }

    // Waits for the task to come, unless it never will, and wakes it.
    template<typename Predicate>
    void wake_when_it_waits(Predicate is_over) {
        wait_until([&] { return waiter_.peek() != nullptr || is_over(); });
        if (awaiter* const node = waiter_.exchange_acq_rel(nullptr)) {
            ++delivered;
            detail::wake(node->task);
        }
    }

    unsigned delivered = 0; // written by the waker
    unsigned resumed = 0;   // written by the task

private:
    atomic<awaiter*> waiter_{nullptr};
};

// Counts how often it was destroyed, once it is where it stays.
class witness {
public:
    explicit witness(unsigned* destroyed) noexcept
        : destroyed_(destroyed) {}
    witness(witness&& other) noexcept
        : destroyed_(std::exchange(other.destroyed_, nullptr)) {}
    ~witness() {
        if (destroyed_ != nullptr) {
            ++*destroyed_;
        }
    }

private:
    unsigned* destroyed_;
};

// Begins an execution: fresh heap, fresh thread-locals. Call first in a scenario's constructor.
inline void set_up() {
    detail::model_heap.reset();
    detail::this_thread = {};
    detail::this_thread.next_task_id = 1;
    detail::this_thread.last_task_id = 1000;
    machine::instance().add_thread_local(&detail::this_thread, sizeof(detail::this_thread));
    tasks::set_defer([](task_header* task) noexcept { task->scheduler->schedule(task); });
}

// Nothing is left: every frame, every header and every label was freed.
inline void check_heap() {
    check(detail::model_heap.frames_live == 0, "a frame is left");
    check(detail::model_heap.headers_live == 0, "a header is left");
    check(detail::model_heap.labels_live == 0, "a label is left");
}

} // namespace rt_model::scenario

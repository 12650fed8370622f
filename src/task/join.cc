// SPDX-License-Identifier: MIT
//
// Join and abort handles: the far side of the task state word.
//
// A join handle owns one reference and state_interest. Its listener is written before
// state_listener is set (release) and read by complete() after it saw the bit (acquire), so the
// field needs no lock: before complete it belongs to the handle, afterwards to the worker. One
// listener at a time: while the bit is set the field is not written, and the handle stays; who
// wants either uses one handle in two places, which ends the program.
#include "base/assert.h"
#include "base/text_writer.h"
#include "task/label.h"
#include "task/task.h"

#include <rt/detail/promise.h>
#include <rt/join.h>

#include <cstdio>
#include <string_view>

namespace rt {

join_error::join_error(std::uint64_t task_id) noexcept
    : task_id_(task_id) {
    std::snprintf(
        text_, sizeof(text_), "task %llu was cancelled", static_cast<unsigned long long>(task_id)
    );
}

join_error::~join_error() = default;

const char* join_error::what() const noexcept {
    return text_;
}

abort_handle::abort_handle(detail::task_header* task) noexcept
    : task_(task) {
    if (task_ != nullptr) {
        task_->state.add_relaxed(detail::state_ref); // relaxed: the caller holds a reference
    }
}

abort_handle::abort_handle(const abort_handle& other) noexcept
    : abort_handle(other.task_) {
}

abort_handle::~abort_handle() {
    if (task_ != nullptr) {
        detail::release(task_);
    }
}

void abort_handle::abort() const noexcept {
    if (task_ != nullptr && detail::request_cancel(task_, detail::state_aborted)) {
        task_->scheduler->schedule(task_);
    }
}

bool abort_handle::is_finished() const noexcept {
    return task_ == nullptr || (task_->state.load_acquire() & detail::state_complete) != 0;
}

std::uint64_t abort_handle::id() const noexcept {
    return task_ == nullptr ? 0 : task_->id.load_relaxed();
}

namespace detail {

void join_handle_base::abort() const noexcept {
    if (task_ != nullptr && request_cancel(task_, state_aborted)) {
        task_->scheduler->schedule(task_);
    }
}

std::uint64_t join_handle_base::id() const noexcept {
    return task_ == nullptr ? 0 : task_->id.load_relaxed();
}

rt::abort_handle join_handle_base::abort_handle() const noexcept {
    return rt::abort_handle(task_);
}

namespace {

// For a handle that is used as it must not be while its task runs.
[[noreturn, gnu::cold]] void
forbid_use(const char* before, const task_header* task, const char* after) noexcept {
    base::text_buffer<768> who; // of the 1024 bytes that fatal() writes
    rt::tasks::write_task(who, task);
    const std::string_view text = who.view();
    base::fatal("%s %.*s%s", before, static_cast<int>(text.size()), text.data(), after);
}

} // namespace

bool join_handle_base::listen(completion_listener* listener) const noexcept {
    std::uint64_t state = task_->state.load_acquire(); // acquire: pairs with complete()'s release
    do {
        if ((state & (state_complete | state_listener)) != 0) {
            if ((state & state_complete) == 0) [[unlikely]] {
                forbid_use("two parts wait for the join handle of", task_, ": only one can");
            }
            return false;
        }
        task_->listener = listener;
        // release: pairs with complete()'s acquire; the listener is visible with the bit.
    } while (!task_->state.cas_weak_acq_rel(state, state | state_listener));
    return true;
}

bool join_handle_base::unlisten() const noexcept {
    if (task_ == nullptr) [[unlikely]] {
        base::fatal("a join handle was moved from or awaited while a part waited for it");
    }
    std::uint64_t state = task_->state.load_relaxed();
    do {
        if ((state & state_complete) != 0) {
            return false;
        }
    } while (!task_->state.cas_weak_acq_rel(state, state & ~std::uint64_t{state_listener}));
    return true;
}

void forbid_empty(const char* what, site at) noexcept {
    const bool is_known = at.line() != 0; // %.0u of 0 is nothing
    base::fatal(
        "%s that is empty%s%s%s%.0u: it never held one, or was awaited, spawned, taken or moved "
        "from",
        what,
        is_known ? ", at " : "",
        is_known ? at.file_name() : "",
        is_known ? ":" : "",
        static_cast<unsigned>(at.line())
    );
}

void join_handle_base::forbid_take() const noexcept {
    forbid_use(
        "join_handle::take() of",
        task_,
        ", which has not ended: co_await the handle, or ask is_finished() first"
    );
}

void join_handle_base::detach_with(drop_function drop) noexcept {
    task_header* const task = task_;
    task_ = nullptr;
    std::uint64_t state = task->state.load_acquire(); // acquire: pairs with complete()'s release
    for (;;) {
        if ((state & state_complete) != 0) {
            drop(task);
            release(task);
            return;
        }
        if ((state & state_listener) != 0) [[unlikely]] {
            forbid_use(
                "the join handle of",
                task,
                " was dropped, detached or assigned to while a part waits for it"
            );
        }
        // acq_rel: release pairs with complete()'s acquire: what this thread did with the task's
        // header happens before the worker frees it.
        if (task->state.cas_weak_acq_rel(
                state, (state & ~std::uint64_t{state_interest}) - state_ref
            )) {
            return;
        }
    }
}

bool join_wait::suspend(void* self) noexcept {
    task_header* const waiter = attach_to_current(*this, "co_await of a join handle");
    task_header* const child = handle_.header();
    if (child == this_thread.newest && waiter->boundary == nullptr) {
        waiter->resume = self; // where a dump finds it, if that runs the child
        if (child->scheduler->run_at_join(child, *this)) {
            return true;
        }
    }
    if (!handle_.listen(this)) {
        return false;
    }
    return commit_suspend(waiter, self, this, wait_kind::join, handle_.header());
}

void join_wait::wait_alone() noexcept {
    task_header* const waiter = task;
    waiter->leaf = this;
    waiter->waits_for = wait_kind::join;
    const bool is_listening = handle_.listen(this);
    RT_ASSERT(is_listening); // whoever will end the child is this thread
    std::uint64_t state = waiter->state.load_relaxed();
    for (;;) {
        // What commit_suspend would ask the leaf itself is left to the worker that is handed the
        // task. No waker has come, as the child has not ended.
        const bool is_asked = (state & (state_aborted | state_scoped)) != 0;
        // release: pairs with the acquire in try_wake and request_cancel.
        if (waiter->state.cas_weak_acq_rel(
                state, state | (is_asked ? state_claimed : state_waiting)
            )) {
            if (is_asked) {
                rt::tasks::note_ready(waiter);
                waiter->scheduler->schedule(waiter);
            }
            return;
        }
    }
}

wait_node::cancel_result join_wait::on_cancel(wait_node* node) noexcept {
    auto* const self = static_cast<join_wait*>(node);
    return self->handle_.unlisten() ? cancel_result::detached : cancel_result::in_flight;
}

void join_wait::on_ended(completion_listener* listener, task_header* /*task*/) noexcept {
    task_header* const waiter = static_cast<join_wait*>(listener)->task;
    if (try_wake(waiter)) {
        waiter->scheduler->schedule_joiner(waiter);
    }
}

} // namespace detail
} // namespace rt

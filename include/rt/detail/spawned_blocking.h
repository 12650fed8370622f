// SPDX-License-Identifier: MIT
//
// The task of rt::spawn_blocking: a header like every task's, and instead of a coroutine one block
// that holds the closure, its result and the pool's job.
//
// The block begins like a coroutine's frame does (resume function, destroy function, frame_header;
// see rt/detail/promise.h), so that worker, canceller and observer treat the task like any other.
// It has one suspension and is in it from the start: it waits for the pool. Therefore nothing has
// to be run before the closure is queued, and spawning works on any thread.
//
// Protocol: start() gets the task, suspended, with this node as its leaf; submit() then hands the
// job to the pool. From there on the block belongs to the pool's thread until leave(), to the
// worker that the wake-up hands the task to, or to a canceller that has withdrawn the job. The
// result is put into the header by the worker and not by the pool's thread, because at shutdown
// only workers may end tasks (src/scheduler/shutdown.cc).
#pragma once

#include <rt/blocking.h>
#include <rt/detail/blocking.h>
#include <rt/detail/frame.h>
#include <rt/detail/header.h>
#include <rt/detail/promise.h>
#include <rt/detail/result_slot.h>
#include <rt/join.h>
#include <rt/spawn.h>

#include <cstddef>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

namespace rt::detail {

// What the closure of a runtime needs to be run.
struct blocking_target {
    offload::pool* pool = nullptr;
    scheduler_base* scheduler = nullptr;
    engine::core* runtime = nullptr;
};

// That of the calling thread. Aborts with advice when there is none.
RT_API blocking_target current_blocking_target_or_fatal(const char* what, site at) noexcept;

// The first words of a coroutine's frame.
struct frame_image {
    void (*resume)(void*);
    void (*destroy)(void*);
    frame_header links;
};
static_assert(offsetof(frame_image, links) == promise_offset);

class RT_API spawned_blocking : public frame_image, public wait_node, public blocking_job {
public:
    // Makes `header`, whose frame this is, the task that waits for the closure. Called once.
    void start(const blocking_target& target, task_header* header) noexcept;

protected:
    spawned_blocking(
        run_function run, void (*destroy)(void*), after_function finish, site at
    ) noexcept
        : frame_image{&on_resume, destroy, {0, at}}
        , wait_node(&on_cancel)
        , blocking_job(run)
        , finish_(finish) {}

    // Queues the closure, or cancels the task if its runtime ends. After success *this may be gone.
    [[nodiscard]] result<void> submit_job() noexcept;
    // Ends the task instead: with what the slot holds, or cancelled.
    void refuse(bool is_cancelled) noexcept;

    // Around the closure, on the pool's thread: it may spawn. After leave() *this may be gone.
    void enter() const noexcept;
    void leave() noexcept;

private:
    static void on_resume(void* frame);
    static cancel_result on_cancel(wait_node* node) noexcept;

    blocking_target target_;
    after_function finish_;
    bool is_cancelled_ = false;
};

template<blocking_function F>
class spawned_closure : public spawned_blocking {
public:
    using value_type = std::invoke_result_t<F&>;

    template<typename G>
    spawned_closure(G&& function, site at)
        : spawned_blocking(&call, &destroy_frame, &finish, at)
        , function_(std::forward<G>(function)) {}

    // Hands the closure to the pool, or ends the task with the reason why not.
    void submit() noexcept {
        if (const result<void> queued = submit_job(); !queued) [[unlikely]] {
            const bool is_down = queued.error() == errc::shut_down;
            if (!is_down) {
                slot_.set_exception(std::make_exception_ptr(system_error(queued.error())));
            }
            refuse(is_down);
        }
    }

    static void destroy_frame(void* frame) noexcept {
        auto* const self = static_cast<spawned_closure*>(static_cast<frame_image*>(frame));
        std::destroy_at(self);
        deallocate_frame(self, sizeof(spawned_closure));
    }

private:
    static void call(blocking_job* job) noexcept {
        auto* const self = static_cast<spawned_closure*>(job);
        self->enter();
        self->slot_.set_result_of(self->function_);
        self->leave();
    }

    // On the worker, like finish_root in rt/task.h.
    static void* finish(task_header* header) noexcept {
        void* const frame = header->live.frame;
        drop_function drop = nullptr;
        {
            auto* const self = static_cast<spawned_closure*>(static_cast<frame_image*>(frame));
            result_slot<value_type> slot = std::move(self->slot_);
            destroy_frame(frame);
            drop = keep_result(header, std::move(slot));
        }
        complete(header, drop);
        return nullptr;
    }

    F function_;
    result_slot<value_type> slot_;
};

// The task of a closure, whose header make_task(frame) makes. Null: no memory. What it is submitted
// by may be its end: whoever wants something of it takes it before.
template<typename F, typename MakeTask>
requires blocking_function<std::decay_t<F>> spawned_closure<std::decay_t<F>>
*prepare_blocking(const blocking_target& target, F&& function, site at, MakeTask make_task) {
    using frame = spawned_closure<std::decay_t<F>>;
    static_assert(alignof(frame) <= 16, "a closure with such an alignment: allocate it yourself");
    void* const memory = allocate_frame(sizeof(frame));
    if (memory == nullptr) [[unlikely]] {
        return nullptr;
    }
    frame* made = nullptr;
    try {
        made = ::new (memory) frame(std::forward<F>(function), at);
    } catch (...) {
        deallocate_frame(memory, sizeof(frame));
        throw;
    }
    frame_image* const image = made;
    task_header* const header = make_task(image);
    if (header == nullptr) [[unlikely]] {
        frame::destroy_frame(image);
        return nullptr;
    }
    made->start(target, header);
    return made;
}

template<typename F, typename How>
requires blocking_function<std::decay_t<F>> join_handle < std::invoke_result_t < std::decay_t<F>
& >> launch_blocking(const blocking_target& target, F&& function, How how) {
    auto* const made =
        prepare_blocking(target, std::forward<F>(function), site_of(how), [&](void* frame) {
            return create_task(frame, target.scheduler, how);
        });
    if (made == nullptr) [[unlikely]] {
        return {};
    }
    join_handle<std::invoke_result_t<std::decay_t<F>&>> handle(made->task);
    made->submit();
    return handle;
}

} // namespace rt::detail

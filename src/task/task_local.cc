// SPDX-License-Identifier: MIT
//
// Values of tasks are found by walking the task's boundaries from the inside out.
//
// The continuation of a boundary that can be unwound to is a coroutine's address, that of a value
// is the address of its key, a static object: they cannot be mistaken for each other. Only the
// worker that runs the task touches the list, so nothing is atomic; while a branch runs, the task
// that owns its group is in the same turn of the same worker.
#include "task/task_local.h"

#include "base/assert.h"

#include <rt/detail/cancel.h>
#include <rt/detail/context.h>
#include <rt/task_local.h>

namespace rt::tasks {
namespace {

constinit char bridge_key = 0;

} // namespace

void make_bridge(detail::cancel_boundary& boundary, detail::task_header* owner) noexcept {
    boundary.inner = owner;
    boundary.continuation = &bridge_key;
}

} // namespace rt::tasks

namespace rt::detail {

local_scope::local_scope(const void* key, void* held) noexcept
    : value(held) {
    static_cast<void>(current_task_or_fatal("rt::task_local"));
    continuation = const_cast<void*>(key); // compared, never followed
    push_boundary(*this);
}

local_scope::~local_scope() {
    RT_DEBUG_ASSERT(!requested.load_relaxed());
    pop_boundary(*this);
}

void* find_local(const void* key) noexcept {
    const task_header* const task =
        this_thread.task != nullptr ? this_thread.task : this_thread.in_place;
    const cancel_boundary* at = task == nullptr ? nullptr : task->boundary;
    while (at != nullptr) {
        if (at->continuation == key) {
            return static_cast<const local_scope*>(at)->value;
        }
        const bool is_bridge = at->continuation == &rt::tasks::bridge_key;
        at = is_bridge ? static_cast<const task_header*>(at->inner)->boundary : at->outer;
    }
    return nullptr;
}

} // namespace rt::detail

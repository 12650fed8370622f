// SPDX-License-Identifier: MIT
//
// A Treiber stack whose consumer takes all of it at once, so there is no ABA: a task that a
// producer saw as the head and that was taken and pushed again meanwhile is the head again, with
// whatever link it has now; the producer's own link to it is still right.
#include "base/assert.h"

#include <rt/detail/inbox.h>

namespace rt::detail {
namespace {

task_header* mark() noexcept {
    return reinterpret_cast<task_header*>(std::uintptr_t{1});
}

} // namespace

void inbox::push(task_header* task, wake_order order) noexcept {
    task_header* head = head_.load_relaxed();
    do {
        task->queue_next = head == mark() ? nullptr : head;
        // acq_rel: release pairs with take(); acquire pairs with expect(), for waiter_.
    } while (!head_.cas_weak_acq_rel(head, task));
    if (head != mark()) {
        return;
    }
    // The waiter cannot go on before it is woken, so the inbox is still there.
    task_header* const waiter = waiter_;
    if (try_wake(waiter)) {
        if (order == wake_order::last) {
            waiter->scheduler->schedule_joiner(waiter);
        } else {
            waiter->scheduler->schedule(waiter);
        }
    }
}

task_header* inbox::take() noexcept {
    if (head_.load_relaxed() == nullptr) { // relaxed: what comes later wakes the consumer
        return nullptr;
    }
    task_header* newest = head_.exchange_acquire(nullptr); // acquire: pairs with push()
    RT_DEBUG_ASSERT(newest != mark());
    task_header* oldest = nullptr;
    while (newest != nullptr) {
        task_header* const older = newest->queue_next;
        newest->queue_next = oldest;
        oldest = newest;
        newest = older;
    }
    return oldest;
}

bool inbox::expect(task_header* waiter) noexcept {
    waiter_ = waiter;
    task_header* nothing = nullptr;
    // release: pairs with push(), for waiter_.
    return head_.cas_strong_acq_rel(nothing, mark());
}

bool inbox::retract() noexcept {
    task_header* expected = mark();
    return head_.cas_strong_acq_rel(expected, nullptr); // acquire: pairs with push()
}

} // namespace rt::detail

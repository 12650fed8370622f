// SPDX-License-Identifier: MIT
//
// The seat of a flavor::current_thread's only worker: which of the threads that are inside of
// block_on drives it.
//
// The first one sits down and runs everybody's tasks until its own has ended. The others sleep;
// each is released when its task ends, or is given the seat when the one that drives leaves, first
// come first served. What is under the lock is who sits and who waits. The listener's word says
// whether the task has ended, which nothing holds up: so a thread that is given the seat may find
// that it needs it no more, and passes it on. A shutdown goes before all of them: the one that
// drives is asked to leave, and waits in line again, for the shutdown to end its task.
//
// Threads: any that is no worker. A listener is given the seat under the lock, and leaves the list
// by that or by itself, under the lock: so it may be destroyed once it has found itself outside.
// Model: tests/model/seat_model_test.cc.
#pragma once

#include "base/assert.h"
#include "base/lock.h"
#include "scheduler/thread_listener.h"

#include <utility>

namespace rt::scheduler {

class seat {
public:
    seat() noexcept = default;
    seat(const seat&) = delete;
    seat& operator=(const seat&) = delete;
    ~seat() { RT_ASSERT(sitting_ == nullptr && first_ == nullptr); }

    // True: the caller sits, and calls leave() when its task has ended. False: it has ended while
    // somebody else drove. Requires: the listener was installed.
    [[nodiscard]] bool take(thread_listener& listener) noexcept {
        {
            const base::guard hold(lock_);
            if (sit_if_free(listener)) {
                return true;
            }
            *link_to(nullptr) = &listener;
        }
        return wait(listener);
    }

    // The same, but does not wait.
    [[nodiscard]] bool try_take(thread_listener& listener) noexcept {
        const base::guard hold(lock_);
        return sit_if_free(listener);
    }

    // For a shutdown, whose listener belongs to no task: takes it, or becomes the next in line and
    // asks the one that sits to leave. False: the caller makes its worker look, and calls wait().
    [[nodiscard]] bool demand(thread_listener& listener) noexcept {
        const base::guard hold(lock_);
        if (sit_if_free(listener)) {
            return true;
        }
        listener.next = first_;
        first_ = &listener;
        sitting_->ask(); // it can not go before the lock is given back
        return false;
    }

    // True: the caller, which was in line, sits.
    [[nodiscard]] bool wait(thread_listener& listener) noexcept {
        listener.wait();
        {
            const base::guard hold(lock_);
            if (remove(listener)) {
                return false;
            }
        }
        if (listener.accept()) {
            return true;
        }
        leave();
        return false;
    }

    // The next one in line sits, if there is one.
    void leave() noexcept {
        const base::guard hold(lock_);
        RT_ASSERT(sitting_ != nullptr);
        sitting_ = first_;
        if (first_ != nullptr) {
            static_cast<void>(remove(*first_));
            sitting_->offer(); // it can not go before the lock is given back
        }
    }

private:
    // The following need lock_.
    [[nodiscard]] bool sit_if_free(thread_listener& listener) noexcept {
        if (sitting_ != nullptr) {
            return false;
        }
        sitting_ = &listener;
        return true;
    }
    // The link in the line that points to `one`, or the last one, which is null.
    [[nodiscard]] thread_listener** link_to(const thread_listener* one) noexcept {
        thread_listener** link = &first_;
        while (*link != nullptr && *link != one) {
            link = &(*link)->next;
        }
        return link;
    }
    // False: it is not in the line.
    [[nodiscard]] bool remove(thread_listener& one) noexcept {
        thread_listener** const link = link_to(&one);
        if (*link == nullptr) {
            return false;
        }
        *link = std::exchange(one.next, nullptr);
        return true;
    }

    base::futex_lock lock_{base::lock_rank::current_thread_seat};
    thread_listener* sitting_ = nullptr; // guarded by lock_, and so are the next
    thread_listener* first_ = nullptr;   // those that wait, in the order of their coming
};

} // namespace rt::scheduler

// SPDX-License-Identifier: MIT
//
// What the tests of tasks, scheduler and runtime share: a gate that tasks wait at, a census of
// objects, and the list of runtimes that a behaviour must hold on.
//
// A gate is closed until open() is called, by any thread; from then on nobody waits any more. It is
// a leaf awaiter like those of the library (rt/detail/suspend.h), on a std::mutex, so that a test
// decides exactly when a task becomes ready and from which thread. Cancel: safe.
//
// A census counts the live objects of type `member`: what was made must have been destroyed once,
// whatever happened to the task that owned it. An opener opens a gate when it dies.
#pragma once

#include "support/runtimes.h"

#include <rt/detail/atomic.h>
#include <rt/detail/suspend.h>
#include <rt/runtime.h>
#include <rt/task.h>

#include <algorithm>
#include <coroutine>
#include <cstdint>
#include <initializer_list>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

namespace rt::test {

class gate {
public:
    class waiter : public detail::wait_node {
    public:
        explicit waiter(gate& at) noexcept
            : wait_node(&on_cancel)
            , gate_(at) {}

        bool await_ready() const { return gate_.is_open(); }
        template<typename Promise>
        bool await_suspend(std::coroutine_handle<Promise> self) {
            detail::task_header* const waiting = detail::attach_to_current(*this, "a gate");
            const void* const object = &gate_;
            if (!gate_.add(this)) {
                return false;
            }
            return detail::commit_suspend(
                waiting, self.address(), this, detail::wait_kind::user, object
            );
        }
        void await_resume() const noexcept {}

    private:
        static cancel_result on_cancel(wait_node* node) noexcept {
            auto* const self = static_cast<waiter*>(node);
            return self->gate_.remove(self) ? cancel_result::detached : cancel_result::in_flight;
        }

        gate& gate_;
    };

    gate() = default;
    gate(const gate&) = delete;
    gate& operator=(const gate&) = delete;

    [[nodiscard]] waiter wait() noexcept { return waiter(*this); }

    // Lets everybody pass, now and later. Threads: any. Whoever passes may destroy the gate only
    // once open() has returned.
    void open() {
        std::vector<waiter*> passing;
        {
            const std::lock_guard guard(lock_);
            is_open_ = true;
            passing.swap(waiters_);
        }
        for (waiter* each : passing) {
            detail::wake(each->task);
        }
    }

    [[nodiscard]] bool is_open() const {
        const std::lock_guard guard(lock_);
        return is_open_;
    }
    // Tasks that wait here. They have arrived, and may be about to suspend still.
    [[nodiscard]] std::size_t waiting() const {
        const std::lock_guard guard(lock_);
        return waiters_.size();
    }

private:
    bool add(waiter* one) {
        const std::lock_guard guard(lock_);
        if (is_open_) {
            return false;
        }
        waiters_.push_back(one);
        return true;
    }
    bool remove(waiter* one) {
        const std::lock_guard guard(lock_);
        const auto found = std::find(waiters_.begin(), waiters_.end(), one);
        if (found == waiters_.end()) {
            return false;
        }
        waiters_.erase(found);
        return true;
    }

    mutable std::mutex lock_;
    bool is_open_ = false;
    std::vector<waiter*> waiters_;
};

struct census {
    atomic<long> live{0};
    atomic<long> made{0};

    [[nodiscard]] long destroyed() const { return made.load_relaxed() - live.load_relaxed(); }
};

class member {
public:
    explicit member(census& counted) noexcept
        : census_(&counted) {
        enter();
    }
    member(const member& other) noexcept
        : census_(other.census_) {
        enter();
    }
    member(member&& other) noexcept
        : census_(other.census_) {
        enter();
    }
    member& operator=(const member&) noexcept = default;
    member& operator=(member&&) noexcept = default;
    // acq_rel: whoever sees the count at zero comes after the destructors.
    ~member() { census_->live.sub_acq_rel(1); }

private:
    void enter() noexcept {
        census_->live.add_relaxed(1);
        census_->made.add_relaxed(1);
    }

    census* census_;
};

// A configuration of `workers` workers, or of flavor::current_thread when it is 0.
inline config with_workers(std::uint32_t workers, driver_kind driver = driver_kind::automatic) {
    config made = workers == 0 ? single(driver) : settings(driver);
    made.workers = workers;
    return made;
}

// The same without stand-ins for workers that are held: each task runs on one of these, and when
// all are held nothing does. A machine that is busy with others holds workers too.
inline config exactly(std::uint32_t workers, driver_kind driver = driver_kind::automatic) {
    config made = with_workers(workers, driver);
    made.relief_threads = 0;
    return made;
}

// Calls `body(runtime)` with each number of workers, over both drivers.
template<typename Body>
void on_workers(std::initializer_list<std::uint32_t> counts, Body body) {
    for (const driver_kind driver : {driver_kind::automatic, driver_kind::epoll}) {
        for (const std::uint32_t workers : counts) {
            runtime instance(with_workers(workers, driver));
            body(instance);
        }
    }
}

// Keeps the calling thread until others have counted so far.
inline void hold_until(const atomic<int>& counter, int wanted) {
    while (counter.load_acquire() < wanted) {
        std::this_thread::yield();
    }
}

inline task<void> adds_one(atomic<int>* counter) {
    counter->add_acq_rel(1);
    co_return;
}

// Opens a gate that others wait at when it dies, under a lock that all of them take.
class opener {
public:
    opener(gate* at, std::mutex* lock) noexcept
        : at_(at)
        , lock_(lock) {}
    opener(opener&& other) noexcept
        : at_(std::exchange(other.at_, nullptr))
        , lock_(other.lock_) {}
    ~opener() {
        if (at_ != nullptr) {
            const std::lock_guard guard(*lock_);
            at_->open();
        }
    }

private:
    gate* at_;
    std::mutex* lock_;
};

// Calls `body(runtime)` on current_thread and on 1, 2, 4 and 8 workers, over both drivers.
template<typename Body>
void everywhere(Body body) {
    on_workers({0, 1, 2, 4, 8}, body);
}

// The same on what differs most: current_thread, and 1 and 2 workers, over the default driver.
template<typename Body>
void on_each_flavor(Body body) {
    for (const std::uint32_t workers : {0U, 1U, 2U}) {
        runtime instance(with_workers(workers));
        body(instance);
    }
}

// Runs what `body` returns on each of these.
inline void on_each_flavor_run(task<void> (*body)()) {
    on_each_flavor([body](runtime& instance) { instance.block_on(body()); });
}

} // namespace rt::test

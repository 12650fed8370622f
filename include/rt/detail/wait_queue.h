// SPDX-License-Identifier: MIT
//
// What every awaiter of rt/sync is made of: a waiter, the list it stands in, the list of those to
// be woken. The types are here because users embed them; the code is in src/sync/wait_queue.cc.
//
// A sync_wait waits for one operation on one object, once. It is woken by detail::wake when it
// belongs to a task, and by a futex when a thread outside any task blocks on it. Protocol:
//
// Rule 1. `enroll` decides under the object's lock (or with one compare-and-swap of its state):
//         either the operation is done, or the waiter stands where the next waker will find it.
// Rule 2. A waker takes the waiter out under the same lock, gives it what it waits for, lets go of
//         the lock, and wakes it. Taken out means granted: nothing is lost whoever cancels.
// Rule 3. `cancel` succeeds (detached) only if it takes the waiter out itself. If a waker was
//         faster, it answers in_flight; the task resumes with what it was given, or rule 5 is
//         applied.
// Rule 4. A waiter that has been taken out lives until it is woken: read its link before.
// Rule 5. `give_back` undoes a grant, for a waiter that was woken and whose task shall not go on
//         (rule 6 of rt/detail/header.h): as if it had been resumed and had dropped what it got. It
//         is null where the wake-up grants nothing, because what is waited for is taken afterwards.
// Rule 6. A thread whose time limit passes calls `cancel` itself. detached: it has got nothing, and
//         nobody refers to the waiter any more. in_flight: a waker does until it has woken it (rule
//         4), so the thread sleeps on until then, which is not long, and has what it was given. So
//         nothing need be given back.
//
// The cooperative budget. An operation that can be done at once takes one unit. When the turn's
// budget is used up, the task yields *before* the operation, because a task can be unwound while it
// is in the yield queue and must not hold anything then. So what resumes after the yield is not the
// coroutine but a stand-in frame (retry_frame) that makes the attempt and goes on with the
// coroutine or enrolls. It begins like a coroutine frame of the Itanium-style ABI (see
// rt/detail/promise.h), so that a dump walks through it to the coroutine.
//
// Rejected: yielding with the result in hand. A receive would lose a message when a timeout unwinds
// the task in the yield queue, and a mutex would be held through a turn of everybody else.
#pragma once

#include <rt/detail/atomic.h>
#include <rt/detail/config.h>
#include <rt/detail/context.h>
#include <rt/detail/header.h>
#include <rt/detail/promise.h>
#include <rt/detail/suspend.h>
#include <rt/time_limit.h>

#include <cstdint>

namespace rt::detail {

class sync_wait;
class wait_list;

// The constants of one kind of wait.
struct sync_wait_type {
    bool (*enroll)(sync_wait*) noexcept;              // rule 1. True: the waiter must wait
    wait_node::cancel_function cancel;                // rule 3
    wait_kind kind;                                   // for dumps
    void (*give_back)(sync_wait*) noexcept = nullptr; // rule 5
    const char* name = nullptr;                       // for advice, if not as in dumps
};

class sync_wait : public wait_node {
public:
    // What every blocking_ function is: blocks the calling thread until the operation is done.
    // Aborts with advice inside a task, also if the operation could be done at once: what has never
    // had to wait in a test would abort, or stop a worker, under load.
    void block() noexcept { static_cast<void>(block(time_limit())); }
    // The same, but no longer than until `limit` passes. False: it has, and the operation has not
    // been done (rule 6).
    [[nodiscard]] bool block(time_limit limit) noexcept {
        return block(limit, [] { return false; });
    }
    // The same, with an attempt that costs less than enroll.
    template<typename Attempt>
    [[nodiscard]] bool block(time_limit limit, Attempt attempt) noexcept {
        forbid_in_task();
        return attempt() || block_slow(limit);
    }
    // The check by itself, for what does more than that.
    void forbid_in_task() const noexcept {
        if (this_thread.task != nullptr) [[unlikely]] {
            refuse_to_block();
        }
    }

    // Rules 2 and 4: the waiter may be gone when this returns. REQUIRES: no lock held.
    RT_API static void wake(sync_wait* waiter) noexcept;

    // Rule 5. For the library.
    static void give_back(sync_wait* waiter) noexcept {
        if (waiter->type_->give_back != nullptr) {
            waiter->type_->give_back(waiter);
        }
    }

protected:
    // `object` is what dumps show and what enroll and cancel work on.
    sync_wait(const sync_wait_type& type, void* object) noexcept
        : wait_node(type.cancel)
        , type_(&type)
        , object_(object) {}
    // As long as it has not been awaited: see rt/detail/part.h.
    sync_wait(sync_wait&& other) noexcept
        : sync_wait(*other.type_, other.object_) {}
    ~sync_wait() = default;

    // The beginning of every await_ready. False: the task has to yield first.
    [[nodiscard]] bool take_budget() noexcept {
        if (consume_budget()) [[likely]] {
            return true;
        }
        is_starved_ = true;
        return false;
    }

    // The whole of every await_suspend.
    [[nodiscard]] RT_API bool suspend(void* self) noexcept;

    [[nodiscard]] void* object() const noexcept { return object_; }

private:
    friend class wait_list;
    friend class wake_list;

    // Layout: resume function, destroy function, promise.
    struct alignas(16) retry_frame {
        void (*resume)(void*);
        void (*destroy)(void*);
        frame_header header;
        sync_wait* waiter;
    };

    [[noreturn]] RT_API void refuse_to_block() const noexcept;
    [[nodiscard]] RT_API bool block_slow(time_limit limit) noexcept;
    [[nodiscard]] bool enroll_and_commit(void* self) noexcept;
    static void retry(void* frame) noexcept;

    struct links {
        sync_wait* next;     // in a wait_list: guarded by its lock; in a wake_list: by its owner
        sync_wait* previous; // in a wait_list
        std::uint32_t epoch; // in a wait_list: of the list, see there
    };

    const sync_wait_type* type_;
    void* object_;
    union {
        links links_;       // of one that is enrolled, or taken out
        retry_frame retry_; // a task's, between suspend and retry: before it is enrolled
    };
    union {
        atomic<std::uint32_t> signal_; // a blocked thread's; set once
    };
    bool is_starved_ = false;
};

// Those that wait, first come first. All members are guarded by the lock of the object that has it.
// An element is on the list while its epoch is the list's: so taking all costs the same for ten
// and for ten thousand, and still each of them knows that it was taken.
class wait_list {
public:
    constexpr wait_list() noexcept = default;
    wait_list(const wait_list&) = delete;
    wait_list& operator=(const wait_list&) = delete;
    ~wait_list() {
        if (first_ != nullptr) [[unlikely]] {
            destroyed_in_use();
        }
    }

    [[nodiscard]] bool is_empty() const noexcept { return first_ == nullptr; }
    [[nodiscard]] sync_wait* front() const noexcept { return first_; }
    [[nodiscard]] sync_wait* back() const noexcept { return last_; }

    RT_API void push_back(sync_wait* waiter) noexcept;
    // REQUIRES: !is_empty().
    RT_API sync_wait* pop_front() noexcept;
    // False: a waker has taken it.
    [[nodiscard]] RT_API bool remove(sync_wait* waiter) noexcept;

private:
    friend class wake_list;

    [[noreturn]] RT_API void destroyed_in_use() const noexcept;

    sync_wait* first_ = nullptr;
    sync_wait* last_ = nullptr;
    std::uint32_t epoch_ = 1;
};

// Those taken out under a lock, to be woken after it, in order. Lives on the waker's stack.
class wake_list {
public:
    wake_list() noexcept = default;
    wake_list(const wake_list&) = delete;
    wake_list& operator=(const wake_list&) = delete;

    void add(sync_wait* waiter) noexcept {
        waiter->links_.next = nullptr;
        (last_ == nullptr ? first_ : last_->links_.next) = waiter;
        last_ = waiter;
    }
    // Takes everybody out of `from`, whose lock the caller holds.
    RT_API void add_all(wait_list& from) noexcept;

    // Takes the first one, or null.
    [[nodiscard]] sync_wait* take() noexcept {
        sync_wait* const waiter = first_;
        if (waiter != nullptr) {
            first_ = waiter->links_.next;
            if (first_ == nullptr) {
                last_ = nullptr;
            }
        }
        return waiter;
    }

    void wake_all() noexcept {
        while (sync_wait* const waiter = take()) {
            sync_wait::wake(waiter);
        }
    }

private:
    sync_wait* first_ = nullptr;
    sync_wait* last_ = nullptr;
};

// What a dump may read of an object that a task waits for with wait_kind::mutex: it begins with the
// task that holds it, or null if that is a thread, several tasks, or not known. May be stale; a
// header stays a header, so that its id can be read at any time.
struct owned_object {
    // A branch ends with its group, and what it has won is its task's: that is what is noted.
    // relaxed: for dumps only.
    void note_owner(task_header* task) noexcept { owner.store_relaxed(whole_of(task)); }

    atomic<task_header*> owner{nullptr};
};

} // namespace rt::detail

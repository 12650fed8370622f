// SPDX-License-Identifier: MIT
//
// The header of a scheduled task: what the scheduler, the wakers, the join handle and the dump
// need.
//
// A task (one spawn) is a chain of coroutine frames of which exactly one, the leaf, is suspended or
// running. The header is 128 bytes of type-stable memory (detail/frame.h); the root frame is a
// block of its own and dies when the task ends, so that the arguments of a finished task do not
// outlive it however long its join handle is kept.
//
// Ownership. A task is in exactly one place: running on a worker, in one queue, or suspended at
// a leaf. Whoever takes it out of one place owns it until it is in the next. That is why a queue
// entry, a waker and a timer need no reference count. References (state_ref) are held by the task
// itself until it ends, by the join handle and by every abort handle; the last one frees the
// header.
//
// The state word. Every change is one read-modify-write, while anybody else can reach the word; the
// bits and who may set them:
//
//   waiting    set by the task's worker as the last act of a suspension; cleared by the one party
//              that takes the task out of its leaf (rule 1)
//   claimed    set with the same operation that clears waiting, by a canceller (rule 2)
//   woken      set by a waker that found neither waiting; cleared by the worker (rule 3)
//   aborted    set by anyone, never cleared: the whole task shall unwind
//   scoped     set by anyone after marking a boundary; cleared by the worker that runs the task
//   complete   set once, by the worker that ran the task to its end
//   interest   a join handle exists; cleared by it
//   listener   `listener` is valid; set by the join handle, never after complete
//   lost       set by the group of a branch, never cleared: nobody wants what the branch would
//              yield, and it is, or will be, aborted (rule 6)
//   labelled   set by the spawner or by the task itself, never cleared: `parent` leads to a label,
//              which is freed with the header (detail/label.h). Above the count of references
//
// Rule 1. wake(): waiting -> 0 and the caller schedules the task; otherwise it sets woken.
// Rule 2. request_cancel(): waiting -> claimed and the caller schedules; otherwise only the bit.
// Rule 3. commit_suspend(): publishes waiting last, unless woken is set (then the task goes on) or
//         a cancellation is pending (then the leaf is asked to let go first). Once waiting is
//         published the frame may be gone.
// Rule 4. A worker that is handed a claimed task asks the leaf to let go. `detached` means no waker
//         will ever call wake() for this suspension: the task unwinds. `in_flight` means one has
//         called or will: the worker turns claimed back into waiting, or goes on if woken is set,
//         so nothing that a waker delivered is lost.
// Rule 5. A leaf is woken at most once per suspension.
// Rule 6. A branch that is lost unwinds though it was woken, unless it has been resumed since: what
//         the wake-up was about stays where it is (a message, a byte, the result of a task), or is
//         given back (a lock, a permit, a notification). So none of it goes to a branch that can do
//         nothing with it. Only a leaf that can do neither, one of rt::blocking or of the user,
//         goes on to its next suspension, as by rule 4.
#pragma once

#include <rt/detail/atomic.h>
#include <rt/detail/config.h>

#include <cstddef>
#include <cstdint>
#include <source_location>

namespace rt {
struct hooks;
}

namespace rt::detail {

struct task_header;
struct join_wait;

enum state_bits : std::uint64_t {
    state_waiting = 1U << 0U,
    state_claimed = 1U << 1U,
    state_woken = 1U << 2U,
    state_aborted = 1U << 3U,
    state_scoped = 1U << 4U,
    state_complete = 1U << 5U,
    state_interest = 1U << 6U,
    state_listener = 1U << 7U,
    state_lost = 1U << 8U,
    state_ref = 1U << 9U,
    state_spawned = 2 * state_ref | state_interest, // the task's own reference and the handle's
    state_labelled = std::uint64_t{1} << 63U,
};

// Why a task waits. The texts are in src/task/wait_reason.h and appear in dumps.
enum class wait_kind : std::uint8_t {
    none,
    join,
    sleep,
    readable,
    writable,
    blocking,
    signal,
    mutex,
    semaphore,
    notify,
    channel_send,
    channel_receive,
    oneshot,
    barrier,
    scope,
    yield,
    user,
    in_place,    // runs, in rt::block_in_place
    join_any,    // of several tasks
    join_inside, // of a task that its worker runs inside of its turn; state_waiting is not set
    kind_count,
};

// How a finished task ended.
enum class outcome : std::uint8_t { pending, value, exception, cancelled };

// What a leaf awaiter derives from: the handle by which a canceller asks it to let go.
struct wait_node {
    enum class cancel_result : std::uint8_t { detached, in_flight };
    using cancel_function = cancel_result (*)(wait_node*) noexcept;

    explicit wait_node(cancel_function f) noexcept
        : cancel(f) {}
    wait_node(const wait_node&) = delete;
    wait_node& operator=(const wait_node&) = delete;

    task_header* task = nullptr; // the waiting task; written before the node is published
    cancel_function cancel;
};

// Told once when a task has ended. Called on the worker that ended it, with no lock held; the
// callee owns the reference of the join handle that installed it.
struct completion_listener {
    using function = void (*)(completion_listener*, task_header*) noexcept;

    explicit completion_listener(function f) noexcept
        : on_complete(f) {}

    function on_complete;
};

// A point to which part of a task can be unwound (timeout): see src/task/cancel.h.
struct cancel_boundary {
    cancel_boundary* outer = nullptr; // the enclosing boundary; owned by the task
    atomic<bool> requested{false};    // set by anyone, before state_scoped
    bool unwound = false;             // the inner frames are gone
    void* inner = nullptr;            // the coroutine to destroy, null once finished
    void* continuation = nullptr;     // the coroutine to resume afterwards
};

// Where ready tasks go. One per runtime, implemented by src/scheduler.
class scheduler_base {
public:
    // Queues a task that the caller owns. Threads: any, with no lock held.
    virtual void schedule(task_header* task) noexcept = 0;
    // The same for a task that has waited for another one, which has just ended on this thread.
    virtual void schedule_joiner(task_header* task) noexcept = 0;
    // The same for a task that runs for the first time.
    virtual void schedule_new(task_header* task) noexcept = 0;
    // Cancels a task that is new, is in no queue and has not been published, if what is spawned now
    // does not begin any more. True: it has ended. Threads: any, with no lock held.
    virtual bool refuse_late(task_header* /*task*/) noexcept { return false; }
    // Runs a task inside the turn of the running one, which is about to join it by `wait`, if
    // nobody else could run either of them meanwhile and it is the next in turn; else does nothing.
    // True: the running one waits by now, and is not the caller's any more.
    virtual bool run_at_join(task_header* /*task*/, join_wait& /*wait*/) noexcept { return false; }

    // The program's, if it has hooks for tasks or something of their turns is measured; else null.
    // Constant while there are tasks, as are the next.
    const rt::hooks* hooks = nullptr;
    // The task that those of this scheduler are branches of (rt/detail/branches.h), of whichever
    // depth; null for tasks that are whole ones.
    task_header* whole = nullptr;
    // How long tasks are ready before their turns is measured: whoever makes one ready says when.
    bool measures_latency = false;

protected:
    ~scheduler_base() = default;
};

inline constexpr std::size_t inline_result_bytes = 32;

struct alignas(64) task_header {
    // Hot: touched by every wake and every poll.
    atomic<std::uint64_t> state;   // rules above
    task_header* queue_next;       // owner of the task; link of the queue it is in
    void* resume;                  // owner; coroutine address of the leaf
    scheduler_base* scheduler;     // constant from spawn
    wait_node* leaf;               // owner; valid while waiting or claimed
    cancel_boundary* boundary;     // owner; innermost
    completion_listener* listener; // written by the join handle before state_listener
    std::uint32_t polls;           // owner; a dump reads it twice to see whether the task moved
    std::uint16_t home;            // worker that ran it last
    wait_kind waits_for;           // owner
    outcome ended;                 // written before complete

    // Cold: identity, and what only a live or only a finished task has.
    atomic<std::uint64_t> id;               // never 0 for a live task, 0 when free; unique, but
                                            // for branches, which have that of their task
    const char* name;                       // static or interned text, or null
    const std::source_location* spawn_site; // see site_of
    atomic<std::uint64_t> parent;           // the spawning task's id or 0; or see detail/label.h

    struct live_part {
        const void* wait_object;  // owner; what it waits on, for the wait-for graph
        std::uint64_t since_ns;   // owner; coarse monotonic time of the last suspension, or,
                                  // with measures_latency, when it became ready last
        void* frame;              // coroutine address of the root
        std::uint64_t created_ns; // coarse monotonic time of the spawn
    };
    union {
        live_part live;
        alignas(16) std::byte result[inline_result_bytes];
        void* boxed; // a larger result, in a block of allocate_frame
    };

    // A header lives in memory that is never anything else; it is reset, not constructed.
    task_header() = delete;
};

static_assert(sizeof(task_header) == 128);
static_assert(offsetof(task_header, id) == 64);
static_assert(offsetof(task_header, result) == 96);

// The task that `task`, if any, is or is a branch of.
[[nodiscard]] inline task_header* whole_of(task_header* task) noexcept {
    task_header* const whole = task == nullptr ? nullptr : task->scheduler->whole;
    return whole == nullptr ? task : whole;
}

// Takes the task out of its leaf. True: the caller now owns the task and must schedule it, with no
// lock held. False: its worker will find the wake-up. (Rule 1.)  Threads: any.
[[nodiscard]] RT_API bool try_wake(task_header* task) noexcept;

// try_wake, then schedule.
RT_API void wake(task_header* task) noexcept;

// The last act of a leaf's await_suspend, after the node was handed to its waker. True: the task is
// suspended (or will unwind) and the caller returns to the worker without touching the frame.
// False: it was woken already and goes on. (Rule 3.)
[[nodiscard]] RT_API bool commit_suspend(
    task_header* task, void* leaf_address, wait_node* node, wait_kind kind, const void* object
) noexcept;

// Sets `bit` (state_aborted or state_scoped) and, if the task waits, claims it. True: the caller
// must schedule the task. (Rule 2.)  Threads: any that keep the header alive.
[[nodiscard]] RT_API bool request_cancel(task_header* task, state_bits bit) noexcept;

// Gives up one reference; frees the header with the last one.
RT_API void release(task_header* task) noexcept;

} // namespace rt::detail

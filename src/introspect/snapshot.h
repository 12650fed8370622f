// SPDX-License-Identifier: MIT
//
// A picture of all live tasks, taken while they go on.
//
// Task headers are type-stable memory: whatever was a header once is one for ever, so that they can
// be copied at any time. Headers are copied in batches, the stacks of the batch are read, and the
// headers are copied again: a task whose id, turn count, state and leaf are the same in both copies
// stood still in between, so its stack is true. One that moved is tried again, three times in all,
// and then reported without a stack. So is one whose label changed while it was read, and then
// reported without it. Nothing is stopped, locked or run.
//
// What a task is doing: running, if some worker names it as its current task before or after the
// reading; waiting, if its state word says so, or if it is inside of a join whose child its worker
// runs meanwhile; ready otherwise.
//
// Threads: the sentinel.
#pragma once

#include "introspect/observed.h"
#include "introspect/trace.h"

#include <rt/detail/header.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace rt::introspect {

enum class task_state : std::uint8_t { running, ready, waiting };
inline constexpr std::size_t task_state_count = 3;

// "running", "ready" or "waiting".
[[nodiscard]] std::string_view text_of(task_state state) noexcept;

inline constexpr std::uint32_t no_worker = UINT32_MAX;

struct task_facts {
    std::uint64_t id = 0;
    std::uint64_t parent_id = 0;        // 0 unknown, or none
    std::uint32_t runtime = 0;          // index into the runtimes given
    std::uint32_t worker = no_worker;   // that runs it, or ran it last
    std::uint32_t bound_to = no_worker; // the only worker that may run it
    task_state state = task_state::ready;
    bool is_cancelled = false; // asked to unwind, and has not yet
    bool is_consistent = true; // the stack is true
    detail::wait_kind waits_for = detail::wait_kind::none;
    std::uintptr_t wait_object = 0;
    std::uint64_t waits_on = 0;   // the task that holds the lock or is to end; 0 unknown
    std::uint64_t since_ns = 0;   // of its last suspension; monotonic, coarse, 0 unknown
    std::uint64_t created_ns = 0; // the same
    std::uint32_t polls = 0;
    std::uintptr_t name = 0; // see name_cache
    std::string label;       // as the task has it: of any bytes
    std::uintptr_t spawn_site = 0;
    async_stack stack; // of a running task: the root frame only
};

struct walk_result {
    std::uint64_t seen = 0;
    std::uint64_t consistent = 0;
    std::uint64_t in_state[task_state_count]{};
    std::uint64_t duration_ns = 0;
    bool is_cut = false; // the deadline came first; the numbers are of a part
};

// Shows every live task of `runtimes` to `visit`, which must not keep the reference.
walk_result walk_tasks(
    const std::vector<runtime_facts>& runtimes,
    std::uint64_t deadline_ns,
    const std::function<void(const task_facts&)>& visit
);

// How many tasks of the whole process have not ended; by one pass over all headers, without
// copying.
[[nodiscard]] std::uint64_t count_tasks_alive() noexcept;

// Task names, read safely, each once. Lives for one request.
class name_cache {
public:
    [[nodiscard]] const std::string& find(std::uintptr_t name);

private:
    std::unordered_map<std::uintptr_t, std::string> known_;
};

} // namespace rt::introspect

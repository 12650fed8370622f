// SPDX-License-Identifier: MIT
//
// The dump: what every worker and every task is doing, equal stacks grouped.
//
// A server has many tasks and few places where they wait, so the default is one entry per distinct
// stack with a count, the oldest and youngest, and some examples. Workers that have been in one
// turn for 20 ms are sampled (native_stack.h), so a loop that never awaits is seen too. Everything
// has a deadline; what did not make it is named under `partial`.
//
// Threads: the sentinel.
#pragma once

#include "introspect/native_stack.h"
#include "introspect/progress.h"
#include "introspect/render.h"
#include "introspect/request.h"
#include "introspect/snapshot.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

namespace rt::introspect {

inline constexpr std::size_t groups_max = 4096; // distinct stacks; the rest are counted together
inline constexpr std::size_t examples_max = 3;  // tasks named per group

// A task of a group that stands for others.
struct group_example {
    std::uint64_t id = 0; // 0: none
    std::string label;
};

struct task_group {
    task_facts first; // one of them, for everything that all have in common
    std::uint64_t count = 0;
    std::uint64_t cancelled = 0;
    std::uint64_t oldest_ns = 0; // stamps as in task_facts; 0 unknown
    std::uint64_t youngest_ns = 0;
    std::array<group_example, examples_max> examples{};
};

// Collects tasks by what they wait for and where.
class grouping {
public:
    void add(const task_facts& task);
    // Most numerous first, then oldest.
    [[nodiscard]] std::vector<const task_group*> sorted() const;
    [[nodiscard]] std::uint64_t ungrouped() const noexcept { return ungrouped_; }

private:
    [[nodiscard]] static std::uint64_t hash_of(const task_facts& task) noexcept;
    [[nodiscard]] static bool is_same(const task_facts& a, const task_facts& b) noexcept;

    std::unordered_multimap<std::uint64_t, task_group> groups_;
    std::uint64_t ungrouped_ = 0;
};

// Writes the dump to `answer`, as JSON or text; `full` lists every task instead of groups.
void answer_dump(progress_log& progress, bool as_json, bool full, response& answer);

// "2026-11-20T17:20:00.123Z".
[[nodiscard]] std::string iso_time(std::uint64_t realtime_ns);

} // namespace rt::introspect

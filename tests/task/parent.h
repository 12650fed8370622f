// SPDX-License-Identifier: MIT
//
// Who has spawned a task.
#pragma once

#include <rt/detail/header.h>
#include <rt/detail/label.h>

#include <cstdint>

namespace rt::test {

// The id, 0 if nobody. The caller keeps the header alive.
inline std::uint64_t parent_of(const detail::task_header* task) noexcept {
    const std::uint64_t word = task->parent.load_acquire(); // acquire: as in label_block_of
    const detail::label_block* const label = detail::label_at(word);
    return label == nullptr ? word : label->parent_id.load_relaxed(); // ordered by the above
}

} // namespace rt::test

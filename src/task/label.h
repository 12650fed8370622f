// SPDX-License-Identifier: MIT
//
// What src does with labels, but for walks (introspect/label_reader.h); the protocol is in
// rt/detail/label.h.
#pragma once

#include "base/text_writer.h"

#include <rt/detail/header.h>
#include <rt/detail/label.h>
#include <rt/task_label.h>

#include <cstdint>
#include <source_location>
#include <string_view>

namespace rt::tasks {

// A block with this text for a task with this parent. Null: no memory.
[[nodiscard]] detail::label_block*
make_label(std::string_view text, std::uint64_t parent_id) noexcept;

// The label of a task; none, if it was being changed whenever this looked. The caller keeps the
// header alive, or asks for the task's id again afterwards. Threads: any.
[[nodiscard]] task_label label_of(const detail::task_header* task) noexcept;

// ' "name" [label]' as far as they are there: what every report calls a task, behind its id. Names
// are as programs make them, labels as strangers do: both are escaped.
void write_title(base::text_writer& out, std::string_view name, std::string_view label) noexcept;

// 'task 7 "name" [label] (spawned at main.cc:12)'. The caller keeps the header alive.
void write_task(base::text_writer& out, const detail::task_header* task) noexcept;
// The same of one that may be gone.
void write_task(
    base::text_writer& out,
    std::uint64_t id,
    std::string_view name,
    std::string_view label,
    std::source_location at
) noexcept;

// Frees a labelled header and its label. No reference is left.
void free_labelled(detail::task_header* task) noexcept;

} // namespace rt::tasks

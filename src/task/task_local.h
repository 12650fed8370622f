// SPDX-License-Identifier: MIT
//
// How the branches of a group find the values of their task.
#pragma once

#include <rt/detail/header.h>

namespace rt::tasks {

// Makes `boundary` the end of a branch's list from which the search goes on at `owner`, the task
// that the group belongs to. It is not linked to the owner's list itself, because a request to
// unwind the owner to one of its boundaries must not be taken for one to unwind the branch.
void make_bridge(detail::cancel_boundary& boundary, detail::task_header* owner) noexcept;

} // namespace rt::tasks

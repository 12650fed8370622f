// SPDX-License-Identifier: MIT
//
// The sources of src/task, compiled for the explorer: see task_model.h.
#include "model/task_model.h"

// clang-format off
#define rt rt_model
#include "task/context.cc"
#include "task/hooks.cc"
#include "task/state.cc"
#include "task/join.cc"
#include "task/cancel.cc"
#include "task/task.cc"
#include "task/run.cc"
#include "task/unobserved.cc"
#include "task/task_local.cc"
#include "task/label.cc"
#undef rt
// clang-format on

// SPDX-License-Identifier: MIT
//
// Everything, in reading order. A program may include single headers instead; each compiles alone.
#pragma once

#include <rt/block_in_place.h>
#include <rt/blocking.h>
#include <rt/buffer.h>
#include <rt/config.h>
#include <rt/deadline.h>
#include <rt/hooks.h>
#include <rt/interval.h>
#include <rt/join.h>
#include <rt/join_set.h>
#include <rt/net.h>
#include <rt/paused_clock.h>
#include <rt/result.h>
#include <rt/runtime.h>
#include <rt/scope.h>
#include <rt/select.h>
#include <rt/shield.h>
#include <rt/shutdown.h>
#include <rt/signal.h>
#include <rt/spawn.h>
#include <rt/spawn_blocking.h>
#include <rt/spawn_on.h>
#include <rt/sync.h>
#include <rt/task.h>
#include <rt/task_label.h>
#include <rt/task_local.h>
#include <rt/task_name.h>
#include <rt/time.h>
#include <rt/time_limit.h>
#include <rt/topology.h>
#include <rt/try_join.h>
#include <rt/version.h>
#include <rt/yield.h>

// SPDX-License-Identifier: MIT
#pragma once

#include <rt/sync/barrier.h>
#include <rt/sync/broadcast.h>
#include <rt/sync/mpsc.h>
#include <rt/sync/mutex.h>
#include <rt/sync/notify.h>
#include <rt/sync/once.h>
#include <rt/sync/oneshot.h>
#include <rt/sync/rwlock.h>
#include <rt/sync/semaphore.h>
#include <rt/sync/watch.h>

// SPDX-License-Identifier: MIT
#include "metrics/worker_counters.h"

namespace rt::metrics {

constinit thread_local worker_counters* this_worker __attribute__((tls_model("initial-exec"))) =
    nullptr;
constinit worker_counters external_counters;
constinit worker_counters no_counters;

} // namespace rt::metrics

// SPDX-License-Identifier: MIT
#include "memory/exhaustion.h"

#include <rt/detail/atomic.h>
#include <rt/detail/frame.h>

namespace rt {
namespace {

// relaxed: whoever asks has what became of the failed allocation, and with it the order.
constinit atomic<bool> has_run_out{false};

} // namespace

void memory::note_exhaustion() noexcept {
    has_run_out.store_relaxed(true);
}

bool detail::has_run_out_of_memory() noexcept {
    return has_run_out.load_relaxed();
}

} // namespace rt

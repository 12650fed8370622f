// SPDX-License-Identifier: MIT
#include "base/assert.h"

#include <rt/detail/context.h>
#include <rt/detail/promise.h>
#include <rt/detail/result_slot.h>
#include <rt/spawn.h>

#include <cstdint>
#include <exception>
#include <optional>

namespace rt::detail {

constinit thread_local context this_thread __attribute__((tls_model("initial-exec")));

task_header* current_task_or_fatal(const char* what) noexcept {
    if (this_thread.task == nullptr) {
        base::fatal(
            "%s outside a task: wrap the call in rt::block_on(...) or rt::spawn(...)", what
        );
    }
    return this_thread.task;
}

void forbid_outside(const char* what, site at) noexcept {
    base::fatal(
        "%s outside a runtime, at %s:%u: call it from a task, or use rt::handle::spawn of a "
        "runtime",
        what,
        at.file_name(),
        static_cast<unsigned>(at.line())
    );
}

void out_of_memory_for_result() noexcept {
    base::fatal("out of memory for the result of a task: return a pointer to large results");
}

} // namespace rt::detail

namespace rt {

std::optional<std::uint64_t> current_task_id() noexcept {
    const detail::context& self = detail::this_thread;
    const detail::task_header* const task = self.task != nullptr ? self.task : self.in_place;
    if (task == nullptr) {
        return std::nullopt;
    }
    return task->id.load_relaxed(); // the thread is running it
}

} // namespace rt

// SPDX-License-Identifier: MIT
//
// An exception that leaves a task whose join handle is gone has no one to be rethrown to. It is
// reported on standard error with the task and its spawn site, unless the runtime of the thread
// that drops it has another policy (config::unhandled). It is not the task's runtime that is asked:
// that may be gone by the time a finished task's join handle is dropped.
#include "base/log.h"
#include "base/text_writer.h"
#include "task/label.h"
#include "task/task.h"

#include <rt/detail/promise.h>
#include <rt/detail/result_slot.h>

#include <exception>
#include <string_view>

namespace rt::tasks {
namespace {
constinit unhandled_function on_unhandled = nullptr;
} // namespace

void set_unhandled(unhandled_function function) noexcept {
    on_unhandled = function;
}

} // namespace rt::tasks

namespace rt::detail {
namespace {
// Name and label, each byte of which may take four when it is shown, and a path.
constexpr std::size_t report_bytes_max = 1024;
} // namespace

void report_unobserved_exception(task_header* task, std::exception_ptr exception) noexcept {
    if ((task->state.load_relaxed() & state_aborted) != 0) {
        return; // it was told to stop; what it stumbled over on the way, such as a join_error, is
                // no news
    }
    if (rt::tasks::on_unhandled != nullptr && !rt::tasks::on_unhandled(exception)) {
        return;
    }
    const auto report = [task](const char* what) noexcept {
        base::text_buffer<report_bytes_max> who;
        rt::tasks::write_task(who, task);
        const std::string_view text = who.view();
        base::log(
            base::log_level::warning,
            "%.*s ended with an exception that nobody awaits: %s",
            static_cast<int>(text.size()),
            text.data(),
            what
        );
    };
    try {
        std::rethrow_exception(std::move(exception));
    } catch (const std::exception& error) {
        report(error.what());
    } catch (...) {
        report("an object that is not a std::exception");
    }
}

} // namespace rt::detail

// SPDX-License-Identifier: MIT
//
// What a shutdown with a deadline could not wait for.
//
//     rt::shutdown_report report = runtime.shut_down(5s);
//     if (!report.is_complete) {
//         std::fputs(report.text().c_str(), stderr);
//     }
//
// A task that is listed runs without suspending, waits for a closure that is still on the blocking
// pool or for something that must not be cancelled (rt::shield), or has not been asked yet.
// Names and places are text of the process and of its binaries: they outlive task and runtime.
#pragma once

#include <rt/detail/config.h>
#include <rt/task_label.h>

#include <cstdint>
#include <source_location>
#include <string>
#include <vector>

namespace rt {

struct unfinished_task {
    std::uint64_t id = 0;
    const char* name = nullptr; // null if it has none
    task_label label;           // a copy
    std::source_location spawned_at;
    bool is_in_blocking_closure = false; // else it runs, is shielded, or has not been asked yet
};

struct shutdown_report {
    bool is_complete = true;           // every task has ended and every thread has been joined
    std::vector<unfinished_task> left; // when the deadline passed; empty when complete

    // A line for each, as
    //     task 7 "reader" [orders.db] (spawned at main.cc:12) is in a blocking closure
    [[nodiscard]] RT_API std::string text() const;
};

} // namespace rt

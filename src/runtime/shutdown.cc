// SPDX-License-Identifier: MIT
//
// Shutdown that somebody does not wait for.
//
// The orderly shutdown (core::shut_down) is the only one there is. With a deadline, or in the
// background, a thread of its own runs it and holds the core; the caller waits for that thread as
// long as it likes and then looks at what is left. What is late is thus never torn down under the
// feet of a running closure: the thread ends it properly, whenever that is.
//
// Rejected: to abandon workers at the deadline. Their tasks would be leaked with all that they own,
// and a closure that returns later would find neither queue nor task.
#include "base/assert.h"
#include "base/log.h"
#include "base/text_writer.h"
#include "runtime/core.h"
#include "task/label.h"
#include "topology/affinity.h"

#include <rt/detail/context.h>
#include <rt/runtime.h>

#include <condition_variable>
#include <csignal>
#include <memory>
#include <mutex>
#include <system_error>
#include <thread>

namespace rt {
namespace {

// Name and label, each byte of which may take four, and a path.
constexpr std::size_t task_bytes_max = 1024;

struct farewell {
    std::mutex lock;               // tidy:allow banned: a thread sleeps long on it
    std::condition_variable ended; // tidy:allow banned: as above
    bool has_ended = false;        // guarded by lock
};

void run(std::shared_ptr<engine::core> core, const std::shared_ptr<farewell>& shared) {
    topology::name_this_thread(core->settings().name + "-end");
    core->shut_down();
    core.reset();
    const std::lock_guard hold(shared->lock);
    shared->has_ended = true;
    shared->ended.notify_all();
}

// Hands the core to a thread that takes it down. Without a thread the caller does it; one of its
// workers cannot, for it would wait for itself: null then, and the end has begun.
std::shared_ptr<farewell> hand_over(const std::shared_ptr<engine::core>& core) {
    auto shared = std::make_shared<farewell>();
    core->begin_shut_down(); // not when the thread gets round to it
    const bool is_own_worker = engine_of_thread() == core.get();
    sigset_t every;
    sigset_t before;
    sigfillset(&every);
    ::pthread_sigmask(SIG_SETMASK, &every, &before); // inherited: signals are for other threads
    try {
        std::thread(&run, core, shared).detach();
    } catch (const std::system_error& error) {
        base::log(
            base::log_level::warning,
            "no thread for the shutdown (%s): %s waits for its end",
            error.what(),
            is_own_worker ? "whoever destroys the runtime" : "the caller"
        );
        if (is_own_worker) {
            shared = nullptr;
        } else {
            core->shut_down();
            shared->has_ended = true;
        }
    }
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
    return shared;
}

// True: it has ended.
bool wait(farewell& shared, std::chrono::nanoseconds timeout) {
    // A limit, because a clock that is asked for more than it can count returns at once.
    const auto longest = std::chrono::nanoseconds(std::chrono::hours(24 * 365));
    std::unique_lock hold(shared.lock);
    return shared.ended.wait_for(hold, std::min(timeout, longest), [&] {
        return shared.has_ended;
    });
}

void forbid_own_worker(engine::core& core) noexcept {
    if (engine_of_thread() != &core) {
        return;
    }
    if (core.settings().flavor == flavor::current_thread) {
        base::fatal(
            "a flavor::current_thread runtime is shut down inside its block_on: return from "
            "block_on first"
        );
    }
}

} // namespace

shutdown_report runtime::shut_down(std::chrono::nanoseconds timeout) {
    core_->check_process();
    forbid_own_worker(*core_);
    if (timeout.count() > 0 && engine_of_thread() == core_.get()) {
        base::fatal(
            "a runtime is shut down on one of its own threads, which would wait for itself: "
            "use shut_down_in_background()"
        );
    }
    shutdown_report report;
    if (is_handed_over_) {
        return report;
    }
    const std::shared_ptr<farewell> shared = hand_over(core_);
    is_handed_over_ = shared != nullptr;
    report.is_complete = shared != nullptr && wait(*shared, timeout);
    if (!report.is_complete) {
        report.left = core_->workers().unfinished();
    }
    return report;
}

void runtime::shut_down_in_background() {
    core_->check_process();
    forbid_own_worker(*core_);
    if (!is_handed_over_) {
        is_handed_over_ = hand_over(core_) != nullptr;
    }
}

std::string shutdown_report::text() const {
    std::string text;
    for (const unfinished_task& one : left) {
        base::text_buffer<task_bytes_max> task;
        const char* const name = one.name == nullptr ? "" : one.name;
        tasks::write_task(task, one.id, name, one.label.text(), one.spawned_at);
        text += task.view();
        text += one.is_in_blocking_closure ? " is in a blocking closure\n" : " has not ended\n";
    }
    return text;
}

} // namespace rt

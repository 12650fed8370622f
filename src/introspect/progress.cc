// SPDX-License-Identifier: MIT
//
// The looks, and the memory between them.
//
// A turn is known by runtime, worker, thread and number; a runtime that takes the address of one
// that is gone has other threads, so that it does not inherit its age. Threads: the sentinel.
#include "introspect/progress.h"

#include "base/clock.h"

#include <algorithm>
#include <utility>

#include <time.h>

namespace rt::introspect {
namespace {

void sleep_ns(std::uint64_t duration_ns) noexcept {
    timespec left{
        static_cast<time_t>(duration_ns / base::ns_per_second),
        static_cast<long>(duration_ns % base::ns_per_second)};
    while (::nanosleep(&left, &left) != 0) {
        // The sentinel blocks all signals; only a debugger gets here.
    }
}

// The shortest time that some worker is known to be in its turn, among those in need of another
// look; or `enough` when none is.
std::uint64_t
shortest_turn(const std::vector<runtime_facts>& runtimes, std::uint64_t enough) noexcept {
    std::uint64_t shortest = enough;
    for (const runtime_facts& runtime : runtimes) {
        for (const worker_facts& worker : runtime.workers) {
            if (worker.view.task != nullptr) {
                shortest = std::min(shortest, worker.same_turn_ns);
            }
        }
    }
    return shortest;
}

bool is_any_in_turn_since(
    const std::vector<runtime_facts>& runtimes, std::uint64_t age_ns
) noexcept {
    return std::any_of(runtimes.begin(), runtimes.end(), [age_ns](const runtime_facts& runtime) {
        return std::any_of(
            runtime.workers.begin(),
            runtime.workers.end(),
            [age_ns](const worker_facts& worker) {
                return worker.view.task != nullptr && worker.same_turn_ns >= age_ns &&
                    worker.same_turn_ns < stuck_after_ns;
            }
        );
    });
}

} // namespace

void progress_log::note(std::vector<runtime_facts>& runtimes, std::uint64_t now_ns) {
    std::vector<turn> seen;
    for (runtime_facts& runtime : runtimes) {
        for (worker_facts& worker : runtime.workers) {
            const scheduler::worker_view& view = worker.view;
            worker.same_turn_ns = 0;
            worker.is_stuck = false;
            if (view.task == nullptr || view.state == scheduler::worker_state::in_place) {
                continue;
            }
            turn now{runtime.scheduler, view.index, view.tid, view.turn, now_ns};
            const auto before = std::find_if(turns_.begin(), turns_.end(), [&](const turn& one) {
                return one.scheduler == now.scheduler && one.worker == now.worker &&
                    one.tid == now.tid && one.number == now.number;
            });
            if (before != turns_.end()) {
                now.seen_ns = before->seen_ns;
            }
            worker.same_turn_ns = now_ns - now.seen_ns;
            worker.is_stuck = worker.same_turn_ns >= stuck_after_ns;
            seen.push_back(now);
        }
    }
    turns_ = std::move(seen);
}

std::vector<runtime_facts> progress_log::look() {
    std::vector<runtime_facts> runtimes = observed().read();
    note(runtimes, base::monotonic_ns());
    if (shortest_turn(runtimes, first_look_ns) < first_look_ns) {
        sleep_ns(first_look_ns);
        runtimes = observed().read();
        note(runtimes, base::monotonic_ns());
    }
    if (is_any_in_turn_since(runtimes, first_look_ns)) {
        sleep_ns(stuck_after_ns - first_look_ns);
        runtimes = observed().read();
        note(runtimes, base::monotonic_ns());
    }
    return runtimes;
}

} // namespace rt::introspect

// SPDX-License-Identifier: MIT
//
// The list of runtimes: copying out under its lock, and nothing that can wait.
//
// The lock is never held while files of /proc are read for an answer, a task is looked at or an
// answer is written, so that the start and the stop of a runtime wait for a copy of some hundred
// bytes per worker.
#include "introspect/observed.h"

#include "base/unique_fd.h"

#include <algorithm>
#include <cstdio>
#include <new>
#include <utility>

#include <fcntl.h>
#include <unistd.h>

namespace rt::introspect {
namespace {

worker_facts facts_of(scheduler::pool& workers, std::uint32_t index) {
    worker_facts facts;
    facts.view = workers.view(index);
    if (facts.view.counters != nullptr) {
        facts.counters = read_counters(*std::exchange(facts.view.counters, nullptr));
    }
    return facts;
}

runtime_facts facts_of(engine::core& core) {
    scheduler::pool& workers = core.workers();
    runtime_facts facts;
    facts.id = core.id();
    facts.unique_name = core.settings().name;
    facts.scheduler =
        reinterpret_cast<std::uintptr_t>(static_cast<detail::scheduler_base*>(&workers));
    facts.addresses = workers.addresses();
    facts.settings = core.settings();
    facts.driver = text_of(workers.driver_kind());
    facts.driver_reason = core.driver_reason();
    facts.placement_reason = workers.placement_reason();
    facts.started_ns = core.started_ns();
    facts.injected_depth = workers.injected_depth();
    facts.blocking = core.blocking_pool().read();
    facts.blocking_latency = core.blocking_pool().read_latency();
    facts.poll_times = workers.read_poll_times();
    facts.schedule_latency = workers.read_schedule_latency();
    for (std::uint32_t i = 0; i < workers.view_count(); ++i) {
        facts.workers.push_back(facts_of(workers, i));
    }
    return facts;
}

// Two runtimes of the same name become "rt" and "rt-2".
void make_names_unique(std::vector<runtime_facts>& all) {
    for (std::size_t i = 1; i < all.size(); ++i) {
        const auto same =
            std::count_if(all.begin(), all.begin() + static_cast<long>(i), [&](auto& one) {
                return one.settings.name == all[i].settings.name;
            });
        if (same > 0) {
            all[i].unique_name += "-" + std::to_string(same + 1);
        }
    }
}

// What a thread has used, of which this was known before. One that has ended has no file.
thread_time latest(const thread_time& before, const thread_time& now) noexcept {
    return {
        std::max(before.cpu_ns, now.cpu_ns),
        std::max(before.wait_ns, now.wait_ns),
        before.is_known || now.is_known};
}

} // namespace

counter_values read_counters(const metrics::worker_counters& counters) noexcept {
#define RT_READ(name, family, help) counters.name.load_relaxed(),
    // Relaxed: each counter stands for itself (metrics/worker_counters.h).
    return {RT_WORKER_COUNTERS(RT_READ)};
#undef RT_READ
}

void add_to(counter_values& sum, const counter_values& part) noexcept {
    for (std::size_t i = 0; i < sum.size(); ++i) {
        sum[i] += part[i];
    }
}

thread_time read_thread_time(int tid) noexcept {
    char path[64];
    std::snprintf(path, sizeof(path), "/proc/self/task/%d/schedstat", tid);
    const base::unique_fd fd(tid > 0 ? ::open(path, O_RDONLY | O_CLOEXEC) : -1);
    char text[128];
    const ssize_t length = fd ? ::read(fd.get(), text, sizeof(text) - 1) : 0;
    text[length > 0 ? length : 0] = '\0';
    unsigned long long cpu = 0;
    unsigned long long wait = 0;
    if (std::sscanf(text, "%llu %llu", &cpu, &wait) != 2) {
        return {};
    }
    return {cpu, wait, true};
}

void observed_list::add(engine::core& runtime) {
    const std::lock_guard hold(lock_);
    entries_.push_back({&runtime, {}});
}

std::vector<observed_list::entry>::iterator observed_list::find(std::uint64_t id) noexcept {
    return std::find_if(entries_.begin(), entries_.end(), [id](const entry& one) {
        return one.core->id() == id;
    });
}

void observed_list::read_times(entry& one) noexcept {
    scheduler::pool& workers = one.core->workers();
    try {
        one.used.resize(std::max<std::size_t>(one.used.size(), workers.view_count()));
    } catch (const std::bad_alloc&) {
        // Those that were looked at before are; the sums lose the part of the others.
    }
    for (std::uint32_t i = 0; i < one.used.size(); ++i) {
        one.used[i] = latest(one.used[i], read_thread_time(workers.view(i).tid));
    }
}

void observed_list::note_times(engine::core& runtime) noexcept {
    const std::lock_guard hold(lock_);
    const auto found = find(runtime.id());
    if (found != entries_.end()) {
        read_times(*found);
    }
}

void observed_list::remove(engine::core& runtime) noexcept {
    const std::lock_guard hold(lock_);
    const auto found = find(runtime.id());
    if (found == entries_.end()) {
        return;
    }
    read_times(*found);
    scheduler::pool& workers = runtime.workers();
    for (std::uint32_t i = 0; i < workers.view_count(); ++i) {
        if (const auto* const counters = workers.view(i).counters; counters != nullptr) {
            add_to(retired_.counters, read_counters(*counters));
        }
    }
    for (const thread_time& used : found->used) {
        retired_.time.cpu_ns += used.cpu_ns;
        retired_.time.wait_ns += used.wait_ns;
    }
    entries_.erase(found);
}

bool observed_list::is_empty() const {
    const std::lock_guard hold(lock_);
    return entries_.empty();
}

std::vector<runtime_facts> observed_list::read(retired_facts* retired) {
    std::vector<runtime_facts> all;
    {
        const std::lock_guard hold(lock_);
        for (const entry& one : entries_) {
            all.push_back(facts_of(*one.core));
        }
    }
    for (runtime_facts& runtime : all) {
        for (worker_facts& worker : runtime.workers) {
            worker.time = read_thread_time(worker.view.tid);
        }
    }
    {
        const std::lock_guard hold(lock_);
        settle(all);
        if (retired != nullptr) {
            *retired = retired_;
        }
    }
    make_names_unique(all);
    return all;
}

// Leaves out the runtimes that have gone meanwhile, and keeps what the threads of the others have
// used.
void observed_list::settle(std::vector<runtime_facts>& all) {
    std::erase_if(all, [this](runtime_facts& runtime) {
        const auto found = find(runtime.id);
        if (found == entries_.end()) {
            return true;
        }
        found->used.resize(std::max(found->used.size(), runtime.workers.size()));
        for (std::size_t i = 0; i < runtime.workers.size(); ++i) {
            thread_time& now = runtime.workers[i].time;
            now = found->used[i] = latest(found->used[i], now);
        }
        return false;
    });
}

void observed_list::read_current(
    const std::vector<runtime_facts>& facts, std::vector<current_task>& tasks
) const {
    tasks.clear();
    const std::lock_guard hold(lock_);
    for (const entry& one : entries_) {
        scheduler::pool& workers = one.core->workers();
        const auto address =
            reinterpret_cast<std::uintptr_t>(static_cast<detail::scheduler_base*>(&workers));
        const auto runtime = std::find_if(facts.begin(), facts.end(), [&](const auto& one) {
            return one.scheduler == address;
        });
        if (runtime == facts.end()) {
            continue;
        }
        for (std::uint32_t i = 0; i < workers.view_count(); ++i) {
            const scheduler::worker_view view = workers.view(i);
            if (view.task != nullptr) {
                tasks.push_back(
                    {reinterpret_cast<std::uintptr_t>(view.task),
                     view.task_id,
                     static_cast<std::uint32_t>(runtime - facts.begin()),
                     i}
                );
            }
        }
    }
}

void observed_list::clear() noexcept {
    entries_.clear();
}

observed_list& observed() noexcept {
    // Never destroyed: a runtime may live in another object of static storage.
    static observed_list& list = *new observed_list;
    return list;
}

std::string_view text_of(driver::kind which) noexcept {
    switch (which) {
    case driver::kind::automatic:
        return "automatic";
    case driver::kind::uring:
        return "io_uring";
    case driver::kind::epoll:
        return "epoll";
    }
    return "?";
}

std::string_view text_of(scheduler::worker_state state) noexcept {
    switch (state) {
    case scheduler::worker_state::starting:
        return "starting";
    case scheduler::worker_state::running:
        return "running";
    case scheduler::worker_state::searching:
        return "searching";
    case scheduler::worker_state::parked:
        return "parked";
    case scheduler::worker_state::in_place:
        return "blocking in place";
    case scheduler::worker_state::stopped:
        return "stopped";
    }
    return "?";
}

} // namespace rt::introspect

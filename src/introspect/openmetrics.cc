// SPDX-License-Identifier: MIT
//
// What is on the metrics page, family by family.
//
// A family is begun, gets all its samples, and is not touched again: OpenMetrics forbids
// interleaving. A name that is written here must be in man librt-metrics(7). Threads: the sentinel.
#include "introspect/openmetrics.h"

#include "base/arch.h"
#include "base/clock.h"
#include "introspect/snapshot.h"
#include "memory/frame_pool.h"

#include <rt/version.h>

#include <algorithm>

namespace rt::introspect {
namespace {

using scheduler::worker_state;

constexpr worker_state worker_states[] = {
    worker_state::starting,
    worker_state::running,
    worker_state::searching,
    worker_state::parked,
    worker_state::in_place,
    worker_state::stopped};

label_list labels_of(const runtime_facts& runtime) {
    return {{"runtime", runtime.unique_name}};
}

label_list labels_of(const runtime_facts& runtime, const worker_facts& worker) {
    return {{"runtime", runtime.unique_name}, {"worker", std::to_string(worker.view.index)}};
}

// What is not any living worker's, in the same shape as a worker's share.
label_list other_labels(std::string_view whose) {
    return {{"runtime", ""}, {"worker", std::string(whose)}};
}

void write_counters(const metrics_input& input, bool per_worker, metrics_writer& page) {
    for (std::size_t i = 0; i < counter_count; ++i) {
        const counter_name& name = counter_names[i];
        page.begin(name.family, metric_kind::counter, "", name.help);
        std::uint64_t sum = input.outside[i] + input.retired.counters[i];
        for (const runtime_facts& runtime : input.runtimes) {
            for (const worker_facts& worker : runtime.workers) {
                sum += worker.counters[i];
                if (per_worker) {
                    page.sample(labels_of(runtime, worker), worker.counters[i]);
                }
            }
        }
        if (per_worker) {
            page.sample(other_labels("external"), input.outside[i]);
            page.sample(other_labels("retired"), input.retired.counters[i]);
        } else {
            page.sample({}, sum);
        }
    }
}

bool are_times_known(const metrics_input& input) noexcept {
    return std::all_of(
        input.runtimes.begin(),
        input.runtimes.end(),
        [](const runtime_facts& runtime) {
            return std::all_of(
                runtime.workers.begin(),
                runtime.workers.end(),
                [](const worker_facts& worker) {
                    return worker.time.is_known || worker.view.tid == 0;
                }
            );
        }
    );
}

// Left out as a whole when a part is not known: a sum that fell would look like a restart.
void write_thread_times(const metrics_input& input, bool per_worker, metrics_writer& page) {
    if (!are_times_known(input)) {
        return;
    }
    const auto family =
        [&](std::string_view name, std::string_view help, std::uint64_t thread_time::*which) {
            page.begin(name, metric_kind::counter, "seconds", help);
            std::uint64_t sum_ns = input.retired.time.*which;
            for (const runtime_facts& runtime : input.runtimes) {
                for (const worker_facts& worker : runtime.workers) {
                    sum_ns += worker.time.*which;
                    if (per_worker) {
                        page.sample_seconds(labels_of(runtime, worker), worker.time.*which);
                    }
                }
            }
            if (per_worker) {
                page.sample_seconds(other_labels("retired"), input.retired.time.*which);
            } else {
                page.sample_seconds({}, sum_ns);
            }
        };
    family("librt_worker_cpu_seconds", "CPU time of worker threads", &thread_time::cpu_ns);
    family(
        "librt_worker_runqueue_wait_seconds",
        "Time that worker threads were runnable without a CPU",
        &thread_time::wait_ns
    );
}

// A gauge with one sample per runtime.
template<class Value>
void per_runtime(
    const metrics_input& input,
    metrics_writer& page,
    std::string_view family,
    std::string_view help,
    Value value
) {
    page.begin(family, metric_kind::gauge, "", help);
    for (const runtime_facts& runtime : input.runtimes) {
        page.sample(labels_of(runtime), value(runtime));
    }
}

// A gauge with one sample per worker; few enough to be there always.
template<class Value>
void each_worker(
    const metrics_input& input,
    metrics_writer& page,
    std::string_view family,
    std::string_view help,
    Value value
) {
    page.begin(family, metric_kind::gauge, "", help);
    for (const runtime_facts& runtime : input.runtimes) {
        for (const worker_facts& worker : runtime.workers) {
            page.sample(labels_of(runtime, worker), value(worker));
        }
    }
}

void write_workers(const metrics_input& input, metrics_writer& page) {
    per_runtime(input, page, "librt_workers", "Worker threads", [](const runtime_facts& one) {
        return one.workers.size();
    });
    page.begin(
        "librt_worker_state", metric_kind::gauge, "", "1 for the state that the worker is in"
    );
    for (const runtime_facts& runtime : input.runtimes) {
        for (const worker_facts& worker : runtime.workers) {
            for (const worker_state state : worker_states) {
                label_list labels = labels_of(runtime, worker);
                labels.emplace_back("state", introspect::text_of(state));
                page.sample(labels, worker.view.state == state ? 1 : 0);
            }
        }
    }
    each_worker(
        input,
        page,
        "librt_worker_queue_depth",
        "Ready tasks on the worker's own queue",
        [](const worker_facts& one) {
            return std::uint64_t{one.view.queue_depth} + one.view.private_depth;
        }
    );
    each_worker(
        input,
        page,
        "librt_worker_bound_queue_depth",
        "Ready tasks that only this worker may run",
        [](const worker_facts& one) { return std::uint64_t{one.view.bound_depth}; }
    );
    each_worker(
        input,
        page,
        "librt_timers",
        "Timers armed on the worker's wheel",
        [](const worker_facts& one) { return one.view.timers; }
    );
}

// Of the runtimes that measure it; absent if none does.
void write_measured(
    const metrics_input& input,
    metrics_writer& page,
    const char* family,
    const char* help,
    bool config::*is_measured,
    metrics::histogram_data runtime_facts::*figures
) {
    bool is_begun = false;
    for (const runtime_facts& runtime : input.runtimes) {
        if (!(runtime.settings.*is_measured)) {
            continue;
        }
        if (!is_begun) {
            is_begun = true;
            page.begin(family, metric_kind::histogram, "seconds", help);
        }
        page.sample_histogram(labels_of(runtime), runtime.*figures);
    }
}

void write_turns(const metrics_input& input, metrics_writer& page) {
    write_measured(
        input,
        page,
        "librt_task_poll_seconds",
        "Time that turns of tasks took",
        &config::poll_histogram,
        &runtime_facts::poll_times
    );
    write_measured(
        input,
        page,
        "librt_task_schedule_latency_seconds",
        "Time that tasks were ready before their turns",
        &config::schedule_latency,
        &runtime_facts::schedule_latency
    );
}

void write_runtimes(const metrics_input& input, metrics_writer& page) {
    per_runtime(
        input,
        page,
        "librt_injected_queue_depth",
        "Ready tasks on the injection queues",
        [](const runtime_facts& one) { return one.injected_depth; }
    );
    per_runtime(
        input,
        page,
        "librt_blocking_threads",
        "Threads of the blocking pool",
        [](const runtime_facts& one) { return one.blocking.threads; }
    );
    per_runtime(
        input,
        page,
        "librt_blocking_idle_threads",
        "Threads of the blocking pool without work",
        [](const runtime_facts& one) { return one.blocking.idle; }
    );
    per_runtime(
        input,
        page,
        "librt_blocking_queue_depth",
        "Closures that wait for a blocking thread",
        [](const runtime_facts& one) { return one.blocking.queued; }
    );
    page.begin(
        "librt_blocking_queue_seconds",
        metric_kind::histogram,
        "seconds",
        "Time that closures waited for a blocking thread"
    );
    for (const runtime_facts& runtime : input.runtimes) {
        page.sample_histogram(labels_of(runtime), runtime.blocking_latency);
    }
    write_turns(input, page);
    page.begin(
        "librt_runtime_uptime_seconds",
        metric_kind::gauge,
        "seconds",
        "Time since the runtime started"
    );
    for (const runtime_facts& runtime : input.runtimes) {
        page.sample_seconds(labels_of(runtime), input.now_ns - runtime.started_ns);
    }
}

std::uint64_t total_of(const metrics_input& input, std::string_view name) {
    for (std::size_t i = 0; i < counter_count; ++i) {
        if (counter_names[i].name != name) {
            continue;
        }
        std::uint64_t sum = input.outside[i] + input.retired.counters[i];
        for (const runtime_facts& runtime : input.runtimes) {
            for (const worker_facts& worker : runtime.workers) {
                sum += worker.counters[i];
            }
        }
        return sum;
    }
    return 0;
}

void one_gauge(
    metrics_writer& page,
    std::string_view family,
    std::string_view help,
    std::uint64_t value,
    std::string_view unit = {}
) {
    page.begin(family, metric_kind::gauge, unit, help);
    page.sample({}, value);
}

// One that cannot be 0: a 0 means that it could not be read, and is left out.
void known_gauge(
    metrics_writer& page,
    std::string_view family,
    std::string_view help,
    std::uint64_t value,
    std::string_view unit = {}
) {
    if (value != 0) {
        one_gauge(page, family, help, value, unit);
    }
}

void write_process(const metrics_input& input, metrics_writer& page) {
    const std::uint64_t opened = total_of(input, "sources_opened");
    const std::uint64_t closed = total_of(input, "sources_closed");
    one_gauge(page, "librt_tasks_alive", "Tasks that have not ended", input.tasks_alive);
    one_gauge(
        page,
        "librt_sources_open",
        "File descriptors registered with a driver",
        opened - std::min(opened, closed)
    );
    const memory::pool_counters pools = memory::counters();
    one_gauge(
        page,
        "librt_frame_pool_bytes",
        "Memory obtained for coroutine frames, labels and the lists of free ones",
        pools.chunks * memory::chunk_bytes + pools.pieces * memory::magazine_piece_bytes,
        "bytes"
    );
    one_gauge(
        page,
        "librt_header_pool_bytes",
        "Memory obtained for task headers",
        pools.header_chunks * memory::chunk_bytes,
        "bytes"
    );
    page.begin(
        "librt_frame_home_batches",
        metric_kind::counter,
        "",
        "Batches of freed memory that went to another node's pool"
    );
    page.sample({}, pools.home_batches);
    known_gauge(page, "process_open_fds", "Open file descriptors", input.usage.open_fds);
    known_gauge(page, "process_max_fds", "Limit on open descriptors", input.usage.max_fds);
    known_gauge(page, "process_threads", "Threads of the process", input.usage.threads);
    known_gauge(
        page,
        "process_resident_memory_bytes",
        "Resident memory",
        input.usage.resident_bytes,
        "bytes"
    );
    known_gauge(
        page, "process_virtual_memory_bytes", "Virtual memory", input.usage.virtual_bytes, "bytes"
    );
    page.begin("process_cpu_seconds", metric_kind::counter, "seconds", "User and system CPU time");
    page.sample_seconds({}, input.usage.cpu_ns);
    page.begin(
        "process_start_time_seconds", metric_kind::gauge, "seconds", "Start time since 1970"
    );
    page.sample_seconds({}, process().started_realtime_ns);
}

void write_observer(const metrics_input& input, metrics_writer& page) {
    page.begin(
        "librt_introspect_requests", metric_kind::counter, "", "Requests answered on the socket"
    );
    for (const auto& [code, count] : input.requests.by_code) {
        page.sample({{"code", std::to_string(static_cast<unsigned>(code))}}, count);
    }
    one_gauge(
        page, "librt_introspect_clients", "Clients connected to the socket", input.requests.clients
    );
}

} // namespace

metrics_input read_metrics() {
    metrics_input input;
    input.runtimes = observed().read(&input.retired);
    for (auto* each = metrics::first_outside(); each != nullptr; each = each->next) {
        add_to(input.outside, read_counters(*each));
    }
    input.usage = read_process_usage();
    input.tasks_alive = count_tasks_alive();
    input.now_ns = base::monotonic_ns();
    return input;
}

void write_metrics(
    const metrics_input& input, bool is_openmetrics, bool per_worker, base::text_writer& out
) {
    metrics_writer page(out, is_openmetrics);
    page.begin("librt_build", metric_kind::info, "", "How this librt was built");
    page.sample(
        {{"version", RT_VERSION},
         {"compiler", __VERSION__},
         {"arch", base::cpu::name},
         {"taskdump", features::taskdump ? "1" : "0"},
         {"metrics", features::metrics ? "1" : "0"},
         {"probes", features::probes ? "1" : "0"}},
        1
    );
    write_workers(input, page);
    write_runtimes(input, page);
    write_process(input, page);
    write_thread_times(input, per_worker, page);
    if constexpr (features::metrics) {
        write_counters(input, per_worker, page);
    }
    write_observer(input, page);
    if (is_openmetrics) {
        out.text("# EOF\n");
    }
}

} // namespace rt::introspect

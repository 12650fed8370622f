// SPDX-License-Identifier: MIT
//
// The metrics page, in OpenMetrics 1.0 or, for older scrapers, Prometheus text 0.0.4.
//
// Counters come from the X-list in metrics/worker_counters.h; gauges from what the runtimes
// publish. Sums over the process by default, since 64 workers times all families would be thousands
// of series; `per_worker=1` gives each worker's share instead, never both, so that a query which
// sums is right. Documented in man librt-metrics(7), which tidy compares with this file.
//
// Threads: the sentinel.
#pragma once

#include "base/text_writer.h"
#include "introspect/observed.h"
#include "introspect/process.h"
#include "introspect/request.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace rt::introspect {

enum class metric_kind : std::uint8_t { counter, gauge, info, histogram };

using label_list = std::vector<std::pair<std::string_view, std::string>>;

// Writes one family after another; each is begun once and gets its samples at once.
class metrics_writer {
public:
    metrics_writer(base::text_writer& out, bool is_openmetrics) noexcept
        : out_(out)
        , is_openmetrics_(is_openmetrics) {}

    // `unit` is "" or the last word of the family's name.
    void
    begin(std::string_view family, metric_kind kind, std::string_view unit, std::string_view help);
    void sample(const label_list& labels, std::uint64_t value);
    // Nanoseconds, shown in seconds.
    void sample_seconds(const label_list& labels, std::uint64_t value_ns);
    // The same of many, as cumulative buckets.
    void sample_histogram(const label_list& labels, const metrics::histogram_data& values_ns);

private:
    void head(const label_list& labels, std::string_view part = {});

    base::text_writer& out_;
    const bool is_openmetrics_;
    std::string family_;
    metric_kind kind_ = metric_kind::gauge;
};

// How often requests were answered with each status; counted by the server.
struct request_counts {
    std::vector<std::pair<status, std::uint64_t>> by_code;
    std::uint32_t clients = 0;
};

struct metrics_input {
    std::vector<runtime_facts> runtimes;
    counter_values outside{}; // threads that are not workers
    retired_facts retired;
    process_usage usage;
    std::uint64_t tasks_alive = 0;
    std::uint64_t now_ns = 0;
    request_counts requests;
};

// Reads all of the above but the request counts.
[[nodiscard]] metrics_input read_metrics();

void write_metrics(
    const metrics_input& input, bool is_openmetrics, bool per_worker, base::text_writer& out
);

} // namespace rt::introspect

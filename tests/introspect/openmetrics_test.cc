// SPDX-License-Identifier: MIT
//
// The metrics page against a strict reader of OpenMetrics 1.0 written for this test: family by
// family, each with one TYPE and HELP, units that match names, suffixes that match types, no series
// twice, numbers that are numbers, and an end.
#include "introspect/command.h"
#include "introspect/openmetrics.h"
#include "support/test.h"

#include <cctype>
#include <cstdlib>
#include <map>
#include <set>
#include <string>

using rt::introspect::metrics_input;

namespace {

class reader {
public:
    // What is wrong with the page, or nothing.
    std::string check(const std::string& page) {
        if (!page.ends_with("\n# EOF\n")) {
            return "it does not end with # EOF";
        }
        std::size_t at = 0;
        while (at < page.size()) {
            const std::size_t end = page.find('\n', at);
            const std::string line = page.substr(at, end - at);
            at = end + 1;
            const std::string why = line == "# EOF" ? end_of(page, at)
                : line.starts_with("# ")            ? descriptor(line)
                                                    : sample(line);
            if (!why.empty()) {
                return why + ": " + line;
            }
        }
        return {};
    }

    std::map<std::string, double> samples; // by series
    std::map<std::string, std::string> types;

private:
    static std::string end_of(const std::string& page, std::size_t at) {
        return at == page.size() ? "" : "# EOF is not the last line";
    }

    std::string descriptor(const std::string& line) {
        const std::size_t first = line.find(' ', 2);
        const std::size_t second = line.find(' ', first + 1);
        if (first == std::string::npos || second == std::string::npos) {
            return "a comment that is no descriptor";
        }
        const std::string keyword = line.substr(2, first - 2);
        const std::string name = line.substr(first + 1, second - first - 1);
        const std::string value = line.substr(second + 1);
        if (keyword == "TYPE") {
            if (types.contains(name)) {
                return "a family twice";
            }
            family_ = name;
            types[name] = value;
            const bool known =
                value == "counter" || value == "gauge" || value == "info" || value == "histogram";
            return known ? "" : "unknown type";
        }
        if (name != family_) {
            return "a descriptor of another family";
        }
        if (keyword == "UNIT") {
            return name.ends_with("_" + value) ? "" : "the unit is not the name's last word";
        }
        return keyword == "HELP" && !value.empty() ? "" : "unknown descriptor";
    }

    std::string sample(const std::string& line) {
        const std::string type = types[family_];
        if (type == "histogram") {
            return histogram(line);
        }
        const std::string name = family_ +
            (type == "counter"    ? "_total"
                 : type == "info" ? "_info"
                                  : "");
        if (!line.starts_with(name) || (line[name.size()] != '{' && line[name.size()] != ' ')) {
            return "a sample that is not of its family";
        }
        const std::size_t space = line.rfind(' ');
        char* end = nullptr;
        const double value = std::strtod(line.c_str() + space, &end);
        if (*end != '\0' || !(value >= 0)) {
            return "not a number";
        }
        const std::string series = line.substr(0, space);
        if (series.find('{') != std::string::npos && !series.ends_with("\"}")) {
            return "broken labels";
        }
        return samples.emplace(series, value).second ? "" : "a series twice";
    }

    // Buckets that never fall, the last of them +Inf; then their count, then their sum.
    std::string histogram(const std::string& line) {
        const std::size_t space = line.rfind(' ');
        const std::string series = line.substr(0, space);
        const double value = std::strtod(line.c_str() + space, nullptr);
        if (!samples.emplace(series, value).second) {
            return "a series twice";
        }
        if (line.starts_with(family_ + "_bucket{")) {
            const bool falls = value < last_bucket_;
            last_bucket_ = value;
            is_closed_ = series.ends_with("le=\"+Inf\"}");
            return falls ? "a bucket falls" : "";
        }
        if (line.starts_with(family_ + "_count{")) {
            const bool is_right = is_closed_ && value == last_bucket_;
            last_bucket_ = 0;
            return is_right ? "" : "the count is not the last bucket";
        }
        return line.starts_with(family_ + "_sum{") ? "" : "no part of a histogram";
    }

    std::string family_;
    double last_bucket_ = 0;
    bool is_closed_ = false;
};

metrics_input two_runtimes() {
    metrics_input input;
    input.now_ns = 5'000'000'000;
    for (int i = 0; i < 2; ++i) {
        rt::introspect::runtime_facts runtime;
        runtime.unique_name = i == 0 ? "rt" : "a\"b\\c\nd";
        runtime.started_ns = 1'000'000'000;
        for (std::uint32_t index = 0; index < 3; ++index) {
            rt::introspect::worker_facts worker;
            worker.view.index = index;
            worker.view.state = rt::scheduler::worker_state::parked;
            worker.counters.fill(10);
            worker.time = {1'500'000'000, 1, true};
            runtime.workers.push_back(worker);
        }
        runtime.blocking_latency.add(1'000, 2);
        runtime.blocking_latency.add(5'000'000, 3);
        input.runtimes.push_back(runtime);
    }
    input.outside.fill(3);
    input.retired.counters.fill(4);
    input.requests.by_code = {{rt::introspect::status::ok, 7}};
    return input;
}

std::string page_of(const metrics_input& input, bool openmetrics, bool per_worker) {
    rt::base::growing_writer out(1 << 22);
    rt::introspect::write_metrics(input, openmetrics, per_worker, out);
    return std::string(out.view());
}

} // namespace

Test(openmetrics, the_page_passes_a_strict_reader) {
    for (const bool per_worker : {false, true}) {
        for (const metrics_input& input : {two_runtimes(), metrics_input()}) {
            reader strict;
            const std::string why = strict.check(page_of(input, true, per_worker));
            cr_assert(why.empty(), "%s", why.c_str());
        }
    }
}

Test(openmetrics, sums_cover_workers_outsiders_and_runtimes_that_are_gone) {
    reader strict;
    cr_assert(strict.check(page_of(two_runtimes(), true, false)).empty());
    cr_assert_eq(strict.samples["librt_worker_polls_total"], 2 * 3 * 10 + 3 + 4);
    cr_assert_eq(strict.samples["librt_worker_cpu_seconds_total"], 9.0);
    cr_assert_eq(strict.samples["librt_runtime_uptime_seconds{runtime=\"rt\"}"], 4.0);
    cr_assert_eq(strict.samples["librt_workers{runtime=\"rt\"}"], 3.0);
}

Test(openmetrics, per_worker_shares_add_up_to_the_sum) {
    reader strict;
    cr_assert(strict.check(page_of(two_runtimes(), true, true)).empty());
    double sum = 0;
    for (const auto& [series, value] : strict.samples) {
        if (series.starts_with("librt_worker_polls_total{")) {
            sum += value;
        }
    }
    cr_assert_eq(sum, 2 * 3 * 10 + 3 + 4);
    cr_assert(!strict.samples.contains("librt_worker_polls_total"));
}

Test(openmetrics, a_sum_with_an_unknown_part_is_left_out) {
    metrics_input input = two_runtimes();
    input.runtimes[1].workers[2].view.tid = 5;
    input.runtimes[1].workers[2].time = {};
    reader strict;
    cr_assert(strict.check(page_of(input, true, false)).empty());
    cr_assert(!strict.types.contains("librt_worker_cpu_seconds"));
    cr_assert(!strict.types.contains("process_open_fds")); // no usage was read either
    cr_assert(strict.types.contains("librt_worker_polls"));
}

Test(openmetrics, every_counter_of_the_list_has_a_family) {
    reader strict;
    cr_assert(strict.check(page_of(two_runtimes(), true, false)).empty());
    for (const auto& counter : rt::introspect::counter_names) {
        cr_assert(strict.types[std::string(counter.family)] == "counter");
    }
}

Test(openmetrics, label_values_are_escaped) {
    const std::string page = page_of(two_runtimes(), true, false);
    cr_assert(page.find("runtime=\"a\\\"b\\\\c\\nd\"") != std::string::npos);
}

Test(openmetrics, the_older_text_names_families_by_their_samples) {
    const std::string page = page_of(two_runtimes(), false, false);
    cr_assert(page.find("# TYPE librt_worker_polls_total counter\n") != std::string::npos);
    cr_assert(page.find("# TYPE librt_build_info gauge\n") != std::string::npos);
    cr_assert(page.find("# UNIT") == std::string::npos);
    cr_assert(page.find("# EOF") == std::string::npos);
}

Test(openmetrics, what_this_process_really_has_is_on_the_page) {
    reader strict;
    cr_assert(strict.check(page_of(rt::introspect::read_metrics(), true, false)).empty());
    cr_assert(strict.samples["process_open_fds"] >= 3);
    cr_assert(strict.samples["process_resident_memory_bytes"] > 1e5);
    cr_assert(strict.samples["process_threads"] >= 1);
    cr_assert(strict.samples["process_start_time_seconds"] > 1.6e9);
}

Test(openmetrics, latencies_of_the_blocking_queue_are_cumulative_buckets) {
    reader strict;
    const std::string why = strict.check(page_of(two_runtimes(), true, false));
    cr_assert(why.empty(), "%s", why.c_str());
    const std::string name = "librt_blocking_queue_seconds";
    const auto at = [&](const std::string& rest) {
        return strict.samples.at(name + rest);
    };
    cr_assert(at("_bucket{runtime=\"rt\",le=\"0.000001023\"}") == 2);
    cr_assert(at("_bucket{runtime=\"rt\",le=\"0.004194303\"}") == 2);
    cr_assert(at("_bucket{runtime=\"rt\",le=\"0.016777215\"}") == 5);
    cr_assert(at("_count{runtime=\"rt\"}") == 5);
    cr_assert(at("_sum{runtime=\"rt\"}") > 0.015);
}

Test(openmetrics, b194_schedule_latency_is_shown_of_runtimes_that_measure_it) {
    metrics_input input = two_runtimes();
    const std::string name = "librt_task_schedule_latency_seconds";
    cr_assert(page_of(input, true, false).find(name) == std::string::npos);
    input.runtimes[0].settings.schedule_latency = true;
    input.runtimes[0].schedule_latency.add(2'000, 9);
    reader strict;
    const std::string why = strict.check(page_of(input, true, false));
    cr_assert(why.empty(), "%s", why.c_str());
    cr_assert(strict.samples.at(name + "_bucket{runtime=\"rt\",le=\"0.000004095\"}") == 9);
    cr_assert(strict.samples.at(name + "_count{runtime=\"rt\"}") == 9);
    for (const auto& [series, value] : strict.samples) {
        cr_assert(!series.starts_with(name) || series.find("a\\\"b") == std::string::npos);
    }
}

Test(openmetrics, b191_times_of_turns_are_shown_of_runtimes_that_measure_them) {
    metrics_input input = two_runtimes();
    cr_assert(page_of(input, true, false).find("librt_task_poll_seconds") == std::string::npos);
    input.runtimes[0].settings.poll_histogram = true;
    input.runtimes[0].poll_times.add(2'000, 9);
    reader strict;
    const std::string why = strict.check(page_of(input, true, false));
    cr_assert(why.empty(), "%s", why.c_str());
    const std::string name = "librt_task_poll_seconds";
    cr_assert(strict.samples.at(name + "_bucket{runtime=\"rt\",le=\"0.000001023\"}") == 0);
    cr_assert(strict.samples.at(name + "_bucket{runtime=\"rt\",le=\"0.000004095\"}") == 9);
    cr_assert(strict.samples.at(name + "_count{runtime=\"rt\"}") == 9);
    for (const auto& [series, value] : strict.samples) {
        cr_assert(!series.starts_with(name) || series.find("a\\\"b") == std::string::npos);
    }
}

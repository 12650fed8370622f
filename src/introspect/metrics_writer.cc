// SPDX-License-Identifier: MIT
//
// The metrics page's grammar: families, samples, labels and histograms in the two text formats that
// collectors read.
//
// No knowledge of what is on the page, which is openmetrics.cc's. Threads: the sentinel.
#include "base/clock.h"
#include "introspect/openmetrics.h"

#include <cstdio>

namespace rt::introspect {
namespace {

std::string_view text_of(metric_kind kind, bool is_openmetrics) noexcept {
    switch (kind) {
    case metric_kind::counter:
        return "counter";
    case metric_kind::gauge:
        return "gauge";
    case metric_kind::info:
        return is_openmetrics ? "info" : "gauge";
    case metric_kind::histogram:
        return "histogram";
    }
    return "unknown";
}

void write_label_value(base::text_writer& out, std::string_view value) {
    for (const char one : value) {
        if (one == '\\' || one == '"') {
            out.character('\\').character(one);
        } else if (one == '\n') {
            out.text("\\n");
        } else {
            out.character(one);
        }
    }
}

std::string seconds_of(std::uint64_t value_ns) {
    char text[32];
    static_cast<void>(std::snprintf(
        text,
        sizeof(text),
        "%llu.%09llu",
        static_cast<unsigned long long>(value_ns / base::ns_per_second),
        static_cast<unsigned long long>(value_ns % base::ns_per_second)
    ));
    return text;
}

} // namespace

void metrics_writer::begin(
    std::string_view family, metric_kind kind, std::string_view unit, std::string_view help
) {
    family_ = family;
    kind_ = kind;
    // 0.0.4 calls a counter's family by its sample's name; OpenMetrics leaves the suffix out.
    std::string shown = family_;
    if (!is_openmetrics_ && kind == metric_kind::counter) {
        shown += "_total";
    } else if (!is_openmetrics_ && kind == metric_kind::info) {
        shown += "_info";
    }
    out_.text("# TYPE ").text(shown).character(' ').text(text_of(kind, is_openmetrics_));
    out_.character('\n');
    if (is_openmetrics_ && !unit.empty()) {
        out_.text("# UNIT ").text(shown).character(' ').text(unit).character('\n');
    }
    out_.text("# HELP ").text(shown).character(' ').text(help).character('\n');
}

void metrics_writer::head(const label_list& labels, std::string_view part) {
    out_.text(family_).text(part);
    if (kind_ == metric_kind::counter) {
        out_.text("_total");
    } else if (kind_ == metric_kind::info) {
        out_.text("_info");
    }
    if (labels.empty()) {
        out_.character(' ');
        return;
    }
    const char* between = "{";
    for (const auto& [name, value] : labels) {
        out_.text(between).text(name).text("=\"");
        write_label_value(out_, value);
        out_.character('"');
        between = ",";
    }
    out_.text("} ");
}

void metrics_writer::sample(const label_list& labels, std::uint64_t value) {
    head(labels);
    out_.decimal(value).character('\n');
}

void metrics_writer::sample_seconds(const label_list& labels, std::uint64_t value_ns) {
    head(labels);
    out_.text(seconds_of(value_ns)).character('\n');
}

// Bounds are one nanosecond below a power of two, where the counts are exact.
void metrics_writer::sample_histogram(
    const label_list& labels, const metrics::histogram_data& values_ns
) {
    label_list with_bound = labels;
    with_bound.emplace_back("le", "");
    std::string& bound = with_bound.back().second;
    for (unsigned exponent = 10; exponent <= 34; exponent += 2) { // 1 us to 17 s
        const std::uint64_t most = (std::uint64_t{1} << exponent) - 1;
        bound = seconds_of(most);
        head(with_bound, "_bucket");
        out_.decimal(values_ns.count_up_to(most)).character('\n');
    }
    const std::uint64_t total = values_ns.total();
    bound = "+Inf";
    head(with_bound, "_bucket");
    out_.decimal(total).character('\n');
    head(labels, "_count");
    out_.decimal(total).character('\n');
    head(labels, "_sum");
    out_.text(seconds_of(values_ns.sum())).character('\n');
}

} // namespace rt::introspect

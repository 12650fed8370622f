// SPDX-License-Identifier: MIT
//
// The harness: warm-up, batches, percentiles, the line of JSON and the command line. The method and
// its reasons are in bench.h. What is timed is the loop in bench::measure, or what the row says
// that it took; reading the clocks of the process and growing the list of means lie between
// batches.
#include "support/bench.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include <sys/resource.h>
#include <time.h>

namespace perf {
namespace {

constexpr std::uint64_t ns_per_ms = 1'000'000;
constexpr std::uint64_t ns_per_s = 1'000'000'000;
constexpr std::uint64_t batch_ns = 10 * ns_per_ms;
constexpr double warm_up_s_max = 1;
// A batch that never gets long (an iteration that does nothing) must end all the same.
constexpr std::uint64_t batch_iterations_max = std::uint64_t{1} << 32U;

// User and system time of all threads of this process so far.
std::uint64_t process_cpu_ns() {
    rusage usage = {};
    getrusage(RUSAGE_SELF, &usage);
    const auto ns = [](const timeval& time) {
        return static_cast<std::uint64_t>(time.tv_sec) * ns_per_s +
            static_cast<std::uint64_t>(time.tv_usec) * 1000;
    };
    return ns(usage.ru_utime) + ns(usage.ru_stime);
}

// The most memory that this process had in use. Not ru_maxrss, which starts out as the parent's.
std::uint64_t peak_rss_kib() {
    std::uint64_t kib = 0;
    if (std::FILE* const file = std::fopen("/proc/self/status", "re"); file != nullptr) {
        char line[256];
        while (std::fgets(line, sizeof line, file) != nullptr) {
            constexpr std::string_view field = "VmHWM:";
            if (std::string_view(line).starts_with(field)) {
                kib = std::strtoull(line + field.size(), nullptr, 10);
            }
        }
        std::fclose(file);
    }
    return kib;
}

// Nearest rank. REQUIRES: sorted and not empty.
double percentile(const std::vector<double>& sorted, double fraction) {
    const double rank = std::ceil(fraction * static_cast<double>(sorted.size()));
    const auto index = static_cast<std::size_t>(std::max(rank, 1.0)) - 1;
    return sorted[std::min(index, sorted.size() - 1)];
}

std::string to_text(double value) {
    char text[64];
    std::snprintf(text, sizeof text, value < 1000 ? "%.2f" : "%.0f", value);
    return text;
}

double warm_up_s(const arguments& wanted) {
    return std::min(wanted.seconds / 3, warm_up_s_max);
}

} // namespace

std::uint64_t now_ns() noexcept {
    timespec now = {};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return static_cast<std::uint64_t>(now.tv_sec) * ns_per_s +
        static_cast<std::uint64_t>(now.tv_nsec);
}

// Returns the number of iterations that make a batch.
std::uint64_t bench::warm_up(const batch_function& batch) const {
    if (wanted_.is_smoke) {
        return 1;
    }
    const auto wanted_ns = static_cast<std::uint64_t>(warm_up_s(wanted_) * 1e9);
    const std::uint64_t begin = now_ns();
    std::uint64_t count = 1;
    for (;;) {
        const std::uint64_t ns = batch(count);
        const bool is_long = ns >= batch_ns || count >= batch_iterations_max;
        if (is_long && now_ns() - begin >= wanted_ns) {
            const double wanted = static_cast<double>(count) * batch_ns / static_cast<double>(ns);
            return static_cast<std::uint64_t>(std::max(wanted, 1.0));
        }
        count = is_long ? count : count * 2;
    }
}

void bench::measure_batches(const batch_function& batch) {
    const std::uint64_t count = warm_up(batch);
    const auto wanted_ns = static_cast<std::uint64_t>(wanted_.seconds * 1e9);
    const std::uint64_t cpu_begin = process_cpu_ns();
    const std::uint64_t begin = now_ns();
    do {
        const std::uint64_t ns = batch(count);
        means_.push_back(static_cast<double>(ns) / static_cast<double>(count));
        iterations_ += count;
    } while (!wanted_.is_smoke && now_ns() - begin < wanted_ns);
    cpu_ns_ = process_cpu_ns() - cpu_begin;
}

void bench::start_clocks() {
    cpu_begin_ns_ = process_cpu_ns();
    begin_ns_ = now_ns();
}

void bench::stop_clocks(std::uint64_t iterations) {
    const std::uint64_t ns = now_ns() - begin_ns_;
    cpu_ns_ = process_cpu_ns() - cpu_begin_ns_;
    means_.push_back(static_cast<double>(ns) / static_cast<double>(iterations));
    iterations_ = iterations;
}

void bench::start_samples() {
    has_samples_ = true;
    is_warm_ = wanted_.is_smoke;
    samples_wanted_ns_ = static_cast<std::uint64_t>(warm_up_s(wanted_) * 1e9);
    start_clocks();
}

bool bench::wants_sample() {
    const bool is_over =
        wanted_.is_smoke ? !means_.empty() : now_ns() - begin_ns_ >= samples_wanted_ns_;
    if (!is_over) {
        return true;
    }
    if (is_warm_) {
        cpu_ns_ = process_cpu_ns() - cpu_begin_ns_;
        return false;
    }
    is_warm_ = true;
    samples_wanted_ns_ = static_cast<std::uint64_t>(wanted_.seconds * 1e9);
    start_clocks();
    return true;
}

void bench::add_sample(double ns) {
    if (is_warm_) {
        means_.push_back(ns);
        ++iterations_;
    }
}

void bench::fail(const char* what) const {
    std::fprintf(stderr, "%s: %s\n", row_, what);
    std::exit(1);
}

std::string bench::to_json() {
    if (means_.empty() || iterations_ == 0) {
        fail("nothing was measured");
    }
    std::sort(means_.begin(), means_.end());
    if (has_samples_) {
        note("p99_ns", percentile(means_, 0.99));
    }
    std::string json = "{\"row\": \"" + std::string(row_) + "\"";
    const auto add = [&json](const char* name, const std::string& value) {
        json += ", \"" + std::string(name) + "\": " + value;
    };
    add("workers", std::to_string(wanted_.workers));
    add("median_ns", to_text(percentile(means_, 0.5)));
    add("min_ns", to_text(means_.front()));
    add("p90_ns", to_text(percentile(means_, 0.9)));
    add("cpu_ns", to_text(static_cast<double>(cpu_ns_) / static_cast<double>(iterations_)));
    add("rss_kib", std::to_string(peak_rss_kib()));
    add("iterations", std::to_string(iterations_));
    for (const auto& [name, value] : notes_) {
        add(name, to_text(value));
    }
    return json + "}";
}

namespace {

struct command_line {
    arguments wanted;
    std::string_view row;
    bool is_list = false;
};

template<typename T>
bool read_number(std::string_view text, T& number) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    return error == std::errc() && end == text.data() + text.size();
}

bool read_command_line(int argc, char** argv, command_line& line) {
    for (int i = 1; i < argc; ++i) {
        const std::string_view word = argv[i];
        const std::string_view value = i + 1 < argc ? argv[i + 1] : "";
        if (word == "--list") {
            line.is_list = true;
        } else if (word == "--smoke") {
            line.wanted.is_smoke = true;
        } else if (word == "--workers" && read_number(value, line.wanted.workers)) {
            ++i;
        } else if (word == "--seconds" && read_number(value, line.wanted.seconds)) {
            ++i;
        } else if (line.row.empty() && !word.empty() && word.front() != '-') {
            line.row = word;
        } else {
            return false;
        }
    }
    const bool has_sense = line.wanted.seconds > 0 && line.wanted.seconds <= 3600;
    return has_sense && (line.is_list || line.wanted.is_smoke || !line.row.empty());
}

std::uint32_t fewest_workers(needs what) {
    return what == needs::any_runtime ? 0 : 1;
}

// Constant-initialised, therefore there before the first table is made. Written before main only.
constinit const table* first_table = nullptr;
constinit const table** last_link = &first_table;

void run_row(const row& chosen, const arguments& wanted) {
    bench b(chosen.name, wanted);
    chosen.run(b);
    std::printf("%s\n", b.to_json().c_str());
    std::fflush(stdout);
}

} // namespace

table::table(std::span<const row> rows) noexcept
    : rows_(rows) {
    *last_link = this;
    last_link = &next_;
}

const table* table::first() noexcept {
    return first_table;
}

int run_tables(int argc, char** argv) {
    std::vector<row> rows;
    for (const table* each = table::first(); each != nullptr; each = each->next()) {
        rows.insert(rows.end(), each->rows().begin(), each->rows().end());
    }
    return run_rows(argc, argv, rows);
}

int run_rows(int argc, char** argv, std::span<const row> rows) {
    command_line line;
    if (!read_command_line(argc, argv, line)) {
        std::fprintf(
            stderr,
            "usage: %s ROW [--workers N] [--seconds S]\n"
            "       %s --list            the rows\n"
            "       %s --smoke [ROW]     every row once, as small as it goes\n",
            argv[0],
            argv[0],
            argv[0]
        );
        return 2;
    }
    bool was_found = false;
    for (const row& each : rows) {
        if (line.is_list) {
            std::printf("%s\n", each.name);
        } else if (line.row.empty() || line.row == each.name) {
            if (line.wanted.workers < fewest_workers(each.what)) {
                std::fprintf(stderr, "%s: needs more workers than that\n", each.name);
                return 2;
            }
            run_row(each, line.wanted);
            was_found = true;
        }
    }
    if (!was_found && !line.is_list) {
        std::fprintf(stderr, "%s: there is no row of that name; --list shows them\n", argv[0]);
        return 2;
    }
    return 0;
}

} // namespace perf

// SPDX-License-Identifier: MIT
//
// One formatted line to the sink. errno is kept, so that a caller may log between a failing call
// and its report.
// One write(2) a line, from a buffer on the stack: lines of several threads do not mix, and a line
// is lost if descriptor 2 is closed or full, because there is nobody else to tell.
#include "base/log.h"

#include "base/clock.h"
#include "base/text_writer.h"

#include <rt/detail/atomic.h>

#include <cerrno>
#include <cstdarg>
#include <cstdio>

#include <unistd.h>

namespace rt::base {

namespace {

constexpr std::size_t line_bytes_max = 1024;

// Written by set_log_level and set_log_sink on any thread, read by each log call.
constinit atomic<log_level> level_in_use{log_level::warning};
constinit atomic<log_sink> sink_in_use{nullptr};

void write_to_stderr(log_level level, std::string_view line) noexcept {
    text_buffer<line_bytes_max + 128> out;
    out.text("librt: ");
    if (level <= log_level::warning) {
        out.text(log_level_name(level)).text(": ");
    }
    out.text(line).character('\n');
    const ssize_t written = ::write(STDERR_FILENO, out.view().data(), out.size());
    (void)written; // there is no place to report a log line that could not be written
}

bool is_shown(log_level level) noexcept {
    return level != log_level::off && level <= level_in_use.load_relaxed(); // relaxed: a filter
}

[[gnu::format(printf, 3, 0)]] void
emit(log_level level, std::uint64_t left_out, const char* format, std::va_list arguments) noexcept {
    const int saved_errno = errno;
    char line[line_bytes_max];
    if (std::vsnprintf(line, sizeof(line), format, arguments) >= 0) {
        text_buffer<line_bytes_max + 64> out;
        out.text(line);
        if (left_out != 0) {
            out.text(" (and ").decimal(left_out).text(" like it before, not shown)");
        }
        // acquire: pairs with the release in set_log_sink, for what the sink refers to.
        const log_sink sink = sink_in_use.load_acquire();
        (sink != nullptr ? sink : write_to_stderr)(level, out.view());
    }
    errno = saved_errno;
}

} // namespace

void set_log_level(log_level level) noexcept {
    level_in_use.store_relaxed(level); // relaxed: a filter; nothing is published with it
}

log_level current_log_level() noexcept {
    return level_in_use.load_relaxed();
}

void set_log_sink(log_sink sink) noexcept {
    sink_in_use.store_release(sink); // release: pairs with the acquire in log
}

const char* log_level_name(log_level level) noexcept {
    switch (level) {
    case log_level::off:
        return "off";
    case log_level::error:
        return "error";
    case log_level::warning:
        return "warning";
    case log_level::info:
        return "info";
    case log_level::debug:
        return "debug";
    }
    return "unknown";
}

bool log_limit::may_log(std::uint64_t now_ns, std::uint64_t& left_out) noexcept {
    // relaxed: only the numbers matter.
    std::uint64_t next_ns = next_ns_.load_relaxed();
    if (now_ns < next_ns || !next_ns_.cas_strong_relaxed(next_ns, now_ns + period_ns)) {
        left_out_.add_relaxed(1);
        return false;
    }
    left_out = left_out_.exchange_relaxed(0);
    return true;
}

void log(log_level level, const char* format, ...) noexcept {
    if (is_shown(level)) {
        std::va_list arguments;
        va_start(arguments, format);
        emit(level, 0, format, arguments);
        va_end(arguments);
    }
}

void log_seldom(log_limit& limit, log_level level, const char* format, ...) noexcept {
    std::uint64_t left_out = 0;
    if (is_shown(level) && limit.may_log(monotonic_ns(), left_out)) {
        std::va_list arguments;
        va_start(arguments, format);
        emit(level, left_out, format, arguments);
        va_end(arguments);
    }
}

} // namespace rt::base

// SPDX-License-Identifier: MIT
//
// One formatted line to the sink. errno is kept, so that a caller may log between a failing call
// and its report.
// One write(2) a line, from a buffer on the stack: lines of several threads do not mix, and a line
// is lost if descriptor 2 is closed or full, because there is nobody else to tell.
#include "base/log.h"

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
    text_buffer<line_bytes_max + 64> out;
    out.text("librt: ");
    if (level <= log_level::warning) {
        out.text(log_level_name(level)).text(": ");
    }
    out.text(line).character('\n');
    const ssize_t written = ::write(STDERR_FILENO, out.view().data(), out.size());
    (void)written; // there is no place to report a log line that could not be written
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

void log(log_level level, const char* format, ...) noexcept {
    if (level == log_level::off || level > level_in_use.load_relaxed()) { // relaxed: a filter
        return;
    }
    const int saved_errno = errno;
    char line[line_bytes_max];
    std::va_list arguments;
    va_start(arguments, format);
    const int wanted = std::vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    if (wanted >= 0) {
        const auto length = static_cast<std::size_t>(wanted);
        const std::string_view shown(line, length < sizeof(line) ? length : sizeof(line) - 1);
        // acquire: pairs with the release in set_log_sink, for what the sink refers to.
        const log_sink sink = sink_in_use.load_acquire();
        (sink != nullptr ? sink : write_to_stderr)(level, shown);
    }
    errno = saved_errno;
}

} // namespace rt::base

// SPDX-License-Identifier: MIT
//
// The library's few log lines: "librt: warning: io_uring is refused (…); using epoll".
//
// A line is made in a stack buffer and handed to the sink, which by default writes it to descriptor
// 2 in one write(2), so that lines of different threads do not mix. Lines are for what happens once
// (a fallback at start-up, a stall report); what a program can make happen again and again, such as
// a hook that throws, is logged seldom. Callable from every thread, also from the sentinel while
// all workers are stuck: no lock, no allocation.
//
// Rejected: a logger per module and formats; the socket is where details live.
#pragma once

#include <rt/detail/atomic.h>

#include <cstdint>
#include <string_view>

namespace rt::base {

enum class log_level : std::uint8_t { off, error, warning, info, debug };

/// What is not more verbose than this is shown. Default: warning.
void set_log_level(log_level level) noexcept;
[[nodiscard]] log_level current_log_level() noexcept;

/// Gets each line, without "librt: " and without a newline. Called on the thread that logs; must
/// not log.
using log_sink = void (*)(log_level level, std::string_view line) noexcept;

/// One sink per process; nullptr brings back the default.
void set_log_sink(log_sink sink) noexcept;

/// One line, cut at 1024 bytes. No floating point in the arguments, as in fatal().
[[gnu::format(printf, 2, 3)]] void log(log_level level, const char* format, ...) noexcept;

/// For what may happen often: one in a static variable for each kind of line.
class log_limit {
public:
    /// Whether a line may be logged now, which is so once a second. `left_out`: how many of this
    /// kind have not been since the last one.
    [[nodiscard]] bool may_log(std::uint64_t now_ns, std::uint64_t& left_out) noexcept;

    static constexpr std::uint64_t period_ns = 1'000'000'000;

private:
    atomic<std::uint64_t> next_ns_{0};
    atomic<std::uint64_t> left_out_{0};
};

/// As log, but only if `limit` lets it through; says how many lines have been left out before.
[[gnu::format(printf, 3, 4)]] void
log_seldom(log_limit& limit, log_level level, const char* format, ...) noexcept;

[[nodiscard]] const char* log_level_name(log_level level) noexcept;

} // namespace rt::base

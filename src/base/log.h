// SPDX-License-Identifier: MIT
//
// The library's few log lines: "librt: warning: io_uring is refused (…); using epoll".
//
// A line is made in a stack buffer and handed to the sink, which by default writes it to descriptor
// 2 in one write(2), so that lines of different threads do not mix. Lines are for what happens once
// (a fallback at start-up, a stall report); nothing logs on a path that can repeat without a limit
// of its own. Callable from every thread, also from the sentinel while all workers are stuck: no
// lock, no allocation.
//
// Rejected: a logger per module and formats; the socket is where details live.
#pragma once

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

[[nodiscard]] const char* log_level_name(log_level level) noexcept;

} // namespace rt::base

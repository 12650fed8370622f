// SPDX-License-Identifier: MIT
//
// The command line of httpd. Parsing reports every fault it finds, not the first, and starts
// nothing.
#pragma once

#include "request_parser.h"

#include <chrono>
#include <cstdint>
#include <expected>
#include <string>
#include <string_view>

namespace httpd {

struct options {
    std::string host = "127.0.0.1";
    std::uint16_t port = 8080;                       // 0: the kernel chooses
    std::uint32_t workers = 0;                       // 0: the runtime chooses
    std::string cpus;                                // "0-3,8"; empty: all
    std::string root = ".";                          // directory with the static files
    std::chrono::milliseconds idle_timeout{30'000};  // between requests, and for one head or write
    std::chrono::milliseconds drain_timeout{10'000}; // after SIGTERM
    parser_limits limits;
    bool wants_help = false;

    /// What rt::tcp_listener::bind takes: "127.0.0.1:8080", "[::1]:8080".
    [[nodiscard]] std::string address() const;
};

/// The error is a text of one line per fault.
std::expected<options, std::string> parse_options(int argc, const char* const* argv);

std::string_view usage();

} // namespace httpd

// SPDX-License-Identifier: MIT
//
// One question to a librt process over its socket. Blocking with a deadline; one thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace rt::tools {

// What scripts see; the numbers are in man rtctl(1).
enum class exit_code : int {
    success = 0,
    failed = 1,
    usage = 2,
    no_process = 3,
    denied = 4,
    timed_out = 5,
};

struct reply {
    exit_code outcome = exit_code::success;
    std::string problem; // what and why, when the outcome is not success
    unsigned status = 0; // of HTTP; 0 when there was no answer
    std::string body;
    bool is_stale = false; // nobody listens on the socket any more
};

// GET `target` ("/v1/info?format=json") from the socket at `path`, within `timeout_ns`.
[[nodiscard]] reply
ask(const std::string& path, const std::string& target, std::uint64_t timeout_ns);

// `text` as it may stand in a query.
[[nodiscard]] std::string encode(std::string_view text);

} // namespace rt::tools

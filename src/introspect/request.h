// SPDX-License-Identifier: MIT
//
// A question to the observer and its answer, whichever of the two protocols they travel by.
//
// A request is made by the parser (http.h) or from a command line (command.h) and answered by a row
// of the command table into a response, whose body is bounded. One thread, the sentinel, makes,
// routes and answers requests; nothing here is shared.
#pragma once

#include "base/text_writer.h"

#include <rt/introspect.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace rt::introspect {

enum class status : std::uint16_t {
    ok = 200,
    bad_request = 400,
    forbidden = 403,
    not_found = 404,
    method_not_allowed = 405,
    uri_too_long = 414,
    head_too_large = 431,
    internal_error = 500,
    unavailable = 503,
};

std::string_view text_of(status code) noexcept;

struct request {
    bool is_line = false; // came as a command line, not as HTTP
    bool is_head = false; // HEAD: the answer's body is not sent
    bool is_get = true;   // GET or HEAD
    std::string path;     // decoded; begins with '/'
    std::vector<std::pair<std::string, std::string>> query;
    std::string accept; // the Accept field, lower case

    // The value of a parameter, or null.
    [[nodiscard]] const std::string* find(std::string_view name) const noexcept {
        for (const auto& [key, value] : query) {
            if (key == name) {
                return &value;
            }
        }
        return nullptr;
    }
    // "1", "yes", "on", "true" or present without a value.
    [[nodiscard]] bool has_flag(std::string_view name) const noexcept;
};

struct response {
    explicit response(std::size_t limit) noexcept
        : body(limit)
        , limit(limit) {}

    // Whether a list had better end here, with a note that it was cut.
    [[nodiscard]] bool is_nearly_full() const noexcept {
        constexpr std::size_t reserve = 16 * 1024; // closes any document we write
        return body.is_truncated() || body.size() + reserve > limit;
    }

    status code = status::ok;
    std::string_view content_type = wire::text_type;
    base::growing_writer body;
    std::size_t limit;
};

// Replaces the answer by an error that says what, why and what next; JSON when `as_json`.
void set_error(response& answer, status code, std::string_view message, bool as_json) noexcept;

} // namespace rt::introspect

// SPDX-License-Identifier: MIT
//
// The top-level fields of a JSON object, for the few that rtctl reads itself. Not a parser of JSON
// in general: nested values are skipped, numbers must be whole, \u escapes become '?'.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace rt::tools {

// Absent when there is no such field, it is of another kind, or the text is not an object.
[[nodiscard]] std::optional<std::uint64_t>
number_field(std::string_view json, std::string_view name);
[[nodiscard]] std::optional<std::string> text_field(std::string_view json, std::string_view name);

} // namespace rt::tools

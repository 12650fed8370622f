// SPDX-License-Identifier: MIT
//
// The texts of wait kinds, as dumps, metrics and the man pages show them.
#pragma once

#include <rt/detail/header.h>

#include <array>
#include <cstddef>
#include <string_view>

namespace rt::tasks {

inline constexpr std::
    array<std::string_view, static_cast<std::size_t>(detail::wait_kind::kind_count)>
        wait_texts{
            "none",  "join",      "sleep",  "readable", "writable", "blocking", "signal",
            "mutex", "semaphore", "notify", "send",     "receive",  "oneshot",  "barrier",
            "scope", "yield",     "user",   "in place", "join",     "join",
        };

constexpr std::string_view text_of(detail::wait_kind kind) noexcept {
    const auto index = static_cast<std::size_t>(kind);
    return index < wait_texts.size() ? wait_texts[index] : std::string_view("?");
}

} // namespace rt::tasks

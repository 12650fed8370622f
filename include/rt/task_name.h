// SPDX-License-Identifier: MIT
//
// Names of tasks, as rtctl, dumps and /v1/tasks show them.
//
//     rt::spawn({.name = "acceptor"}, accept_loop, std::move(listener));
//     rt::spawn({.name = rt::task_name::of("shard " + std::to_string(i))}, run_shard, i);
//
// A name is a pointer in the task's header to text that lives as long as the process, because an
// observer reads it at any time, also after the task has ended. String literals are that already
// and cost nothing; other text is copied once into a table of the process (src/task/task_name.cc),
// which never forgets: names are for kinds of tasks, not for single requests. For those there are
// labels (rt/task_label.h).
#pragma once

#include <rt/detail/config.h>
#include <rt/detail/promise.h>
#include <rt/task_label.h>

#include <cstddef>
#include <string_view>

namespace rt {

class task_name {
public:
    /// No name.
    constexpr task_name() noexcept = default;
    /// A string literal.
    template<std::size_t N>
    consteval task_name(const char (&literal)[N]) noexcept
        : text_(literal) {}

    /// The name of this text: a copy of it, cut to 63 bytes, that is made once and kept for ever.
    /// After 4096 different texts, or without memory, all further ones share the name "(unnamed)".
    /// Threads: any; takes a lock.
    [[nodiscard]] RT_API static task_name of(std::string_view text) noexcept;

    [[nodiscard]] constexpr const char* text() const noexcept { return text_; }

private:
    const char* text_ = nullptr;
};

/// How to spawn a task. Written in the call, as above, so that `at` is the caller's line. If there
/// is no memory for the label, the task is spawned without one.
struct spawn_options {
    task_name name{};
    task_label label{};
    detail::site at = detail::site::current();
};

} // namespace rt

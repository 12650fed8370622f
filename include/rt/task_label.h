// SPDX-License-Identifier: MIT
//
// Labels of tasks: a text for the single task, beside the name of its kind.
//
//     rt::spawn({.name = "connection", .label = peer_text}, serve, std::move(stream));
//
//     rt::set_task_label("GET /index.html"); // inside of the task, as often as it changes
//
// A name stays for ever (rt/task_name.h); a label goes with its task, so every task may have a text
// that no other has: a peer's address, a request, a shard of a tenant. Whatever shows names shows
// labels too: rtctl, dumps, hooks, reports. Dumps never group by them. The text may come from a
// stranger: what shows it escapes it. A task without a label pays nothing.
#pragma once

#include <rt/detail/config.h>
#include <rt/detail/label.h>

#include <concepts>
#include <cstddef>
#include <string_view>

namespace rt {

/// A text of at most 63 bytes, by value: a longer one is cut, and one with a zero byte ends there.
/// The default is no label.
class task_label {
public:
    static constexpr std::size_t length_max = detail::label_length_max;

    constexpr task_label() noexcept = default;
    /// Null is no label.
    constexpr task_label(const char* text) noexcept
        : task_label(text == nullptr ? std::string_view() : std::string_view(text)) {}
    constexpr task_label(std::string_view text) noexcept {
        text = detail::cut_label(text);
        text.copy(text_, text.size());
    }
    /// A std::string, and what else can be seen as a text.
    template<typename Text>
    requires std::convertible_to<const Text&, std::string_view>
    constexpr task_label(const Text& text) noexcept
        : task_label(std::string_view(text)) {}

    /// Ends with a zero byte; empty if there is no label.
    [[nodiscard]] constexpr const char* text() const noexcept { return text_; }
    [[nodiscard]] constexpr bool is_empty() const noexcept { return text_[0] == '\0'; }

private:
    char text_[detail::label_bytes] = {}; // zero behind the text, so that all of it can be copied
};

/// Gives the running task this label in place of the one it has; an empty text takes it away. In a
/// branch of a join or select, in the body of a scope and in rt::shield it is the label of the task
/// that they are a part of, which is the one that dumps show. False: the caller is in no task, as
/// in closures of rt::blocking, or there is no memory for it; nothing has changed then.
/// Threads: the one that runs the task, rt::block_in_place included. Takes no lock; allocates a
/// block of the pool the first time.
RT_API bool set_task_label(std::string_view text) noexcept;

/// The label of the task that the calling code belongs to, of which set_task_label would change it:
/// for the program's own lines of log, which then say what dumps show. None outside of a task.
/// Threads: the one that runs the task, rt::block_in_place included. Takes no lock.
[[nodiscard]] RT_API task_label current_task_label() noexcept;

} // namespace rt

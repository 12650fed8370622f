// SPDX-License-Identifier: MIT
//
// How tasks, stacks and workers look, as text for people and as JSON for programs.
//
// Text may change from version to version; JSON is contract (<rt/introspect.h>). Names that users
// gave are escaped. Addresses are not shown, so that an answer does not undo address-space
// randomisation; a wait object is shown as the last 24 bits of its address, enough to see which
// tasks wait for the same thing.
//
// Threads: the sentinel.
#pragma once

#include "base/text_writer.h"
#include "introspect/observed.h"
#include "introspect/progress.h"
#include "introspect/snapshot.h"
#include "introspect/symbols.h"
#include "introspect/trace.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace rt::introspect {

// What rendering needs to know beside the thing itself; made per request.
struct render_context {
    render_context(
        const std::vector<runtime_facts>& all, std::uint64_t now, std::uint64_t deadline_ns
    )
        : runtimes(all)
        , now_ns(now)
        , symbols(deadline_ns) {}

    const std::vector<runtime_facts>& runtimes;
    std::uint64_t now_ns; // monotonic
    site_cache sites;
    name_cache names;
    symbol_table symbols;

    // Time since a coarse stamp; 0 when it is unknown or just now.
    [[nodiscard]] std::uint64_t age_of(std::uint64_t stamp_ns) const noexcept {
        return stamp_ns != 0 && now_ns > stamp_ns ? now_ns - stamp_ns : 0;
    }
};

// "child" of "rt::task<int> (anonymous namespace)::child(int)".
[[nodiscard]] std::string_view short_function(std::string_view signature) noexcept;

// "function  file:line", or the function's name alone where there is no site.
void write_frame_text(base::text_writer& out, const async_frame& frame, render_context& context);
// One line per frame, leaf first, then how the chain ended if not at the root.
void write_stack_text(
    base::text_writer& out,
    const async_stack& stack,
    render_context& context,
    std::string_view indent
);
void write_spawn_text(base::text_writer& out, std::uintptr_t site, render_context& context);
// "waiting sleep", "ready", "running".
void write_state_text(base::text_writer& out, task_state state, detail::wait_kind kind);

// The name, if it has one, and the label, as in every report: see tasks::write_title.
void write_title_text(base::text_writer& out, const task_facts& task, render_context& context);

// A task as a line of a table, and all that is known of it.
void write_task_row(base::text_writer& out, const task_facts& task, render_context& context);
void write_task_heading(base::text_writer& out);
void write_task_text(base::text_writer& out, const task_facts& task, render_context& context);
void write_task_json(base::json_writer& json, const task_facts& task, render_context& context);

// Workers, as a table and as an array's elements.
void write_worker_table(base::text_writer& out, const runtime_facts& runtime);
void write_worker_json(
    base::json_writer& json, const runtime_facts& runtime, const worker_facts& worker
);
// "STUCK", or the worker's state.
[[nodiscard]] std::string_view state_of(const worker_facts& worker) noexcept;

// Numbers the frames of one answer, so that each is spelled out once.
class frame_index {
public:
    std::uint32_t number_of(const async_frame& frame);
    std::uint32_t number_of_site(std::uintptr_t site) { return number_of({site, 0}); }
    // {"1":{"function":…,"file":…,"line":…},…}
    void write_json(base::json_writer& json, render_context& context) const;

private:
    std::unordered_map<std::uintptr_t, std::uint32_t> numbers_; // by site, else by resume
    std::vector<async_frame> frames_;                           // by number - 1
};

void write_frame_json(base::json_writer& json, const async_frame& frame, render_context& context);
[[nodiscard]] std::string_view text_of(async_stack::ending end) noexcept;

} // namespace rt::introspect

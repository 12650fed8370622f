// SPDX-License-Identifier: MIT
//
// Tables and objects: one function per thing and form.
//
// No decisions about what to show where, which are the resources' (resources.cc, dump.cc), and no
// reading of the runtime: what is written here was copied before. Threads: the sentinel.
#include "introspect/render.h"

#include "task/label.h"
#include "task/wait_reason.h"

#include <algorithm>

namespace rt::introspect {
namespace {

using base::json_writer;
using base::text_writer;

constexpr std::uintptr_t object_mask = (std::uintptr_t{1} << 24U) - 1;

std::size_t matching_bracket(std::string_view text, std::size_t close) noexcept {
    std::size_t depth = 0;
    for (std::size_t at = close + 1; at-- > 0;) {
        if (text[at] == ')') {
            ++depth;
        } else if (text[at] == '(' && --depth == 0) {
            return at;
        }
    }
    return std::string_view::npos;
}

void write_age(text_writer& out, std::uint64_t stamp_ns, const render_context& context) {
    if (stamp_ns == 0) {
        out.text("-");
    } else {
        out.duration(context.age_of(stamp_ns));
    }
}

std::string_view runtime_of(const task_facts& task, const render_context& context) noexcept {
    return context.runtimes[task.runtime].unique_name;
}

std::uint64_t counter_of(const worker_facts& worker, std::string_view name) noexcept {
    const auto found = std::find_if(
        std::begin(counter_names),
        std::end(counter_names),
        [name](const counter_name& one) { return one.name == name; }
    );
    return found == std::end(counter_names) ? 0
                                            : worker.counters[found - std::begin(counter_names)];
}

bool is_join(const task_facts& task) noexcept {
    return task.waits_for == detail::wait_kind::join;
}

void column(text_writer& out, std::size_t width) {
    out.pad_to(width - 1).character(' ').begin_column();
}

} // namespace

std::string_view short_function(std::string_view signature) noexcept {
    std::string_view name = signature;
    const std::size_t close = name.rfind(')');
    const std::size_t open =
        close == std::string_view::npos ? close : matching_bracket(name, close);
    // "f(int)", "f() const", "f(T) [T = int]"; but "(anonymous namespace)::f" has no parameters.
    if (open != std::string_view::npos && open > 0 &&
        name.substr(close + 1).find("::") == std::string_view::npos) {
        name = name.substr(0, open);
    }
    int depth = 0;
    for (std::size_t at = name.size(); at-- > 0;) {
        const char one = name[at];
        depth += one == ')' || one == '>' ? 1 : 0;
        depth -= one == '(' || one == '<' ? 1 : 0;
        if (one == ' ' && depth == 0) {
            return name.substr(at + 1);
        }
    }
    return name;
}

void write_frame_text(text_writer& out, const async_frame& frame, render_context& context) {
    const site_text& site = context.sites.find(frame.site);
    if (site.is_known()) {
        out.escaped(short_function(site.function)).text("  ").escaped(site.file).character(':');
        out.decimal(site.line);
    } else if (frame.resume != 0) {
        out.escaped(short_function(context.symbols.describe(frame.resume, true)));
    } else {
        out.text("?");
    }
}

std::string_view text_of(async_stack::ending end) noexcept {
    switch (end) {
    case async_stack::ending::root:
        return "root";
    case async_stack::ending::foreign:
        return "foreign";
    case async_stack::ending::too_deep:
        return "too_deep";
    case async_stack::ending::unreadable:
        return "unreadable";
    }
    return "?";
}

void write_stack_text(
    text_writer& out, const async_stack& stack, render_context& context, std::string_view indent
) {
    for (std::size_t i = 0; i < stack.frames.size(); ++i) {
        out.text(indent).character('#').decimal(i).character(' ');
        write_frame_text(out, stack.frames[i], context);
        out.character('\n');
    }
    if (stack.frames.empty()) {
        out.text(indent).text("(no stack: the task was moving)\n");
    } else if (stack.end == async_stack::ending::foreign) {
        out.text(indent).text("(awaited by a coroutine that is not an rt::task)\n");
    } else if (stack.end == async_stack::ending::unreadable) {
        out.text(indent).text("(the rest could not be read)\n");
    } else if (stack.end == async_stack::ending::too_deep && stack.frames.size() > 1) {
        out.text(indent).text("(deeper frames are not shown)\n");
    }
}

void write_spawn_text(text_writer& out, std::uintptr_t site, render_context& context) {
    const site_text& text = context.sites.find(site);
    if (text.is_known()) {
        out.text("spawned at ").escaped(text.file).character(':').decimal(text.line);
        out.text(" by ").escaped(short_function(text.function));
    } else {
        out.text("spawned at ?");
    }
}

void write_state_text(text_writer& out, task_state state, detail::wait_kind kind) {
    if (state == task_state::running && kind == detail::wait_kind::in_place) {
        out.text("blocking in place");
        return;
    }
    out.text(text_of(state));
    if (state == task_state::waiting) {
        out.character(' ').text(tasks::text_of(kind));
    }
}

void write_title_text(text_writer& out, const task_facts& task, render_context& context) {
    tasks::write_title(out, context.names.find(task.name), task.label);
}

void write_task_heading(text_writer& out) {
    out.begin_column().text("ID");
    column(out, 10);
    out.text("STATE");
    column(out, 20);
    out.text("FOR");
    column(out, 10);
    out.text("AGE");
    column(out, 10);
    out.text("POLLS");
    column(out, 10);
    out.text("WORKER");
    column(out, 8);
    out.text("NAME [LABEL]");
    column(out, 16);
    out.text("AT\n");
}

void write_task_row(text_writer& out, const task_facts& task, render_context& context) {
    out.begin_column().decimal(task.id);
    column(out, 10);
    write_state_text(out, task.state, task.waits_for);
    column(out, 20);
    write_age(out, task.since_ns, context);
    column(out, 10);
    write_age(out, task.created_ns, context);
    column(out, 10);
    out.decimal(task.polls);
    column(out, 10);
    if (task.worker == no_worker) {
        out.text("-");
    } else {
        out.decimal(task.worker);
    }
    out.text(task.bound_to == no_worker ? "" : " bound");
    column(out, 8);
    const std::string& name = context.names.find(task.name);
    out.escaped(name.empty() ? std::string_view("-") : name);
    tasks::write_title(out, "", task.label);
    column(out, 16);
    if (task.stack.frames.empty()) {
        out.text("?");
    } else {
        write_frame_text(out, task.stack.frames.front(), context);
    }
    out.character('\n');
}

void write_task_text(text_writer& out, const task_facts& task, render_context& context) {
    out.text("task ").decimal(task.id);
    write_title_text(out, task, context);
    out.text("  ");
    write_state_text(out, task.state, task.waits_for);
    if (task.state == task_state::waiting && task.waits_on != 0) {
        out.text(is_join(task) ? " of task " : ", held by task ").decimal(task.waits_on);
    }
    out.text(task.is_cancelled ? "  cancelled" : "").text("  for ");
    write_age(out, task.since_ns, context);
    out.text("  age ");
    write_age(out, task.created_ns, context);
    out.text("  polls ").decimal(task.polls);
    if (task.bound_to != no_worker) {
        out.text("  bound to worker ").decimal(task.bound_to);
    } else if (task.worker != no_worker) {
        out.text("  worker ").decimal(task.worker);
    }
    out.text("  runtime ").escaped(runtime_of(task, context)).character('\n');
    write_stack_text(out, task.stack, context, "    ");
    out.text("    ");
    write_spawn_text(out, task.spawn_site, context);
    if (task.parent_id != 0) {
        out.text(", task ").decimal(task.parent_id);
    }
    out.character('\n');
}

void write_frame_json(json_writer& json, const async_frame& frame, render_context& context) {
    const site_text& site = context.sites.find(frame.site);
    json.begin_object();
    if (site.is_known()) {
        json.field("function", std::string_view(site.function));
        json.field("file", std::string_view(site.file));
        json.field("line", site.line).field("column", site.column);
    } else if (frame.resume != 0) {
        json.field("function", std::string_view(context.symbols.describe(frame.resume, true)));
    }
    json.end_object();
}

void write_task_json(json_writer& json, const task_facts& task, render_context& context) {
    json.begin_object();
    json.field_id("id", task.id);
    const std::string& name = context.names.find(task.name);
    if (!name.empty()) {
        json.field("name", std::string_view(name));
    }
    if (!task.label.empty()) {
        json.field("label", std::string_view(task.label));
    }
    json.field("state", text_of(task.state)).field("runtime", runtime_of(task, context));
    if (task.state == task_state::waiting || task.waits_for == detail::wait_kind::in_place) {
        json.field("wait", tasks::text_of(task.waits_for));
        if (task.wait_object != 0) {
            json.field("wait_object", static_cast<std::uint64_t>(task.wait_object & object_mask));
        }
        if (task.waits_on != 0) {
            json.field_id(is_join(task) ? "joins" : "held_by", task.waits_on);
        }
    }
    if (task.worker != no_worker) {
        json.field("worker", task.worker);
    }
    if (task.bound_to != no_worker) {
        json.field("bound_to", task.bound_to);
    }
    json.field("cancelled", task.is_cancelled).field("consistent", task.is_consistent);
    if (task.since_ns != 0) {
        json.field("since_ns", context.age_of(task.since_ns));
    }
    if (task.created_ns != 0) {
        json.field("age_ns", context.age_of(task.created_ns));
    }
    json.field("polls", task.polls);
    if (task.parent_id != 0) {
        json.field_id("parent", task.parent_id);
    }
    json.key("spawn_site");
    write_frame_json(json, {task.spawn_site, 0}, context);
    json.key("stack").begin_array();
    for (const async_frame& frame : task.stack.frames) {
        write_frame_json(json, frame, context);
    }
    json.end_array();
    if (task.state != task_state::running && !task.stack.frames.empty()) {
        json.field("stack_end", text_of(task.stack.end));
    }
    json.end_object();
}

std::string_view state_of(const worker_facts& worker) noexcept {
    return worker.is_stuck ? std::string_view("STUCK") : text_of(worker.view.state);
}

void write_worker_table(text_writer& out, const runtime_facts& runtime) {
    constexpr std::string_view titles[] = {
        "WORKER", "STATE", "TID", "NODE", "CPUS", "QUEUE", "TIMERS", "POLLS", "STOLEN", "PARKS"};
    constexpr std::size_t widths[] = {8, 11, 9, 6, 10, 7, 8, 13, 11, 11};
    out.begin_column();
    for (std::size_t i = 0; i < std::size(titles); ++i) {
        out.text(titles[i]);
        column(out, widths[i]);
    }
    out.text("TASK\n");
    for (const worker_facts& worker : runtime.workers) {
        const scheduler::worker_view& view = worker.view;
        const std::size_t queued = view.queue_depth + view.private_depth + view.bound_depth;
        const std::uint64_t numbers[] = {
            queued,
            view.timers,
            counter_of(worker, "polls"),
            counter_of(worker, "steal_tasks"),
            counter_of(worker, "parks")};
        out.begin_column().decimal(view.index);
        column(out, widths[0]);
        out.text(state_of(worker));
        column(out, widths[1]);
        out.decimal_signed(view.tid);
        column(out, widths[2]);
        out.decimal(view.node);
        column(out, widths[3]);
        out.text(view.cpus.empty() ? std::string_view("any") : view.cpus);
        column(out, widths[4]);
        for (std::size_t i = 0; i < std::size(numbers); ++i) {
            out.decimal(numbers[i]);
            column(out, widths[5 + i]);
        }
        if (view.task_id == 0) {
            out.text("-\n");
            continue;
        }
        out.decimal(view.task_id);
        if (worker.same_turn_ns >= first_look_ns) {
            out.text(" for ").duration(worker.same_turn_ns).text(" or more");
        }
        out.character('\n');
    }
}

void write_worker_json(
    json_writer& json, const runtime_facts& runtime, const worker_facts& worker
) {
    const scheduler::worker_view& view = worker.view;
    json.begin_object();
    json.field("runtime", std::string_view(runtime.unique_name)).field("worker", view.index);
    json.field("state", text_of(view.state)).field("stuck", worker.is_stuck);
    json.field("tid", view.tid).field("node", view.node);
    json.field("cpus", std::string_view(view.cpus));
    if (view.task_id != 0) {
        json.field_id("task", view.task_id).field("same_turn_ns", worker.same_turn_ns);
    }
    json.field_id("turn", view.turn);
    json.field("queue_depth", view.queue_depth).field("private_depth", view.private_depth);
    json.field("lifo_occupied", view.private_depth != 0); // of 1.0
    json.field("bound_depth", view.bound_depth).field("timers", view.timers);
    json.field("cpu_ns", worker.time.cpu_ns).field("runqueue_wait_ns", worker.time.wait_ns);
    json.key("counters").begin_object();
    for (std::size_t i = 0; i < counter_count; ++i) {
        json.field(counter_names[i].name, worker.counters[i]);
    }
    json.end_object().end_object();
}

std::uint32_t frame_index::number_of(const async_frame& frame) {
    const std::uintptr_t key = frame.site != 0 ? frame.site : frame.resume;
    const auto [entry, is_new] =
        numbers_.try_emplace(key, static_cast<std::uint32_t>(frames_.size() + 1));
    if (is_new) {
        frames_.push_back(frame);
    }
    return entry->second;
}

void frame_index::write_json(json_writer& json, render_context& context) const {
    json.begin_object();
    for (std::size_t i = 0; i < frames_.size(); ++i) {
        json.key(std::to_string(i + 1));
        write_frame_json(json, frames_[i], context);
    }
    json.end_object();
}

} // namespace rt::introspect

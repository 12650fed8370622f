// SPDX-License-Identifier: MIT
//
// Collecting, grouping and writing a dump.
//
// Order: two looks at the workers (progress.h), samples of those that have not moved, the walk over
// the tasks, then the text, whose first lines need the sums of the walk.
#include "introspect/dump.h"

#include "base/clock.h"
#include "introspect/process.h"
#include "task/label.h"
#include "task/wait_reason.h"

#include <rt/version.h>

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <utility>

#include <unistd.h>

namespace rt::introspect {
namespace {

using base::json_writer;
using base::ns_per_millisecond;
using base::text_writer;

constexpr std::uint64_t sample_budget_ns = 200 * ns_per_millisecond;
constexpr std::uint64_t symbol_budget_ns = 300 * ns_per_millisecond;
constexpr std::uint64_t walk_budget_ns = 2000 * ns_per_millisecond; // a million tasks take half

struct sampled_worker {
    std::uint32_t runtime = 0;
    std::uint32_t worker = 0;
    native_stack stack;
};

struct dump {
    std::vector<runtime_facts> runtimes;
    std::vector<sampled_worker> samples;
    std::vector<task_facts> running;
    grouping groups;
    walk_result walk;
    std::vector<std::string> partial;
};

void sample_workers(dump& made) {
    std::vector<int> tids;
    for (std::uint32_t r = 0; r < made.runtimes.size(); ++r) {
        for (const worker_facts& worker : made.runtimes[r].workers) {
            if (worker.view.task != nullptr && worker.same_turn_ns >= first_look_ns) {
                tids.push_back(worker.view.tid);
                made.samples.push_back({r, worker.view.index, {}});
            }
        }
    }
    std::vector<native_stack> stacks =
        sample_threads(tids, base::monotonic_ns() + sample_budget_ns);
    for (std::size_t i = 0; i < stacks.size(); ++i) {
        made.samples[i].stack = std::move(stacks[i]);
        if (made.samples[i].stack.addresses.empty()) {
            made.partial.push_back(
                "worker " + std::to_string(made.samples[i].worker) + ": " +
                made.samples[i].stack.place
            );
        }
    }
}

void note_partial(dump& made, bool is_cut) {
    if (made.walk.is_cut) {
        made.partial.emplace_back("the walk over the tasks was stopped after 2 s");
    }
    if (made.groups.ungrouped() > 0) {
        made.partial.push_back(
            std::to_string(made.groups.ungrouped()) + " tasks have more than " +
            std::to_string(groups_max) + " different stacks"
        );
    }
    if (is_cut) {
        made.partial.emplace_back("the answer is full; ask /v1/tasks for pages of tasks");
    }
}

const sampled_worker* sample_of(const dump& made, std::uint32_t runtime, std::uint32_t worker) {
    const auto found =
        std::find_if(made.samples.begin(), made.samples.end(), [&](const sampled_worker& one) {
            return one.runtime == runtime && one.worker == worker;
        });
    return found == made.samples.end() ? nullptr : &*found;
}

const task_facts* running_on(const dump& made, const worker_facts& worker) {
    const auto found = std::find_if(made.running.begin(), made.running.end(), [&](const auto& one) {
        return one.id == worker.view.task_id;
    });
    return found == made.running.end() ? nullptr : &*found;
}

// A return address is behind its call, which may be the last instruction of the function before.
std::uintptr_t call_of(const native_stack& stack, std::size_t index) noexcept {
    return stack.addresses[index] - (index == 0 ? 0 : 1);
}

void write_summary(text_writer& out, const dump& made, std::uint64_t now_ns) {
    const process_facts& self = process();
    out.text("librt dump  pid ").decimal(self.pid).character(' ').escaped(self.comm);
    out.text("  up ").duration(now_ns - self.started_ns).text("  ");
    out.text(iso_time(base::realtime_ns())).text("  lib " RT_VERSION "\n");
    for (const runtime_facts& runtime : made.runtimes) {
        std::size_t parked = 0;
        std::size_t stuck = 0;
        for (const worker_facts& worker : runtime.workers) {
            parked += worker.view.state == scheduler::worker_state::parked ? 1 : 0;
            stuck += worker.is_stuck ? 1 : 0;
        }
        const std::size_t all = runtime.workers.size();
        out.text("runtime ")
            .escaped(runtime.unique_name)
            .text("  workers ")
            .decimal(all)
            .text(" (");
        out.decimal(parked).text(" parked, ").decimal(all - parked - stuck).text(" active, ");
        out.decimal(stuck).text(" STUCK)  driver ").text(runtime.driver).text("  injected ");
        out.decimal(runtime.injected_depth).text("  blocking ").decimal(runtime.blocking.threads);
        out.text(" threads, ").decimal(runtime.blocking.queued).text(" queued\n");
    }
    const walk_result& walk = made.walk;
    out.text("tasks ").decimal(walk.seen).text(" (");
    for (const task_state state : {task_state::running, task_state::ready, task_state::waiting}) {
        out.text(state == task_state::running ? "" : ", ");
        out.decimal(walk.in_state[static_cast<std::size_t>(state)]).character(' ');
        out.text(text_of(state));
    }
    out.text(")  walk ").duration(walk.duration_ns).text(", consistent ");
    out.decimal(walk.consistent).character('/').decimal(walk.seen).character('\n');
}

void write_native(text_writer& out, const native_stack& stack, render_context& context) {
    out.text("    native: ").text(stack.place).character('\n');
    for (std::size_t i = 0; i < stack.addresses.size(); ++i) {
        out.text("        ").escaped(context.symbols.describe(call_of(stack, i))).character('\n');
    }
}

void write_worker(
    text_writer& out,
    const dump& made,
    std::uint32_t runtime,
    const worker_facts& worker,
    render_context& context
) {
    const scheduler::worker_view& view = worker.view;
    out.text("worker ").decimal(view.index).text("  tid ").decimal_signed(view.tid);
    out.text("  cpu ").text(view.cpus.empty() ? std::string_view("any") : view.cpus);
    out.text("  node ").decimal(view.node).text("  ").text(state_of(worker));
    if (worker.same_turn_ns >= first_look_ns) {
        out.text(" for ").duration(worker.same_turn_ns).text(" or more");
    }
    out.text("  queue ").decimal(view.queue_depth + view.private_depth);
    if (view.bound_depth != 0) {
        out.text(" + ").decimal(view.bound_depth).text(" bound");
    }
    if (view.task_id == 0) {
        out.character('\n');
        return;
    }
    const task_facts* const task = running_on(made, worker);
    out.text("  task ").decimal(view.task_id);
    if (task != nullptr) {
        write_title_text(out, *task, context);
    }
    out.character('\n');
    if (const sampled_worker* const sample = sample_of(made, runtime, view.index)) {
        write_native(out, sample->stack, context);
    }
    if (task != nullptr) {
        out.text("    async, root only while it runs:\n");
        write_stack_text(out, task->stack, context, "        ");
        out.text("        ");
        write_spawn_text(out, task->spawn_site, context);
        out.character('\n');
    }
}

void write_group(text_writer& out, const task_group& group, render_context& context) {
    out.text("---- ").decimal(group.count).text(group.count == 1 ? " task  " : " tasks  ");
    write_state_text(out, group.first.state, group.first.waits_for);
    if (group.first.bound_to != no_worker) {
        out.text("  bound to worker ").decimal(group.first.bound_to);
    }
    if (group.cancelled > 0) {
        out.text("  cancelled ").decimal(group.cancelled);
    }
    if (group.oldest_ns != 0 && group.count == 1) {
        out.text("  for ").duration(context.age_of(group.oldest_ns));
    } else if (group.oldest_ns != 0) {
        out.text("  oldest ").duration(context.age_of(group.oldest_ns)).text("  youngest ");
        out.duration(context.age_of(group.youngest_ns));
    }
    out.text(group.count == 1 ? "  id " : "  e.g. ");
    for (std::size_t i = 0; i < examples_max && group.examples[i].id != 0; ++i) {
        out.text(i == 0 ? "" : ", ").decimal(group.examples[i].id);
        tasks::write_title(out, "", group.examples[i].label);
    }
    if (const std::string& name = context.names.find(group.first.name); !name.empty()) {
        out.text("  \"").escaped(name).character('"');
    }
    out.character('\n');
    write_stack_text(out, group.first.stack, context, "    ");
    out.text("    ");
    write_spawn_text(out, group.first.spawn_site, context);
    out.character('\n');
}

void write_workers_json(json_writer& json, const dump& made, render_context& context) {
    json.key("workers").begin_array();
    for (std::uint32_t r = 0; r < made.runtimes.size(); ++r) {
        for (const worker_facts& worker : made.runtimes[r].workers) {
            write_worker_json(json, made.runtimes[r], worker);
        }
    }
    json.end_array().key("native").begin_array();
    for (const sampled_worker& sample : made.samples) {
        json.begin_object();
        json.field("runtime", std::string_view(made.runtimes[sample.runtime].unique_name));
        json.field("worker", sample.worker).field("place", std::string_view(sample.stack.place));
        json.key("frames").begin_array();
        for (std::size_t i = 0; i < sample.stack.addresses.size(); ++i) {
            json.value(std::string_view(context.symbols.describe(call_of(sample.stack, i))));
        }
        json.end_array().end_object();
    }
    json.end_array();
}

// The ids, and the labels of those that have one.
void write_examples_json(json_writer& json, const task_group& group) {
    json.key("examples").begin_array();
    for (std::size_t i = 0; i < examples_max && group.examples[i].id != 0; ++i) {
        json.id(group.examples[i].id);
    }
    json.end_array();
    bool any = false;
    for (const group_example& one : group.examples) {
        if (one.label.empty()) {
            continue;
        }
        if (!std::exchange(any, true)) {
            json.key("labels").begin_object();
        }
        json.field(std::to_string(one.id), std::string_view(one.label));
    }
    if (any) {
        json.end_object();
    }
}

void write_groups_json(
    json_writer& json, const dump& made, render_context& context, response& answer, bool& is_cut
) {
    frame_index frames;
    json.key("groups").begin_array();
    for (const task_group* const group : made.groups.sorted()) {
        if ((is_cut = answer.is_nearly_full())) {
            break;
        }
        json.begin_object().field("count", group->count);
        if (const std::string& name = context.names.find(group->first.name); !name.empty()) {
            json.field("name", std::string_view(name));
        }
        json.field("state", text_of(group->first.state));
        if (group->first.state == task_state::waiting) {
            json.field("wait", tasks::text_of(group->first.waits_for));
        }
        if (group->first.bound_to != no_worker) {
            json.field("bound_to", group->first.bound_to);
        }
        json.field("cancelled", group->cancelled);
        json.key("stack").begin_array();
        for (const async_frame& frame : group->first.stack.frames) {
            json.value(frames.number_of(frame));
        }
        json.end_array().field("stack_end", text_of(group->first.stack.end));
        json.field("spawn_site", frames.number_of_site(group->first.spawn_site));
        if (group->oldest_ns != 0) {
            json.field("oldest_ns", context.age_of(group->oldest_ns));
            json.field("youngest_ns", context.age_of(group->youngest_ns));
        }
        write_examples_json(json, *group);
        json.end_object();
    }
    json.end_array();
    json.key("sites");
    frames.write_json(json, context);
}

void write_sums_json(json_writer& json, const dump& made) {
    const walk_result& walk = made.walk;
    json.key("tasks").begin_object().field("seen", walk.seen).field("consistent", walk.consistent);
    for (const task_state state : {task_state::running, task_state::ready, task_state::waiting}) {
        json.field(text_of(state), walk.in_state[static_cast<std::size_t>(state)]);
    }
    json.field("walk_ns", walk.duration_ns).end_object();
    json.key("partial").begin_array();
    for (const std::string& what : made.partial) {
        json.value(std::string_view(what));
    }
    json.end_array();
}

void begin_json(json_writer& json) {
    const process_facts& self = process();
    json.begin_object();
    json.key("api").begin_object().field("major", wire::api_major);
    json.field("minor", wire::api_minor).end_object();
    json.field("version", std::string_view(RT_VERSION)).field("pid", self.pid);
    json.field("comm", std::string_view(self.comm));
    json.field("time", std::string_view(iso_time(base::realtime_ns())));
    json.field("uptime_ns", base::monotonic_ns() - self.started_ns);
}

void dump_as_json(dump& made, bool full, render_context& context, response& answer) {
    const std::uint64_t walk_deadline_ns = base::monotonic_ns() + walk_budget_ns;
    bool is_cut = false;
    answer.content_type = wire::json_type;
    json_writer json(answer.body);
    begin_json(json);
    if (full) {
        json.key("task_list").begin_array();
    }
    made.walk = walk_tasks(made.runtimes, walk_deadline_ns, [&](const task_facts& task) {
        is_cut = is_cut || answer.is_nearly_full();
        if (full && !is_cut) {
            write_task_json(json, task, context);
        } else if (!full) {
            made.groups.add(task);
        }
    });
    if (full) {
        json.end_array();
    } else {
        write_groups_json(json, made, context, answer, is_cut);
    }
    write_workers_json(json, made, context);
    note_partial(made, is_cut);
    write_sums_json(json, made);
    json.end_object();
    answer.body.character('\n');
}

void dump_as_text(dump& made, bool full, render_context& context, response& answer) {
    const std::uint64_t walk_deadline_ns = base::monotonic_ns() + walk_budget_ns;
    base::growing_writer tasks(answer.limit / 2);
    made.walk = walk_tasks(made.runtimes, walk_deadline_ns, [&](const task_facts& task) {
        if (task.state == task_state::running) {
            made.running.push_back(task);
        } else if (!full) {
            made.groups.add(task);
        }
        if (full && !tasks.is_truncated()) {
            write_task_text(tasks, task, context);
        }
    });
    text_writer& out = answer.body;
    write_summary(out, made, context.now_ns);
    for (std::uint32_t r = 0; r < made.runtimes.size(); ++r) {
        out.character('\n');
        for (const worker_facts& worker : made.runtimes[r].workers) {
            write_worker(out, made, r, worker, context);
        }
    }
    out.character('\n');
    bool is_cut = tasks.is_truncated();
    out.text(tasks.view()).text(is_cut ? "\n" : "");
    for (const task_group* const group : made.groups.sorted()) {
        if ((is_cut = answer.is_nearly_full())) {
            break;
        }
        write_group(out, *group, context);
    }
    note_partial(made, is_cut);
    for (const std::string& what : made.partial) {
        out.text("partial: ").text(what).character('\n');
    }
}

} // namespace

void grouping::add(const task_facts& task) {
    const std::uint64_t hash = hash_of(task);
    auto [at, end] = groups_.equal_range(hash);
    while (at != end && !is_same(at->second.first, task)) {
        ++at;
    }
    if (at == end) {
        if (groups_.size() == groups_max) {
            ++ungrouped_;
            return;
        }
        at = groups_.emplace(hash, task_group{task, 0, 0, 0, 0, {}});
    }
    task_group& group = at->second;
    if (group.count < examples_max) {
        group.examples[group.count] = {task.id, task.label};
    }
    ++group.count;
    group.cancelled += task.is_cancelled ? 1 : 0;
    if (task.since_ns != 0) {
        group.oldest_ns =
            group.oldest_ns == 0 ? task.since_ns : std::min(group.oldest_ns, task.since_ns);
        group.youngest_ns = std::max(group.youngest_ns, task.since_ns);
    }
}

std::vector<const task_group*> grouping::sorted() const {
    std::vector<const task_group*> all;
    for (const auto& [hash, group] : groups_) {
        all.push_back(&group);
    }
    std::sort(all.begin(), all.end(), [](const task_group* a, const task_group* b) {
        if (a->count != b->count) {
            return a->count > b->count;
        }
        return a->oldest_ns != b->oldest_ns ? a->oldest_ns < b->oldest_ns
                                            : a->first.id < b->first.id;
    });
    return all;
}

std::uint64_t grouping::hash_of(const task_facts& task) noexcept {
    constexpr std::uint64_t multiplier = 0x9E3779B97F4A7C15U; // 2^64 over the golden ratio
    std::uint64_t hash =
        static_cast<std::uint64_t>(task.state) * 64 + static_cast<std::uint64_t>(task.waits_for);
    const auto mix = [&hash](std::uint64_t word) {
        hash = (hash ^ word) * multiplier;
        hash ^= hash >> 29U;
    };
    mix(task.spawn_site);
    mix(task.runtime);
    mix(task.bound_to);
    for (const async_frame& frame : task.stack.frames) {
        mix(frame.site != 0 ? frame.site : frame.resume);
    }
    return hash;
}

bool grouping::is_same(const task_facts& a, const task_facts& b) noexcept {
    return a.state == b.state && a.waits_for == b.waits_for && a.spawn_site == b.spawn_site &&
        a.runtime == b.runtime && a.bound_to == b.bound_to && a.stack.end == b.stack.end &&
        a.stack.frames == b.stack.frames;
}

void answer_dump(progress_log& progress, bool as_json, bool full, response& answer) {
    dump made;
    made.runtimes = progress.look();
    sample_workers(made);
    const std::uint64_t now_ns = base::monotonic_ns();
    render_context context(made.runtimes, now_ns, now_ns + symbol_budget_ns);
    if (as_json) {
        dump_as_json(made, full, context, answer);
    } else {
        dump_as_text(made, full, context, answer);
    }
}

std::string iso_time(std::uint64_t realtime_ns) {
    const auto seconds = static_cast<std::time_t>(realtime_ns / base::ns_per_second);
    std::tm parts{};
    ::gmtime_r(&seconds, &parts);
    char text[64];
    const std::size_t length = std::strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &parts);
    const auto millis =
        static_cast<unsigned>(realtime_ns % base::ns_per_second / ns_per_millisecond);
    std::snprintf(text + length, sizeof(text) - length, ".%03uZ", millis % 1000);
    return text;
}

} // namespace rt::introspect

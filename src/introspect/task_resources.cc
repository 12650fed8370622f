// SPDX-License-Identifier: MIT
//
// The commands `tasks` and `task`: pages of live tasks, filtered, and one task in full.
//
// A page is the `limit` matching tasks with the lowest ids above `after`: ids only grow, so a
// client that pages misses no task that lives throughout and sees none twice. Both walk over all
// headers; nothing indexes tasks by id, because nothing else than this would use it.
#include "base/clock.h"
#include "base/environment.h"
#include "introspect/native_stack.h"
#include "introspect/render.h"
#include "introspect/resources.h"
#include "introspect/snapshot.h"

#include <algorithm>

namespace rt::introspect {
namespace {

using base::json_writer;

constexpr std::uint64_t walk_budget_ns = 2 * base::ns_per_second;
constexpr std::uint64_t symbol_budget_ns = 300 * base::ns_per_millisecond;
constexpr std::uint64_t sample_budget_ns = 200 * base::ns_per_millisecond;
constexpr std::uint64_t task_limit_default = 200;
constexpr std::uint64_t task_limit_max = 10'000;

struct task_filter {
    const std::string* state = nullptr;
    const std::string* name = nullptr;
    const std::string* label = nullptr;
    const std::string* site = nullptr;
    std::uint64_t worker = no_worker;
    std::uint64_t older_ns = 0;
    std::uint64_t after = 0;
    std::uint64_t limit = task_limit_default;
};

// Reads a number parameter into `value`. False, with the answer made: it is not one.
bool take_number(
    const query& question,
    std::string_view name,
    std::uint64_t most,
    std::uint64_t& value,
    response& answer
) {
    const std::string* const text = question.from.find(name);
    if (text == nullptr) {
        return true;
    }
    const auto number = base::parse_uint(*text);
    if (!number || *number > most) {
        set_error(
            answer,
            status::bad_request,
            "'" + std::string(name) + "' must be a number from 0 to " + std::to_string(most),
            question.as_json
        );
        return false;
    }
    value = *number;
    return true;
}

bool take_filter(const query& question, task_filter& filter, response& answer) {
    filter.state = question.from.find("state");
    filter.name = question.from.find("name");
    filter.label = question.from.find("label");
    filter.site = question.from.find("site");
    const std::string_view states[] = {"running", "ready", "waiting"};
    if (filter.state != nullptr &&
        std::find(std::begin(states), std::end(states), *filter.state) == std::end(states)) {
        set_error(
            answer,
            status::bad_request,
            "'state' must be running, ready or waiting",
            question.as_json
        );
        return false;
    }
    if (const std::string* const older = question.from.find("older")) {
        const auto age = base::parse_duration_ns(*older);
        if (!age) {
            set_error(
                answer,
                status::bad_request,
                "'older' must be a time with a unit, such as 500ms or 10s",
                question.as_json
            );
            return false;
        }
        filter.older_ns = *age;
    }
    return take_number(question, "worker", no_worker - 1, filter.worker, answer) &&
        take_number(question, "after", UINT64_MAX, filter.after, answer) &&
        take_number(question, "limit", task_limit_max, filter.limit, answer);
}

bool is_site_like(std::uintptr_t site, const std::string& wanted, render_context& context) {
    const site_text& text = context.sites.find(site);
    const std::string place = text.file + ":" + std::to_string(text.line);
    return text.is_known() &&
        (place.find(wanted) != std::string::npos || text.function.find(wanted) != std::string::npos
        );
}

bool matches(const task_filter& filter, const task_facts& task, render_context& context) {
    if (task.id <= filter.after ||
        (filter.state != nullptr && *filter.state != text_of(task.state)) ||
        (filter.worker != no_worker && filter.worker != task.worker) ||
        (filter.older_ns != 0 && context.age_of(task.since_ns) < filter.older_ns)) {
        return false;
    }
    if (filter.name != nullptr &&
        context.names.find(task.name).find(*filter.name) == std::string::npos) {
        return false;
    }
    if (filter.label != nullptr && task.label.find(*filter.label) == std::string::npos) {
        return false;
    }
    return filter.site == nullptr || is_site_like(task.spawn_site, *filter.site, context) ||
        std::any_of(
               task.stack.frames.begin(),
               task.stack.frames.end(),
               [&](const async_frame& frame) {
                   return is_site_like(frame.site, *filter.site, context);
               }
        );
}

struct task_page {
    std::vector<task_facts> tasks; // those with the lowest ids, in order
    std::uint64_t total = 0;       // that match
    walk_result walk;
};

task_page read_page(const task_filter& filter, render_context& context) {
    constexpr auto by_id = [](const task_facts& a, const task_facts& b) {
        return a.id < b.id;
    };
    task_page page;
    page.walk = walk_tasks(
        context.runtimes,
        base::monotonic_ns() + walk_budget_ns,
        [&](const task_facts& task) {
            if (!matches(filter, task, context)) {
                return;
            }
            ++page.total;
            // A heap with the highest id on top, which is the first to leave.
            page.tasks.push_back(task);
            std::push_heap(page.tasks.begin(), page.tasks.end(), by_id);
            if (page.tasks.size() > filter.limit) {
                std::pop_heap(page.tasks.begin(), page.tasks.end(), by_id);
                page.tasks.pop_back();
            }
        }
    );
    std::sort_heap(page.tasks.begin(), page.tasks.end(), by_id);
    return page;
}

void write_native_json(json_writer& json, const native_stack& stack, render_context& context) {
    json.key("native").begin_object().field("place", std::string_view(stack.place));
    json.key("frames").begin_array();
    for (const std::uintptr_t address : stack.addresses) {
        json.value(std::string_view(context.symbols.describe(address)));
    }
    json.end_array().end_object();
}

} // namespace

void answer_tasks(service& /*self*/, const query& question, response& answer) {
    task_filter filter;
    if (!take_filter(question, filter, answer)) {
        return;
    }
    const std::vector<runtime_facts> runtimes = observed().read();
    const std::uint64_t now_ns = base::monotonic_ns();
    render_context context(runtimes, now_ns, now_ns + symbol_budget_ns);
    const task_page page = read_page(filter, context);
    const bool is_more = page.total > page.tasks.size();
    const std::uint64_t last = page.tasks.empty() ? 0 : page.tasks.back().id;
    if (!question.as_json) {
        write_task_heading(answer.body);
        for (const task_facts& task : page.tasks) {
            write_task_row(answer.body, task, context);
        }
        if (is_more) {
            answer.body.decimal(page.tasks.size()).text(" of ").decimal(page.total);
            answer.body.text("; after=").decimal(last).text(" for the rest\n");
        }
        return;
    }
    json_writer json(answer.body);
    json.begin_object().field("total", page.total).field("truncated", is_more);
    if (is_more) {
        json.field_id("next_after", last);
    }
    json.field("partial", page.walk.is_cut);
    json.key("tasks").begin_array();
    for (const task_facts& task : page.tasks) {
        if (answer.is_nearly_full()) {
            break;
        }
        write_task_json(json, task, context);
    }
    json.end_array().end_object();
    answer.body.character('\n');
}

void answer_task(service& /*self*/, const query& question, response& answer) {
    const auto id = base::parse_uint(question.argument);
    if (!id || *id == 0) {
        set_error(
            answer,
            status::bad_request,
            "a task's id is a number, not '" + question.argument + "'",
            question.as_json
        );
        return;
    }
    const std::vector<runtime_facts> runtimes = observed().read();
    const std::uint64_t now_ns = base::monotonic_ns();
    render_context context(runtimes, now_ns, now_ns + sample_budget_ns + symbol_budget_ns);
    task_filter filter;
    filter.after = *id - 1;
    filter.limit = 1;
    const task_page page = read_page(filter, context);
    if (page.tasks.empty() || page.tasks[0].id != *id) {
        set_error(
            answer,
            status::not_found,
            "no live task " + std::to_string(*id) + "; it may have ended",
            question.as_json
        );
        return;
    }
    const task_facts& task = page.tasks[0];
    std::vector<native_stack> native;
    if (task.state == task_state::running && task.worker < runtimes[task.runtime].workers.size()) {
        const int tid = runtimes[task.runtime].workers[task.worker].view.tid;
        native = sample_threads({&tid, 1}, base::monotonic_ns() + sample_budget_ns);
    }
    if (question.as_json) {
        json_writer json(answer.body);
        json.begin_object().key("task");
        write_task_json(json, task, context);
        if (!native.empty()) {
            write_native_json(json, native[0], context);
        }
        json.end_object();
        answer.body.character('\n');
        return;
    }
    write_task_text(answer.body, task, context);
    if (!native.empty()) {
        answer.body.text("    native: ").text(native[0].place).character('\n');
        for (const std::uintptr_t address : native[0].addresses) {
            answer.body.text("        ").escaped(context.symbols.describe(address)).character('\n');
        }
    }
}

} // namespace rt::introspect

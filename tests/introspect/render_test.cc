// SPDX-License-Identifier: MIT
//
// Names as they are shown, and that what users choose cannot break an answer.
//
// Goal: a task's name cannot move a terminal's cursor or end a JSON string, and signatures are
// short enough to read. Method: tasks made by hand, written to memory.
#include "introspect/render.h"
#include "support/test.h"

#include <string>
#include <vector>

using rt::introspect::render_context;
using rt::introspect::runtime_facts;
using rt::introspect::short_function;
using rt::introspect::task_facts;

namespace {

std::vector<runtime_facts> one_runtime() {
    std::vector<runtime_facts> all(1);
    all[0].unique_name = "rt";
    return all;
}

} // namespace

Test(render, a_signature_is_shortened_to_its_name) {
    cr_assert(short_function("int main()") == "main");
    cr_assert(short_function("rt::task<int> app::serve(rt::tcp_stream, int)") == "app::serve");
    cr_assert(
        short_function("task<void> (anonymous namespace)::child(std::map<int, int>)") ==
        "(anonymous namespace)::child"
    );
    cr_assert(short_function("std::map<int, int> f(void (*)(int))") == "f");
    cr_assert(
        short_function("auto main()::(anonymous class)::operator()(int) const") ==
        "main()::(anonymous class)::operator()"
    );
    cr_assert(short_function("auto run(T) [T = int]") == "run");
    cr_assert(short_function("plain") == "plain");
    cr_assert(short_function("") == "");
    cr_assert(short_function(")(") == ")(");
}

Test(render, a_hostile_name_is_escaped_in_text_and_json) {
    const std::vector<runtime_facts> runtimes = one_runtime();
    render_context context(runtimes, 1'000'000, 0);
    task_facts task;
    task.id = 5;
    task.name = reinterpret_cast<std::uintptr_t>("\x1b[31m\"x\"\n\xff");
    rt::base::growing_writer text(1 << 16);
    rt::introspect::write_task_text(text, task, context);
    cr_assert(text.view().find('\x1b') == std::string_view::npos);
    cr_assert(text.view().find("\\x1b[31m") != std::string_view::npos);
    rt::base::growing_writer out(1 << 16);
    rt::base::json_writer json(out);
    rt::introspect::write_task_json(json, task, context);
    cr_assert(json.is_complete());
    cr_assert(out.view().find('\x1b') == std::string_view::npos);
    cr_assert(out.view().find("\\\"x\\\"") != std::string_view::npos);
    cr_assert(out.view().find("\"id\":\"5\"") != std::string_view::npos);
}

Test(render, the_holder_of_a_lock_is_named) {
    const std::vector<runtime_facts> runtimes = one_runtime();
    render_context context(runtimes, 1'000'000, 0);
    task_facts task;
    task.id = 5;
    task.state = rt::introspect::task_state::waiting;
    task.waits_for = rt::detail::wait_kind::mutex;
    task.waits_on = 7;
    rt::base::growing_writer text(1 << 16);
    rt::introspect::write_task_text(text, task, context);
    cr_assert(text.view().find("waiting mutex, held by task 7") != std::string_view::npos);
    rt::base::growing_writer out(1 << 16);
    rt::base::json_writer json(out);
    rt::introspect::write_task_json(json, task, context);
    cr_assert(out.view().find("\"held_by\":\"7\"") != std::string_view::npos);
}

Test(render, the_task_that_is_joined_is_named) {
    const std::vector<runtime_facts> runtimes = one_runtime();
    render_context context(runtimes, 1'000'000, 0);
    task_facts task;
    task.id = 5;
    task.state = rt::introspect::task_state::waiting;
    task.waits_for = rt::detail::wait_kind::join;
    task.waits_on = 7;
    rt::base::growing_writer text(1 << 16);
    rt::introspect::write_task_text(text, task, context);
    cr_assert(text.view().find("waiting join of task 7") != std::string_view::npos);
    rt::base::growing_writer out(1 << 16);
    rt::base::json_writer json(out);
    rt::introspect::write_task_json(json, task, context);
    cr_assert(out.view().find("\"joins\":\"7\"") != std::string_view::npos);
    cr_assert(out.view().find("held_by") == std::string_view::npos);
}

Test(render, a_bound_task_names_its_worker) {
    const std::vector<runtime_facts> runtimes = one_runtime();
    render_context context(runtimes, 1'000'000, 0);
    task_facts task;
    task.id = 5;
    task.worker = 3;
    task.bound_to = 3;
    rt::base::growing_writer text(1 << 16);
    rt::introspect::write_task_text(text, task, context);
    cr_assert(text.view().find("bound to worker 3") != std::string_view::npos);
    rt::base::growing_writer out(1 << 16);
    rt::base::json_writer json(out);
    rt::introspect::write_task_json(json, task, context);
    cr_assert(out.view().find("\"bound_to\":3") != std::string_view::npos);
}

Test(render, a_name_is_cut_at_64_bytes) {
    const std::string name(200, 'n');
    rt::introspect::name_cache names;
    const std::string& shown = names.find(reinterpret_cast<std::uintptr_t>(name.c_str()));
    cr_assert_eq(shown.size(), 64U);
}

Test(render, frames_are_numbered_once) {
    rt::introspect::frame_index index;
    cr_assert_eq(index.number_of({10, 1}), 1U);
    cr_assert_eq(index.number_of({20, 1}), 2U);
    cr_assert_eq(index.number_of({10, 5}), 1U); // the same site in another clone
    cr_assert_eq(index.number_of({0, 7}), 3U);
}

Test(render, unknown_ages_are_dashes_and_never_negative) {
    const std::vector<runtime_facts> runtimes = one_runtime();
    render_context context(runtimes, 1'000'000, 0);
    cr_assert_eq(context.age_of(0), 0U);
    cr_assert_eq(context.age_of(2'000'000), 0U);
    cr_assert_eq(context.age_of(400'000), 600'000U);
}

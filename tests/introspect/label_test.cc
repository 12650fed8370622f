// SPDX-License-Identifier: MIT
//
// Labels as the socket shows them: in every form that shows a name, escaped, never a reason for a
// group of its own.
//
// Method: tasks that wait for ever or spin, in a real runtime; questions by the line protocol.
#include "base/captured.h"
#include "introspect/asking.h"
#include "introspect/dump.h"
#include "introspect/observed.h"
#include "introspect/observed_core.h"
#include "introspect/snapshot.h"
#include "support/test.h"

#include <rt/detail/atomic.h>
#include <rt/runtime.h>
#include <rt/select.h>
#include <rt/spawn.h>
#include <rt/task_label.h>
#include <rt/time.h>
#include <rt/yield.h>

#include <chrono>
#include <cstdint>
#include <map>
#include <string>

namespace {

using namespace std::chrono_literals;
using rt::introspect::task_facts;
using rt::test::ask;
using rt::test::ask_until;
using rt::test::has;
using rt::test::observed_settings;
using rt::test::scratch;

rt::task<void> waits() {
    co_await rt::sleep(24h);
}

rt::task<void> serves(std::string next) {
    rt::set_task_label(next);
    co_await rt::sleep(24h);
}

rt::task<void> serves_in_a_branch(std::string next) {
    co_await rt::select(serves(std::move(next)), rt::sleep(24h));
}

rt::task<void> spins(rt::atomic<bool>* stop) {
    while (!stop->load_acquire()) {
    }
    co_return;
}

rt::task<void> spawns_peers(std::string* id_of_first) {
    for (int i = 1; i <= 3; ++i) {
        const std::string peer = "peer 10.0.0." + std::to_string(i);
        rt::join_handle<void> made = rt::spawn({.name = "connection", .label = peer}, waits);
        if (i == 1) {
            *id_of_first = std::to_string(made.id());
        }
        made.detach();
    }
    co_return;
}

} // namespace

Test(label, lists_and_single_tasks_show_it_beside_the_name) {
    const scratch at;
    rt::runtime runtime(observed_settings(at));
    std::string id;
    runtime.block_on(spawns_peers(&id));
    const std::string rows = ask_until(at.socket(), "tasks state=waiting", "10.0.0.3");
    cr_assert(has(rows, "connection [peer 10.0.0.1]"), "%s", rows.c_str());
    cr_assert(
        has(ask(at.socket(), "tasks -j"), "\"name\":\"connection\",\"label\":\"peer 10.0.0.1\"")
    );
    cr_assert(has(ask(at.socket(), "task " + id), "\"connection\" [peer 10.0.0.1]  "));
    cr_assert(has(ask(at.socket(), "task " + id + " -j"), "\"label\":\"peer 10.0.0.1\""));
    runtime.get_handle().spawn({.label = "nameless"}, waits).detach();
    cr_assert(has(ask_until(at.socket(), "tasks", "nameless"), "- [nameless]"));
    runtime.get_handle().spawn({.name = "bare"}, waits).detach();
    cr_assert_not(has(ask_until(at.socket(), "tasks name=bare", "bare"), "bare ["));
}

Test(label, tasks_are_found_by_it) {
    const scratch at;
    rt::runtime runtime(observed_settings(at));
    std::string id;
    runtime.block_on(spawns_peers(&id));
    ask_until(at.socket(), "tasks state=waiting", "10.0.0.3");
    const std::string found = ask(at.socket(), "tasks label=0.0.1 -j");
    cr_assert(has(found, "\"total\":1,"), "%s", found.c_str());
    cr_assert(has(found, "\"id\":\"" + id + "\""));
    cr_assert(has(ask(at.socket(), "tasks label=peer name=connection -j"), "\"total\":3,"));
    cr_assert(has(ask(at.socket(), "tasks label=nobody -j"), "\"total\":0,"));
}

Test(label, a_dump_shows_it_of_the_examples_and_groups_without_it) {
    const scratch at;
    rt::runtime runtime(observed_settings(at));
    std::string id;
    runtime.block_on(spawns_peers(&id));
    const std::string dump = ask_until(at.socket(), "dump", "---- 3 tasks  waiting sleep");
    cr_assert(has(dump, "e.g. " + id + " [peer 10.0.0.1], "), "%s", dump.c_str());
    const std::string json = ask(at.socket(), "dump -j");
    cr_assert(has(json, "\"count\":3,\"name\":\"connection\","), "%s", json.c_str());
    cr_assert(has(json, "\"labels\":{\"" + id + "\":\"peer 10.0.0.1\","), "%s", json.c_str());
    cr_assert_eq(rt::test::occurrences(ask(at.socket(), "dump full"), "[peer 10.0.0."), 3U);
    cr_assert_eq(
        rt::test::occurrences(ask(at.socket(), "dump full -j"), "\"label\":\"peer 10.0.0."), 3U
    );
}

Test(label, a_worker_line_shows_it_of_the_task_that_runs) {
    const scratch at;
    rt::atomic<bool> stop{false};
    rt::runtime runtime(observed_settings(at, 1));
    runtime.get_handle().spawn({.name = "loop", .label = "round 7"}, spins, &stop).detach();
    ask_until(at.socket(), "dump", "\"loop\" [round 7]\n");
    stop.store_release(true);
}

Test(label, the_last_one_set_is_shown_wherever_it_was_set) {
    const scratch at;
    rt::runtime runtime(observed_settings(at));
    const rt::handle handle = runtime.get_handle();
    handle.spawn({.label = "first"}, serves, std::string("GET /index")).detach();
    handle.spawn(serves, std::string("GET /late")).detach();
    handle.spawn(serves_in_a_branch, std::string("GET /branch")).detach();
    for (const char* const text : {"GET /index", "GET /late", "GET /branch"}) {
        ask_until(at.socket(), "tasks state=waiting", text);
    }
    cr_assert_not(has(ask(at.socket(), "tasks"), "[first]"));
}

Test(label, a_hostile_one_is_escaped) {
    const scratch at;
    rt::runtime runtime(observed_settings(at));
    runtime.get_handle().spawn({.label = "\x1b[31m\"x\"\n\xff"}, waits).detach();
    const std::string rows = ask_until(at.socket(), "tasks state=waiting", "[31m");
    cr_assert(has(rows, "[\\x1b[31m\"x\"\\n\xef\xbf\xbd]"), "%s", rows.c_str());
    for (const char* const line : {"tasks", "dump", "dump full", "tasks -j", "dump -j"}) {
        const std::string answer = ask(at.socket(), line);
        cr_assert(has(answer, "[31m"), "%s", answer.c_str());
        cr_assert_not(has(answer, "\x1b"));
        cr_assert_not(has(answer, "\xff"));
    }
    const std::string json = ask(at.socket(), "tasks -j");
    cr_assert(has(json, "\"label\":\"\\u001b[31m\\\"x\\\"\\n\\ufffd\""), "%s", json.c_str());
}

Test(label, it_hides_neither_parent_nor_place) {
    rt::introspect::observed_core core;
    std::uint64_t root = 0;
    rt::atomic<bool> is_known{false};
    core.spawn([](std::uint64_t* own, rt::atomic<bool>* known) -> rt::task<void> {
        *own = *rt::current_task_id();
        rt::spawn({.label = "child"}, waits).detach();
        rt::spawn(serves, std::string("late child")).detach();
        known->store_release(true);
        co_await rt::sleep(24h);
    }(&root, &is_known));
    std::map<std::string, task_facts> seen;
    while (seen.size() < 2 || !is_known.load_acquire()) {
        seen.clear();
        rt::introspect::walk_tasks(
            rt::introspect::observed().read(),
            UINT64_MAX,
            [&](const task_facts& task) {
                if (!task.label.empty()) {
                    seen[task.label] = task;
                }
            }
        );
    }
    for (const auto& [label, task] : seen) {
        cr_assert_eq(task.parent_id, root, "%s", label.c_str());
        cr_assert_neq(task.spawn_site, 0U);
    }
}

// SPDX-License-Identifier: MIT
//
// Routing: paths, lines, parameters and formats, without a socket and without a runtime.
//
// Each test asks as a client would, through answer_request or answer_line, and looks at status,
// content type and words. What the answers say of real runtimes is in observer_test.cc.
#include "introspect/command.h"
#include "introspect/observed_core.h"
#include "support/test.h"

#include <string>

using rt::introspect::request;
using rt::introspect::response;
using rt::introspect::service;
using rt::introspect::status;

namespace {

struct got {
    status code;
    std::string type;
    std::string body;

    [[nodiscard]] bool has(const char* part) const { return body.find(part) != std::string::npos; }
};

got ask(
    const std::string& path,
    std::vector<std::pair<std::string, std::string>> query = {},
    const std::string& accept = ""
) {
    service self;
    request from;
    from.path = path;
    from.query = std::move(query);
    from.accept = accept;
    response answer(1 << 20);
    rt::introspect::answer_request(self, from, answer);
    return {answer.code, std::string(answer.content_type), std::string(answer.body.view())};
}

got say(const std::string& line) {
    service self;
    response answer(1 << 20);
    rt::introspect::answer_line(self, line, answer);
    return {answer.code, std::string(answer.content_type), std::string(answer.body.view())};
}

} // namespace

Test(command, every_resource_answers_without_a_runtime) {
    for (const auto& one : rt::introspect::commands()) {
        const std::string path = std::string(one.path) + (one.argument == "ID" ? "/1" : "");
        const got answer = ask(path);
        cr_assert(
            answer.code == (one.argument == "ID" ? status::not_found : status::ok),
            "%s",
            path.c_str()
        );
        cr_assert(!answer.body.empty());
    }
}

Test(command, help_lists_every_command_and_its_path) {
    const got help = ask("/v1/");
    for (const auto& one : rt::introspect::commands()) {
        cr_assert(help.has(std::string(one.name).c_str()));
        cr_assert(help.has(std::string(one.path).c_str()));
    }
    cr_assert(ask("/").body == help.body);
    cr_assert(say("help").body == help.body);
    cr_assert(say("help dump").has("cost: walk and sample"));
    cr_assert(say("help nonsense").has("no such command"));
}

Test(command, the_format_follows_parameter_then_accept_then_the_resource) {
    cr_assert(ask("/v1/info").type == rt::wire::json_type);
    cr_assert(ask("/v1/info", {}, "text/plain").type == rt::wire::text_type);
    cr_assert(
        ask("/v1/info", {{"format", "text"}}, "application/json").type == rt::wire::text_type
    );
    cr_assert(ask("/v1/dump").type == rt::wire::text_type);
    cr_assert(ask("/v1/dump", {}, "application/json").type == rt::wire::json_type);
    cr_assert(ask("/v1/info", {{"format", "xml"}}).code == status::bad_request);
    cr_assert(say("info").has("process "));
    cr_assert(say("info -j").has("\"version\":"));
}

Test(command, metrics_speak_openmetrics_unless_only_the_older_text_is_accepted) {
    cr_assert(ask("/metrics").type == rt::wire::openmetrics_type);
    cr_assert(
        ask("/metrics", {}, "application/openmetrics-text;version=1.0.0,text/plain;q=0.5").type ==
        rt::wire::openmetrics_type
    );
    const got older = ask("/metrics", {}, "text/plain;version=0.0.4");
    cr_assert(older.type == rt::wire::prometheus_type);
    cr_assert(!older.has("# EOF"));
}

// Clients of 1.0 may rely on them for as long as the major version is 1.
Test(command, no_field_of_an_api_version_goes_away) {
    const rt::introspect::observed_core observed;
    const got workers = ask("/v1/workers", {{"format", "json"}});
    for (const char* const name :
         {"runtime",
          "worker",
          "state",
          "stuck",
          "tid",
          "node",
          "cpus",
          "turn",
          "queue_depth",
          "lifo_occupied",
          "bound_depth",
          "timers",
          "cpu_ns",
          "runqueue_wait_ns",
          "counters"}) {
        cr_assert(workers.has(('"' + std::string(name) + "\":").c_str()), "%s", name);
    }
    const got info = ask("/v1/info", {{"format", "json"}});
    for (const char* const name :
         {"api",
          "major",
          "minor",
          "version",
          "pid",
          "uid",
          "comm",
          "started",
          "uptime_ns",
          "workers",
          "tasks_alive",
          "compiler",
          "arch",
          "clock",
          "features",
          "socket",
          "runtimes"}) {
        cr_assert(info.has(('"' + std::string(name) + "\":").c_str()), "%s", name);
    }
    cr_assert_eq(rt::wire::api_major, 1U);
}

Test(command, unknown_things_are_refused_with_a_suggestion) {
    cr_assert(ask("/v1/taks").code == status::not_found);
    cr_assert(ask("/v1/taks").has("did you mean '/v1/tasks'?"));
    cr_assert(ask("/v1/tasks/1/2").code == status::not_found);
    cr_assert(ask("/v1/dump", {{"ful", "1"}}).has("did you mean 'full'?"));
    cr_assert(say("taks").has("did you mean 'task"));
    cr_assert(say("dump everything").has("does not take 'everything'"));
    cr_assert(say("task").has("needs ID"));
    cr_assert(say("").code == status::bad_request);
    cr_assert(say(" ; ;").code == status::bad_request);
    cr_assert(ask("/nowhere", {{"format", "json"}}).has("{\"error\":"));
}

Test(command, bad_values_are_refused_in_words) {
    cr_assert(ask("/v1/tasks", {{"state", "dead"}}).has("must be running, ready or waiting"));
    cr_assert(ask("/v1/tasks", {{"older", "10"}}).has("a time with a unit"));
    cr_assert(ask("/v1/tasks", {{"limit", "-1"}}).code == status::bad_request);
    cr_assert(ask("/v1/tasks", {{"limit", "99999999"}}).code == status::bad_request);
    cr_assert(ask("/v1/tasks/abc").code == status::bad_request);
    cr_assert(ask("/v1/tasks/0").code == status::bad_request);
    cr_assert(ask("/v1/workers/9").code == status::not_found);
}

Test(command, only_reading_is_allowed) {
    service self;
    request from;
    from.path = "/v1/info";
    from.is_get = false;
    response answer(1 << 16);
    rt::introspect::answer_request(self, from, answer);
    cr_assert(answer.code == status::method_not_allowed);
}

Test(command, several_commands_in_a_line_are_answered_in_order) {
    const got answer = say("health; nonsense ;tuning");
    cr_assert(answer.body.starts_with("ok\n"));
    cr_assert(answer.has("unknown command 'nonsense'"));
}

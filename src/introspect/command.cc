// SPDX-License-Identifier: MIT
//
// The command table, and the way from a path or a line to a row of it.
//
// A new resource is a row here and a function in resources.cc; routing, line mode, help and the
// suggestions for typing errors need nothing more. Threads: the sentinel.
#include "introspect/command.h"

#include "base/environment.h"
#include "introspect/resources.h"

#include <algorithm>
#include <array>

namespace rt::introspect {
namespace {

using namespace std::string_view_literals;

constexpr std::array format_only{"format"sv};
constexpr std::array dump_parameters{"format"sv, "full"sv};
constexpr std::array metrics_parameters{"per_worker"sv};
constexpr std::array tasks_parameters{
    "format"sv,
    "state"sv,
    "name"sv,
    "label"sv,
    "site"sv,
    "worker"sv,
    "older"sv,
    "after"sv,
    "limit"sv};

constexpr command table[] = {
    {"help",
     "[COMMAND]",
     wire::help_path,
     {},
     false,
     "cheap",
     "this list, or one command of it",
     &answer_help},
    {"info",
     "",
     wire::info_path,
     format_only,
     true,
     "cheap",
     "version, process, runtimes and their drivers",
     &answer_info},
    {"workers",
     "[N]",
     wire::workers_path,
     format_only,
     true,
     "cheap",
     "what each worker is doing, and whether it is stuck",
     &answer_workers},
    {"tasks",
     "",
     wire::tasks_path,
     tasks_parameters,
     true,
     "walk",
     "live tasks: state=waiting name=TEXT label=TEXT site=TEXT worker=N older=10s after=ID "
     "limit=200",
     &answer_tasks},
    {"task",
     "ID",
     wire::tasks_path,
     format_only,
     true,
     "walk",
     "one task and its async stack",
     &answer_task},
    {"dump",
     "",
     wire::dump_path,
     dump_parameters,
     false,
     "walk and sample",
     "all workers and tasks, equal stacks grouped; full=1: every task",
     &answer_dump},
    {"topology",
     "",
     wire::topology_path,
     format_only,
     true,
     "cheap",
     "where the workers were placed, and why",
     &answer_topology},
    {"tuning",
     "",
     wire::tuning_path,
     format_only,
     true,
     "cheap",
     "the settings that are in force",
     &answer_tuning},
    {"metrics",
     "",
     wire::metrics_path,
     metrics_parameters,
     false,
     "cheap",
     "OpenMetrics page; per_worker=1: one series per worker",
     &answer_metrics},
    {"health",
     "",
     wire::health_path,
     {},
     false,
     "sample",
     "200 if no worker is stuck, else 503 and which",
     &answer_health},
};

// The argument in `path` if it is `one`'s path and one segment more; empty otherwise.
std::string_view argument_in(std::string_view path, const command& one) noexcept {
    if (one.argument.empty() || one.path.ends_with('/') || !path.starts_with(one.path) ||
        !path.substr(one.path.size()).starts_with('/')) {
        return {};
    }
    const std::string_view rest = path.substr(one.path.size() + 1);
    return rest.find('/') == std::string_view::npos ? rest : std::string_view();
}

// The row for a path, with what follows it as the argument; null if there is none.
const command* find_path(std::string_view path, std::string& argument) {
    if (path == "/" || path == "/v1") {
        path = wire::help_path;
    }
    for (const command& one : table) {
        const bool needs_argument = !one.argument.empty() && !one.argument.starts_with('[');
        if (path == one.path && !needs_argument) {
            return &one;
        }
        if (const std::string_view found = argument_in(path, one); !found.empty()) {
            argument = found;
            return &one;
        }
    }
    return nullptr;
}

template<class Member>
std::string suggestion(std::string_view word, Member member) {
    std::vector<std::string_view> words;
    for (const command& one : table) {
        words.push_back(one.*member);
    }
    const std::string_view near = base::nearest_word(word, words);
    return near.empty() ? std::string() : " (did you mean '" + std::string(near) + "'?)";
}

std::string unknown_parameter(const command& asked, const request& from) {
    for (const auto& [key, value] : from.query) {
        const auto known = std::find(asked.parameters.begin(), asked.parameters.end(), key);
        if (known != asked.parameters.end()) {
            continue;
        }
        const std::string_view near = base::nearest_word(key, asked.parameters);
        std::string text = "unknown parameter '" + key + "'";
        if (!near.empty()) {
            text += " (did you mean '" + std::string(near) + "'?)";
        }
        text += "; '" + std::string(asked.name) + "' takes";
        const char* between = " ";
        for (const std::string_view one : asked.parameters) {
            text += between + std::string(one);
            between = ", ";
        }
        return text + (asked.parameters.empty() ? " none" : "");
    }
    return {};
}

// Programs get errors in the form that they read.
bool wants_json_error(const request& from) noexcept {
    const std::string* const format = from.find("format");
    return (format != nullptr && *format == "json") ||
        from.accept.find("application/json") != std::string::npos;
}

// JSON or text. False: the format asked for is neither.
bool choose_format(const command& asked, const request& from, bool& as_json) {
    if (const std::string* const format = from.find("format")) {
        as_json = *format == "json";
        return *format == "json" || *format == "text";
    }
    as_json = !from.is_line && asked.is_json_over_http;
    if (from.accept.find("application/json") != std::string::npos) {
        as_json = true;
    } else if (from.accept.find("text/plain") != std::string::npos) {
        as_json = false;
    }
    // These have one form only.
    as_json = as_json && !asked.parameters.empty() && asked.parameters[0] == "format";
    return true;
}

void answer_command(
    service& self, const command& asked, const request& from, std::string argument, response& answer
) {
    query question{asked, from, std::move(argument), false};
    if (const std::string why = unknown_parameter(asked, from); !why.empty()) {
        set_error(answer, status::bad_request, why, wants_json_error(from));
    } else if (!choose_format(asked, from, question.as_json)) {
        set_error(answer, status::bad_request, "format must be 'json' or 'text'", false);
    } else {
        answer.content_type = question.as_json ? wire::json_type : wire::text_type;
        asked.answer(self, question, answer);
    }
}

std::string_view next_word(std::string_view& text) noexcept {
    constexpr std::string_view blanks = " \t";
    const std::size_t first = text.find_first_not_of(blanks);
    if (first == std::string_view::npos) {
        text = {};
        return {};
    }
    const std::size_t end = std::min(text.find_first_of(blanks, first), text.size());
    const std::string_view word = text.substr(first, end - first);
    text.remove_prefix(end);
    return word;
}

// The words after a command's name. Returns what is wrong with them, or nothing.
std::string
parse_words(std::string_view words, const command& asked, request& made, std::string& argument) {
    for (std::string_view word = next_word(words); !word.empty(); word = next_word(words)) {
        const std::size_t equals = word.find('=');
        const auto known = std::find(asked.parameters.begin(), asked.parameters.end(), word);
        if (word == "-j" || word == "--json") {
            made.query.emplace_back("format", "json");
        } else if (equals != std::string_view::npos) {
            made.query.emplace_back(word.substr(0, equals), word.substr(equals + 1));
        } else if (known != asked.parameters.end()) {
            made.query.emplace_back(word, "");
        } else if (!asked.argument.empty() && argument.empty()) {
            argument = word;
        } else {
            return "'" + std::string(asked.name) + "' does not take '" + std::string(word) + "'";
        }
    }
    if (argument.empty() && !asked.argument.empty() && !asked.argument.starts_with('[')) {
        return "'" + std::string(asked.name) + "' needs " + std::string(asked.argument);
    }
    return {};
}

void answer_one(service& self, std::string_view line, response& answer) {
    std::string_view words = line;
    const std::string_view name = next_word(words);
    const auto asked = std::find_if(std::begin(table), std::end(table), [name](const command& one) {
        return one.name == name;
    });
    if (asked == std::end(table)) {
        const std::string text = "unknown command '" + std::string(name.substr(0, 64)) + "'" +
            suggestion(name.substr(0, 64), &command::name) + "; 'help' lists them";
        set_error(answer, status::bad_request, text, false);
        return;
    }
    request made;
    made.is_line = true;
    std::string argument;
    if (const std::string why = parse_words(words, *asked, made, argument); !why.empty()) {
        set_error(answer, status::bad_request, why, false);
        return;
    }
    answer_command(self, *asked, made, std::move(argument), answer);
}

} // namespace

std::span<const command> commands() noexcept {
    return table;
}

void answer_request(service& self, const request& from, response& answer) {
    std::string argument;
    const command* const asked = find_path(from.path, argument);
    if (asked == nullptr) {
        const std::string text = "no such resource '" + from.path + "'" +
            suggestion(from.path, &command::path) + "; /v1/ lists them";
        set_error(answer, status::not_found, text, wants_json_error(from));
    } else if (!from.is_get) {
        set_error(
            answer,
            status::method_not_allowed,
            "only GET and HEAD are allowed here",
            wants_json_error(from)
        );
    } else {
        answer_command(self, *asked, from, std::move(argument), answer);
    }
}

void answer_line(service& self, std::string_view line, response& answer) {
    base::growing_writer all(answer.limit / 2);
    std::size_t count = 0;
    while (!line.empty()) {
        const std::size_t end = std::min(line.find(';'), line.size());
        std::string_view part = line.substr(0, end);
        line.remove_prefix(std::min(end + 1, line.size()));
        if (part.find_first_not_of(" \t") == std::string_view::npos) {
            continue;
        }
        all.text(count++ > 0 ? "\n" : "");
        answer.body.clear();
        answer_one(self, part, answer);
        all.text(answer.body.view());
    }
    answer.body.clear();
    if (count == 0) {
        set_error(answer, status::bad_request, "an empty line; 'help' lists the commands", false);
    } else {
        answer.body.text(all.view());
    }
}

void write_help(base::text_writer& out) {
    out.text("One command per line, several with ';', '-j' for JSON; or GET over HTTP.\n\n");
    for (const command& one : table) {
        out.begin_column().text(one.name).text(one.argument.empty() ? "" : " ").text(one.argument);
        out.pad_to(16).text("GET ").text(one.path);
        if (!one.argument.empty() && !one.path.ends_with('/')) {
            out.text(one.argument.starts_with('[') ? "[/N]" : "/ID");
        }
        out.pad_to(40).text(" ").text(one.help).character('\n');
    }
}

void write_help_of(base::text_writer& out, const command& one) {
    out.text(one.name).text(one.argument.empty() ? "" : " ").text(one.argument);
    for (const std::string_view parameter : one.parameters) {
        out.text(" [").text(parameter).text("=...]");
    }
    out.text("\n    ").text(one.help).text("\n    GET ").text(one.path).text("\n    cost: ");
    out.text(one.cost).character('\n');
}

} // namespace rt::introspect

// SPDX-License-Identifier: MIT
//
// rtctl(1): ask a librt process what it is doing.
//
// It speaks the protocol of <rt/introspect.h> and nothing else: most commands are one GET whose
// answer the process has already made readable. Exit codes are in client.h and in the manual; every
// error says what happened, why, and what to try next.
#include "base/environment.h"
#include "base/text_writer.h"
#include "tools/client.h"
#include "tools/json_fields.h"
#include "tools/target.h"

#include <rt/introspect.h>
#include <rt/version.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include <pwd.h>

namespace rt::tools {
namespace {

constexpr std::uint64_t timeout_ns_default = 5'000'000'000;

struct options {
    std::string target;
    std::uint64_t timeout_ns = timeout_ns_default;
    bool as_json = false;
    std::string command;
    std::vector<std::string> arguments;
};

struct tool_command {
    std::string_view name;
    std::string_view path;     // empty: rtctl does it itself
    std::string_view argument; // "ID", "[N]" or ""
    bool has_format;           // whether JSON can be asked for
    std::string_view help;
};

constexpr std::array commands{
    tool_command{"ps", "", "", true, "list the librt processes that can be asked"},
    tool_command{"info", wire::info_path, "", true, "version, runtimes, drivers"},
    tool_command{"workers", wire::workers_path, "[N]", true, "what each worker is doing"},
    tool_command{
        "tasks",
        wire::tasks_path,
        "",
        true,
        "live tasks: state=waiting name=TEXT label=TEXT site=TEXT worker=N older=10s after=ID "
        "limit=200"},
    tool_command{"task", wire::tasks_path, "ID", true, "one task and its async stack"},
    tool_command{
        "dump", wire::dump_path, "", true, "everything, equal stacks grouped; full: each task"},
    tool_command{"topology", wire::topology_path, "", true, "where workers were placed, and why"},
    tool_command{"tuning", wire::tuning_path, "", true, "the settings in force"},
    tool_command{
        "metrics", wire::metrics_path, "", false, "OpenMetrics page; per_worker: each worker"},
    tool_command{"health", wire::health_path, "", false, "whether a worker is stuck (exit code 1)"},
    tool_command{"help", "", "", false, "this text"},
    tool_command{"version", "", "", false, "rtctl's own version"},
};

int complain(exit_code code, std::string_view text) {
    std::fprintf(stderr, "rtctl: %.*s\n", static_cast<int>(text.size()), text.data());
    return static_cast<int>(code);
}

int print_help(std::FILE* to) {
    std::fputs(
        "usage: rtctl [-t TARGET] [-j] [--timeout TIME] COMMAND [ARGUMENT...] [TARGET]\n\n", to
    );
    for (const tool_command& one : commands) {
        const std::string left =
            std::string(one.name) + (one.argument.empty() ? "" : " ") + std::string(one.argument);
        const int length = static_cast<int>(one.help.size());
        std::fprintf(to, "  %-12s %.*s\n", left.c_str(), length, one.help.data());
    }
    std::fputs(
        "\n  -t, --target TARGET   a pid, a process name or a socket's path; not needed while "
        "there\n"
        "                        is only one process\n"
        "  -j, --json            JSON instead of text\n"
        "      --timeout TIME    give up after TIME, such as 500ms or 10s (default 5s)\n\n"
        "exit codes: 0 done, 1 failed, 2 usage, 3 no such process, 4 not allowed, "
        "5 no answer in time\n",
        to
    );
    return 0;
}

std::string user_name(std::uint32_t uid) {
    const passwd* const entry = ::getpwuid(uid);
    return entry != nullptr ? std::string(entry->pw_name) : std::to_string(uid);
}

void print_row(const found_socket& socket, const reply& answer) {
    base::text_buffer<1024> row;
    const auto number = [&](std::string_view field, std::size_t width) {
        const auto value = number_field(answer.body, field);
        row.begin_column();
        if (value && field == wire::field_uptime_ns) {
            row.duration(*value);
        } else if (value) {
            row.decimal(*value);
        } else {
            row.character('-');
        }
        row.pad_to(width);
    };
    row.begin_column().decimal(socket.pid).pad_to(9);
    row.begin_column().escaped(socket.comm).pad_to(17);
    row.begin_column().escaped(user_name(socket.uid)).pad_to(10);
    number(wire::field_uptime_ns, 13);
    number(wire::field_workers, 9);
    number(wire::field_tasks_alive, 9);
    const std::string version = text_field(answer.body, wire::field_version).value_or("-");
    row.begin_column().escaped(version).pad_to(9);
    row.escaped(socket.path);
    if (answer.outcome == exit_code::denied) {
        row.text("  (not allowed; try sudo)");
    } else if (answer.outcome == exit_code::timed_out) {
        row.text("  (no answer)");
    } else if (answer.outcome != exit_code::success) {
        row.text("  (").escaped(answer.problem).text(")");
    }
    std::printf("%.*s\n", static_cast<int>(row.size()), row.view().data());
}

int list_processes(const options& wanted) {
    std::string rows;
    bool is_any = false;
    for (const found_socket& socket : find_sockets()) {
        const reply answer =
            ask(socket.path, std::string(wire::info_path) + "?format=json", wanted.timeout_ns);
        if (answer.is_stale) {
            remove_stale(socket);
            continue;
        }
        if (wanted.as_json) {
            if (answer.outcome == exit_code::success) {
                rows += (rows.empty() ? "" : ",") + answer.body;
            }
        } else {
            if (!is_any) {
                std::puts("PID      COMM             USER      UPTIME       WORKERS  TASKS    "
                          "VERSION  SOCKET");
            }
            print_row(socket, answer);
        }
        is_any = true;
    }
    if (wanted.as_json) {
        std::printf("[%s]\n", rows.c_str());
    }
    if (!is_any) {
        std::string text = "no librt process; looked in";
        for (const std::string& directory : socket_directories()) {
            text += " " + directory;
        }
        return complain(exit_code::no_process, text);
    }
    return 0;
}

// The resource for a command and its arguments. False, with what is wrong in `text`.
bool make_target(const options& wanted, const tool_command& asked, std::string& text) {
    std::string target(asked.path);
    std::string query = asked.has_format ? (wanted.as_json ? "format=json" : "format=text") : "";
    bool has_argument = false;
    for (const std::string& one : wanted.arguments) {
        const std::size_t equals = one.find('=');
        if (!asked.argument.empty() && equals == std::string::npos && !has_argument) {
            target += "/" + encode(one);
            has_argument = true;
            continue;
        }
        query += query.empty() ? "" : "&";
        query += encode(one.substr(0, equals)) + "=";
        query += equals == std::string::npos ? "1" : encode(one.substr(equals + 1));
    }
    if (asked.argument == "ID" && !has_argument) {
        text = "'" + std::string(asked.name) + "' needs the id of a task; rtctl tasks lists them";
        return false;
    }
    text = target + (query.empty() ? "" : "?" + query);
    return true;
}

// "rtctl dump 4242" is what people type: a pid or a path where a command takes neither is the
// target.
void take_target(options& wanted, const tool_command& asked) {
    std::vector<std::string>& words = wanted.arguments;
    const std::size_t own = asked.argument.empty() ? 0 : 1;
    if (!wanted.target.empty() || words.size() <= own) {
        return;
    }
    const std::string& last = words.back();
    const bool is_path = last.starts_with('/') || last.starts_with("./");
    if (is_path || base::parse_uint(last)) {
        wanted.target = last;
        words.pop_back();
    }
}

int run_command(const options& wanted, const tool_command& asked) {
    std::string text;
    if (!make_target(wanted, asked, text)) {
        return complain(exit_code::usage, text);
    }
    if (wanted.as_json && !asked.has_format) {
        return complain(
            exit_code::usage, "'" + wanted.command + "' has no JSON form; leave -j out"
        );
    }
    const chosen_target chosen = choose_target(wanted.target, wanted.timeout_ns);
    if (chosen.outcome != exit_code::success) {
        return complain(chosen.outcome, chosen.problem);
    }
    const reply answer = ask(chosen.path, text, wanted.timeout_ns);
    if (answer.outcome != exit_code::success) {
        return complain(answer.outcome, answer.problem);
    }
    if (std::fwrite(answer.body.data(), 1, answer.body.size(), stdout) != answer.body.size() ||
        std::fflush(stdout) != 0) {
        return complain(exit_code::failed, "cannot write to standard output");
    }
    return 0;
}

// Takes one option at arguments[at], moving `at` to the last word it uses. Returns what is wrong.
std::string take_option(const std::vector<std::string>& words, std::size_t& at, options& wanted) {
    const std::string& word = words[at];
    const std::size_t equals = word.find('=');
    const bool is_long = word.starts_with("--");
    const std::string name = is_long ? word.substr(0, equals) : word.substr(0, 2);
    const auto value = [&]() -> std::string {
        if (is_long && equals != std::string::npos) {
            return word.substr(equals + 1);
        }
        if (!is_long && word.size() > 2) {
            return word.substr(2);
        }
        return at + 1 < words.size() ? words[++at] : std::string();
    };
    if (name == "-j" || name == "--json") {
        wanted.as_json = true;
    } else if (name == "-t" || name == "--target") {
        wanted.target = value();
        return wanted.target.empty() ? name + " needs a pid, a name or a path" : std::string();
    } else if (name == "--timeout") {
        const auto time = base::parse_duration_ns(value());
        if (!time || *time == 0) {
            return "--timeout needs a time with a unit, such as 500ms or 10s";
        }
        wanted.timeout_ns = *time;
    } else if (name == "-h" || name == "--help") {
        wanted.command = "help";
    } else if (name == "-V" || name == "--version") {
        wanted.command = "version";
    } else {
        return "unknown option '" + word + "'; rtctl help lists them";
    }
    return {};
}

int run(const std::vector<std::string>& words) {
    options wanted;
    for (std::size_t at = 0; at < words.size(); ++at) {
        if (words[at].starts_with('-') && words[at].size() > 1) {
            if (const std::string why = take_option(words, at, wanted); !why.empty()) {
                return complain(exit_code::usage, why);
            }
        } else if (wanted.command.empty()) {
            wanted.command = words[at];
        } else {
            wanted.arguments.push_back(words[at]);
        }
    }
    if (wanted.command.empty()) {
        print_help(stderr);
        return static_cast<int>(exit_code::usage);
    }
    if (wanted.command == "help") {
        return print_help(stdout);
    }
    if (wanted.command == "version") {
        std::printf("rtctl " RT_VERSION " (api %u.%u)\n", wire::api_major, wire::api_minor);
        return 0;
    }
    if (wanted.command == "ps") {
        return list_processes(wanted);
    }
    std::vector<std::string_view> names;
    for (const tool_command& one : commands) {
        if (one.name == wanted.command) {
            take_target(wanted, one);
            return run_command(wanted, one);
        }
        names.push_back(one.name);
    }
    const std::string_view near = base::nearest_word(wanted.command, names);
    return complain(
        exit_code::usage,
        "unknown command '" + wanted.command + "'" +
            (near.empty() ? "" : " (did you mean '" + std::string(near) + "'?)") +
            "; rtctl help lists them"
    );
}

} // namespace
} // namespace rt::tools

int main(int count, char** arguments) {
    return rt::tools::run({arguments + 1, arguments + std::max(count, 1)});
}

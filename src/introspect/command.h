// SPDX-License-Identifier: MIT
//
// What can be asked: one table from which routing, line commands, help and suggestions come.
//
// A row is a line command and an HTTP resource at once. The table is in command.cc, the functions
// that answer are in resources.cc.
// Threads: the sentinel.
#pragma once

#include "introspect/openmetrics.h"
#include "introspect/progress.h"
#include "introspect/request.h"

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace rt::introspect {

// What answers may use beside the question.
struct service {
    progress_log progress;
    request_counts counts;
    std::string socket_path;
};

struct command;

// A question that has found its command.
struct query {
    const command& asked;
    const request& from;
    std::string argument; // what follows the path or the command's name
    bool as_json = false;
};

using answer_function = void (*)(service& self, const query& question, response& answer);

struct command {
    std::string_view name;     // of the line command
    std::string_view argument; // "", "ID" or "[N]"
    std::string_view path;     // of the resource; an argument follows after a '/'
    std::span<const std::string_view> parameters;
    bool is_json_over_http; // what HTTP gets that has not said what it wants
    std::string_view cost;  // cheap; walk: looks at every task; sample: waits for threads
    std::string_view help;
    answer_function answer;
};

[[nodiscard]] std::span<const command> commands() noexcept;

// Routes a request. Never fails: what cannot be answered is answered with an error.
void answer_request(service& self, const request& from, response& answer);

// Answers a line, "tasks state=waiting; workers -j", one command after the other.
void answer_line(service& self, std::string_view line, response& answer);

// One line per command, or what is known of one.
void write_help(base::text_writer& out);
void write_help_of(base::text_writer& out, const command& one);

} // namespace rt::introspect

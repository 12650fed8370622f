// SPDX-License-Identifier: MIT
//
// "--name value" and "--name=value", nothing else, by a table of rules. Called once, by main,
// before there is any other thread. Not getopt_long: it keeps its state in globals, permutes argv
// and prints its own messages, one fault at a time.

#include "options.h"

#include <array>
#include <charconv>
#include <cmath>
#include <limits>

namespace httpd {

namespace {

constexpr double seconds_max = 86'400;      // a day, for every duration
constexpr std::uint32_t workers_max = 1024; // as rt::config
// A head must fit the connection's buffer; 1 MiB of it is plenty.
constexpr std::uint64_t header_bytes_min = 128;
constexpr std::uint64_t header_bytes_max = 1024 * 1024;

template<typename Number>
bool parse_number(std::string_view text, Number least, Number most, Number& value) {
    Number parsed{};
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), parsed);
    if (error != std::errc() || end != text.data() + text.size() || !(parsed >= least) ||
        !(parsed <= most)) {
        return false;
    }
    value = parsed;
    return true;
}

bool parse_seconds(std::string_view text, std::chrono::milliseconds& value) {
    double seconds = 0;
    if (!parse_number(text, 0.001, seconds_max, seconds)) {
        return false;
    }
    value = std::chrono::milliseconds(std::llround(seconds * 1000));
    return true;
}

bool set_text(std::string_view text, std::string& value) {
    value = text;
    return !text.empty();
}

bool set_port(std::string_view text, options& out) {
    return parse_number<std::uint16_t>(text, 0, 65535, out.port);
}

bool set_workers(std::string_view text, options& out) {
    return parse_number<std::uint32_t>(text, 0, workers_max, out.workers);
}

bool set_max_header(std::string_view text, options& out) {
    std::uint64_t bytes = 0;
    if (!parse_number(text, header_bytes_min, header_bytes_max, bytes)) {
        return false;
    }
    out.limits.header_bytes_max = bytes;
    out.limits.target_bytes_max = bytes / 2;
    return true;
}

bool set_max_body(std::string_view text, options& out) {
    constexpr auto most = std::numeric_limits<std::int64_t>::max();
    return parse_number<std::uint64_t>(text, 0, most, out.limits.body_bytes_max);
}

struct rule {
    std::string_view name;
    bool (*set)(std::string_view, options&);
    std::string_view expected;
};

constexpr std::array<rule, 9> rules{{
    {"host",
     [](std::string_view text, options& out) { return set_text(text, out.host); },
     "an IP address"},
    {"port", set_port, "0 to 65535"},
    {"workers", set_workers, "0 to 1024"},
    {"cpus",
     [](std::string_view text, options& out) { return set_text(text, out.cpus); },
     "a list like 0-3,8"},
    {"root",
     [](std::string_view text, options& out) { return set_text(text, out.root); },
     "a directory"},
    {"idle-timeout",
     [](std::string_view text, options& out) { return parse_seconds(text, out.idle_timeout); },
     "seconds, 0.001 to 86400"},
    {"drain-timeout",
     [](std::string_view text, options& out) { return parse_seconds(text, out.drain_timeout); },
     "seconds, 0.001 to 86400"},
    {"max-header", set_max_header, "bytes, 128 to 1048576"},
    {"max-body", set_max_body, "bytes"},
}};

const rule* find_rule(std::string_view name) {
    for (const rule& known : rules) {
        if (known.name == name) {
            return &known;
        }
    }
    return nullptr;
}

} // namespace

std::string options::address() const {
    bool is_bare_v6 = host.find(':') != std::string::npos && host.front() != '[';
    return (is_bare_v6 ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

std::expected<options, std::string> parse_options(int argc, const char* const* argv) {
    options parsed;
    std::string faults;
    auto report = [&faults](std::string_view what, std::string_view why) {
        faults.append("httpd: ").append(what).append(": ").append(why).append("\n");
    };
    for (int i = 1; i < argc; ++i) {
        std::string_view argument = argv[i];
        if (argument == "--help" || argument == "-h") {
            parsed.wants_help = true;
            continue;
        }
        std::string_view name = argument.substr(0, argument.find('='));
        const rule* known = name.starts_with("--") ? find_rule(name.substr(2)) : nullptr;
        if (known == nullptr) {
            report(argument, "unknown option (--help lists them)");
            continue;
        }
        std::string_view value;
        if (name.size() != argument.size()) {
            value = argument.substr(name.size() + 1);
        } else if (i + 1 < argc) {
            value = argv[++i];
        } else {
            report(name, "needs a value");
            continue;
        }
        if (!known->set(value, parsed)) {
            report(
                std::string(name) + " " + std::string(value),
                "must be " + std::string(known->expected)
            );
        }
    }
    if (!faults.empty()) {
        return std::unexpected(faults);
    }
    return parsed;
}

std::string_view usage() {
    return "usage: httpd [options]\n"
           "  --host ADDRESS        address to listen on (127.0.0.1)\n"
           "  --port PORT           port to listen on; 0: any free one (8080)\n"
           "  --workers N           worker threads; 0: one per core (0)\n"
           "  --cpus LIST           CPUs to run on, like 0-3,8 (all)\n"
           "  --root DIRECTORY      static files (.)\n"
           "  --idle-timeout S      seconds a client may be silent (30)\n"
           "  --drain-timeout S     seconds to finish requests after SIGTERM (10)\n"
           "  --max-header BYTES    largest request head (8192)\n"
           "  --max-body BYTES      largest request body (1048576)\n"
           "LIBRT_* environment variables configure the runtime.\n";
}

} // namespace httpd

// SPDX-License-Identifier: MIT
//
// The command line of examples/httpd: both spellings of every option, values at and beyond their
// ranges, and that all faults are reported together. Nothing is started; the parser is a function
// of its arguments.

#include "httpd/options.h"
#include "support/test.h"

#include <string>
#include <string_view>
#include <vector>

using namespace std::chrono_literals;
using httpd::options;

namespace {

std::expected<options, std::string> parse(std::vector<const char*> arguments) {
    arguments.insert(arguments.begin(), "httpd");
    return httpd::parse_options(static_cast<int>(arguments.size()), arguments.data());
}

} // namespace

Test(options, defaults_listen_on_loopback) {
    auto parsed = parse({});
    cr_assert(parsed.has_value());
    cr_assert(parsed->address() == "127.0.0.1:8080");
    cr_assert(parsed->idle_timeout == 30s && !parsed->wants_help);
}

Test(options, every_option_is_taken_in_both_spellings) {
    auto parsed = parse(
        {"--host",
         "::1",
         "--port=0",
         "--workers",
         "2",
         "--cpus=0-1",
         "--root",
         "/srv",
         "--idle-timeout=0.25",
         "--drain-timeout",
         "3",
         "--max-header=4096",
         "--max-body",
         "0"}
    );
    cr_assert(parsed.has_value(), "%s", parsed ? "" : parsed.error().c_str());
    cr_assert(parsed->address() == "[::1]:0");
    cr_assert(parsed->workers == 2 && parsed->cpus == "0-1" && parsed->root == "/srv");
    cr_assert(parsed->idle_timeout == 250ms && parsed->drain_timeout == 3s);
    cr_assert(parsed->limits.header_bytes_max == 4096 && parsed->limits.body_bytes_max == 0);
    cr_assert(parsed->limits.target_bytes_max < parsed->limits.header_bytes_max);
}

Test(options, bracketed_addresses_stay_as_they_are) {
    cr_assert(parse({"--host=[::]"})->address() == "[::]:8080");
    cr_assert(parse({"--host=10.0.0.1", "--port=1"})->address() == "10.0.0.1:1");
}

Test(options, every_fault_is_reported_at_once) {
    auto parsed = parse({"--port", "65536", "--nonsense", "--workers=x", "stray", "--root="});
    cr_assert(!parsed.has_value());
    for (std::string_view part : {"--port 65536", "--nonsense", "--workers x", "stray", "--root"}) {
        cr_assert(parsed.error().find(part) != std::string::npos, "%s", parsed.error().c_str());
    }
}

Test(options, values_out_of_range_are_refused) {
    for (const char* argument :
         {"--port=-1",
          "--port=",
          "--port=1x",
          "--port= 1",
          "--workers=1025",
          "--idle-timeout=0",
          "--idle-timeout=nan",
          "--idle-timeout=inf",
          "--idle-timeout=1e9",
          "--max-header=1",
          "--max-header=99999999",
          "--max-body=-1",
          "--max-body=99999999999999999999",
          "--host="}) {
        cr_assert(!parse({argument}).has_value(), "%s", argument);
    }
    cr_assert(!parse({"--port"}).has_value(), "a value is missing");
}

Test(options, help_is_asked_for_and_names_every_option) {
    cr_assert(parse({"--help"})->wants_help && parse({"-h"})->wants_help);
    for (std::string_view name :
         {"--host",
          "--port",
          "--workers",
          "--cpus",
          "--root",
          "--idle-timeout",
          "--drain-timeout",
          "--max-header",
          "--max-body"}) {
        cr_assert(httpd::usage().find(name) != std::string_view::npos);
    }
}

// SPDX-License-Identifier: MIT
//
// Reads "--name value" pairs into variables, for the small examples:
//
//     read_flags(argc, argv, {{"port", &port}, {"workers", &config.workers}});
//
// A number is decimal; whether it makes sense is for its user to say. At the first fault it prints
// what is wrong and which options there are, and ends the program with status 2. For main(), before
// the runtime is made.
#pragma once

#include <charconv>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <initializer_list>
#include <string>
#include <string_view>
#include <variant>

struct program_flag {
    std::string_view name;
    std::variant<std::string*, std::uint32_t*> value;
};

// Whether `text` is a value for the flag.
inline bool set_flag(const program_flag& flag, std::string_view text) {
    if (auto* const word = std::get_if<std::string*>(&flag.value)) {
        **word = text;
        return true;
    }
    const char* const end = text.data() + text.size();
    const auto parsed = std::from_chars(text.data(), end, *std::get<std::uint32_t*>(flag.value));
    return parsed.ec == std::errc() && parsed.ptr == end;
}

inline void read_flags(int argc, char** argv, std::initializer_list<program_flag> flags) {
    for (int i = 1; i < argc; i += 2) {
        const char* fault = "no such option";
        for (const program_flag& each : flags) {
            if (argv[i] == "--" + std::string(each.name)) {
                fault = i + 1 == argc ? "needs a value" : "must be a number";
                if (i + 1 < argc && set_flag(each, argv[i + 1])) {
                    fault = nullptr;
                }
            }
        }
        if (fault == nullptr) {
            continue;
        }
        std::string usage;
        for (const program_flag& each : flags) {
            usage.append(" [--").append(each.name).append(" VALUE]");
        }
        std::fprintf(stderr, "%s: %s\nusage: %s%s\n", argv[i], fault, argv[0], usage.c_str());
        std::exit(2);
    }
}

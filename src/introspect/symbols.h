// SPDX-License-Identifier: MIT
//
// From code addresses to names: "compress(span)+0x1a2", or "libz.so.1+0x5c31" without symbols.
//
// Reads /proc/self/maps and the modules' own symbol tables. dladdr was rejected: it knows only
// exported names, and it takes the dynamic loader's lock, which a stuck worker may hold. Files are
// mapped only while they are searched, and a search stops at a deadline, so that a program with a
// million symbols delays nobody.
//
// Threads: the sentinel. Lives for one request.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

namespace rt::introspect {

class symbol_table {
public:
    // After `deadline_ns` (monotonic) addresses are given as module and offset.
    explicit symbol_table(std::uint64_t deadline_ns);

    // "function+0x12"; `function_only` leaves the offset out. Coroutine parts are given the name of
    // their coroutine. Never empty.
    [[nodiscard]] const std::string& describe(std::uintptr_t address, bool function_only = false);

private:
    struct module_part {
        std::uintptr_t begin = 0;
        std::uintptr_t end = 0;
        std::uint64_t offset = 0; // in the file
        std::string path;
    };

    [[nodiscard]] const module_part* find_part(std::uintptr_t address) const noexcept;
    [[nodiscard]] std::string resolve(std::uintptr_t address, bool function_only) const;

    const std::uint64_t deadline_ns_;
    std::vector<module_part> parts_; // executable mappings, by address
    std::unordered_map<std::uintptr_t, std::string> known_[2];
};

} // namespace rt::introspect

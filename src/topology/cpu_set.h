// SPDX-License-Identifier: MIT
//
// cpu_set: a set of CPUs by the kernel's numbers, and the list syntax "0-3,8,10-11" that it is
// written in.
//
// A plain value without a fixed size, since machines with more than the 1024 CPUs of glibc's
// cpu_set_t exist. Used at start-up and in reports; it allocates. Not shared between threads
// without the owner's protection.
//
// Rejected: hwloc's bitmaps as the currency of the library, which would let hwloc's types into
// every layer above this one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace rt::topology {

/// The kernel's own limit for CONFIG_NR_CPUS on the largest configurations.
inline constexpr std::uint32_t cpu_count_max = 8192;

/// Where a list stops making sense: the byte, counted from 0, and what should have been there.
struct cpu_list_error {
    std::size_t position;
    const char* expected;

    /// `expected a CPU number at position 4 of "0-3,x"`.
    [[nodiscard]] std::string message(std::string_view list) const;
};

class cpu_set {
public:
    cpu_set() = default;

    /// "0-3,8,10-11"; blanks around numbers are allowed, a range runs upwards, repeats are
    /// harmless. The empty list is an error: an empty set of CPUs is never meant.
    [[nodiscard]] static std::expected<cpu_set, cpu_list_error> parse(std::string_view list);

    [[nodiscard]] static cpu_set of(std::uint32_t cpu);

    /// REQUIRES: cpu < cpu_count_max.
    void add(std::uint32_t cpu);
    void remove(std::uint32_t cpu) noexcept;
    [[nodiscard]] bool contains(std::uint32_t cpu) const noexcept;

    [[nodiscard]] bool is_empty() const noexcept { return words_.empty(); }
    [[nodiscard]] std::uint32_t count() const noexcept;
    [[nodiscard]] std::optional<std::uint32_t> first() const noexcept { return at_or_after(0); }
    /// The lowest member that is not below `cpu`: how the set is walked.
    [[nodiscard]] std::optional<std::uint32_t> at_or_after(std::uint32_t cpu) const noexcept;
    [[nodiscard]] std::vector<std::uint32_t> members() const;

    [[nodiscard]] bool is_subset_of(const cpu_set& other) const noexcept;
    [[nodiscard]] bool intersects(const cpu_set& other) const noexcept;

    [[nodiscard]] cpu_set united(const cpu_set& other) const;
    [[nodiscard]] cpu_set intersected(const cpu_set& other) const;
    [[nodiscard]] cpu_set without(const cpu_set& other) const;

    /// "0-3,8,10-11", or "none".
    [[nodiscard]] std::string print() const;

    /// The words, lowest CPU first, as sched_setaffinity(2) wants them; the last is not 0.
    [[nodiscard]] const std::vector<std::uint64_t>& words() const noexcept { return words_; }

    bool operator==(const cpu_set& other) const = default;

private:
    static constexpr std::uint32_t word_bits = 64;

    void trim() noexcept;

    std::vector<std::uint64_t> words_; // invariant: empty, or its last word is not 0
};

} // namespace rt::topology

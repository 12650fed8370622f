// SPDX-License-Identifier: MIT
//
// Typed reading of the LIBRT_* environment variables.
//
// The caller makes one reader, asks for each variable it knows with its type and range, and then
// looks at faults(): every bad value and every unknown LIBRT_ name, all at once, each as a sentence
// that names the variable, shows its value and says what was expected. A bad value reads as "not
// set", so that the caller can go on and collect the rest.
//
// A set-user-ID or otherwise privileged program (AT_SECURE) must not be steered by its caller's
// environment: from_process() then gives a reader that sees nothing.
//
// Used at start-up, on the thread that builds the runtime; getenv's usual rule holds (nobody may
// call setenv meanwhile). It allocates, for the sentences.
//
// Rejected: parsing where the value is used, which reports one fault per start and forgets the
// unknown names.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace rt::base {

struct uint_range {
    std::uint64_t min = 0;
    std::uint64_t max = ~std::uint64_t{0};
};

class environment {
public:
    /// `block` is like environ: "NAME=value" strings up to a null pointer, borrowed, or nullptr for
    /// none. `known` lists every name the caller will ask for, with its prefix.
    environment(const char* const* block, std::span<const std::string_view> known);

    [[nodiscard]] static environment from_process(std::span<const std::string_view> known);

    /// The text as it stands; absent when not set. An empty value counts as not set.
    [[nodiscard]] std::optional<std::string_view> text(std::string_view name) const noexcept;

    /// "8": decimal, or 0x and hexadecimal.
    [[nodiscard]] std::optional<std::uint64_t> uint(std::string_view name, uint_range range = {});

    /// Bytes: "4096", "64K", "16M", "1G", and the same with B or iB behind. Powers of 1024.
    [[nodiscard]] std::optional<std::uint64_t> size(std::string_view name, uint_range range = {});

    /// Nanoseconds, from "100ns", "50us", "1.5ms", "2s", "5m", "1h". A unit is required, except for
    /// 0.
    [[nodiscard]] std::optional<std::uint64_t>
    duration(std::string_view name, uint_range range = {});

    /// on, off, yes, no, true, false, 1, 0.
    [[nodiscard]] std::optional<bool> boolean(std::string_view name);

    /// The index of the word among `words`.
    [[nodiscard]] std::optional<std::size_t>
    one_of(std::string_view name, std::span<const std::string_view> words);

    /// Records that a value which only the caller can check (a CPU list) is wrong.
    void reject(std::string_view name, std::string_view expected);

    /// `LIBRT_WORKERS="x": expected a number, range 1 to 4096`, in the order they were found;
    /// unknown names come first.
    [[nodiscard]] const std::vector<std::string>& faults() const noexcept { return faults_; }

private:
    void find_unknown(std::span<const std::string_view> known);

    const char* const* block_;
    std::vector<std::string> faults_;
};

/// The texts' own grammar, for values that come from elsewhere (the socket's `set`). Absent when
/// `text` is not one, or overflows.
[[nodiscard]] std::optional<std::uint64_t> parse_uint(std::string_view text) noexcept;
[[nodiscard]] std::optional<std::uint64_t> parse_size(std::string_view text) noexcept;
[[nodiscard]] std::optional<std::uint64_t> parse_duration_ns(std::string_view text) noexcept;
[[nodiscard]] std::optional<bool> parse_boolean(std::string_view text) noexcept;

/// The candidate most like `word`, or an empty view when none is near enough to be meant.
[[nodiscard]] std::string_view
nearest_word(std::string_view word, std::span<const std::string_view> candidates);

} // namespace rt::base

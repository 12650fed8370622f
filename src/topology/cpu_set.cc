// SPDX-License-Identifier: MIT
//
// The list syntax and the set algebra. The invariant that the last word is not zero makes equality,
// emptiness and printing independent of how a set came about; every function that can clear a bit
// ends in trim().
#include "topology/cpu_set.h"

#include "base/assert.h"

#include <algorithm>
#include <bit>
#include <charconv>

namespace rt::topology {

namespace {

/// Walks a list from left to right and remembers where it is, for the error.
class list_reader {
public:
    explicit list_reader(std::string_view list) noexcept
        : list_(list) {}

    void skip_blanks() noexcept {
        while (at_ < list_.size() && (list_[at_] == ' ' || list_[at_] == '\t')) {
            ++at_;
        }
    }

    [[nodiscard]] bool is_at_end() const noexcept { return at_ == list_.size(); }

    bool take(char wanted) noexcept {
        skip_blanks();
        if (is_at_end() || list_[at_] != wanted) {
            return false;
        }
        ++at_;
        return true;
    }

    [[nodiscard]] std::expected<std::uint32_t, cpu_list_error> number() noexcept {
        skip_blanks();
        std::uint32_t value = 0;
        const char* begin = list_.data() + at_;
        const auto parsed = std::from_chars(begin, list_.data() + list_.size(), value);
        if (parsed.ec == std::errc::invalid_argument) {
            return std::unexpected(error("a CPU number"));
        }
        if (parsed.ec != std::errc{} || value >= cpu_count_max) {
            return std::unexpected(error("a CPU number below 8192"));
        }
        at_ += static_cast<std::size_t>(parsed.ptr - begin);
        return value;
    }

    [[nodiscard]] cpu_list_error error(const char* expected) const noexcept {
        return cpu_list_error{at_, expected};
    }

private:
    std::string_view list_;
    std::size_t at_ = 0;
};

static_assert(cpu_count_max == 8192, "the error text above names it");

} // namespace

std::string cpu_list_error::message(std::string_view list) const {
    std::string text = "expected ";
    text += expected;
    text += " at position ";
    text += std::to_string(position);
    text += " of \"";
    text += list;
    text += '"';
    return text;
}

std::expected<cpu_set, cpu_list_error> cpu_set::parse(std::string_view list) {
    cpu_set parsed;
    list_reader reader(list);
    for (;;) {
        const auto low = reader.number();
        if (!low) {
            return std::unexpected(low.error());
        }
        std::uint32_t high = *low;
        if (reader.take('-')) {
            reader.skip_blanks();
            const cpu_list_error backwards = reader.error("a number not below the range's first");
            const auto end = reader.number();
            if (!end) {
                return std::unexpected(end.error());
            }
            if (*end < *low) {
                return std::unexpected(backwards);
            }
            high = *end;
        }
        for (std::uint32_t cpu = *low; cpu <= high; ++cpu) {
            parsed.add(cpu);
        }
        reader.skip_blanks();
        if (reader.is_at_end()) {
            return parsed;
        }
        if (!reader.take(',')) {
            return std::unexpected(reader.error("a comma or the end"));
        }
    }
}

cpu_set cpu_set::of(std::uint32_t cpu) {
    cpu_set one;
    one.add(cpu);
    return one;
}

void cpu_set::add(std::uint32_t cpu) {
    RT_ASSERT(cpu < cpu_count_max);
    const std::size_t word = cpu / word_bits;
    if (word >= words_.size()) {
        words_.resize(word + 1);
    }
    words_[word] |= std::uint64_t{1} << (cpu % word_bits);
}

void cpu_set::remove(std::uint32_t cpu) noexcept {
    if (contains(cpu)) {
        words_[cpu / word_bits] &= ~(std::uint64_t{1} << (cpu % word_bits));
        trim();
    }
}

bool cpu_set::contains(std::uint32_t cpu) const noexcept {
    const std::size_t word = cpu / word_bits;
    return word < words_.size() && ((words_[word] >> (cpu % word_bits)) & 1U) != 0;
}

std::uint32_t cpu_set::count() const noexcept {
    std::uint32_t total = 0;
    for (const std::uint64_t word : words_) {
        total += static_cast<std::uint32_t>(std::popcount(word));
    }
    return total;
}

std::optional<std::uint32_t> cpu_set::at_or_after(std::uint32_t cpu) const noexcept {
    std::uint64_t mask = ~std::uint64_t{0} << (cpu % word_bits);
    for (std::size_t word = cpu / word_bits; word < words_.size(); ++word) {
        if (const std::uint64_t left = words_[word] & mask; left != 0) {
            return static_cast<std::uint32_t>(word * word_bits) +
                static_cast<std::uint32_t>(std::countr_zero(left));
        }
        mask = ~std::uint64_t{0};
    }
    return std::nullopt;
}

std::vector<std::uint32_t> cpu_set::members() const {
    std::vector<std::uint32_t> cpus;
    for (auto cpu = first(); cpu; cpu = at_or_after(*cpu + 1)) {
        cpus.push_back(*cpu);
    }
    return cpus;
}

bool cpu_set::is_subset_of(const cpu_set& other) const noexcept {
    for (std::size_t word = 0; word < words_.size(); ++word) {
        const std::uint64_t theirs = word < other.words_.size() ? other.words_[word] : 0;
        if ((words_[word] & ~theirs) != 0) {
            return false;
        }
    }
    return true;
}

bool cpu_set::intersects(const cpu_set& other) const noexcept {
    const std::size_t shared = std::min(words_.size(), other.words_.size());
    for (std::size_t word = 0; word < shared; ++word) {
        if ((words_[word] & other.words_[word]) != 0) {
            return true;
        }
    }
    return false;
}

cpu_set cpu_set::united(const cpu_set& other) const {
    cpu_set both = *this;
    both.words_.resize(std::max(words_.size(), other.words_.size()));
    for (std::size_t word = 0; word < other.words_.size(); ++word) {
        both.words_[word] |= other.words_[word];
    }
    return both;
}

cpu_set cpu_set::intersected(const cpu_set& other) const {
    cpu_set shared = *this;
    shared.words_.resize(std::min(words_.size(), other.words_.size()));
    for (std::size_t word = 0; word < shared.words_.size(); ++word) {
        shared.words_[word] &= other.words_[word];
    }
    shared.trim();
    return shared;
}

cpu_set cpu_set::without(const cpu_set& other) const {
    cpu_set left = *this;
    const std::size_t shared = std::min(words_.size(), other.words_.size());
    for (std::size_t word = 0; word < shared; ++word) {
        left.words_[word] &= ~other.words_[word];
    }
    left.trim();
    return left;
}

std::string cpu_set::print() const {
    std::string list;
    for (auto low = first(); low;) {
        std::uint32_t high = *low;
        while (contains(high + 1)) {
            ++high;
        }
        list += list.empty() ? "" : ",";
        list += std::to_string(*low);
        if (high != *low) {
            list += '-';
            list += std::to_string(high);
        }
        low = at_or_after(high + 1);
    }
    return list.empty() ? "none" : list;
}

void cpu_set::trim() noexcept {
    while (!words_.empty() && words_.back() == 0) {
        words_.pop_back();
    }
}

} // namespace rt::topology

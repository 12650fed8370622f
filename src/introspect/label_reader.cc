// SPDX-License-Identifier: MIT
#include "introspect/label_reader.h"

#include <rt/detail/atomic.h>

#include <cstring>

namespace rt::introspect {

// Copies the first `size` bytes of every block to where target_of(entry) says.
template<typename Target>
void label_reader::copy(std::size_t size, Target target_of) {
    static_assert(sizeof(image) == sizeof(detail::label_block));
    static_assert(offsetof(image, parent_id) == offsetof(detail::label_block, parent_id));
    static_assert(offsetof(image, text) == offsetof(detail::label_block, text));
    pieces_.clear();
    for (entry& one : entries_) {
        pieces_.push_back({one.address, target_of(one), size, false});
    }
    read_pieces(pieces_);
    // The kernel has read on this CPU, in the order of the program; acquire keeps it: what is read
    // next comes after.
    fence_acquire();
}

void label_reader::read(const std::vector<std::uint64_t>& parent_words) {
    words_ = parent_words;
    entry_of_.assign(words_.size(), 0);
    entries_.clear();
    for (std::size_t i = 0; i < words_.size(); ++i) {
        if (const detail::label_block* const block = detail::label_at(words_[i])) {
            entry_of_[i] = entries_.size();
            entries_.emplace_back().address = reinterpret_cast<std::uintptr_t>(block);
        }
    }
    if (entries_.empty()) {
        return;
    }
    static_assert(offsetof(detail::label_block, version) == 0);
    copy(sizeof(std::uint64_t), [](entry& one) { return &one.before; });
    copy(sizeof(image), [](entry& one) { return &one.copy; });
    copy(sizeof(std::uint64_t), [](entry& one) { return &one.after; });
}

label_reader::label label_reader::find(std::size_t index) const noexcept {
    if (detail::label_at(words_[index]) == nullptr) {
        return {words_[index], {}, true};
    }
    const entry& one = entries_[entry_of_[index]];
    if (one.before % 2 != 0 || one.copy.version != one.before || one.after != one.before) {
        return {0, {}, false};
    }
    return {one.copy.parent_id, {one.copy.text, ::strnlen(one.copy.text, sizeof(one.copy.text))}};
}

} // namespace rt::introspect

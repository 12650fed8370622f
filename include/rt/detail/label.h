// SPDX-License-Identifier: MIT
//
// Where the label of a task is, and how it is read while the task may change it or end.
//
// A header is full, and a task without a label shall pay nothing for those that have one. So the
// label is in a block of its own, and a word of the header that nobody needs in a hurry leads to
// it: the parent's id. Ids never reach the topmost bit; with it the word is the address of the
// block, which has the parent's id instead. (Not the name's word: a name may be anywhere, at odd
// addresses too, so none of its bits is free.) That the block is to be freed with the header is
// said by the topmost bit of the state word, state_labelled, where it makes a labelled task fail
// the comparison by which release() knows the last reference of any other: no test is added there.
//
// Written by the spawner, then by the task itself, on the worker that runs it, and by nobody else.
// Read by that worker, by holders of a handle, by walks over the headers and, through the kernel,
// by observers; the last two while the task may end and its block become that of another. Blocks
// are type-stable, so all of them may read at any time. Whether what they have read was the task's
// they see afterwards, from its id: a task has one block at most, from its first label to its end.
//
// The text is guarded by a version, which is odd while the text is being changed. Invariant: who
// finds the same even version before and after reading the words has read one whole text. A word is
// stored with release and read with acquire, so that whoever sees a new one sees the odd version
// that came before it; the version that ends a change is stored with release and read first with
// acquire, so that whoever sees it sees all of the text. (tests/model/label_model_test.cc)
//
// Rejected: blocks of the headers' class. Each walk over the headers would meet the labels too, and
// find text where it looks for the state of a task. Rejected: a new block for each change; a reader
// that finds the same address again cannot tell whether it has been free in between.
#pragma once

#include <rt/detail/atomic.h>
#include <rt/detail/config.h>
#include <rt/detail/header.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace rt::detail {

inline constexpr std::size_t label_length_max = 63; // of a name, too; a number from nowhere
inline constexpr std::size_t label_bytes = label_length_max + 1;
inline constexpr std::size_t label_words = label_bytes / sizeof(std::uint64_t);
inline constexpr std::uint64_t label_bit = std::uint64_t{1} << 63U; // of task_header::parent

// Memory that is never anything else; it is reset, not constructed.
struct label_block {
    label_block() = delete;

    atomic<std::uint64_t> version;
    atomic<std::uint64_t> parent_id;         // written before the block is published
    atomic<std::uint64_t> text[label_words]; // up to a zero byte
};
static_assert(sizeof(label_block) % 16 == 0, "the pool aligns blocks to 16 bytes");

// What is kept of a text: as much as fits, up to the first zero byte.
constexpr std::string_view cut_label(std::string_view text) noexcept {
    text = text.substr(0, label_length_max);
    return text.substr(0, text.find('\0'));
}

// An address is even: nothing is lost by the shift, whatever its topmost bits are.
inline std::uint64_t parent_word_of(const label_block* label) noexcept {
    return label_bit | (reinterpret_cast<std::uintptr_t>(label) >> 1U);
}
// Null: the word is the parent's id.
inline label_block* label_at(std::uint64_t parent_word) noexcept {
    return (parent_word & label_bit) != 0 ? reinterpret_cast<label_block*>(parent_word << 1U)
                                          : nullptr;
}

// Null: the task has none. Threads: any.
inline label_block* label_block_of(const task_header* task) noexcept {
    return label_at(task->parent.load_acquire()); // acquire: pairs with set_label, task/label.cc
}

// Copies the text, with its zero byte. False: it was being changed. Threads: any.
inline bool read_label(const label_block& from, char (&into)[label_bytes]) noexcept {
    // acquire: pairs with write_label's release of the version; the whole text comes with it.
    const std::uint64_t before = from.version.load_acquire();
    std::uint64_t words[label_words];
    for (std::size_t i = 0; i < label_words; ++i) {
        // acquire: pairs with write_label's release of the word; the odd version comes with it.
        words[i] = from.text[i].load_acquire();
    }
    std::memcpy(into, words, sizeof(words));
    into[label_length_max] = '\0';
    // relaxed: the loads above come first.
    return before % 2 == 0 && from.version.load_relaxed() == before;
}

// Puts `text`, which has been cut, in place of the present one. Threads: only the block's owner.
inline void write_label(label_block& to, std::string_view text) noexcept {
    // relaxed: nobody else writes it, and the releases of the words publish it. Fresh memory may
    // have any.
    const std::uint64_t odd = to.version.load_relaxed() | 1U;
    to.version.store_relaxed(odd);
    for (std::size_t i = 0; i < label_words; ++i) {
        std::uint64_t word = 0;
        const std::string_view part = text.substr(0, sizeof(word));
        std::memcpy(&word, part.data(), part.size());
        text.remove_prefix(part.size());
        to.text[i].store_release(word); // release: pairs with read_label's acquire of the word
    }
    to.version.store_release(odd + 1); // release: pairs with read_label's acquire of the version
}

} // namespace rt::detail

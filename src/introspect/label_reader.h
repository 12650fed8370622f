// SPDX-License-Identifier: MIT
//
// Reading the labels of a batch of tasks, through the kernel.
//
// A label may be changed, or its block be given to another task, while it is copied. So the version
// is copied, then the text, then the version again, each of all tasks with one system call: if it
// is the same even number both times, the text is whole (rt/detail/label.h). Whose text it is, the
// caller sees from a second copy of the header: a task whose id and parent word are the same has
// had the block all the while. Tasks without labels cost no system call.
//
// Threads: the sentinel.
#pragma once

#include "introspect/safe_read.h"

#include <rt/detail/label.h>

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace rt::introspect {

class label_reader {
public:
    // Reads what the parent words of headers lead to. Forgets what it had.
    void read(const std::vector<std::uint64_t>& parent_words);

    // What was found behind a word. The text lives until the next read().
    struct label {
        std::uint64_t parent_id = 0; // 0 if it is not known
        std::string_view text;
        bool is_whole = true; // false: it could not be read
    };
    [[nodiscard]] label find(std::size_t index) const noexcept;

private:
    struct image {
        std::uint64_t version;
        std::uint64_t parent_id;
        char text[detail::label_bytes];
    };
    struct entry {
        std::uintptr_t address = 0;
        std::uint64_t before = 1; // odd: not read
        image copy{};
        std::uint64_t after = 0;
    };

    template<typename Target>
    void copy(std::size_t size, Target target_of);

    std::vector<std::uint64_t> words_;
    std::vector<std::size_t> entry_of_; // by index into words_
    std::vector<entry> entries_;
    std::vector<read_piece> pieces_;
};

} // namespace rt::introspect

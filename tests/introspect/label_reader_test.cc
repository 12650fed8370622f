// SPDX-License-Identifier: MIT
//
// What a walk takes for the label of a task, from blocks that were made by hand. Blocks that change
// meanwhile are in tests/stress/label_storm_test.cc.
#include "introspect/label_reader.h"
#include "support/test.h"

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include <sys/mman.h>

namespace {

using rt::detail::label_block;
using rt::detail::label_bytes;
using rt::introspect::label_reader;

// A block in memory of its own, of which the kernel can read all or nothing.
class block {
public:
    block(std::uint64_t version, std::uint64_t parent_id, std::string_view text)
        : memory_(::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
          ) {
        cr_assert(memory_ != MAP_FAILED);
        rt::detail::write_label(get(), text);
        get().version.store_relaxed(version);
        get().parent_id.store_relaxed(parent_id);
    }
    block(const block&) = delete;
    block& operator=(const block&) = delete;
    ~block() { ::munmap(memory_, size); }

    [[nodiscard]] label_block& get() const { return *static_cast<label_block*>(memory_); }
    [[nodiscard]] std::uint64_t word() const { return rt::detail::parent_word_of(&get()); }
    void make_unreadable() const { cr_assert_eq(::mprotect(memory_, size, PROT_NONE), 0); }

private:
    static constexpr std::size_t size = 4096;

    void* memory_;
};

} // namespace

Test(label_reader, a_task_without_a_label_has_a_parent) {
    label_reader reader;
    reader.read({7, 0});
    cr_assert(reader.find(0).is_whole && reader.find(0).parent_id == 7);
    cr_assert(reader.find(0).text.empty());
    cr_assert(reader.find(1).is_whole && reader.find(1).parent_id == 0);
}

Test(label_reader, each_word_leads_to_its_own_block) {
    const block first(2, 11, "first");
    const block second(40, 12, "second");
    label_reader reader;
    reader.read({5, second.word(), first.word(), 6, second.word()});
    cr_assert(reader.find(0).parent_id == 5 && reader.find(0).text.empty());
    cr_assert(reader.find(1).parent_id == 12 && reader.find(1).text == "second");
    cr_assert(reader.find(2).parent_id == 11 && reader.find(2).text == "first");
    cr_assert(reader.find(3).parent_id == 6 && reader.find(3).text.empty());
    cr_assert(reader.find(4).text == "second");
    reader.read({first.word()});
    cr_assert(reader.find(0).text == "first", "it has forgotten what it had");
}

Test(label_reader, a_text_that_is_being_changed_is_not_shown) {
    const block changing(3, 11, "half of it");
    const block other(4, 12, "whole");
    label_reader reader;
    reader.read({changing.word(), other.word()});
    cr_assert_not(reader.find(0).is_whole);
    cr_assert(reader.find(0).text.empty() && reader.find(0).parent_id == 0);
    cr_assert(reader.find(1).is_whole && reader.find(1).text == "whole");
}

Test(label_reader, memory_that_cannot_be_read_is_no_label) {
    const block gone(2, 11, "gone");
    const block other(2, 12, "there");
    gone.make_unreadable();
    label_reader reader;
    reader.read({gone.word(), other.word()});
    cr_assert_not(reader.find(0).is_whole);
    cr_assert(reader.find(1).is_whole && reader.find(1).text == "there");
}

Test(label_reader, a_text_ends_with_the_block) {
    const block full(2, 11, std::string(label_bytes, 'x')); // and so has no zero byte
    std::memset(static_cast<void*>(&full.get().text), 'x', sizeof(full.get().text));
    label_reader reader;
    reader.read({full.word()});
    cr_assert(reader.find(0).text == std::string(label_bytes, 'x'));
}

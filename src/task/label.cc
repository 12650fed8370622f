// SPDX-License-Identifier: MIT
//
// Making, changing, showing and freeing labels. All of it is off the way of tasks that have none.
//
// The running task sets its label; a branch, whose own header no dump shows, sets that of the task
// that its group belongs to, which is inside of the same turn of the same worker. So a block has
// one writer at any time, and one writer after the other is ordered as the task's turns are.
#include "task/label.h"

#include "base/assert.h"
#include "task/task.h"

#include <rt/detail/context.h>
#include <rt/detail/frame.h>

#include <bit>
#include <source_location>

namespace rt::tasks {
namespace {

using detail::label_block;
using detail::task_header;

// Looks at a label that is being changed. A change is ten stores, unless its thread is preempted in
// the middle. A number from nowhere.
constexpr int looks_max = 64;

// Threads: the one that runs the task.
bool set_label(task_header* task, std::string_view text) noexcept {
    if (label_block* const label = detail::label_block_of(task)) {
        detail::write_label(*label, text);
        return true;
    }
    if (text.empty()) {
        return true;
    }
    // relaxed: only this thread, which runs the task, changes it.
    label_block* const label = make_label(text, task->parent.load_relaxed());
    if (label == nullptr) {
        return false;
    }
    // relaxed: who frees the header comes after the task's own release of it.
    task->state.or_relaxed(detail::state_labelled);
    // release: pairs with label_block_of, rt/detail/label.h.
    task->parent.store_release(detail::parent_word_of(label));
    return true;
}

} // namespace

label_block* make_label(std::string_view text, std::uint64_t parent_id) noexcept {
    auto* const label = static_cast<label_block*>(detail::allocate_label());
    if (label != nullptr) {
        // release: a walk that still reads the block for the task that had it, and finds this,
        // finds the id of that one cleared (label_reader.cc).
        label->parent_id.store_release(parent_id);
        detail::write_label(*label, text);
    }
    return label;
}

task_label label_of(const task_header* task) noexcept {
    const label_block* const label = detail::label_block_of(task);
    char text[detail::label_bytes];
    for (int looks = 0; label != nullptr && looks < looks_max; ++looks) {
        if (detail::read_label(*label, text)) {
            return text;
        }
    }
    return {};
}

void write_title(base::text_writer& out, std::string_view name, std::string_view label) noexcept {
    if (!name.empty()) {
        out.text(" \"").escaped(name).character('"');
    }
    if (!label.empty()) {
        out.text(" [").escaped(label).character(']');
    }
}

void write_task(base::text_writer& out, const task_header* task) noexcept {
    const char* const name = task->name;
    write_task(
        out,
        task->id.load_relaxed(), // relaxed: it is constant while the header is kept alive
        name == nullptr ? "" : name,
        label_of(task).text(),
        std::bit_cast<std::source_location>(task->spawn_site)
    );
}

void write_task(
    base::text_writer& out,
    std::uint64_t id,
    std::string_view name,
    std::string_view label,
    std::source_location at
) noexcept {
    out.text("task ").decimal(id);
    write_title(out, name, label);
    out.text(" (spawned at ").text(at.file_name()).character(':').decimal(at.line());
    out.character(')');
}

void free_labelled(task_header* task) noexcept {
    label_block* const label = detail::label_block_of(task);
    RT_ASSERT(label != nullptr);
    // The header first: who still reads the block sees that its task is gone.
    free_header(task);
    detail::deallocate_label(label);
}

} // namespace rt::tasks

namespace rt {
namespace {

// The task, as dumps show it, that the calling code belongs to; null if none.
detail::task_header* current_task() noexcept {
    const detail::context& self = detail::this_thread;
    return detail::whole_of(self.task != nullptr ? self.task : self.in_place);
}

} // namespace

bool set_task_label(std::string_view text) noexcept {
    detail::task_header* const task = current_task();
    return task != nullptr && tasks::set_label(task, detail::cut_label(text));
}

task_label current_task_label() noexcept {
    const detail::task_header* const task = current_task();
    return task == nullptr ? task_label() : tasks::label_of(task);
}

} // namespace rt

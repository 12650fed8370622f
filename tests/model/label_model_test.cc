// SPDX-License-Identifier: MIT
//
// Labels under every interleaving: rt/detail/label.h, the end of a labelled task, and a walk that
// looks on.
//
// A reader must get a whole text or none, the newest that it can know of, and never one of the task
// that has the block next. The label must be freed once, whoever lets go of the task last. By hand,
// this was also seen to fail with a version that stays even during a change, with an id that is
// cleared after the label is freed, and with a release() that takes the bit for a reference.
#include "model/faults.h"
#include "model/task_model.h"

// clang-format off
#define rt rt_model
#include "task/label.h"
#undef rt
// clang-format on

namespace {

using rt::model::bounded;
using rt::model::broken;
using rt::model::check;
using rt::model::expect_broken;
using rt::model::expect_good;
using rt::model::fault;
using rt_model::detail::label_block;
using rt_model::detail::label_bytes;
using rt_model::detail::task_header;

// The letter of a label that is made of one letter; 0 if it is empty.
char letter_of(const char (&text)[label_bytes]) {
    const std::string_view all(text);
    check(all.empty() || all.size() == label_bytes - 1, "a part of a label");
    check(all.find_first_not_of(all.substr(0, 1)) == std::string_view::npos, "a torn label");
    return text[0];
}

std::string label(char letter) {
    return std::string(label_bytes - 1, letter);
}

// The owner changes a label from a to b to c, while others read.
struct relabelled {
    static constexpr unsigned threads = 2;

    relabelled() {
        rt_model::scenario::set_up();
        block = rt_model::tasks::make_label(texts[0], 0);
    }

    void run(unsigned self) {
        if (self == 0) {
            rt_model::detail::write_label(*block, texts[1]);
            rt_model::detail::write_label(*block, texts[2]);
            return;
        }
        char last = 'a';
        for (int i = 0; i < 2; ++i) {
            char text[label_bytes];
            if (rt_model::detail::read_label(*block, text)) {
                check(letter_of(text) >= last, "an older label than the last one");
                last = text[0];
            }
        }
    }
    void at_end(bool is_stuck) {
        check(!is_stuck, "stuck");
        char text[label_bytes];
        check(rt_model::detail::read_label(*block, text), "a change has not ended");
        check(letter_of(text) == 'c', "not the last label");
    }

    const std::string texts[3] = {label('a'), label('b'), label('c')};
    label_block* block = nullptr;
};

// A task gets a label, at its spawn or later, and ends; another one gets its block. A walk and the
// holder of an abort handle come at any time.
struct ends {
    static constexpr unsigned threads = 3;

    explicit ends(bool is_labelled_late)
        : is_late(is_labelled_late) {
        rt_model::scenario::set_up();
        rt_model::detail::this_thread.task = nullptr;
        spawner = rt_model::detail::create_task(&frame, &nowhere, options_of('s').at);
        first = is_late ? rt_model::detail::create_task(&frame, &nowhere, options_of('a').at)
                        : spawn('a'); // neither has a parent; the other one will
        first->live.frame = &frame;
        watch = rt_model::abort_handle(first);
        id = first->id.peek();
    }

    static rt_model::spawn_options options_of(char letter) { return {.label = label(letter)}; }
    task_header* spawn(char letter) {
        const rt_model::spawn_options options = options_of(letter);
        return rt_model::detail::create_task(&frame, &nowhere, &options);
    }

    void run(unsigned self) {
        if (self == 0) {
            if (is_late) {
                rt_model::detail::this_thread.task = first;
                check(rt_model::set_task_label(label('a')), "no memory");
                rt_model::detail::this_thread.task = nullptr;
            }
            rt_model::detail::release(first);
            rt_model::detail::release(first);
            rt_model::detail::this_thread.task = spawner;
            second = spawn('b');
            rt_model::detail::this_thread.task = nullptr;
        } else if (self == 1) {
            look();
        } else {
            watch = {};
        }
    }
    void look() {
        if (first->id.load_acquire() != id) {
            return;
        }
        const label_block* const found = rt_model::detail::label_block_of(first);
        char text[label_bytes];
        const bool is_whole = found != nullptr && rt_model::detail::read_label(*found, text);
        const std::uint64_t parent = is_whole ? found->parent_id.load_acquire() : 0;
        if (first->id.load_acquire() == id && is_whole) {
            check(letter_of(text) == 'a', "the label of another task");
            check(parent == 0, "the parent of another task");
        }
    }
    void at_end(bool is_stuck) {
        check(!is_stuck, "stuck");
        check(rt_model::tasks::label_of(second).text() == label('b'), "a label was lost");
        for (task_header* const each : {second, spawner}) {
            rt_model::detail::release(each);
            rt_model::detail::release(each);
        }
        rt_model::scenario::check_heap();
    }

    const bool is_late;
    rt_model::scenario::run_queue nowhere;
    int frame = 0;
    task_header* spawner = nullptr; // of the second
    task_header* first = nullptr;
    task_header* second = nullptr;
    rt_model::abort_handle watch;
    std::uint64_t id = 0;
};

} // namespace

Test(label_model, a_label_that_changes_is_read_whole) {
    rt::model::skip_with_sanitizers();
    expect_good<relabelled>("relabelled", bounded(6));
    expect_good<relabelled>("relabelled, weak", bounded(1, true));
    expect_broken<relabelled>("relabelled, no release", broken(fault::no_release, 2));
    expect_broken<relabelled>("relabelled, no acquire", broken(fault::no_acquire, 2));
}

Test(label_model, a_label_goes_with_its_task) {
    rt::model::skip_with_sanitizers();
    for (const bool is_late : {false, true}) {
        expect_good<ends>("a labelled task ends", bounded(4), is_late);
        expect_good<ends>("a labelled task ends, weak", bounded(2, true), is_late);
        expect_broken<ends>("a labelled task ends, torn", broken(fault::torn_rmw, 2), is_late);
        expect_broken<ends>(
            "a labelled task ends, no release", broken(fault::no_release, 2), is_late
        );
    }
}

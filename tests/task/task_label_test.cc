// SPDX-License-Identifier: MIT
//
// Labels of tasks: who gets which, how long they live, what they cost. How they are shown:
// tests/introspect/label_test.cc; that readers see whole ones: tests/model and tests/stress.
#include "memory/frame_pool.h"
#include "support/runtimes.h"
#include "support/test.h"
#include "sync/waiting.h"
#include "task/gate.h"
#include "task/label.h"
#include "task/parent.h"

#include <rt/block_in_place.h>
#include <rt/blocking.h>
#include <rt/detail/context.h>
#include <rt/detail/frame.h>
#include <rt/join_set.h>
#include <rt/runtime.h>
#include <rt/scope.h>
#include <rt/select.h>
#include <rt/shield.h>
#include <rt/spawn.h>
#include <rt/spawn_blocking.h>
#include <rt/spawn_on.h>
#include <rt/sync/oneshot.h>
#include <rt/task_label.h>
#include <rt/time.h>
#include <rt/yield.h>

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include <sys/resource.h>

namespace {

using namespace std::chrono_literals;
using rt::task;

#if defined(RT_SANITIZED)
constexpr int many = 15'000;
#else
constexpr int many = 1'000'000;
#endif
static_assert(
    many > (1 << 20) / static_cast<int>(sizeof(rt::detail::label_block)),
    "that many labels do not fit into one chunk of the pool"
);

// Of a task that cannot end meanwhile.
std::string label_of(const rt::detail::task_header* header) {
    return rt::tasks::label_of(header).text();
}

std::string text_of(const rt::task_label& label) {
    return label.text();
}

// A label may be a constant.
constexpr rt::task_label constant{"worker"};
[[maybe_unused]] constinit rt::task_label no_label{};
static_assert(std::string_view(constant.text()) == "worker" && !constant.is_empty());
static_assert(std::string_view(rt::task_label(constant).text()) == "worker");
static_assert(rt::task_label().is_empty());

std::string own_label() {
    return label_of(rt::detail::this_thread.task);
}

task<std::string> labelled() {
    co_return own_label();
}

task<void> writes_label(std::string* into) {
    *into = own_label();
    co_return;
}

task<void> spawns_in_every_way() {
    const std::string text = "peer 127.0.0.1:4711";
    cr_assert_eq(co_await rt::spawn(labelled), "");
    cr_assert_eq(co_await rt::spawn({.name = "reader"}, labelled), "");
    cr_assert_eq(co_await rt::spawn({.label = text}, labelled), text);
    cr_assert_eq(co_await rt::spawn({.name = "reader", .label = text}, labelled()), text);
    cr_assert_eq(co_await rt::spawn_on(0, {.label = text}, labelled), text);
    cr_assert_eq(co_await rt::spawn_on(0, {.label = text}, labelled()), text);
    cr_assert_eq(co_await rt::spawn_local({.label = text}, labelled), text);
    cr_assert_eq(co_await rt::spawn_local({.label = text}, labelled()), text);
    const rt::handle here = rt::handle::current();
    cr_assert_eq(co_await here.spawn({.label = text}, labelled), text);
    cr_assert_eq(co_await here.spawn({.label = text}, labelled()), text);
    cr_assert_eq(co_await here.spawn_on(0, {.label = text}, labelled()), text);

    rt::join_set<std::string> set;
    set.spawn({.label = text}, labelled);
    set.spawn({.label = text}, labelled());
    set.spawn_on(0, {.label = text}, labelled);
    set.spawn_local({.label = text}, labelled);
    for (const std::string& each : co_await set.join_all()) {
        cr_assert_eq(each, text);
    }
    std::string in_scope[4];
    co_await rt::scope::run([&](rt::scope& children) -> task<void> {
        children.spawn({.label = text}, writes_label, &in_scope[0]);
        children.spawn({.label = text}, writes_label(&in_scope[1]));
        children.spawn_on(0, {.label = text}, writes_label, &in_scope[2]);
        children.spawn_local({.label = text}, writes_label, &in_scope[3]);
        co_return;
    });
    for (const std::string& each : in_scope) {
        cr_assert_eq(each, text);
    }
}

task<void> spawns_closures() {
    const rt::handle here = rt::handle::current();
    auto first = rt::spawn_blocking({.label = "compress"}, [] { return 1; });
    auto second = here.spawn_blocking({.label = "compress"}, [] { return 1; });
    cr_assert_eq(label_of(first.header()), "compress");
    cr_assert_eq(label_of(second.header()), "compress");
    co_await std::move(first);
    co_await std::move(second);
}

task<void> changes_its_label() {
    cr_assert_eq(own_label(), "connection");
    const std::uint64_t parent = rt::test::parent_of(rt::detail::this_thread.task);
    cr_assert(rt::set_task_label("GET /"));
    cr_assert_eq(own_label(), "GET /");
    co_await rt::yield();
    cr_assert_eq(own_label(), "GET /");
    cr_assert(rt::set_task_label(std::string(200, 'x')));
    cr_assert_eq(own_label(), std::string(63, 'x'));
    cr_assert(rt::set_task_label("idle"), "what was there is gone, and not only its beginning");
    cr_assert_eq(own_label(), "idle");
    cr_assert(rt::set_task_label(""));
    cr_assert_eq(own_label(), "");
    cr_assert_eq(rt::test::parent_of(rt::detail::this_thread.task), parent);
}

task<void> gets_a_label_late() {
    const std::uint64_t parent = rt::test::parent_of(rt::detail::this_thread.task);
    cr_assert(rt::set_task_label(""), "nothing to take away");
    cr_assert_eq(own_label(), "");
    cr_assert(rt::set_task_label("late"));
    cr_assert_eq(own_label(), "late");
    cr_assert_neq(parent, 0U);
    cr_assert_eq(rt::test::parent_of(rt::detail::this_thread.task), parent);
    co_return;
}

task<void> labels_are_changed() {
    co_await rt::spawn({.label = "connection"}, changes_its_label);
    co_await rt::spawn(gets_a_label_late);
}

task<int> sets(std::string text, int turns) {
    for (int i = 0; i < turns; ++i) {
        co_await rt::yield();
    }
    cr_assert(rt::set_task_label(text));
    co_return 0;
}

// A branch that has a boundary and a group of its own.
task<int> sets_far_inside() {
    const auto ended = co_await rt::select(
        [](std::string text) -> task<int> {
            static_cast<void>(co_await rt::timeout(1h, sets(std::move(text), 3)));
            co_return 0;
        }("far inside"),
        rt::sleep(24h)
    );
    co_return static_cast<int>(ended.index());
}

task<void> branches_label_their_task() {
    rt::detail::task_header* const own = rt::detail::this_thread.task;
    co_await rt::join(sets("first", 1), sets("second", 2));
    cr_assert_eq(label_of(own), "second", "the last one counts");
    co_await rt::join(sets_far_inside(), sets("outside", 1));
    cr_assert_eq(label_of(own), "far inside");
    co_await rt::shield(sets("shielded", 1));
    cr_assert_eq(label_of(own), "shielded");
    co_await rt::scope::run([](rt::scope& children) -> task<void> {
        cr_assert(rt::set_task_label("body"));
        children.spawn({.label = "child"}, [own_text = std::string("changed")]() -> task<void> {
            cr_assert(rt::set_task_label(own_text));
            co_return;
        });
        co_return;
    });
    cr_assert_eq(label_of(own), "body", "a child is a task of its own");
}

// What sets a label when it is destroyed.
struct says_good_bye {
    rt::detail::task_header* task = nullptr;
    std::string* seen = nullptr;
    ~says_good_bye() {
        cr_assert(rt::set_task_label("unwinding"));
        *seen = label_of(task);
    }
};

task<void> waits(std::string* seen) {
    const says_good_bye local{rt::detail::this_thread.task, seen};
    co_await rt::sleep(24h);
}

task<void> asks_for_its_label() {
    cr_assert(rt::current_task_label().is_empty());
    const auto asks = []() -> task<std::string> {
        co_return rt::current_task_label().text();
    };
    cr_assert_eq(co_await rt::spawn({.label = "connection"}, asks), "connection");
    cr_assert(rt::set_task_label("of the task"));
    const auto [first, second] = co_await rt::join(rt::shield(asks()), asks());
    cr_assert(first == "of the task" && second == first);
    cr_assert(co_await rt::blocking([] { return rt::current_task_label().is_empty(); }));
}

task<void> closures_are_in_none() {
    cr_assert_not(co_await rt::blocking([] { return rt::set_task_label("closure"); }));
    cr_assert_not(co_await rt::spawn_blocking([] { return rt::set_task_label("closure"); }));
}

task<void> destructors_are_in_one() {
    std::string seen;
    auto child = rt::spawn(waits, &seen);
    co_await rt::test::until_waiting(child);
    child.abort();
    try {
        co_await std::move(child);
    } catch (const rt::join_error&) {
    }
    cr_assert_eq(seen, "unwinding");
}

task<void> blocks_in_place() {
    cr_assert(rt::block_in_place([] { return rt::set_task_label("in place"); }));
    cr_assert_eq(own_label(), "in place");
    cr_assert_eq(text_of(rt::block_in_place(&rt::current_task_label)), "in place");
    co_return;
}

// ---- what is freed ------------------------------------------------------------------------------

// Ways to end. Each is taken by so many tasks that their labels would fill chunks.
enum class way { joined, detached, set_late, watched, aborted };

task<void> ends_at_once() {
    co_return;
}

task<void> sets_and_ends() {
    rt::set_task_label("late");
    co_return;
}

task<void> ends(way how) {
    for (int i = 0; i < many; ++i) {
        const rt::spawn_options options{.label = std::string_view("a label")};
        if (how == way::joined) {
            co_await rt::spawn(options, ends_at_once);
        } else if (how == way::set_late) {
            co_await rt::spawn(sets_and_ends);
        } else if (how == way::detached) {
            rt::spawn(options, ends_at_once).detach();
            co_await rt::yield();
        } else if (how == way::watched) {
            auto child = rt::spawn(options, ends_at_once);
            const rt::abort_handle watch = child.abort_handle();
            co_await std::move(child);
        } else {
            auto child = rt::spawn(options, ends_at_once);
            child.abort();
            child.detach();
            co_await rt::yield();
        }
    }
}

std::uint64_t chunks() {
    const rt::memory::pool_counters now = rt::memory::counters();
    return now.chunks + now.header_chunks;
}

// ---- without memory -----------------------------------------------------------------------------

// Takes the blocks of labels that the process can get without growing.
void take_all_labels(std::vector<void*>& taken) {
    while (void* const block = rt::detail::allocate_label()) {
        if (taken.size() == taken.capacity()) {
            cr_assert_fail("the limit on memory does not limit");
        }
        taken.push_back(block);
    }
}

task<void> runs_out_of_memory() {
    cr_assert_eq(co_await rt::spawn({.label = "before"}, labelled), "before");
    std::vector<void*> taken;
    taken.reserve(1 << 20);
    rlimit before{};
    ::getrlimit(RLIMIT_AS, &before);
    const rlimit none{0, before.rlim_max};
    cr_assert_eq(::setrlimit(RLIMIT_AS, &none), 0);
    take_all_labels(taken);
    const std::string without = co_await rt::spawn({.name = "n", .label = "spawned"}, labelled);
    const bool is_set = rt::set_task_label("set");
    ::setrlimit(RLIMIT_AS, &before);
    cr_assert_eq(without, "", "the task runs without a label");
    cr_assert_not(is_set);
    cr_assert_eq(own_label(), "");
    for (void* const block : taken) {
        rt::detail::deallocate_label(block);
    }
    cr_assert(rt::set_task_label("set"));
    cr_assert_eq(own_label(), "set");
}

} // namespace

Test(task_label, is_made_of_any_text_and_cut) {
    cr_assert(rt::task_label().is_empty());
    cr_assert_eq(text_of({}), "");
    cr_assert_eq(text_of("literal"), "literal");
    cr_assert_eq(text_of(std::string("string")), "string");
    cr_assert_eq(text_of(std::string_view("a view").substr(2)), "view");
    const char* const none = nullptr;
    cr_assert(rt::task_label(none).is_empty());
    cr_assert_eq(text_of(std::string("zero\0byte", 9)), "zero");
    cr_assert_eq(text_of(std::string(63, 'x')), std::string(63, 'x'));
    cr_assert_eq(text_of(std::string(64, 'x')), std::string(63, 'x'));
    std::string text = "a copy";
    const rt::task_label label = text;
    text = "b copy";
    cr_assert_eq(text_of(label), "a copy");
    static_assert(rt::task_label::length_max == 63);
}

Test(task_label, a_header_has_no_room_for_it) {
    static_assert(sizeof(rt::detail::task_header) == 128);
    cr_assert_eq(sizeof(rt::detail::label_block), 80U);
}

Test(task_label, every_spawn_takes_one) {
    rt::test::on_each_flavor_run(spawns_in_every_way);
    rt::test::on_each_flavor_run(spawns_closures);
}

Test(task_label, is_changed_by_the_running_task) {
    rt::test::on_each_flavor_run(labels_are_changed);
}

Test(task_label, a_branch_labels_the_task_that_it_is_a_part_of) {
    rt::test::on_each_flavor_run(branches_label_their_task);
}

Test(task_label, can_be_asked_for_by_the_running_task) {
    cr_assert(rt::current_task_label().is_empty());
    rt::test::on_each_flavor_run(asks_for_its_label);
}

Test(task_label, code_that_is_in_no_task_sets_none) {
    cr_assert_not(rt::set_task_label("main"));
    rt::test::on_each_flavor_run(closures_are_in_none);
}

Test(task_label, code_that_belongs_to_a_task_without_being_a_coroutine_sets_that_of_the_task) {
    rt::test::on_each_flavor_run(destructors_are_in_one);
    rt::test::run(blocks_in_place());
}

Test(task_label, is_freed_with_its_task) {
    for (const rt::config& config : {rt::test::settings(), rt::test::single()}) {
        rt::runtime runtime(config);
        for (const way how :
             {way::joined, way::detached, way::set_late, way::watched, way::aborted}) {
            runtime.block_on(ends(how));
            runtime.block_on(ends_at_once()); // the last ones have ended
            const std::uint64_t before = chunks();
            runtime.block_on(ends(how));
            cr_assert_eq(chunks(), before, "the pool has grown");
        }
    }
}

Test(task_label, without_memory_for_it_the_task_goes_on_without_one) {
#if defined(RT_SANITIZED)
    cr_skip_test("sanitizers need memory without limits");
#endif
    rt::block_on(rt::test::single(), runs_out_of_memory());
}

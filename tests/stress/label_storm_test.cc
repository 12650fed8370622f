// SPDX-License-Identifier: MIT
//
// Readers of labels beside tasks that are spawned with them, change them and end.
//
// A label says whose it is: the task's id and a letter, again and again up to the last byte. One
// that two readers see, the observer's walk and the list of what a shutdown has left, must belong
// to the task that it is shown with and be of one letter; under ThreadSanitizer the second, which
// reads in this process, must not race either. Blocks of labels go from task to task all the while.
#include "base/random.h"
#include "introspect/observed.h"
#include "introspect/observed_core.h"
#include "introspect/snapshot.h"
#include "stress/seed.h"
#include "support/test.h"

#include <rt/detail/atomic.h>
#include <rt/spawn.h>
#include <rt/task_label.h>
#include <rt/yield.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>
#include <thread>

namespace {

using namespace std::chrono_literals;
using rt::task;
using rt::introspect::task_facts;

struct shared_state {
    rt::atomic<bool> is_over{false};
    rt::atomic<std::uint64_t> ended{0};
};

// The label of a task while it does not know its id has 0 in its place.
std::string label_of(std::uint64_t id, std::uint32_t letter) {
    std::string text = std::to_string(id) + '-';
    text.resize(rt::task_label::length_max, static_cast<char>('a' + letter));
    return text;
}

// What a reader has seen.
struct tally {
    std::uint64_t spawned = 0; // labels as they were spawned
    std::uint64_t changed = 0; // and those that the task has set itself
    std::string fault;

    void look_at(std::uint64_t id, std::string_view label) {
        if (label.empty() || !fault.empty()) {
            return;
        }
        const std::size_t dash = label.find('-');
        const std::string_view of = label.substr(0, dash);
        const std::string_view rest = label.substr(dash == label.npos ? 0 : dash + 1);
        const bool is_whole = label.size() == rt::task_label::length_max &&
            rest.find_first_not_of(rest[0]) == rest.npos;
        if (!is_whole || (of != "0" && of != std::to_string(id))) {
            fault = "task " + std::to_string(id) + " shows " + std::string(label);
        }
        ++(of == "0" ? spawned : changed);
    }
    [[nodiscard]] bool is_enough() const {
        return !fault.empty() || (spawned >= 500 && changed >= 5000);
    }
};

// Keeps the label it was spawned with for a turn, and then changes it.
task<void> changes(shared_state* shared, std::uint64_t seed) {
    rt::base::random_source random(seed);
    const std::uint64_t id = *rt::current_task_id();
    for (std::uint32_t left = random.below(32); left != 0; --left) {
        co_await rt::yield();
        for (std::uint32_t i = random.below(8); i != 0; --i) {
            rt::set_task_label(label_of(id, random.below(26)));
        }
    }
    shared->ended.add_relaxed(1);
}

task<void> spawns(shared_state* shared, std::uint64_t seed) {
    rt::base::random_source random(seed);
    while (!shared->is_over.load_acquire()) {
        std::array<rt::join_handle<void>, 8> children;
        for (rt::join_handle<void>& each : children) {
            if (random.below(3) == 0) {
                each = rt::spawn(changes, shared, random.next());
            } else {
                each = rt::spawn(
                    {.label = label_of(0, random.below(26))}, changes, shared, random.next()
                );
            }
        }
        for (rt::join_handle<void>& each : children) {
            const std::uint32_t way = random.below(4);
            if (way == 0) {
                each.abort();
                each.detach();
            } else if (way == 1) {
                const rt::abort_handle watch = each.abort_handle();
                each.detach();
                while (!watch.is_finished()) {
                    co_await rt::yield();
                }
            } else {
                co_await std::move(each);
            }
        }
    }
}

} // namespace

Test(label_storm, labels_are_whole_and_of_their_task) {
    rt::base::random_source random(rt::test::stress_seed("label_storm"));
    shared_state shared; // outlives the tasks
    tally walked;
    tally listed;
    {
        rt::introspect::observed_core core(3);
        for (int i = 0; i < 6; ++i) {
            core.spawn(spawns(&shared, random.next()));
        }
        rt::atomic<bool> is_listed{false};
        std::thread lister([&] {
            while (!shared.is_over.load_acquire()) {
                for (const rt::unfinished_task& each : core.core().workers().unfinished()) {
                    listed.look_at(each.id, each.label.text());
                }
                is_listed.store_release(listed.is_enough());
            }
        });
        const auto until = std::chrono::steady_clock::now() + rt::test::stress_time(0s);
        while (!walked.is_enough() || !is_listed.load_acquire() ||
               shared.ended.load_relaxed() < 10'000 || std::chrono::steady_clock::now() < until) {
            rt::introspect::walk_tasks(
                rt::introspect::observed().read(),
                UINT64_MAX,
                [&](const task_facts& task) { walked.look_at(task.id, task.label); }
            );
        }
        shared.is_over.store_release(true);
        lister.join();
    }
    cr_assert(walked.fault.empty(), "%s", walked.fault.c_str());
    cr_assert(listed.fault.empty(), "%s", listed.fault.c_str());
    std::fprintf(
        stderr,
        "label_storm: %llu labels seen, %llu tasks ended\n",
        static_cast<unsigned long long>(
            walked.spawned + walked.changed + listed.spawned + listed.changed
        ),
        static_cast<unsigned long long>(shared.ended.load_relaxed())
    );
}

// SPDX-License-Identifier: MIT
//
// Readers of labels beside tasks that are spawned with them, change them and end.
//
// A label says whose it is: the task's id and a letter, again and again up to the last byte; or, if
// the task was spawned with it, a number that its spawner notes beside the id. One that two readers
// see, the observer's walk and the list of what a shutdown has left, must belong to the task that
// it is shown with and be of one letter; under ThreadSanitizer the second, which reads in this
// process, must not race either. Blocks of labels go from task to task all the while.
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
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
using rt::task;
using rt::introspect::task_facts;

constexpr std::size_t spawned_max = 1'000'000; // with a label; later ones have none

struct shared_state {
    rt::atomic<bool> is_over{false};
    rt::atomic<std::uint64_t> ended{0};
    rt::atomic<std::uint64_t> spawned{0};
    std::vector<rt::atomic<std::uint64_t>> id_of{spawned_max}; // by the number in the label
};

std::string label_of(char kind, std::uint64_t number, std::uint32_t letter) {
    std::string text = kind + std::to_string(number) + '-';
    text.resize(rt::task_label::length_max, static_cast<char>('a' + letter));
    return text;
}

// What a reader has seen.
struct tally {
    std::vector<std::pair<std::uint64_t, std::uint64_t>> spawned; // number in the label, id
    std::uint64_t changed = 0; // labels that the task has set itself
    std::string fault;

    void look_at(std::uint64_t id, std::string_view label) {
        if (label.empty() || !fault.empty()) {
            return;
        }
        const std::size_t dash = label.find('-');
        const std::string of(label.substr(1, dash == label.npos ? 0 : dash - 1));
        const std::string_view rest = label.substr(dash == label.npos ? 0 : dash + 1);
        const bool is_whole = label.size() == rt::task_label::length_max &&
            rest.find_first_not_of(rest[0]) == rest.npos;
        if (!is_whole || (label[0] != 's' && of != std::to_string(id))) {
            fault = "task " + std::to_string(id) + " shows " + std::string(label);
        } else if (label[0] == 's') {
            spawned.emplace_back(std::stoull(of), id);
        } else {
            ++changed;
        }
    }
    [[nodiscard]] bool is_enough() const {
        return !fault.empty() || (spawned.size() >= 500 && changed >= 5000);
    }
    // Once all spawners have noted what they know.
    void compare(const shared_state& with) {
        for (const auto& [number, id] : spawned) {
            if (with.id_of.at(number).load_relaxed() != id) {
                fault = "task " + std::to_string(id) + " shows the label of another";
            }
        }
    }
};

// Keeps the label it was spawned with for a turn, and then changes it.
task<void> changes(shared_state* shared, std::uint64_t seed) {
    rt::base::random_source random(seed);
    const std::uint64_t id = *rt::current_task_id();
    for (std::uint32_t left = random.below(32); left != 0; --left) {
        co_await rt::yield();
        for (std::uint32_t i = random.below(8); i != 0; --i) {
            rt::set_task_label(label_of('t', id, random.below(26)));
        }
    }
    shared->ended.add_relaxed(1);
}

task<void> spawns(shared_state* shared, std::uint64_t seed) {
    rt::base::random_source random(seed);
    while (!shared->is_over.load_acquire()) {
        std::array<rt::join_handle<void>, 8> children;
        for (rt::join_handle<void>& each : children) {
            const std::uint64_t number =
                random.below(3) == 0 ? spawned_max : shared->spawned.add_relaxed(1);
            if (number >= spawned_max) {
                each = rt::spawn(changes, shared, random.next());
                continue;
            }
            const std::string label = label_of('s', number, random.below(26));
            each = rt::spawn({.label = label}, changes, shared, random.next());
            shared->id_of[number].store_relaxed(each.id());
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
    walked.compare(shared);
    listed.compare(shared);
    cr_assert(walked.fault.empty(), "%s", walked.fault.c_str());
    cr_assert(listed.fault.empty(), "%s", listed.fault.c_str());
    std::fprintf(
        stderr,
        "label_storm: %llu labels seen, %llu tasks ended\n",
        static_cast<unsigned long long>(
            walked.spawned.size() + walked.changed + listed.spawned.size() + listed.changed
        ),
        static_cast<unsigned long long>(shared.ended.load_relaxed())
    );
}

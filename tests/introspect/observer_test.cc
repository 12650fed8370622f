// SPDX-License-Identifier: MIT
//
// The observer of real runtimes: when the socket is there, what a dump says of real tasks, what
// happens at fork and when every worker is stuck.
//
// Method: questions by the line protocol to a socket in a directory of the test; where something
// is on its way (tasks that are about to wait), the question is asked until it has arrived.
#include "introspect/asking.h"
#include "runtime/observer.h"
#include "support/test.h"

#include <rt/block_in_place.h>
#include <rt/runtime.h>
#include <rt/spawn.h>
#include <rt/time.h>

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <ctime>
#include <string>

#include <sys/wait.h>
#include <unistd.h>

namespace {

using namespace std::chrono_literals;
using rt::test::ask;
using rt::test::ask_until;
using rt::test::has;
using rt::test::observed_settings;
using rt::test::scratch;

rt::task<void> waits_for_ever() {
    co_await rt::sleep(24h);
}

rt::task<void> a_child_that_waits(int /*number*/) {
    co_await waits_for_ever();
}

rt::task<void> spawn_waiting(int count) {
    for (int i = 0; i < count; ++i) {
        rt::spawn(a_child_that_waits, i).detach();
    }
    co_return;
}

struct spinning {
    rt::atomic<bool> stop{false};
    rt::atomic<int> running{0};
};

[[gnu::noinline]] void spin(spinning& state) {
    state.running.add_acq_rel(1);
    while (!state.stop.load_acquire()) {
    }
}

rt::task<void> a_task_that_blocks(spinning* state) {
    rt::block_in_place([&] { spin(*state); });
    co_return;
}

rt::task<void> a_task_that_spins(spinning* state) {
    spin(*state);
    co_return;
}

} // namespace

Test(observer, the_socket_lives_as_long_as_some_runtime_is_observed) {
    const scratch at;
    {
        rt::runtime first(observed_settings(at));
        cr_assert(rt::introspection_path() == at.socket());
        cr_assert(has(ask(at.socket(), "info"), "runtime rt  workers 2"));
        {
            rt::runtime second(observed_settings(at, 1));
            cr_assert(has(ask(at.socket(), "info"), "runtime rt-2  workers 1"));
        }
        cr_assert(!has(ask(at.socket(), "info"), "rt-2"));
    }
    cr_assert(rt::introspection_path().empty());
    cr_assert_eq(::access(at.socket().c_str(), F_OK), -1);
    rt::runtime again(observed_settings(at));
    cr_assert(has(ask(at.socket(), "health"), "ok"));
}

Test(observer, a_runtime_that_is_not_observed_has_no_socket) {
    const scratch at;
    rt::config quiet = observed_settings(at);
    quiet.introspect = false;
    rt::runtime runtime(quiet);
    cr_assert(runtime.introspection_path().empty());
    cr_assert_eq(::access(at.socket().c_str(), F_OK), -1);
}

Test(observer, a_dump_groups_waiting_tasks_with_their_async_stacks) {
    const scratch at;
    rt::runtime runtime(observed_settings(at));
    runtime.block_on(spawn_waiting(500));
    const std::string dump = ask_until(at.socket(), "dump", "---- 500 tasks  waiting sleep");
    cr_assert(has(dump, "waits_for_ever"), "%s", dump.c_str());
    cr_assert(has(dump, "a_child_that_waits"));
    cr_assert(has(dump, "observer_test.cc:"));
    cr_assert(has(dump, "by (anonymous namespace)::spawn_waiting"));
    cr_assert(has(ask(at.socket(), "tasks limit=3"), "3 of 500; after="));
    cr_assert(has(ask(at.socket(), "tasks site=a_child_that_waits limit=1 -j"), "\"total\":500"));
    cr_assert(has(ask(at.socket(), "tasks state=running -j"), "\"total\":0"));
    cr_assert(has(ask(at.socket(), "metrics"), "\nlibrt_tasks_alive 500\n"));
}

Test(observer, pages_of_tasks_show_every_task_once) {
    const scratch at;
    rt::runtime runtime(observed_settings(at));
    runtime.block_on(spawn_waiting(50));
    (void)ask_until(at.socket(), "dump", "---- 50 tasks  waiting sleep");
    std::size_t seen = 0;
    std::string after = "0";
    for (;;) {
        const std::string page = ask(at.socket(), "tasks -j limit=7 after=" + after);
        for (std::size_t p = page.find("{\"id\":"); p != std::string::npos;
             p = page.find("{\"id\":", p + 1)) {
            ++seen;
        }
        const std::size_t next = page.find("\"next_after\":\"");
        if (next == std::string::npos) {
            break;
        }
        after = page.substr(next + 14, page.find('"', next + 14) - next - 14);
    }
    cr_assert_eq(seen, 50U);
}

Test(observer, it_answers_while_every_worker_spins_and_names_the_tasks) {
    const scratch at;
    spinning state; // outlives the runtime, whose tasks look at it to the end
    rt::runtime runtime(observed_settings(at));
    const rt::handle spawner = runtime.get_handle();
    for (int i = 0; i < 2; ++i) {
        spawner.spawn(a_task_that_spins(&state)).detach();
    }
    while (state.running.load_acquire() < 2) {
    }
    const std::string dump = ask(at.socket(), "dump");
    cr_assert(has(dump, "2 STUCK"), "%s", dump.c_str());
    cr_assert(has(dump, "a_task_that_spins"));
    cr_assert(has(dump, "native: on CPU"));
#if !defined(RT_SANITIZED) // there the loop is in the sanitizer as often as not
    cr_assert(has(dump, "spin("));
#endif
    cr_assert(has(ask(at.socket(), "health"), "has been in task"));
    cr_assert(has(ask(at.socket(), "tasks state=running -j"), "\"total\":2"));
    state.stop.store_release(true);
    (void)ask_until(at.socket(), "health", "ok");
}

Test(observer, it_tells_a_task_that_blocks_in_place_from_one_that_is_stuck) {
    const scratch at;
    spinning state; // outlives the runtime, whose tasks look at it to the end
    rt::runtime runtime(observed_settings(at, 1));
    runtime.get_handle().spawn(a_task_that_blocks(&state)).detach();
    while (state.running.load_acquire() < 1) {
    }
    runtime.block_on(spawn_waiting(1)); // on the stand-in
    const std::string dump = ask_until(at.socket(), "dump", "blocking in place");
    cr_assert(has(dump, "0 STUCK"), "%s", dump.c_str());
    cr_assert(has(dump, "a_task_that_blocks"));
    cr_assert(has(ask(at.socket(), "health"), "ok"));
    cr_assert(has(ask(at.socket(), "tasks state=running -j"), "\"wait\":\"in place\""));
    cr_assert(has(ask(at.socket(), "workers"), "in place"));
    cr_assert(has(ask(at.socket(), "metrics"), "librt_blocks_in_place_total"));
    state.stop.store_release(true);
}

Test(observer, a_forked_child_does_not_answer_and_leaves_the_socket) {
    const scratch at;
    rt::runtime runtime(observed_settings(at));
    int ends[2];
    cr_assert_eq(::pipe(ends), 0);
    const pid_t child = ::fork();
    cr_assert(child >= 0);
    if (child == 0) {
        // Lives until the parent is done asking.
        char one = 0;
        ::close(ends[1]);
        const bool no_path = rt::engine::observer_path().empty();
        const ssize_t end = ::read(ends[0], &one, 1);
        ::_exit(no_path && end == 0 ? 0 : 1);
    }
    for (int i = 0; i < 20; ++i) {
        cr_assert(has(ask(at.socket(), "info"), "process " + std::to_string(::getpid()) + " "));
    }
    ::close(ends[1]);
    int status = 0;
    cr_assert_eq(::waitpid(child, &status, 0), child);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    cr_assert_eq(::access(at.socket().c_str(), F_OK), 0);
}

// Sums of the process, as a scraper sees them.
struct sums {
    explicit sums(const scratch& at)
        : page(ask(at.socket(), "metrics"))
        , polls(read("\nlibrt_worker_polls_total "))
        , cpu_seconds(read("\nlibrt_worker_cpu_seconds_total ")) {}

    double read(const std::string& name) const {
        const std::size_t found = page.find(name);
        cr_assert(found != std::string::npos, "%s", name.c_str());
        return std::strtod(page.c_str() + found + name.size(), nullptr);
    }

    std::string page;
    double polls;
    double cpu_seconds;
};

std::int64_t thread_cpu_ns() {
    timespec used{};
    cr_assert_eq(::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used), 0);
    return std::int64_t{used.tv_sec} * 1'000'000'000 + used.tv_nsec;
}

rt::task<void> computes() {
    const std::int64_t end = thread_cpu_ns() + 10'000'000;
    while (thread_cpu_ns() < end) {
    }
    co_return;
}

// However it goes: its workers may be gone before anybody looks once more.
Test(observer, counters_do_not_go_back_when_a_runtime_goes) {
    const scratch at;
    rt::runtime keeper(observed_settings(at, 1));
    for (int round = 0; round < 30; ++round) {
        double polls = 0;
        double cpu_seconds = 0;
        {
            rt::runtime guest(observed_settings(at));
            guest.block_on(computes());
            const bool is_looked_at = round % 2 == 0;
            const sums before(at);
            guest.block_on(computes());
            polls = before.polls + 1;
            cpu_seconds = before.cpu_seconds + 0.009;
            if (is_looked_at) {
                cpu_seconds = sums(at).cpu_seconds;
            }
            if (round % 3 == 1) {
                cr_assert(guest.shut_down(std::chrono::hours(1)).is_complete);
            } else if (round % 3 == 2) {
                guest.shut_down_in_background();
            }
        }
        const sums after(at);
        cr_assert_geq(after.polls, polls);
        cr_assert_geq(after.cpu_seconds, cpu_seconds, "round %d", round);
    }
}

Test(observer, a_place_where_no_socket_can_be_is_a_warning_and_not_a_failure) {
    const scratch at;
    rt::config nowhere = observed_settings(at);
    nowhere.socket_path = "/proc/no/such/place.sock";
    rt::runtime runtime(nowhere);
    cr_assert(runtime.introspection_path().empty());
    runtime.block_on(spawn_waiting(1));
}

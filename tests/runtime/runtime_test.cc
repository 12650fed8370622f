// SPDX-License-Identifier: MIT
//
// The runtime object: nesting, handles, threads, and what it leaves behind.
#include "base/captured.h"
#include "support/test.h"
#include "task/gate.h"
#include "task/sockets.h"

#include <rt/blocking.h>
#include <rt/runtime.h>
#include <rt/spawn.h>
#include <rt/sync/mpsc.h>
#include <rt/time.h>
#include <rt/yield.h>

#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <source_location>
#include <string>
#include <thread>
#include <vector>

#include <dirent.h>
#include <pthread.h>

namespace {

using namespace std::chrono_literals;
using rt::task;
using rt::test::capture;
using rt::test::captured;
using rt::test::everywhere;
using rt::test::gate;
using rt::test::with_workers;

std::size_t entries_of(const char* path) {
    std::size_t count = 0;
    DIR* const folder = ::opendir(path);
    cr_assert_not_null(folder);
    while (::readdir(folder) != nullptr) {
        ++count;
    }
    ::closedir(folder);
    return count;
}

task<int> seven() {
    co_await rt::yield();
    co_return 7;
}

} // namespace

Test(runtime, b016_has_as_many_workers_as_asked_for) {
    for (const std::uint32_t workers : {1U, 2U, 4U, 8U}) {
        rt::runtime runtime(with_workers(workers));
        cr_assert_eq(runtime.worker_count(), workers);
        cr_assert_eq(runtime.block_on(seven()), 7);
    }
    rt::runtime current(with_workers(0));
    cr_assert_eq(current.worker_count(), 1U);
}

Test(runtime, the_defaults_make_one_that_works) {
    rt::config wanted;
    wanted.introspect = false;
    rt::runtime runtime(wanted);
    cr_assert_geq(runtime.worker_count(), 1U);
    cr_assert_eq(runtime.block_on(seven()), 7);
    cr_assert_eq(rt::block_on(wanted, seven()), 7);
}

Test(runtime, leaves_no_thread_and_no_descriptor_behind) {
    const auto round = [] {
        for (const rt::driver_kind driver : {rt::driver_kind::automatic, rt::driver_kind::epoll}) {
            for (const std::uint32_t workers : {0U, 1U, 4U}) {
                rt::runtime runtime(with_workers(workers, driver));
                runtime.block_on([]() -> task<void> {
                    co_await rt::sleep(1ms);
                    co_await rt::blocking([] {});
                }());
            }
        }
    };
    round(); // what the process keeps for good, a sanitizer's thread among it, is there after it
    const std::size_t threads = entries_of("/proc/self/task");
    const std::size_t descriptors = entries_of("/proc/self/fd");
    for (int i = 0; i < 10; ++i) {
        round();
    }
    cr_assert_eq(entries_of("/proc/self/fd"), descriptors);
    cr_assert_eq(entries_of("/proc/self/task"), threads);
}

// ---- threads ------------------------------------------------------------------------------------

Test(runtime, names_its_threads) {
    rt::config wanted = with_workers(2);
    wanted.name = "herring";
    rt::runtime runtime(wanted);
    const auto names = runtime.block_on([]() -> task<std::pair<std::string, std::string>> {
        char own[16];
        pthread_getname_np(pthread_self(), own, sizeof(own));
        std::string blocking = co_await rt::blocking([] {
            char text[16];
            pthread_getname_np(pthread_self(), text, sizeof(text));
            return std::string(text);
        });
        co_return std::pair(std::string(own), std::move(blocking));
    }());
    cr_assert(names.first.starts_with("herring-w"), "%s", names.first.c_str());
    cr_assert(names.second.starts_with("herring-b"), "%s", names.second.c_str());
}

namespace {

// What /proc says of a thread behind a key.
std::string status_of(const std::string& thread, const std::string& key) {
    std::ifstream lines("/proc/self/task/" + thread + "/status");
    for (std::string line; std::getline(lines, line);) {
        if (line.starts_with(key)) {
            return line.substr(line.find_first_not_of(" \t", key.size()));
        }
    }
    return {};
}

} // namespace

// A signal is handled on a thread of the program's, so the watchdog's takes none either. A thread
// has its name before its mask, and this one's name is not of the runtime.
Test(runtime, its_threads_leave_signals_to_those_of_the_program) {
    rt::config wanted = with_workers(2);
    wanted.name = "herring";
    rt::runtime runtime(wanted);
    runtime.block_on([]() -> task<void> {
        co_await rt::blocking([] {});
    }());
    constexpr std::uint64_t bit = 1ULL << (SIGUSR1 - 1);
    std::size_t seen = 0;
    while (seen < 4) { // two workers, the watchdog, and one for the closure
        seen = 0;
        for (const auto& each : std::filesystem::directory_iterator("/proc/self/task")) {
            const std::string thread = each.path().filename();
            if (status_of(thread, "Name:").starts_with("herring-")) {
                const std::string mask = status_of(thread, "SigBlk:");
                seen += (std::strtoull(mask.c_str(), nullptr, 16) & bit) != 0 ? 1 : 0;
            }
        }
    }
}

Test(runtime, runs_the_root_on_a_worker_or_on_the_caller) {
    const auto here = []() -> task<std::thread::id> {
        co_return std::this_thread::get_id();
    };
    rt::runtime many(with_workers(2));
    cr_assert(many.block_on(here()) != std::this_thread::get_id());
    rt::runtime current(with_workers(0));
    cr_assert(current.block_on(here()) == std::this_thread::get_id());
}

// ---- one after the other, and at once -----------------------------------------------------------

Test(runtime, many_threads_block_on_one_at_once) {
    for (const std::uint32_t workers : {1U, 2U, 4U}) {
        rt::runtime runtime(with_workers(workers));
        rt::atomic<int> sum{0};
        std::vector<std::thread> threads;
        for (int t = 0; t < 4; ++t) {
            threads.emplace_back([&] {
                for (int i = 0; i < 500; ++i) {
                    sum.add_relaxed(runtime.block_on(seven()));
                }
            });
        }
        for (std::thread& each : threads) {
            each.join();
        }
        cr_assert_eq(sum.load_relaxed(), 4 * 500 * 7);
    }
}

// The thread that blocks on it is the worker; it need not be the one that made it.
Test(runtime, b184_current_thread_works_on_whichever_thread_blocks_on_it) {
    for (const rt::driver_kind driver : {rt::driver_kind::automatic, rt::driver_kind::epoll}) {
        const auto waits = []() -> task<int> {
            co_await rt::sleep(2ms);
            co_return 5;
        };
        auto runtime = std::make_unique<rt::runtime>(with_workers(0, driver));
        cr_assert_eq(runtime->block_on(waits()), 5);
        int got = 0;
        std::thread([&] { got = runtime->block_on(waits()); }).join();
        cr_assert_eq(got, 5);
        cr_assert_eq(runtime->block_on(waits()), 5);
        std::thread([&] { runtime.reset(); }).join();
    }
}

namespace {

task<void> echoes(rt::test::sockets* pair, int rounds) {
    for (char byte = 'a'; byte < 'a' + rounds; ++byte) {
        std::thread writer([=] { pair->write(byte); });
        cr_assert_eq(co_await rt::test::read_one(&pair->near), byte);
        writer.join();
    }
}

} // namespace

Test(runtime, b024_current_thread_serves_sockets_on_whichever_thread_blocks_on_it) {
    for (const rt::driver_kind driver : {rt::driver_kind::automatic, rt::driver_kind::epoll}) {
        rt::runtime runtime(with_workers(0, driver));
        const auto body = []() -> task<void> {
            rt::test::sockets pair;
            co_await echoes(&pair, 5);
        };
        runtime.block_on(body());
        std::thread([&] { runtime.block_on(body()); }).join();
        runtime.block_on(body());
    }
}

// ---- nesting ------------------------------------------------------------------------------------

namespace {

task<void> nests(rt::runtime* inner) {
    inner->block_on(seven());
    co_return;
}

task<void> nests_free_function() {
    rt::block_on(with_workers(1), seven());
    co_return;
}

} // namespace

Test(runtime, b020_block_on_inside_a_task_aborts_with_advice) {
    for (const std::uint32_t workers : {0U, 1U, 2U}) {
        const captured own = capture([=] {
            rt::runtime runtime(with_workers(workers));
            runtime.block_on(nests(&runtime));
        });
        cr_assert(own.was_aborted(), "%s", own.text.c_str());
        cr_assert(own.says("block_on inside a task"), "%s", own.text.c_str());
        cr_assert(own.says("co_await"), "%s", own.text.c_str());
        const captured other = capture([=] {
            rt::runtime runtime(with_workers(workers));
            rt::runtime inner(with_workers(1));
            runtime.block_on(nests(&inner));
        });
        cr_assert(other.was_aborted() && other.says("block_on inside a task"));
    }
    const captured free = capture([] {
        rt::runtime runtime(with_workers(1));
        runtime.block_on(nests_free_function());
    });
    cr_assert(free.was_aborted() && free.says("block_on inside a task"), "%s", free.text.c_str());
}

Test(runtime, b021_one_may_be_made_inside_a_task_and_used_outside) {
    everywhere([](rt::runtime& outer) {
        for (const std::uint32_t workers : {0U, 2U}) {
            auto inner =
                outer.block_on([](std::uint32_t count) -> task<std::unique_ptr<rt::runtime>> {
                    co_return std::make_unique<rt::runtime>(with_workers(count));
                }(workers));
            cr_assert_eq(inner->block_on(seven()), 7);
        }
    });
}

Test(runtime, b095_one_that_dies_on_its_own_worker_aborts_with_advice) {
    for (const std::uint32_t workers : {0U, 1U}) {
        const captured got = capture([=] {
            auto runtime = std::make_unique<rt::runtime>(with_workers(workers));
            rt::runtime& named = *runtime;
            named.block_on([](std::unique_ptr<rt::runtime> own) -> task<void> {
                own.reset();
                co_return;
            }(std::move(runtime)));
        });
        cr_assert(got.was_aborted(), "%s", got.text.c_str());
        cr_assert(got.says("destroyed on one of its own workers"), "%s", got.text.c_str());
    }
}

// ---- handles ------------------------------------------------------------------------------------

namespace {

task<int> spawns_through_current() {
    const rt::handle here = rt::handle::current();
    co_return co_await here.spawn(seven());
}

task<int> spawns_from_blocking() {
    auto child = co_await rt::blocking([] { return rt::handle::current().spawn(seven()); });
    co_return co_await std::move(child);
}

} // namespace

Test(runtime, handle_current_is_the_runtime_of_the_task) {
    everywhere([](rt::runtime& runtime) {
        cr_assert_eq(runtime.block_on(spawns_through_current()), 7);
        cr_assert_eq(runtime.block_on(spawns_from_blocking()), 7);
        cr_assert(!rt::handle::try_current(), "only while a task runs");
    });
}

Test(runtime, a_handle_may_outlive_its_runtime) {
    std::optional<rt::handle> kept;
    {
        rt::runtime runtime(with_workers(2));
        kept.emplace(runtime.get_handle());
        const rt::handle copied = *kept;
        cr_assert(static_cast<bool>(copied));
    }
    auto late = kept->spawn(seven());
    cr_assert(late.is_finished());
    cr_assert_throw(late.take(), rt::join_error);
}

Test(runtime, an_empty_handle_aborts) {
    const captured got = capture([] {
        rt::handle::try_current()
            .spawn([]() -> task<void> {
                co_return;
            }())
            .detach();
    });
    cr_assert(got.was_aborted());
    cr_assert(got.says("an empty rt::handle"), "%s", got.text.c_str());
    const captured entered = capture([] { const auto in = rt::handle::try_current().enter(); });
    cr_assert(entered.was_aborted());
    cr_assert(entered.says("an empty rt::handle"), "%s", entered.text.c_str());
}

Test(runtime, handle_spawn_at_owns_callable_and_arguments) {
    everywhere([](rt::runtime& runtime) {
        const rt::handle onto = runtime.get_handle();
        auto child = onto.spawn_at(
            std::source_location::current(),
            [prefix =
                 std::string("a long enough prefix, ")](std::string text) -> task<std::string> {
                co_await rt::yield();
                co_return prefix + text;
            },
            std::string("and a text")
        );
        const std::string got =
            runtime.block_on([](rt::join_handle<std::string> of) -> task<std::string> {
                co_return co_await std::move(of);
            }(std::move(child)));
        cr_assert(got == "a long enough prefix, and a text");
    });
}

Test(runtime, handle_spawn_takes_a_callable_and_its_arguments) {
    everywhere([](rt::runtime& runtime) {
        const rt::handle onto = runtime.get_handle();
        int sum = 0;
        const auto add = [](rt::join_handle<int> of, int* to) -> task<void> {
            *to += co_await std::move(of);
        };
        int kept = 4;
        runtime.block_on(add(onto.spawn([kept]() -> task<int> { co_return kept; }), &sum));
        runtime.block_on(
            add(onto.spawn([kept](int n) -> task<int> { co_return kept + n; }, 1), &sum)
        );
        runtime.block_on(
            add(onto.spawn(
                    [](int n, std::unique_ptr<int> m) -> task<int> { co_return n + *m; },
                    2,
                    std::make_unique<int>(3)
                ),
                &sum)
        );
        runtime.block_on(
            add(onto.spawn(
                    {.name = "sum"},
                    [](int a, int b, int c) -> task<int> { co_return a + b + c; },
                    1,
                    2,
                    3
                ),
                &sum)
        );
        cr_assert_eq(sum, 4 + 5 + 5 + 6);
    });
}

// ---- in odd places ------------------------------------------------------------------------------

namespace {

task<void> receives(rt::mpsc::receiver<int> from) {
    while (co_await from.recv()) {
    }
}

// Wakes a task when its thread ends.
struct last_word {
    std::optional<rt::mpsc::unbounded_sender<int>> to;
    ~last_word() {
        if (to) {
            static_cast<void>(to->send(1));
        }
    }
};

} // namespace

Test(runtime, b031_a_thread_local_may_wake_tasks_when_the_runtime_is_gone) {
    for (const std::uint32_t workers : {0U, 2U}) {
        std::thread([workers] {
            thread_local last_word word;
            auto [to, from] = rt::mpsc::unbounded_channel<int>();
            word.to = std::move(to);
            rt::runtime runtime(with_workers(workers));
            runtime.get_handle().spawn(receives(std::move(from))).detach();
            cr_assert_eq(runtime.block_on(seven()), 7);
        }).join();
    }
}

Test(runtime, b032_one_in_a_thread_local_is_destroyed_with_its_thread) {
    for (const std::uint32_t workers : {0U, 2U}) {
        rt::test::census counted;
        gate never;
        std::thread([&] {
            thread_local std::unique_ptr<rt::runtime> mine;
            mine = std::make_unique<rt::runtime>(with_workers(workers));
            mine->get_handle()
                .spawn([](gate* at, rt::test::member /*owned*/) -> task<void> {
                    co_await at->wait();
                }(&never, rt::test::member(counted)))
                .detach();
            cr_assert_eq(mine->block_on(seven()), 7);
        }).join();
        cr_assert_eq(counted.live.load_relaxed(), 0);
    }
}

Test(runtime, b007_spawning_before_it_is_driven_works) {
    everywhere([](rt::runtime& runtime) {
        rt::join_handle<int> child = runtime.get_handle().spawn(seven());
        const int got = runtime.block_on([](rt::join_handle<int> of) -> task<int> {
            co_return co_await std::move(of);
        }(std::move(child)));
        cr_assert_eq(got, 7);
    });
}

// SPDX-License-Identifier: MIT
//
// fork(): a child that uses the runtime of its parent is told so, one that does not lives, and the
// parent notices nothing.
//
// What the child does is in a function; the parent looks at how it ended. A child that aborts has
// done so with a message, on a pipe that is read here.
#include "support/runtimes.h"
#include "support/test.h"

#include <rt/blocking.h>
#include <rt/runtime.h>
#include <rt/spawn_blocking.h>
#include <rt/time.h>
#include <rt/yield.h>

#include <chrono>
#include <csignal>
#include <functional>
#include <memory>
#include <string>

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {

using namespace std::chrono_literals;
using rt::test::settings;

struct ending {
    int status = 0;
    std::string text; // of standard error
};

// In the child: what it says goes to `out`, and it does not outlive a failure.
void settle_as_child(int out) {
    const rlimit no_core{0, 0};
    ::setrlimit(RLIMIT_CORE, &no_core);
    ::signal(SIGABRT, SIG_DFL);
    ::dup2(out, STDERR_FILENO);
    ::alarm(10); // a child that hangs is a failure, too
}

// In the parent: waits for the child's end. `ends` is the pipe between them.
ending end_of(pid_t child, const int (&ends)[2]) {
    ::close(ends[1]);
    ending seen;
    char bytes[512];
    for (ssize_t got = ::read(ends[0], bytes, sizeof(bytes)); got > 0;
         got = ::read(ends[0], bytes, sizeof(bytes))) {
        seen.text.append(bytes, static_cast<std::size_t>(got));
    }
    ::close(ends[0]);
    cr_assert(::waitpid(child, &seen.status, 0) == child);
    return seen;
}

// Runs `body` in a child and waits for its end.
ending in_child(const std::function<void()>& body) {
    int ends[2];
    cr_assert(::pipe(ends) == 0);
    const pid_t child = ::fork();
    if (child == 0) {
        settle_as_child(ends[1]);
        body();
        ::_exit(0);
    }
    return end_of(child, ends);
}

void expect_advice(const ending& seen) {
    cr_assert(
        WIFSIGNALED(seen.status) && WTERMSIG(seen.status) == SIGABRT, "%s", seen.text.c_str()
    );
    cr_assert(seen.text.find("a child of fork() uses a runtime") != std::string::npos);
}

rt::task<int> one() {
    co_await rt::yield();
    co_return 1;
}

rt::task<int> blocking_two() {
    co_return co_await rt::blocking([] { return 2; });
}

// The parent's runtime works as before.
void expect_alive(rt::runtime& runtime) {
    cr_assert_eq(runtime.block_on(one()), 1);
    cr_assert_eq(runtime.block_on(blocking_two()), 2);
}

// The child comes back into its task and goes on awaiting.
rt::task<void> fork_and_go_on(ending* seen) {
    int ends[2];
    static_cast<void>(::pipe(ends));
    const pid_t child = ::fork();
    if (child == 0) {
        settle_as_child(ends[1]);
        co_await rt::sleep(1ms);
        ::_exit(0);
    }
    *seen = end_of(child, ends);
    co_await rt::sleep(1ms);
}

} // namespace

Test(fork, a_child_that_blocks_on_the_runtime_is_told) {
    rt::test::on_every_runtime([](const rt::config& config) {
        rt::runtime runtime(config);
        expect_alive(runtime);
        expect_advice(in_child([&] { runtime.block_on(one()); }));
        expect_alive(runtime);
    });
}

Test(fork, a_child_that_spawns_through_a_handle_is_told) {
    rt::runtime runtime(settings());
    const rt::handle handle = runtime.get_handle();
    expect_advice(in_child([&] { handle.spawn(one()).detach(); }));
    expect_advice(in_child([&] { handle.spawn_blocking([] {}).detach(); }));
    expect_advice(in_child([&] { static_cast<void>(runtime.shut_down(1s)); }));
    expect_alive(runtime);
}

Test(fork, a_child_that_goes_on_in_its_task_is_told) {
    rt::test::on_every_runtime([](const rt::config& config) {
        ending seen;
        rt::block_on(config, fork_and_go_on(&seen));
        expect_advice(seen);
    });
}

Test(fork, a_child_may_destroy_the_runtime) {
    auto runtime = std::make_unique<rt::runtime>(settings());
    expect_alive(*runtime);
    const ending seen = in_child([&] { runtime.reset(); });
    cr_assert(WIFEXITED(seen.status) && WEXITSTATUS(seen.status) == 0, "%s", seen.text.c_str());
    expect_alive(*runtime);
}

Test(fork, a_child_may_make_a_runtime_of_its_own) {
#if defined(__has_feature)
#    if __has_feature(thread_sanitizer)
    cr_skip_test("the thread sanitizer forbids threads in a child");
#    endif
#endif
    rt::runtime runtime(settings());
    expect_alive(runtime);
    const ending seen = in_child([] {
        rt::runtime own(settings());
        if (own.block_on(one()) != 1 || own.block_on(blocking_two()) != 2) {
            ::_exit(1);
        }
    });
    cr_assert(WIFEXITED(seen.status) && WEXITSTATUS(seen.status) == 0, "%s", seen.text.c_str());
    expect_alive(runtime);
}

// SPDX-License-Identifier: MIT
//
// The signal masks of programs that tasks start, and the two ways to empty them that rt_blocking(3)
// shows. The started program sleeps for longer than any test may take, unless SIGTERM ends it.
#include "support/runtimes.h"
#include "support/test.h"

#include <rt/blocking.h>
#include <rt/runtime.h>

#include <csignal>
#include <cstdint>
#include <fstream>
#include <string>

#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

extern char** environ;

namespace {

using rt::test::settings;

char* const* sleep_arguments() {
    static std::string words[] = {"sleep", "600"};
    static char* arguments[] = {words[0].data(), words[1].data(), nullptr};
    return arguments;
}

pid_t start(const posix_spawnattr_t* attributes) {
    pid_t child = -1;
    const int code = posix_spawnp(&child, "sleep", nullptr, attributes, sleep_arguments(), environ);
    return code == 0 ? child : -1;
}

pid_t start_as_it_is() {
    return start(nullptr);
}

pid_t start_with_an_empty_mask() {
    sigset_t none;
    sigemptyset(&none);
    posix_spawnattr_t attributes;
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
    posix_spawnattr_setsigmask(&attributes, &none);
    const pid_t child = start(&attributes);
    posix_spawnattr_destroy(&attributes);
    return child;
}

pid_t fork_with_an_empty_mask() {
    const pid_t child = fork();
    if (child == 0) {
        sigset_t none;
        sigemptyset(&none);
        pthread_sigmask(SIG_SETMASK, &none, nullptr);
        execvp("sleep", sleep_arguments());
        _exit(127);
    }
    return child;
}

// Whether the child blocks SIGTERM; it is gone afterwards.
bool is_deaf(pid_t child) {
    std::ifstream status("/proc/" + std::to_string(child) + "/status");
    std::string key;
    std::uint64_t blocked = 0;
    while (status >> key) {
        if (key == "SigBlk:") {
            status >> std::hex >> blocked;
            break;
        }
    }
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
    return ((blocked >> (SIGTERM - 1U)) & 1U) != 0;
}

bool ends_by_sigterm(pid_t child) {
    int status = 0;
    return child > 0 && kill(child, SIGTERM) == 0 && waitpid(child, &status, 0) == child &&
        WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM;
}

template<typename Function>
rt::task<bool> in_task(Function function) {
    co_return function();
}

template<typename Function>
rt::task<bool> in_blocking(Function function) {
    co_return co_await rt::blocking(function);
}

template<typename Function>
void expect_on_both(Function function) {
    cr_assert(rt::block_on(settings(), in_task(function)));
    cr_assert(rt::block_on(settings(), in_blocking(function)));
}

} // namespace

Test(child, inherits_the_mask_of_the_thread_that_starts_it) {
    cr_assert_not(is_deaf(start_as_it_is()), "the test's own thread blocks nothing");
    expect_on_both([] { return is_deaf(start_as_it_is()); });
}

Test(child, that_is_spawned_with_an_empty_mask_is_ended_by_sigterm) {
    expect_on_both([] { return ends_by_sigterm(start_with_an_empty_mask()); });
}

Test(child, that_is_forked_and_empties_its_mask_is_ended_by_sigterm) {
    expect_on_both([] { return ends_by_sigterm(fork_with_an_empty_mask()); });
}

// SPDX-License-Identifier: MIT
//
// captured: runs a function in a child process and keeps what it wrote to descriptor 2 and how it
// ended. For fatal(), asserts and log lines, whose text is the behaviour under test. The parent has
// one thread when it forks, since each test has a process of its own.
#pragma once

#include "support/test.h"

#include <csignal>
#include <cstdlib>
#include <string>

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

namespace rt::test {

struct captured {
    std::string text;
    int status; // as waitpid gave it

    [[nodiscard]] bool was_aborted() const {
        return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
    }
    [[nodiscard]] bool has_exited() const { return WIFEXITED(status) && WEXITSTATUS(status) == 0; }
    [[nodiscard]] bool says(const char* part) const { return text.find(part) != std::string::npos; }
};

// How often a text says a part.
inline std::size_t occurrences(const std::string& text, const std::string& part) {
    std::size_t count = 0;
    for (auto at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) {
        ++count;
    }
    return count;
}

template<class Function>
captured capture(Function run) {
    int ends[2];
    cr_assert(::pipe(ends) == 0);
    const pid_t child = ::fork();
    cr_assert(child >= 0);
    if (child == 0) {
        const rlimit no_core{0, 0};
        ::setrlimit(RLIMIT_CORE, &no_core);
        std::signal(SIGABRT, SIG_DFL); // the test framework may have a handler
        ::dup2(ends[1], STDERR_FILENO);
        ::close(ends[0]);
        ::close(ends[1]);
        run();
        ::_exit(0);
    }
    ::close(ends[1]);
    captured result{};
    char chunk[512];
    for (ssize_t length = 0; (length = ::read(ends[0], chunk, sizeof(chunk))) > 0;) {
        result.text.append(chunk, static_cast<std::size_t>(length));
    }
    ::close(ends[0]);
    cr_assert(::waitpid(child, &result.status, 0) == child);
    // A build with RT_CHAOS announces its seed; that line is not the behaviour under test.
    if (const std::size_t seed = result.text.find("librt: LIBRT_CHAOS_SEED=");
        seed != result.text.npos) {
        result.text.erase(seed, result.text.find('\n', seed) + 1 - seed);
    }
    return result;
}

} // namespace rt::test

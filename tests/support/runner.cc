// SPDX-License-Identifier: MIT
//
// The main program of the tests in the builds that cannot use Criterion: see support/runner.h.
//
//   program [--filter PATTERN] [--timeout SECONDS] [--tap=FILE] [--list] [--jobs N]
//
// takes the options of Criterion that tests/run uses, prints failures and a summary in Criterion's
// words, and writes the same TAP report, so that tests/run needs to know one format. PATTERN is a
// glob over suite/name. --jobs is accepted and ignored: tests run one after the other.
//
// Each test is a child process. The parent never has a second thread, so that forking is safe under
// ThreadSanitizer; it waits with poll(2) on a pidfd, and kills the child's whole process group when
// the time is up. The child's status tells the outcome; the codes for failed and skipped are taken
// from a range that no test uses as its own exit code.
#if defined(LIBRT_TEST_RUNNER)
#    include "support/runner.h"

#    include <algorithm>
#    include <cstdarg>
#    include <exception>
#    include <string>
#    include <string_view>
#    include <vector>

#    include <fnmatch.h>
#    include <poll.h>
#    include <sys/prctl.h>
#    include <sys/syscall.h>
#    include <sys/wait.h>
#    include <time.h>
#    include <unistd.h>

namespace rt::test {
namespace {

constexpr int status_failed = 112;
constexpr int status_skipped = 77;        // the code that automake and liburing use
constexpr double default_timeout_s = 120; // as in support/limit.cc
// The time limits are written for the plain build; ThreadSanitizer's manual gives a slowdown of 5
// to 15.
constexpr double slowdown = 10;

// Filled before main by constructors, in one thread.
constinit registration* first = nullptr;
constinit registration** last = &first;

// Set by expect_failed in whichever thread, read at the end of the test by its own. A lost race
// would only lose a failure that is printed anyway, but there is none: the value only ever becomes
// true.
volatile std::sig_atomic_t expectation_failed = 0;

enum class outcome { passed, failed, skipped };

struct settings {
    const char* filter = "*";
    double timeout_s = default_timeout_s;
    const char* tap_path = nullptr;
    bool list_only = false;
};

void print_failure(
    const char* file, int line, const char* what, const char* format, std::va_list arguments
) {
    std::fprintf(stderr, "[----] %s:%d: Assertion Failed\n[----]   %s", file, line, what);
    std::vfprintf(stderr, format, arguments);
    std::fputc('\n', stderr);
}

double now_s() noexcept {
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

const options* suite_options(const char* suite) noexcept {
    for (const registration* each = first; each != nullptr; each = each->next) {
        if (each->name == nullptr && std::strcmp(each->suite, suite) == 0) {
            return &each->wanted;
        }
    }
    return nullptr;
}

// What the test did not say, its suite may have said.
options effective(const registration& test) noexcept {
    options wanted = test.wanted;
    if (const options* suite = suite_options(test.suite); suite != nullptr) {
        wanted.init = wanted.init != nullptr ? wanted.init : suite->init;
        wanted.fini = wanted.fini != nullptr ? wanted.fini : suite->fini;
        wanted.signal = wanted.signal != 0 ? wanted.signal : suite->signal;
        wanted.exit_code = wanted.exit_code != 0 ? wanted.exit_code : suite->exit_code;
        wanted.disabled = wanted.disabled || suite->disabled;
    }
    return wanted;
}

// The child's whole life. _exit runs ThreadSanitizer's report (it makes the status 66 if it saw a
// race), and no destructor of a global that a thread may still use.
[[noreturn]] void run_in_child(const registration& test, const options& wanted) {
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    int status = 0;
    try {
        if (wanted.init != nullptr) {
            wanted.init();
        }
        test.body();
        if (wanted.fini != nullptr) {
            wanted.fini();
        }
    } catch (const std::exception& caught) {
        std::fprintf(stderr, "[----] uncaught exception: %s\n", caught.what());
        status = status_failed;
    } catch (...) {
        std::fprintf(stderr, "[----] uncaught exception\n");
        status = status_failed;
    }
    if (expectation_failed != 0) {
        status = status_failed;
    }
    std::fflush(nullptr);
    _exit(status);
}

// Waits for the child until the deadline; true if it ended by itself.
bool wait_until(int child, double deadline_s) noexcept {
    const int descriptor = static_cast<int>(syscall(SYS_pidfd_open, child, 0));
    if (descriptor < 0) {
        return false;
    }
    bool ended = false;
    for (double left_s = deadline_s - now_s(); left_s > 0 && !ended;
         left_s = deadline_s - now_s()) {
        pollfd watched{descriptor, POLLIN, 0};
        ended = poll(&watched, 1, static_cast<int>(left_s * 1000) + 1) == 1;
    }
    close(descriptor);
    return ended;
}

std::string describe(int status) {
    if (WIFSIGNALED(status)) {
        return std::string("died of signal ") + strsignal(WTERMSIG(status));
    }
    return "exited with status " + std::to_string(WEXITSTATUS(status));
}

outcome judge(int status, const options& wanted, std::string& reason) {
    if (WIFEXITED(status) && WEXITSTATUS(status) == status_skipped) {
        return outcome::skipped;
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == status_failed) {
        reason = "failed";
        return outcome::failed;
    }
    const bool as_wanted = wanted.signal != 0
        ? WIFSIGNALED(status) && WTERMSIG(status) == wanted.signal
        : WIFEXITED(status) && WEXITSTATUS(status) == wanted.exit_code;
    if (as_wanted) {
        return outcome::passed;
    }
    reason = describe(status);
    return outcome::failed;
}

outcome run_one(const registration& test, const settings& chosen, std::string& reason) {
    const options wanted = effective(test);
    if (wanted.disabled) {
        return outcome::skipped;
    }
    std::fflush(nullptr);
    const double deadline_s = now_s() + chosen.timeout_s * slowdown;
    const pid_t child = fork();
    if (child < 0) {
        reason = "fork failed";
        return outcome::failed;
    }
    if (child == 0) {
        run_in_child(test, wanted);
    }
    const bool ended = wait_until(child, deadline_s);
    if (!ended) {
        kill(child, SIGKILL);
    }
    int status = 0;
    waitpid(child, &status, 0);
    kill(-child, SIGKILL); // what the test left behind in its process group
    if (!ended) {
        reason = "timed out";
        return outcome::failed;
    }
    return judge(status, wanted, reason);
}

void report(
    std::FILE* tap,
    const registration& test,
    outcome result,
    const std::string& reason,
    double took_s
) {
    if (result == outcome::failed) {
        std::fprintf(stderr, "[FAIL] %s::%s: %s\n", test.suite, test.name, reason.c_str());
    }
    if (tap != nullptr) {
        std::fprintf(
            tap, "%s - %s::%s ", result == outcome::failed ? "not ok" : "ok", test.suite, test.name
        );
        switch (result) {
        case outcome::passed:
            std::fprintf(tap, " (%.2fs)\n", took_s);
            break;
        case outcome::failed:
            std::fprintf(tap, "%s (%.2fs)\n", reason.c_str(), took_s);
            break;
        case outcome::skipped:
            std::fprintf(tap, "# SKIP\n");
            break;
        }
        std::fflush(tap);
    }
}

// The value of "--name VALUE" or "--name=VALUE", or null if the argument is another one.
const char* value_of(std::string_view name, int& index, int count, char** arguments) noexcept {
    const std::string_view argument = arguments[index];
    if (argument.starts_with(name) && argument.substr(name.size()).starts_with("=")) {
        return arguments[index] + name.size() + 1;
    }
    if (argument == name && index + 1 < count) {
        return arguments[++index];
    }
    return nullptr;
}

settings parse(int count, char** arguments) {
    settings chosen;
    for (int i = 1; i < count; ++i) {
        if (const char* pattern = value_of("--filter", i, count, arguments); pattern != nullptr) {
            chosen.filter = pattern;
        } else if (const char* limit = value_of("--timeout", i, count, arguments);
                   limit != nullptr) {
            chosen.timeout_s = std::atof(limit);
        } else if (const char* path = value_of("--tap", i, count, arguments); path != nullptr) {
            chosen.tap_path = path;
        } else if (value_of("--jobs", i, count, arguments) != nullptr) {
            continue;
        } else if (std::strcmp(arguments[i], "--list") == 0) {
            chosen.list_only = true;
        } else {
            std::fprintf(stderr, "%s: unknown option %s\n", arguments[0], arguments[i]);
            std::exit(2);
        }
    }
    return chosen;
}

std::vector<registration*> selected(const settings& chosen) {
    std::vector<registration*> tests;
    for (registration* each = first; each != nullptr; each = each->next) {
        if (each->name == nullptr) {
            continue;
        }
        const std::string path = std::string(each->suite) + "/" + each->name;
        if (fnmatch(chosen.filter, path.c_str(), 0) == 0) {
            tests.push_back(each);
        }
    }
    std::ranges::sort(tests, {}, [](const registration* test) {
        return std::string_view(test->suite);
    });
    return tests;
}

int run_all(const settings& chosen) {
    std::FILE* const tap = chosen.tap_path != nullptr ? std::fopen(chosen.tap_path, "w") : nullptr;
    int passed = 0;
    int failed = 0;
    int skipped = 0;
    for (const registration* test : selected(chosen)) {
        if (chosen.list_only) {
            std::printf("%s/%s\n", test->suite, test->name);
            continue;
        }
        std::string reason;
        const double start_s = now_s();
        const outcome result = run_one(*test, chosen, reason);
        report(tap, *test, result, reason, now_s() - start_s);
        passed += result == outcome::passed;
        failed += result == outcome::failed;
        skipped += result == outcome::skipped;
    }
    if (tap != nullptr) {
        std::fclose(tap);
    }
    if (!chosen.list_only) {
        std::fprintf(
            stderr,
            "[====] Synthesis: Tested: %d | Passing: %d | Failing: %d | Skipped: %d\n",
            passed + failed,
            passed,
            failed,
            skipped
        );
    }
    return failed == 0 ? 0 : 1;
}

} // namespace

registration::registration(
    const char* its_suite, const char* its_name, void (*its_body)(), options its_wanted
) noexcept
    : suite(its_suite)
    , name(its_name)
    , body(its_body)
    , wanted(its_wanted) {
    *last = this;
    last = &next;
}

void fail(const char* file, int line, const char* what, const char* format, ...) {
    std::va_list arguments;
    va_start(arguments, format);
    print_failure(file, line, what, format, arguments);
    va_end(arguments);
    std::fflush(nullptr);
    _exit(status_failed);
}

void expect_failed(const char* file, int line, const char* what, const char* format, ...) {
    std::va_list arguments;
    va_start(arguments, format);
    print_failure(file, line, what, format, arguments);
    va_end(arguments);
    expectation_failed = 1;
}

void skip(const char* format, ...) {
    std::va_list arguments;
    va_start(arguments, format);
    std::fputs("[SKIP]", stderr);
    std::vfprintf(stderr, format, arguments);
    std::fputc('\n', stderr);
    va_end(arguments);
    std::fflush(nullptr);
    _exit(status_skipped);
}

void log(const char* level, const char* format, ...) {
    std::va_list arguments;
    va_start(arguments, format);
    std::fprintf(stderr, "[%s] ", level);
    std::vfprintf(stderr, format, arguments);
    std::fputc('\n', stderr);
    va_end(arguments);
}

} // namespace rt::test

int main(int count, char** arguments) {
    return rt::test::run_all(rt::test::parse(count, arguments));
}
#endif

// SPDX-License-Identifier: MIT
//
// The LIBRT_* variables: each grammar with its limits, the sentences about faults, and suggestions.
#include "base/environment.h"
#include "support/test.h"

#include <array>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>

using namespace rt::base;

static constexpr std::string_view known[] = {
    "LIBRT_WORKERS", "LIBRT_STACK", "LIBRT_STALL", "LIBRT_DRIVER", "LIBRT_TRACE", "LIBRT_CPUS"};

static constexpr std::string_view drivers[] = {"auto", "uring", "epoll"};

/// A reader of one variable.
template<class Read>
static auto read_one(const char* assignment, Read read, std::string* fault = nullptr) {
    const char* block[] = {assignment, nullptr};
    environment variables(block, known);
    auto value = read(variables);
    cr_assert(variables.faults().size() <= 1);
    if (fault != nullptr) {
        *fault = variables.faults().empty() ? "" : variables.faults().front();
    } else {
        cr_assert(variables.faults().empty(), "%s", variables.faults().front().c_str());
    }
    return value;
}

static void check_fault(const char* assignment, auto read, const char* expected) {
    std::string fault;
    cr_assert_not(read_one(assignment, read, &fault).has_value());
    cr_assert_str_eq(fault.c_str(), expected);
}

static const auto workers = [](environment& from) {
    return from.uint("LIBRT_WORKERS", {.min = 1, .max = 4096});
};
static const auto stack = [](environment& from) {
    return from.size("LIBRT_STACK", {.min = 4096, .max = 1 << 30});
};
static const auto stall = [](environment& from) {
    return from.duration("LIBRT_STALL", {.min = 1'000'000, .max = 60'000'000'000});
};

Test(environment, absent_and_empty_mean_not_set) {
    cr_assert_not(read_one("HOME=/root", workers).has_value());
    cr_assert_not(read_one("LIBRT_WORKERS=", workers).has_value());
    const environment nothing(nullptr, known);
    cr_assert_not(nothing.text("LIBRT_WORKERS").has_value());
}

Test(environment, names_match_as_a_whole) {
    const char* block[] = {
        "LIBRT_CPU=1", "LIBRT_CPUSX=2", "XLIBRT_CPUS=3", "LIBRT_CPUS=4", nullptr};
    const environment variables(block, known);
    cr_assert(variables.text("LIBRT_CPUS") == "4");
}

Test(environment, reads_numbers) {
    cr_assert(read_one("LIBRT_WORKERS=8", workers) == 8U);
    cr_assert(read_one("LIBRT_WORKERS=0x10", workers) == 16U);
    cr_assert(read_one("LIBRT_WORKERS=4096", workers) == 4096U);
}

Test(environment, says_what_a_number_should_have_been) {
    check_fault(
        "LIBRT_WORKERS=x", workers, "LIBRT_WORKERS=\"x\": expected a number, range 1 to 4096"
    );
    check_fault(
        "LIBRT_WORKERS=0", workers, "LIBRT_WORKERS=\"0\": expected a number, range 1 to 4096"
    );
    check_fault(
        "LIBRT_WORKERS=4097", workers, "LIBRT_WORKERS=\"4097\": expected a number, range 1 to 4096"
    );
    for (const char* bad :
         {"LIBRT_WORKERS=8 ",
          "LIBRT_WORKERS=-1",
          "LIBRT_WORKERS=+1",
          "LIBRT_WORKERS=1.5",
          "LIBRT_WORKERS=0x",
          "LIBRT_WORKERS=99999999999999999999"}) {
        std::string fault;
        cr_assert_not(read_one(bad, workers, &fault).has_value());
        cr_assert_not(fault.empty());
    }
}

Test(environment, reads_sizes) {
    cr_assert(parse_size("4096") == 4096U);
    cr_assert(parse_size("64k") == 65536U);
    cr_assert(parse_size("64KB") == 65536U);
    cr_assert(parse_size("1.5MiB") == 1572864U);
    cr_assert(parse_size("2G") == 2147483648U);
    cr_assert(parse_size("16777215T") == 16777215ULL << 40);
    for (const char* bad :
         {"", "K", "1X", "1.K", ".5K", "1.3B", "1 K", "16777216T", "1..5K", "-1K"}) {
        cr_assert_not(parse_size(bad).has_value(), "%s", bad);
    }
    check_fault(
        "LIBRT_STACK=1K",
        stack,
        "LIBRT_STACK=\"1K\": expected a size such as 64K or 16M, range 4K to 1G"
    );
}

Test(environment, reads_durations) {
    cr_assert(parse_duration_ns("0") == 0U);
    cr_assert(parse_duration_ns("7ns") == 7U);
    cr_assert(parse_duration_ns("50us") == 50'000U);
    cr_assert(parse_duration_ns("1.5ms") == 1'500'000U);
    cr_assert(parse_duration_ns("2S") == 2'000'000'000U);
    cr_assert(parse_duration_ns("5m") == 300'000'000'000U);
    cr_assert(parse_duration_ns("1h") == 3'600'000'000'000U);
    for (const char* bad : {"", "5", "s", "1.5ns", "1d", "9999999999h", "1,5s", "1.0000000001s"}) {
        cr_assert_not(parse_duration_ns(bad).has_value(), "%s", bad);
    }
    check_fault(
        "LIBRT_STALL=100",
        stall,
        "LIBRT_STALL=\"100\": expected a duration such as 50us, 100ms or 2s, range 1ms to 1m"
    );
}

Test(environment, reads_booleans) {
    for (const char* yes : {"on", "YES", "true", "1"}) {
        cr_assert(parse_boolean(yes) == true);
    }
    for (const char* no : {"off", "No", "FALSE", "0"}) {
        cr_assert(parse_boolean(no) == false);
    }
    check_fault(
        "LIBRT_TRACE=maybe",
        [](environment& from) { return from.boolean("LIBRT_TRACE"); },
        "LIBRT_TRACE=\"maybe\": expected on or off"
    );
}

Test(environment, reads_words_and_suggests_the_nearest) {
    const auto driver = [](environment& from) {
        return from.one_of("LIBRT_DRIVER", drivers);
    };
    cr_assert(read_one("LIBRT_DRIVER=Epoll", driver) == 2U);
    check_fault(
        "LIBRT_DRIVER=iouring",
        driver,
        "LIBRT_DRIVER=\"iouring\": expected one of auto, uring, epoll; did you mean uring?"
    );
    check_fault(
        "LIBRT_DRIVER=kqueue", driver, "LIBRT_DRIVER=\"kqueue\": expected one of auto, uring, epoll"
    );
}

Test(environment, unknown_names_are_faults_with_a_suggestion) {
    const char* block[] = {"LIBRT_WORKER=8", "LIBRT_COMPLETELY_ELSE=1", "OTHER=1", nullptr};
    const environment variables(block, known);
    cr_assert(variables.faults().size() == 2);
    cr_assert_str_eq(
        variables.faults()[0].c_str(), "LIBRT_WORKER: no such variable; did you mean LIBRT_WORKERS?"
    );
    cr_assert_str_eq(variables.faults()[1].c_str(), "LIBRT_COMPLETELY_ELSE: no such variable");
}

Test(environment, all_faults_are_collected_in_order) {
    const char* block[] = {
        "LIBRT_WORKERS=many", "LIBRT_STALL=soon", "LIBRT_CPUS=0-", "LIBRT_X=1", nullptr};
    environment variables(block, known);
    (void)workers(variables);
    (void)stall(variables);
    variables.reject("LIBRT_CPUS", "a CPU number at position 2");
    cr_assert(variables.faults().size() == 4);
    cr_assert(variables.faults()[0].starts_with("LIBRT_X: "));
    cr_assert(variables.faults()[1].starts_with("LIBRT_WORKERS=\"many\""));
    cr_assert(variables.faults()[2].starts_with("LIBRT_STALL=\"soon\""));
    cr_assert_str_eq(
        variables.faults()[3].c_str(), "LIBRT_CPUS=\"0-\": expected a CPU number at position 2"
    );
}

Test(environment, hostile_values_are_shown_harmless_and_short) {
    const std::string assignment = "LIBRT_WORKERS=\x1b[2J" + std::string(5000, 'z');
    std::string fault;
    cr_assert_not(read_one(assignment.c_str(), workers, &fault).has_value());
    cr_assert(fault.find('\x1b') == std::string::npos);
    cr_assert(fault.starts_with("LIBRT_WORKERS=\"\\x1b[2Jzzz"));
    cr_assert(fault.size() < 300);
    cr_assert(fault.find("zzz...\"") != std::string::npos);
}

Test(environment, from_process_reads_the_real_one) {
    ::setenv("LIBRT_WORKERS", "3", 1);
    environment variables = environment::from_process(known);
    cr_assert(workers(variables) == 3U);
}

Test(environment, nearest_word_wants_real_likeness) {
    cr_assert(nearest_word("epol", drivers) == "epoll");
    cr_assert(nearest_word("URNIG", drivers) == "uring");
    cr_assert(nearest_word("x", drivers).empty());
    cr_assert(nearest_word("", drivers).empty());
    cr_assert(nearest_word("anything", {}).empty());
}

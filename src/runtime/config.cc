// SPDX-License-Identifier: MIT
//
// Configuration: the environment over the code's settings, then every field against its range.
//
// All faults are collected, so that an operator sees them in one start and not one per start. A new
// knob needs a line in `known`, one in apply_environment, a check, and a paragraph in
// man/librt-tuning.7; tidy compares the names.
#include "runtime/config.h"

#include "base/environment.h"
#include "scheduler/tuning.h"
#include "topology/cpu_set.h"

#include <algorithm>
#include <array>
#include <bit>
#include <chrono>
#include <string>
#include <string_view>

namespace rt::engine {
namespace {

using namespace std::string_view_literals;

constexpr std::array known{
    "LIBRT_WORKERS"sv,          "LIBRT_CPUS"sv,           "LIBRT_PIN"sv,
    "LIBRT_DRIVER"sv,           "LIBRT_RING_ENTRIES"sv,   "LIBRT_EVENT_INTERVAL"sv,
    "LIBRT_INJECT_INTERVAL"sv,  "LIBRT_LIFO_SLOT"sv,      "LIBRT_BLOCKING_MAX"sv,
    "LIBRT_BLOCKING_KEEP"sv,    "LIBRT_STACK_KIB"sv,      "LIBRT_POLL_HISTOGRAM"sv,
    "LIBRT_SCHEDULE_LATENCY"sv, "LIBRT_SEED"sv,           "LIBRT_INTROSPECT"sv,
    "LIBRT_SOCKET"sv,           "LIBRT_UNHANDLED"sv,      "LIBRT_CHAOS_RARITY"sv,
    "LIBRT_CHAOS_SEED"sv,       "LIBRT_RELIEF_THREADS"sv,
};

constexpr std::array pin_words{"auto"sv, "none"sv, "cpu"sv, "cache"sv, "node"sv};
constexpr std::array driver_words{"auto"sv, "uring"sv, "epoll"sv};
constexpr std::array unhandled_words{"ignore"sv, "report"sv, "shutdown"sv};

constexpr std::uint32_t workers_max = 1024;
constexpr std::uint32_t interval_max = 65536;
constexpr std::uint32_t blocking_max = 65536;
constexpr std::uint32_t stack_kib_min = 64;
constexpr std::uint32_t stack_kib_max = 1024 * 1024;
constexpr std::uint32_t ring_entries_min = 32;
constexpr std::uint32_t ring_entries_max = 4096;
constexpr std::size_t name_length_max = 10; // a thread name has 15 characters; "-w1023" needs 6

void take(std::optional<std::uint64_t> value, std::uint32_t& into) {
    if (value) {
        into = static_cast<std::uint32_t>(*value);
    }
}

void apply_environment(base::environment& env, config& settings) {
    take(env.uint("LIBRT_WORKERS", {1, workers_max}), settings.workers);
    const auto entries = env.uint("LIBRT_RING_ENTRIES", {ring_entries_min, ring_entries_max});
    if (entries && !std::has_single_bit(*entries)) {
        env.reject("LIBRT_RING_ENTRIES", "a power of two");
    } else {
        take(entries, settings.ring_entries);
    }
    take(env.uint("LIBRT_EVENT_INTERVAL", {1, interval_max}), settings.event_interval);
    take(env.uint("LIBRT_INJECT_INTERVAL", {0, interval_max}), settings.inject_interval);
    take(env.uint("LIBRT_RELIEF_THREADS", {0, scheduler::stand_ins_max}), settings.relief_threads);
    take(env.uint("LIBRT_BLOCKING_MAX", {1, blocking_max}), settings.blocking_threads_max);
    take(env.uint("LIBRT_STACK_KIB", {stack_kib_min, stack_kib_max}), settings.thread_stack_kib);
    if (const auto keep = env.duration("LIBRT_BLOCKING_KEEP")) {
        // Up: what is not 0 does not become it.
        settings.blocking_keep_alive =
            std::chrono::ceil<std::chrono::milliseconds>(std::chrono::nanoseconds(*keep));
    }
    if (const auto cpus = env.text("LIBRT_CPUS")) {
        if (topology::cpu_set::parse(*cpus)) {
            settings.cpus = *cpus;
        } else {
            env.reject("LIBRT_CPUS", "a CPU list such as \"0-3,8\"");
        }
    }
    if (const auto word = env.one_of("LIBRT_PIN", pin_words)) {
        settings.pin = static_cast<pin_mode>(*word);
    }
    if (const auto word = env.one_of("LIBRT_DRIVER", driver_words)) {
        settings.driver = static_cast<driver_kind>(*word);
    }
    if (const auto word = env.one_of("LIBRT_UNHANDLED", unhandled_words)) {
        settings.unhandled = static_cast<unhandled_exception>(*word);
    }
    if (const auto on = env.boolean("LIBRT_LIFO_SLOT")) {
        settings.lifo_slot = *on;
    }
    if (const auto on = env.boolean("LIBRT_POLL_HISTOGRAM")) {
        settings.poll_histogram = *on;
    }
    if (const auto on = env.boolean("LIBRT_SCHEDULE_LATENCY")) {
        settings.schedule_latency = *on;
    }
    if (const auto seed = env.uint("LIBRT_SEED", {0, UINT64_MAX})) {
        settings.seed = *seed;
    }
    if (const auto on = env.boolean("LIBRT_INTROSPECT")) {
        settings.introspect = *on;
    }
    if (const auto path = env.text("LIBRT_SOCKET")) {
        settings.socket_path = *path;
    }
}

void check_range(
    std::vector<std::string>& faults,
    std::string_view field,
    std::uint64_t value,
    std::uint64_t least,
    std::uint64_t most
) {
    if (value < least || value > most) {
        faults.push_back(
            "config." + std::string(field) + " = " + std::to_string(value) + ": must be from " +
            std::to_string(least) + " to " + std::to_string(most)
        );
    }
}

// An enumeration whose values are 0 to `last`.
template<typename Enum>
void check_word(std::vector<std::string>& faults, std::string_view field, Enum value, Enum last) {
    check_range(
        faults, field, static_cast<std::uint64_t>(value), 0, static_cast<std::uint64_t>(last)
    );
}

// Tools show it in lines of words.
bool is_printable(const std::string& name) {
    return std::all_of(name.begin(), name.end(), [](char each) {
        return each > ' ' && each < 127;
    });
}

void check_texts(const config& settings, std::vector<std::string>& faults) {
    if (settings.name.empty() || settings.name.size() > name_length_max) {
        faults.push_back(
            "config.name = \"" + settings.name + "\": must have 1 to " +
            std::to_string(name_length_max) + " characters"
        );
    } else if (!is_printable(settings.name)) {
        faults.emplace_back(
            "config.name: must have printable ASCII characters only, and no blank among them"
        );
    }
    if (settings.socket_path.find('\0') != std::string::npos) {
        faults.emplace_back("config.socket_path has a zero byte, which no path can have");
    }
}

void check(const config& settings, std::vector<std::string>& faults) {
    check_word(faults, "flavor", settings.flavor, flavor::current_thread);
    check_word(faults, "pin", settings.pin, static_cast<pin_mode>(pin_words.size() - 1));
    check_word(
        faults, "driver", settings.driver, static_cast<driver_kind>(driver_words.size() - 1)
    );
    check_word(
        faults,
        "unhandled",
        settings.unhandled,
        static_cast<unhandled_exception>(unhandled_words.size() - 1)
    );
    check_range(faults, "workers", settings.workers, 0, workers_max);
    check_range(faults, "event_interval", settings.event_interval, 1, interval_max);
    check_range(faults, "inject_interval", settings.inject_interval, 0, interval_max);
    check_range(faults, "relief_threads", settings.relief_threads, 0, scheduler::stand_ins_max);
    check_range(faults, "blocking_threads_max", settings.blocking_threads_max, 1, blocking_max);
    check_range(faults, "ring_entries", settings.ring_entries, ring_entries_min, ring_entries_max);
    if (settings.thread_stack_kib != 0) {
        check_range(
            faults, "thread_stack_kib", settings.thread_stack_kib, stack_kib_min, stack_kib_max
        );
    }
    if (!std::has_single_bit(settings.ring_entries)) {
        faults.push_back(
            "config.ring_entries = " + std::to_string(settings.ring_entries) +
            ": must be a power of two"
        );
    }
    if (settings.blocking_keep_alive.count() < 0) {
        faults.emplace_back("config.blocking_keep_alive is negative");
    }
    if (!settings.cpus.empty()) {
        const auto parsed = topology::cpu_set::parse(settings.cpus);
        if (!parsed) {
            faults.push_back("config.cpus: " + parsed.error().message(settings.cpus));
        }
    }
    check_texts(settings, faults);
    if (settings.start_paused && settings.flavor != flavor::current_thread) {
        faults.emplace_back("config.start_paused: only the clock of flavor::current_thread pauses");
    }
    if (settings.flavor == flavor::current_thread && settings.workers > 1) {
        faults.push_back(
            "config.workers = " + std::to_string(settings.workers) +
            ": flavor::current_thread has exactly one worker"
        );
    }
}

} // namespace

resolved_config resolve(const config& wanted) {
    resolved_config resolved{wanted, {}};
    base::environment env = base::environment::from_process(known);
    apply_environment(env, resolved.settings);
    if (resolved.settings.cpus != wanted.cpus) {
        resolved.cpus_from = "LIBRT_CPUS";
    }
    if (wanted.flavor == flavor::current_thread) {
        resolved.settings.workers = wanted.workers; // LIBRT_WORKERS is for the other flavour
    }
    resolved.faults = env.faults();
    check(resolved.settings, resolved.faults);
    return resolved;
}

} // namespace rt::engine

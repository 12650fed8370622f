// SPDX-License-Identifier: MIT
//
// Configuration: what the environment may override, and how an operator learns of every mistake at
// once.
#include "runtime/config.h"
#include "support/runtimes.h"
#include "support/test.h"

#include <rt/runtime.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <stdexcept>
#include <string>

namespace {

using namespace std::chrono_literals;
using rt::config;
using rt::engine::resolve;
using rt::engine::resolved_config;

bool mentions(const resolved_config& resolved, const char* what) {
    return std::any_of(
        resolved.faults.begin(),
        resolved.faults.end(),
        [&](const std::string& fault) { return fault.find(what) != std::string::npos; }
    );
}

void clear_environment() {
    for (const char* const name :
         {"LIBRT_WORKERS",
          "LIBRT_CPUS",
          "LIBRT_PIN",
          "LIBRT_DRIVER",
          "LIBRT_RING_ENTRIES",
          "LIBRT_EVENT_INTERVAL",
          "LIBRT_INJECT_INTERVAL",
          "LIBRT_LIFO_SLOT",
          "LIBRT_BLOCKING_MAX",
          "LIBRT_RELIEF_THREADS",
          "LIBRT_BLOCKING_KEEP",
          "LIBRT_STACK_KIB",
          "LIBRT_POLL_HISTOGRAM",
          "LIBRT_SCHEDULE_LATENCY",
          "LIBRT_SEED",
          "LIBRT_INTROSPECT",
          "LIBRT_SOCKET",
          "LIBRT_UNHANDLED"}) {
        ::unsetenv(name);
    }
}

void set(const char* name, const char* value) {
    ::setenv(name, value, 1);
}

TestSuite(config, .init = clear_environment);

} // namespace

Test(config, the_defaults_are_valid) {
    cr_assert(resolve(config{}).faults.empty());
    config current;
    current.flavor = rt::flavor::current_thread;
    cr_assert(resolve(current).faults.empty());
    current.workers = 1;
    cr_assert(resolve(current).faults.empty());
}

Test(config, the_environment_overrides_every_field) {
    set("LIBRT_WORKERS", "3");
    set("LIBRT_CPUS", "0");
    set("LIBRT_PIN", "cache");
    set("LIBRT_DRIVER", "epoll");
    set("LIBRT_RING_ENTRIES", "64");
    set("LIBRT_EVENT_INTERVAL", "7");
    set("LIBRT_INJECT_INTERVAL", "9");
    set("LIBRT_LIFO_SLOT", "no");
    set("LIBRT_BLOCKING_MAX", "11");
    set("LIBRT_RELIEF_THREADS", "0");
    set("LIBRT_BLOCKING_KEEP", "1500ms");
    set("LIBRT_STACK_KIB", "0x100");
    set("LIBRT_POLL_HISTOGRAM", "on");
    set("LIBRT_SCHEDULE_LATENCY", "on");
    set("LIBRT_SEED", "0xFFFFFFFFFFFFFFFF");
    set("LIBRT_INTROSPECT", "off");
    set("LIBRT_SOCKET", "/tmp/a-socket");
    config wanted;
    wanted.workers = 5;
    wanted.driver = rt::driver_kind::uring;
    const resolved_config got = resolve(wanted);
    cr_assert(got.faults.empty(), "%s", got.faults.empty() ? "" : got.faults[0].c_str());
    cr_assert_eq(got.settings.workers, 3U);
    cr_assert(got.settings.cpus == "0");
    cr_assert(got.settings.pin == rt::pin_mode::cache);
    cr_assert(got.settings.driver == rt::driver_kind::epoll);
    cr_assert_eq(got.settings.ring_entries, 64U);
    cr_assert_eq(got.settings.event_interval, 7U);
    cr_assert_eq(got.settings.inject_interval, 9U);
    cr_assert_not(got.settings.lifo_slot);
    cr_assert_eq(got.settings.blocking_threads_max, 11U);
    cr_assert_eq(got.settings.relief_threads, 0U);
    cr_assert(got.settings.blocking_keep_alive == 1500ms);
    cr_assert_eq(got.settings.thread_stack_kib, 256U);
    cr_assert(got.settings.poll_histogram);
    cr_assert(got.settings.schedule_latency);
    cr_assert_eq(got.settings.seed, UINT64_MAX);
    cr_assert_not(got.settings.introspect);
    cr_assert(got.settings.socket_path == "/tmp/a-socket");
}

Test(config, every_word_of_pin_and_driver_is_understood) {
    const std::pair<const char*, rt::pin_mode> pins[] = {
        {"auto", rt::pin_mode::automatic},
        {"none", rt::pin_mode::none},
        {"cpu", rt::pin_mode::cpu},
        {"cache", rt::pin_mode::cache},
        {"node", rt::pin_mode::node},
    };
    for (const auto& [word, mode] : pins) {
        set("LIBRT_PIN", word);
        cr_assert(resolve(config{}).settings.pin == mode, "%s", word);
    }
    const std::pair<const char*, rt::driver_kind> drivers[] = {
        {"auto", rt::driver_kind::automatic},
        {"uring", rt::driver_kind::uring},
        {"epoll", rt::driver_kind::epoll},
    };
    for (const auto& [word, kind] : drivers) {
        set("LIBRT_DRIVER", word);
        cr_assert(resolve(config{}).settings.driver == kind, "%s", word);
    }
}

Test(config, the_environments_worker_count_is_not_for_current_thread) {
    set("LIBRT_WORKERS", "8");
    config wanted;
    wanted.flavor = rt::flavor::current_thread;
    const resolved_config got = resolve(wanted);
    cr_assert(got.faults.empty());
    cr_assert_leq(got.settings.workers, 1U);
}

Test(config, b033_every_fault_of_the_code_is_named) {
    config wanted;
    wanted.workers = 5000;
    wanted.event_interval = 0;
    wanted.inject_interval = 70'000;
    wanted.blocking_threads_max = 0;
    wanted.relief_threads = 513;
    wanted.ring_entries = 33;
    wanted.thread_stack_kib = 63;
    wanted.cpus = "1-";
    wanted.name = "";
    wanted.blocking_keep_alive = -1ms;
    wanted.flavor = static_cast<rt::flavor>(9);
    wanted.pin = static_cast<rt::pin_mode>(99);
    wanted.driver = static_cast<rt::driver_kind>(3);
    wanted.unhandled = static_cast<rt::unhandled_exception>(3);
    const resolved_config got = resolve(wanted);
    for (const char* const field :
         {"workers",
          "event_interval",
          "inject_interval",
          "blocking_threads_max",
          "relief_threads",
          "ring_entries",
          "thread_stack_kib",
          "cpus",
          "name",
          "blocking_keep_alive",
          "flavor",
          "pin",
          "driver",
          "unhandled"}) {
        cr_assert(mentions(got, field), "%s", field);
    }
    cr_assert_geq(got.faults.size(), 14U);
}

Test(config, b033_every_fault_of_the_environment_is_named) {
    set("LIBRT_WORKERS", "many");
    set("LIBRT_PIN", "tightly");
    set("LIBRT_DRIVER", "kqueue");
    set("LIBRT_RING_ENTRIES", "31");
    set("LIBRT_EVENT_INTERVAL", "0");
    set("LIBRT_BLOCKING_KEEP", "10");
    set("LIBRT_INTROSPECT", "perhaps");
    set("LIBRT_POLL_HISTOGRAM", "2");
    set("LIBRT_SCHEDULE_LATENCY", "later");
    set("LIBRT_LIFO_SLOT", "7");
    set("LIBRT_SEED", "-1");
    set("LIBRT_CPUS", "0-a");
    set("LIBRT_UNHANDLED", "panic");
    set("LIBRT_INJECT_INTERVAL", "65537");
    set("LIBRT_BLOCKING_MAX", "0");
    set("LIBRT_RELIEF_THREADS", "513");
    set("LIBRT_STACK_KIB", "1");
    set("LIBRT_WORKRES", "4");
    const resolved_config got = resolve(config{});
    for (const char* const name :
         {"LIBRT_WORKERS",
          "LIBRT_PIN",
          "LIBRT_DRIVER",
          "LIBRT_RING_ENTRIES",
          "LIBRT_EVENT_INTERVAL",
          "LIBRT_BLOCKING_KEEP",
          "LIBRT_INTROSPECT",
          "LIBRT_POLL_HISTOGRAM",
          "LIBRT_SCHEDULE_LATENCY",
          "LIBRT_LIFO_SLOT",
          "LIBRT_SEED",
          "LIBRT_CPUS",
          "LIBRT_UNHANDLED",
          "LIBRT_INJECT_INTERVAL",
          "LIBRT_BLOCKING_MAX",
          "LIBRT_RELIEF_THREADS",
          "LIBRT_STACK_KIB",
          "LIBRT_WORKRES"}) {
        cr_assert(mentions(got, name), "%s", name);
    }
}

Test(config, a_variable_is_named_for_what_only_its_value_shows) {
    set("LIBRT_RING_ENTRIES", "100"); // within the range
    const resolved_config got = resolve(config{});
    cr_assert_eq(got.faults.size(), 1U);
    cr_assert(mentions(got, "LIBRT_RING_ENTRIES"));
    cr_assert(mentions(got, "power of two"));
}

Test(config, a_path_with_a_zero_byte_is_a_fault) {
    config wanted;
    wanted.socket_path = std::string("/tmp/a\0b", 8);
    cr_assert(mentions(resolve(wanted), "socket_path"));
}

Test(config, an_unknown_variable_is_a_fault_and_a_near_one_is_suggested) {
    set("LIBRT_DRIVRE", "epoll");
    const resolved_config got = resolve(config{});
    cr_assert_eq(got.faults.size(), 1U);
    cr_assert(mentions(got, "LIBRT_DRIVRE"));
    cr_assert(mentions(got, "LIBRT_DRIVER"), "%s", got.faults[0].c_str());
    ::unsetenv("LIBRT_DRIVRE");
}

Test(config, sizes_of_rings_are_powers_of_two_in_range) {
    for (const std::uint32_t entries : {32U, 64U, 4096U}) {
        config wanted;
        wanted.ring_entries = entries;
        cr_assert(resolve(wanted).faults.empty());
    }
    for (const std::uint32_t entries : {0U, 16U, 33U, 48U, 8192U}) {
        config wanted;
        wanted.ring_entries = entries;
        cr_assert(mentions(resolve(wanted), "ring_entries"), "%u", entries);
    }
}

Test(config, current_thread_has_one_worker) {
    config wanted;
    wanted.flavor = rt::flavor::current_thread;
    wanted.workers = 2;
    cr_assert(mentions(resolve(wanted), "current_thread"));
}

Test(config, names_of_threads_must_fit) {
    config wanted;
    wanted.name = "0123456789";
    cr_assert(resolve(wanted).faults.empty());
    wanted.name = "0123456789a";
    cr_assert(mentions(resolve(wanted), "name"));
}

Test(config, b033_names_are_of_printable_characters) {
    for (const char* const name : {"   ", "a b", "a\n", "\x01", "caf\xc3\xa9"}) {
        config wanted;
        wanted.name = name;
        cr_assert(mentions(resolve(wanted), "name"), "\"%s\"", name);
    }
    config wanted;
    wanted.name = std::string("a\0b", 3);
    cr_assert(mentions(resolve(wanted), "name"), "a name with a null in it");
    wanted.name = "io-1.x";
    cr_assert(resolve(wanted).faults.empty());
}

Test(config, a_short_keep_alive_is_not_taken_for_none) {
    set("LIBRT_BLOCKING_KEEP", "500us");
    cr_assert_eq(resolve(config{}).settings.blocking_keep_alive.count(), 1);
    set("LIBRT_BLOCKING_KEEP", "1500us");
    cr_assert_eq(resolve(config{}).settings.blocking_keep_alive.count(), 2);
    set("LIBRT_BLOCKING_KEEP", "0ms");
    cr_assert_eq(resolve(config{}).settings.blocking_keep_alive.count(), 0);
    ::unsetenv("LIBRT_BLOCKING_KEEP");
}

Test(config, a_runtime_throws_all_faults_in_one_text) {
    config wanted = rt::test::settings();
    wanted.workers = 5000;
    wanted.event_interval = 0;
    set("LIBRT_PIN", "tightly");
    std::string text;
    try {
        const rt::runtime runtime(wanted);
    } catch (const std::invalid_argument& caught) {
        text = caught.what();
    }
    for (const char* const part : {"workers", "event_interval", "LIBRT_PIN"}) {
        cr_assert(text.find(part) != std::string::npos, "%s", text.c_str());
    }
}

// The CPUs are well-formed, and no machine has them.
Test(config, cpus_that_do_not_exist_are_refused_with_a_reason) {
    config wanted = rt::test::settings();
    wanted.workers = 0;
    wanted.cpus = "900-901";
    std::string text;
    try {
        const rt::runtime runtime(wanted);
    } catch (const std::exception& caught) {
        text = caught.what();
    }
    cr_assert(text.find("90") != std::string::npos, "%s", text.c_str());
}

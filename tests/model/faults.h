// SPDX-License-Identifier: MIT
//
// How model tests say what they expect of a scenario: that it passes on a machine that works, and
// that it fails on each machine that is broken in a way that matters to it.
//
// The second is what makes the first worth something: a scenario that passes without, say, any
// release proves nothing about its orderings. Used by the Test functions of *_model_test.cc, each
// in a process of its own, on one thread: the explorer (explore.h) is one object.
#pragma once

#include "model/explore.h"
#include "support/test.h"

#include <cstdio>

namespace rt::model {

// Two kinds of options that most scenarios use. `make model` allows one preemption more for each
// step of its depth.
inline options bounded(unsigned preemptions, bool is_weak = false) {
    return {.is_weak = is_weak, .preemptions_max = preemptions + wanted_depth()};
}
inline options broken(fault what, unsigned preemptions) {
    return {
        .is_weak = what != fault::torn_rmw && what != fault::no_wake,
        .broken = what,
        .preemptions_max = preemptions};
}

// Those that matter to whatever takes a lock, waits and is woken.
inline constexpr fault common_faults[] = {
    fault::torn_rmw, fault::no_wake, fault::no_release, fault::no_acquire};

// Prints what was covered; `make model` and CI logs show it.
inline void print(const char* name, const report& got) {
    std::fprintf(
        stderr,
        "model: %-40s %9llu executions, %9llu states, %u decisions deep\n",
        name,
        static_cast<unsigned long long>(got.executions),
        static_cast<unsigned long long>(got.states),
        got.deepest
    );
}

template<typename Scenario, typename... Args>
void expect_good(const char* name, const options& wanted, const Args&... arguments) {
    const report got = explore<Scenario>(wanted, arguments...);
    print(name, got);
    cr_assert(got.is_good(), "%s: %s\n%s", name, got.failure.c_str(), got.trace.c_str());
}

template<typename Scenario, typename... Args>
void expect_broken(const char* name, const options& wanted, const Args&... arguments) {
    const report got = explore<Scenario>(wanted, arguments...);
    print(name, got);
    cr_assert_not(got.is_good(), "%s passes on a broken machine: it proves nothing", name);
}

// The switches of fibers stacks that the explorer makes are beyond the sanitizers.
inline void skip_with_sanitizers() {
#if defined(RT_SANITIZED)
    cr_skip_test("the explorer's fibers are beyond sanitizers");
#endif
}

} // namespace rt::model

// SPDX-License-Identifier: MIT
#include "base/thread.h"
#include "support/test.h"

#include <rt/detail/atomic.h>

#include <cerrno>
#include <memory>
#include <utility>
#include <vector>

namespace {

using rt::base::thread;

} // namespace

Test(thread, runs_what_it_owns_and_is_joined) {
    rt::atomic<int> seen{0};
    std::vector<thread> threads;
    for (int i = 0; i < 3; ++i) {
        auto made = thread::start(0, [number = std::make_unique<int>(i), &seen] {
            seen.add_relaxed(*number + 1);
        });
        cr_assert(made.has_value());
        threads.push_back(std::move(*made));
    }
    for (thread& each : threads) {
        each.join();
    }
    cr_assert_eq(seen.load_relaxed(), 6);
}

// What it would have run is destroyed.
Test(thread, a_refusal_is_a_result) {
    const auto owned = std::make_shared<int>(1);
    const auto made = thread::start(1, [owned] {});
    cr_assert(!made.has_value());
    cr_assert(made.error().is(EINVAL));
    cr_assert_eq(owned.use_count(), 1);
}

// SPDX-License-Identifier: MIT
//
// The runtimes that tests of behaviour run on: two workers that are not pinned, because the machine
// is shared with other tests; or one, on the thread of the test. Without introspection, which has
// tests of its own.
#pragma once

#include <rt/runtime.h>

#include <cstdint>
#include <utility>

namespace rt::test {

inline config settings(driver_kind driver = driver_kind::automatic) {
    config made;
    made.workers = 2;
    made.pin = pin_mode::none;
    made.driver = driver;
    made.introspect = false;
    return made;
}

inline config single(driver_kind driver = driver_kind::automatic) {
    config made = settings(driver);
    made.flavor = flavor::current_thread;
    made.workers = 0;
    return made;
}

template<typename T>
T run(task<T> body) {
    return block_on(settings(), std::move(body));
}

/// Calls `body(config)` once for each combination of flavour and driver.
template<typename Body>
void on_every_runtime(Body body) {
    for (const driver_kind driver : {driver_kind::uring, driver_kind::epoll}) {
        body(settings(driver));
        body(single(driver));
    }
}

} // namespace rt::test

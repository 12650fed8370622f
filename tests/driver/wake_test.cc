// SPDX-License-Identifier: MIT
//
// Wake-ups of a driver: one that comes before the park ends it, also if a rescuer was faster.
// The time limit of the tests is what fails them: a park without a deadline never returns.
#include "driver/driver.h"
#include "support/test.h"

#include <thread>

using namespace rt::driver;

namespace {

std::unique_ptr<driver> made(kind which) {
    if (which == kind::uring && choose(kind::automatic, 32).chosen != kind::uring) {
        cr_skip_test("no io_uring here");
    }
    auto result = make_driver(which, 32);
    cr_assert(result.has_value());
    return std::move(*result);
}

void wake_then_park(kind which) {
    const std::unique_ptr<driver> own = made(which);
    own->wake();
    cr_assert_eq(own->park(no_deadline), 0U);
}

// What a worker and its watchdog do when a long turn ends while the watchdog is on its way.
void wake_is_reaped_then_park(kind which) {
    const std::unique_ptr<driver> own = made(which);
    own->wake();
    own->kick();
    std::thread([&] { cr_assert_eq(own->rescue(), 0U); }).join();
    cr_assert_eq(own->park(no_deadline), 0U);
    // It ends one park and no more.
    own->wake();
    cr_assert_eq(own->park(no_deadline), 0U);
}

} // namespace

Test(wake, comes_before_the_park_epoll) {
    wake_then_park(kind::epoll);
}

Test(wake, comes_before_the_park_uring) {
    wake_then_park(kind::uring);
}

Test(wake, is_not_lost_to_a_rescuer_epoll) {
    wake_is_reaped_then_park(kind::epoll);
}

Test(wake, is_not_lost_to_a_rescuer_uring) {
    wake_is_reaped_then_park(kind::uring);
}

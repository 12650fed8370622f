// SPDX-License-Identifier: MIT
//
// The first steps: tasks that run at the same time, their results, a deadline.
#include <rt/rt.h>

#include <cstdio>
#include <string>

using namespace std::chrono_literals;

rt::task<std::string> greet(std::string whom) {
    co_await rt::sleep(20ms); // the task waits; its worker does not
    co_return "hello, " + whom;
}

rt::task<void> wait_long() {
    co_await rt::sleep(1h);
}

rt::task<int> hello() {
    rt::join_handle<std::string> first = rt::spawn(greet, "world"); // both run from here on
    rt::join_handle<std::string> second = rt::spawn(greet, "coroutines");
    std::printf("%s\n", (co_await first).c_str());
    std::printf("%s\n", (co_await second).c_str());

    rt::result<void> outcome = co_await rt::timeout(50ms, wait_long());
    if (!outcome) {
        std::printf("an hour was too long: %s\n", outcome.error().message().c_str());
    }
    co_return 0;
}

int main() {
    return rt::block_on(hello()); // one worker per core, unless LIBRT_WORKERS says otherwise
}

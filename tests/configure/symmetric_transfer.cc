// SPDX-License-Identifier: MIT
//
// A million symmetric transfers on a stack of 256 KiB. Where the compiler makes the transfer a call
// instead of a jump, every await leaves something on the stack and the program dies of SIGSEGV.
#include "promise.h"

#include <sys/resource.h>

static probe::task<int> one() {
    co_return 1;
}

static probe::task<int> sum(int count) {
    int total = 0;
    for (int i = 0; i < count; ++i) {
        total += co_await one();
    }
    co_return total;
}

int main() {
    // The main thread's stack grows on demand, so that the limit holds from here on.
    const rlimit limit{256 * 1024, 256 * 1024};
    if (setrlimit(RLIMIT_STACK, &limit) != 0) {
        return 2;
    }
    constexpr int transfers_each_way = 500'000;
    return sum(transfers_each_way).run() == transfers_each_way ? 0 : 1;
}

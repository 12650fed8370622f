// SPDX-License-Identifier: MIT
//
// A lambda that owns something, made inside a co_await expression. GCC 12 destroys the captures of
// the temporary twice; counting constructions against destructions sees that without a crash.
#include "promise.h"

#include <functional>

static int alive = 0;

struct counted {
    counted() { ++alive; }
    counted(const counted&) { ++alive; }
    counted(counted&&) noexcept { ++alive; }
    ~counted() { --alive; }
};

static probe::task<int> call(std::function<int()> function) {
    co_return function();
}

template<typename F>
static probe::task<int> call_moved(F function) {
    co_return function();
}

static probe::task<int> outer(counted held) {
    const int first = co_await call([held] { return alive > 0 ? 1 : 0; });
    const int second = co_await call_moved([held] { return alive > 0 ? 2 : 0; });
    co_return first + second;
}

int main() {
    const int result = outer(counted()).run();
    return result == 3 && alive == 0 ? 0 : 1;
}
